import importlib.metadata

import pytest

import tfgen


def test_the_environment_is_told_in_one_line(capsys):
    tfgen.check_environment()
    line = capsys.readouterr().out.strip()
    assert line.startswith("tfgen ")
    assert line.count("\n") == 0
    assert "TensorFlow" in line
    assert "CPU" in line


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("numpy>=99", "numpy .* is too old; type `pip install --upgrade 'numpy>=99'`"),
        ("no-such-package>=1", "is missing; type"),
    ],
)
def test_what_is_missing_or_too_old_is_named_with_the_line_that_mends_it(monkeypatch, requirement, message):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [requirement, "nothing; sys_platform == 'none'"])
    with pytest.raises(ImportError, match=message):
        tfgen.check_environment()

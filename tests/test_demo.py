"""`make demo`, the first thing that people type."""

from PIL import Image

from tfgen import demo


def test_a_prompt_becomes_a_picture_and_the_saved_model_answers_the_same(tmp_path, capsys):
    assert demo.main(tmp_path) == 0
    for name in ("picture.png", "served.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (32, 32)
    assert "a large red circle on a blue background" in capsys.readouterr().out

"""TFDS data sets: MNIST and Fashion-MNIST are really built, CIFAR-10 and CelebA are mocked."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfgen.data
from tfgen.data import captions


def arrays(dataset):
    """All examples as one dict of arrays."""
    return next(iter(dataset.batch(int(dataset.cardinality())).as_numpy_iterator()))


@pytest.fixture
def mocked(tmp_path):
    """Random data in place of a data set's own: `mocked(name, splits)` is a context."""

    def mock(name, splits):
        # The mock takes the splits from the metadata of a prepared data set.
        builder = tfds.builder(name, data_dir=tmp_path)
        infos = [tfds.core.SplitInfo(name=s, shard_lengths=[20], num_bytes=0, filename_template=None) for s in splits]
        builder.info.set_splits(tfds.core.splits.SplitDict(infos))
        metadata = tmp_path / name / str(builder.version)
        metadata.mkdir(parents=True)
        builder.info.write_to_directory(metadata)
        return tfds.testing.mock_data(num_examples=20, data_dir=tmp_path)

    return mock


@pytest.mark.parametrize(("name", "mean"), [("mnist", 33.32), ("fashion_mnist", 72.94)])
def test_real_pictures(tfds_dir, name, mean):
    dataset = tfgen.data.load(name, data_dir=tfds_dir)
    assert int(dataset.cardinality()) == 60_000
    assert int(tfgen.data.load(name, "test", data_dir=tfds_dir).cardinality()) == 10_000
    examples = arrays(dataset)
    assert examples["image"].shape == (60_000, 28, 28, 1)
    assert examples["image"].dtype == np.float32
    assert (examples["image"].min(), examples["image"].max()) == (-1, 1)
    assert (examples["image"].mean(dtype=np.float64) + 1) * 127.5 == pytest.approx(mean, abs=0.01)
    counts = np.bincount(examples["label"])
    expected = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949] if name == "mnist" else [6000] * 10
    assert counts.tolist() == expected
    # Every caption is one of its class, and every one of a class is drawn.
    drawn = {(label, caption.decode()) for label, caption in zip(examples["label"], examples["caption"], strict=True)}
    texts = captions.class_captions(name, None, "en")
    assert drawn == {(label, text) for label, of_class in enumerate(texts) for text in of_class}


def test_two_processes_may_prepare_the_same_at_once(tmp_path):
    class PreparedMeanwhile(tfds.testing.DummyMnist):
        """Another comes to the end of it while this one begins."""

        is_first = True

        def _split_generators(self, dl_manager):
            if PreparedMeanwhile.is_first:
                PreparedMeanwhile.is_first = False
                tfgen.data.load(self.name, data_dir=tmp_path)
            return super()._split_generators(dl_manager)

    assert int(tfgen.data.load("prepared_meanwhile", data_dir=tmp_path).cardinality()) == 20


def test_both_languages_resized_and_repeatable(tfds_dir):
    dataset = tfgen.data.load("mnist", "test", image_size=16, language="both", data_dir=tfds_dir).take(300)
    assert dataset.element_spec["image"].shape == (16, 16, 1)
    first, second = arrays(dataset), arrays(dataset)
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
    drawn = {text.decode() for text in first["caption"]}
    english, chinese = (sum(captions.class_captions("mnist", None, language), ()) for language in ("en", "zh"))
    assert drawn <= {*english, *chinese}
    assert drawn - {*english}
    assert drawn - {*chinese}
    assert (
        abs(first["image"].mean() - arrays(tfgen.data.load("mnist", "test", data_dir=tfds_dir).take(300))["image"].mean())
        < 0.02
    )


def test_tfds_data_dir_from_the_environment(tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_dir)
    assert int(tfgen.data.load("mnist", "test").cardinality()) == 10_000


def test_cifar10_in_chinese(mocked):
    with mocked("cifar10", ["train", "test"]):
        dataset = tfgen.data.load("cifar10", language="zh")
        examples = arrays(dataset)
    assert examples["image"].shape == (20, 32, 32, 3)
    texts = captions.class_captions("cifar10", None, "zh")
    for label, caption in zip(examples["label"], examples["caption"], strict=True):
        assert caption.decode() in texts[label]


@pytest.mark.parametrize("language", ["en", "zh", "both"])
def test_celeb_a_says_the_attributes_that_hold(mocked, language):
    with mocked("celeb_a", ["train", "validation", "test"]):
        examples = arrays(tfgen.data.load("celeb_a", "test", image_size=32, language=language))
        raw = arrays(tfds.load("celeb_a", split="test"))
    assert set(examples) == {"image", "caption"}
    assert examples["image"].shape == (20, 32, 32, 3)
    spoken = set()
    for index, caption in enumerate(examples["caption"]):
        names = [name for name, values in raw["attributes"].items() if values[index]]
        chosen = "zh" if caption.decode().startswith("一张图片") else "en"
        frame, colon, comma = captions.ATTRIBUTE_FRAMES[chosen]
        said = caption.decode().removeprefix(frame + colon).split(comma)
        assert set(said) <= set(captions.attribute_words("celeb_a", names, chosen))
        assert len(said) == min(len(names), 6)
        assert (chosen == "zh") == (not any(word.isascii() for word in said))
        spoken.add(chosen)
    assert spoken == ({"en", "zh"} if language == "both" else {language})


@pytest.mark.parametrize(
    ("name", "splits", "expected"),
    [
        ("tf_flowers", ["train"], ["train[:90%]", "train[90%:]"]),
        ("celeb_a", ["train", "validation"], ["train", "validation"]),
        ("celeb_a", ["train", "validation", "test"], ["train", "test"]),
    ],
)
def test_which_splits_are_read(mocked, monkeypatch, name, splits, expected):
    asked = []
    with mocked(name, splits):
        mock_as_dataset = tfds.core.DatasetBuilder.as_dataset

        def as_dataset(self, split, **options):
            asked.append(split)
            return mock_as_dataset(self, split=split, **options)

        monkeypatch.setattr(tfds.core.DatasetBuilder, "as_dataset", as_dataset)
        for split in ("train", "test"):
            tfgen.data.load(name, split, image_size=16)
        monkeypatch.undo()
    assert asked == expected


def test_mistakes_are_told(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"unknown source 'fashion-minst'.*'folder:PATH'.*'fashion_mnist'"):
        tfgen.data.load("fashion-minst")
    with pytest.raises(ValueError, match="unknown split 'val' of mnist; choose from train, test"):
        tfgen.data.load("mnist", "val")
    with pytest.raises(ValueError, match="'imdb_reviews' has no images with a class label"):
        tfgen.data.load("imdb_reviews", data_dir=tmp_path)

    def fail(*args, **kwargs):
        raise ConnectionError("name resolution failed")

    monkeypatch.setattr("tensorflow_datasets.core.download.downloader._open_url", fail)
    with pytest.raises(ValueError, match=r"cannot prepare 'mnist'.*name resolution failed.*TFDS_DATA_DIR") as raised:
        tfgen.data.load("mnist", data_dir=tmp_path)
    assert "\n" not in str(raised.value)
    assert raised.value.__suppress_context__

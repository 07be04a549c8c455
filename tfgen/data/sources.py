"""Where captioned pictures come from: rendered scenes, any TFDS data set, a folder of one's own."""

import os
import textwrap

import tensorflow as tf

from tfgen.data import captions, folder, shapes
from tfgen.data.pipeline import resize

_BLOCK = 250  # scenes rendered at once
_MOST_ATTRIBUTES = 6  # said of a picture; all those of a face make no caption that anybody would type
_SOURCES = "give 'shapes', 'folder:PATH', or an image data set of TFDS such as 'mnist', 'fashion_mnist', 'cifar10', 'celeb_a'"


def load(source, split="train", image_size=None, language="en", **options):
    """Captioned examples of a source.

    Args:
        source: "shapes" (rendered here, the default everywhere), a TFDS name such as "fashion_mnist", or "folder:PATH",
            PATH being a folder or .zip of images with metadata.csv or metadata.jsonl.
        split: "train" or "test"; for "shapes" also "unseen", attribute pairs that never occur in training.
        image_size: resize to this width and height; None keeps the source's own size (32 for "shapes").
        language: captions in "en", "zh", or "both", drawn per example.
        **options: "shapes" takes those of `shapes_examples`; a TFDS name takes `data_dir`.

    Returns:
        An unbatched `tf.data.Dataset` of dicts: `image` float32 [H, W, C] in [-1, 1], `caption` UTF-8 string, `label`
        int64 where there are classes, and for "shapes" `attributes` int32 [len(shapes.ATTRIBUTES)].

    Raises:
        ValueError: unknown source, split, language or size, or a source with nothing usable.
    """
    if language not in (*captions.LANGUAGES, "both"):
        raise ValueError(f"unknown language {language!r}; choose from en, zh, both")
    is_folder = source.startswith("folder:")
    known = () if is_folder else ("data_dir",)
    if source == "shapes":
        known = ("num_scenes", "num_objects", "textures", "loosened", "terse", "seed")
    for option in options:
        if option not in known:
            raise ValueError(f"{source} has no option {option!r}; it takes {', '.join(known) or 'none'}")
    if source == "shapes":
        return shapes_examples(split, image_size or 32, language, **options)
    if image_size is not None and not 8 <= image_size <= 1024:
        raise ValueError(f"image_size is {image_size}; choose from 8 to 1024")
    if is_folder:
        return folder.examples(source.removeprefix("folder:"), split, image_size, language)
    return _tfds_examples(source, split, image_size, language, **options)


def shapes_examples(
    split="train", image_size=32, language="en", *, num_scenes=50_000, num_objects=(1, 2), textures=("solid",), loosened=0.0,
    terse=0.0, seed=0,
):  # fmt: skip
    """Rendered scenes with captions and true attributes.

    Args:
        split, image_size, language: as in `load`; image_size from 16 to 128.
        num_scenes: how many scenes make an epoch.
        num_objects, textures: as in `shapes.sample_scenes`.
        loosened: fraction of the captions to say loosely, as `captions.loosen` does.
        terse: fraction of the captions that leave much open, as of `captions.describe`.
        seed: int; the same seed gives the same scenes.

    Returns:
        As `load`.
    """
    if not 16 <= image_size <= 128:
        raise ValueError(f"image_size is {image_size}; shapes are rendered at any size from 16 to 128")
    for option, part in (("loosened", loosened), ("terse", terse)):
        if not 0 <= part <= 1:
            raise ValueError(f"{option} is {part!r}; give a fraction from 0 to 1")
    if not isinstance(num_scenes, int) or num_scenes < 1:
        raise ValueError(f"num_scenes is {num_scenes!r}; give a whole number from 1")
    scenes = shapes.sample_scenes(num_scenes, seed, split, image_size, num_objects, textures)
    texts, _ = captions.describe(scenes, language, seed, terse)
    if loosened:
        texts = captions.loosen(texts, loosened, seed)
    # Drawn in the graph: a Python function in the pipeline can lock up when an endless iterator is deleted.
    slots = max(num_objects)
    columns = {name: values[:, :slots] if values.ndim == 2 else values for name, values in vars(scenes).items()}
    rows = tf.data.Dataset.from_tensor_slices((columns, texts, scenes.attributes()))

    def draw(columns, texts, attributes):
        return {"image": shapes.render(columns, image_size), "caption": texts, "attributes": attributes}

    examples = rows.batch(_BLOCK).map(draw, num_parallel_calls=2).unbatch()
    return examples.apply(tf.data.experimental.assert_cardinality(num_scenes))


def shapes_prompts(num_prompts, split="test", language="en", num_objects=(1,), seed=0, image_size=32):
    """Prompts with the attributes they ask for, to be drawn by a model and judged.

    Returns:
        A list of captions; int32 [num_prompts, len(shapes.ATTRIBUTES)], -1 where a caption does not state one; and the
        scenes they describe as uint8 [num_prompts, image_size, image_size, 3], to know how right a judge can be.
    """
    scenes = shapes.sample_scenes(num_prompts, [seed, num_prompts], split, image_size, num_objects)
    texts, stated = captions.describe(scenes, language, [seed, num_prompts])
    pictures = tf.cast(tf.round((shapes.render(scenes, image_size) + 1) * 127.5), tf.uint8).numpy()
    return texts, stated, pictures


def _tfds_examples(name, split, image_size, language, data_dir=None):
    """Examples of a TFDS data set whose classes or yes/no attributes become captions.

    Args:
        name: of an image data set in TFDS.
        split, image_size, language: as in `load`. Without a "test" split of its own, "test" is "validation" or else the
            last tenth of "train".
        data_dir: where TFDS keeps prepared data; None is $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Returns:
        As `load`.
    """
    # Slow to import, so not at the top. It imports the package importlib_resources without asking for it.
    import tensorflow_datasets as tfds

    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r} of {name}; choose from train, test")
    root = os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    try:
        builder = tfds.builder(name, data_dir=root)
    except (ValueError, AssertionError):  # not found (the message lists a thousand names), no name at all, another version
        raise ValueError(f"unknown source {name!r}; {_SOURCES}") from None
    features = builder.info.features
    features = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    label, attributes = features.get("label"), features.get("attributes")
    has_classes = isinstance(label, tfds.features.ClassLabel)
    has_attributes = isinstance(attributes, tfds.features.FeaturesDict) and all(
        feature.tf_dtype == tf.bool for feature in attributes.values()
    )
    if not isinstance(features.get("image"), tfds.features.Image) or not (has_classes or has_attributes):
        raise ValueError(f"the TFDS data set {name!r} has no images with a class label or yes/no attributes; {_SOURCES}")
    if not builder.is_prepared():
        _tfds_prepare(tfds, builder, root)
        builder = tfds.builder(name, data_dir=root)  # it knows what is there, whoever has prepared it

    languages = captions.LANGUAGES if language == "both" else (language,)
    if has_classes:
        texts = [captions.class_captions(builder.name, label.names, language) for language in languages]
        texts = [sum(of_class, ()) for of_class in zip(*texts, strict=True)]  # [classes, captions of a class]
    else:
        frames = [captions.ATTRIBUTE_FRAMES[language] for language in languages]
        words = [captions.attribute_words(builder.name, attributes, language) for language in languages]

    def caption(index, example):
        # By the index, so that a picture keeps its caption from epoch to epoch.
        if has_classes:
            choices = tf.gather(texts, example["label"])
            return choices[tf.random.stateless_uniform([], [index, 0], maxval=tf.size(choices), dtype=tf.int32)]
        drawn = tf.random.stateless_uniform([], [index, 0], maxval=len(languages), dtype=tf.int32)
        beginning, colon, comma = tf.unstack(tf.gather(frames, drawn))
        held = tf.boolean_mask(tf.gather(words, drawn), [example["attributes"][attribute] for attribute in attributes])
        said = tf.random.experimental.stateless_shuffle(held, [index, 1])[:_MOST_ATTRIBUTES]
        said = tf.strings.regex_replace(tf.strings.reduce_join(said, separator="\n"), "\n", comma)
        return tf.where(said == "", beginning, tf.strings.join([beginning, colon, said]))

    def to_numbers(index, example):
        image = tf.image.convert_image_dtype(example["image"], tf.float32) * 2 - 1
        numbers = {"image": resize(image, image_size) if image_size else image, "caption": caption(index, example)}
        return {**numbers, "label": example["label"]} if has_classes else numbers

    # `prepare` keeps what it needs in memory itself.
    read_config = tfds.ReadConfig(try_autocache=False)
    examples = builder.as_dataset(split=_tfds_split(builder, split), read_config=read_config)
    return examples.enumerate().map(to_numbers, num_parallel_calls=2)


def _tfds_prepare(tfds, builder, root):
    from tensorflow_datasets.core.download import download_manager, downloader, extractor

    # With TFDS's 10, and pauses that double, the error would come after three and a half minutes offline.
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, 4
    try:
        builder.download_and_prepare()
    except FileExistsError:
        pass  # another process has prepared it meanwhile
    # An AssertionError says that files must be fetched by hand.
    except (
        OSError,
        ImportError,
        AssertionError,
        tf.errors.OpError,
        tfds.download.DownloadError,
        download_manager.NonMatchingChecksumError,
        extractor.ExtractError,
    ) as error:
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")
        raise ValueError(
            f"TFDS cannot prepare {builder.name!r} in {root} ({type(error).__name__}: {reason}); with no "
            "network, set data_dir or $TFDS_DATA_DIR to a folder where it is prepared, or put its files into downloads/ there"
        ) from None
    finally:
        downloader.MAX_RETRIES = retries


def _tfds_split(builder, split):
    """The data set's own name of "train" or "test"."""
    held_out = next((name for name in ("test", "validation") if name in builder.info.splits), None)
    if split == "train":
        return "train" if held_out else "train[:90%]"
    return held_out or "train[90%:]"

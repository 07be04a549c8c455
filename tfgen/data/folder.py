"""Captioned pictures from a folder of one's own, or from a .zip of one, without unpacking it."""

import csv
import hashlib
import io
import json
import logging
import posixpath
import re
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

SPLITS = ("train", "test")

_log = logging.getLogger("tfgen")
_MAX_REPORTED = 20
_METADATA = ("metadata.csv", "metadata.jsonl")
_COLUMNS = {"en": ("text",), "zh": ("text_zh",), "both": ("text", "text_zh")}
_WHAT_TO_DO = (
    "put pictures beside a metadata.csv with the columns file_name and text, or into sub-folders named by what they show"
)


class _Row(NamedTuple):
    name: str  # relative to the source
    digest: bytes  # of the file name as the metadata have it: it decides split and language
    caption: str
    label: int | None


def examples(path, split, image_size, language):
    """Captioned pictures of a folder or .zip. All are read here and kept in memory as 8-bit numbers.

    Pictures are RGB whatever they were (transparency is laid on white, 16 bits are scaled, cameras' rotation is
    undone, of an animation the first frame counts). What cannot be used is logged by name and left out.

    Args:
        path: of a folder or .zip that holds a metadata.csv or metadata.jsonl with `file_name` (relative to it), `text`
            and, for Chinese, `text_zh`. Without such a file the names of sub-folders are captions, in every language.
        split: "train" or "test", one picture in ten, by a hash of the file name.
        image_size: the largest central square is resized to this width and height; None keeps the size, which must be
            one and the same.
        language: "en", "zh" or "both" (drawn per picture by a hash of the file name).

    Returns:
        As `tfgen.data.load`; `label`, the index among the sorted names, only where sub-folder names are captions.

    Raises:
        ValueError: unknown split, a source that cannot be read or holds nothing usable, an empty split, pictures of
            several sizes without `image_size`.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r} of a folder; choose from {', '.join(SPLITS)}")
    problems = []
    with _opened(path) as (names, read):
        rows = _rows(path, names, read, language, problems)

        def decode(row):
            """A picture, or in its place the reason why there is none."""
            try:
                return _decode(read(row.name), image_size)
            except UnidentifiedImageError:
                return "not a picture that Pillow can read"
            except Exception as error:  # Pillow's decoders raise nearly everything
                return " ".join(f"{error or type(error).__name__}".split())

        def usable(some_rows):
            with ThreadPoolExecutor() as pool:
                decoded = list(zip(some_rows, pool.map(decode, some_rows), strict=True))
            problems.extend(f"{row.name!r}: {reason}" for row, reason in decoded if isinstance(reason, str))
            return [(row, picture) for row, picture in decoded if not isinstance(picture, str)]

        for_training = [row for row in rows if int.from_bytes(row.digest[:4]) % 10]
        for_testing = [row for row in rows if not int.from_bytes(row.digest[:4]) % 10]
        # A source that is too small for a test split is all for training.
        if split == "train":
            chosen = usable(for_training) or usable(for_testing)
        elif any(not isinstance(decode(row), str) for row in for_training):
            chosen = usable(for_testing)
        else:
            chosen = []
    _report(path, problems)
    if not chosen and (split == "train" or not rows):
        raise ValueError(f"{path} holds no usable picture; {_WHAT_TO_DO}")
    if not chosen:
        raise ValueError(
            f"the split 'test' of {path} is empty: of {len(rows)} picture(s) a hash of the name puts about one in ten there; "
            "add pictures, or use the split 'train'"
        )
    shapes = {picture.shape: row.name for row, picture in chosen}
    if len(shapes) > 1:
        ((height, width, _), name), ((other_height, other_width, _), other_name), *_ = shapes.items()
        raise ValueError(
            f"pictures of {path} differ in size: {name!r} is {width}x{height}, {other_name!r} {other_width}x{other_height}; "
            "give image_size"
        )
    columns = {
        "image": np.stack([picture for _, picture in chosen]),
        "caption": [row.caption.encode("utf-8", "replace") for row, _ in chosen],
    }
    if chosen[0][0].label is not None:
        columns["label"] = np.array([row.label for row, _ in chosen], np.int64)

    def to_numbers(example):
        return {**example, "image": tf.cast(example["image"], tf.float32) / 127.5 - 1}

    return tf.data.Dataset.from_tensor_slices(columns).map(to_numbers)


@contextmanager
def _opened(path):
    """The sorted names of the files in a folder or .zip, relative to it, and a function that reads one of them."""
    root = Path(path).expanduser()
    if not path or not root.exists():
        raise ValueError(f"there is no {path!r}; give folder:PATH, PATH being a folder or a .zip of pictures")
    if root.is_dir():
        files = {_composed(file.relative_to(root).as_posix()): file for file in root.rglob("*") if file.is_file()}
        yield _without_junk(files), lambda name: files[name].read_bytes()
        return
    try:
        archive = zipfile.ZipFile(root)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path} is neither a folder nor a .zip that can be read ({error}); zip the folder again") from None
    with archive:
        entries = _named_entries(archive)
        yield _without_junk(entries), lambda name: archive.read(entries[name])


def _composed(name):
    """A name with each accented letter as one character: macOS takes them apart in names of files, people do not."""
    return unicodedata.normalize("NFC", name)


def _named_entries(archive):
    """The files of a .zip by name. What does not say how its name is encoded Python takes for code page 437; macOS writes UTF-8
    without saying so, and Windows in Chinese its own code page."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    # A name in another field of the entry, which Python reads from 3.12 on, needs no guess.
    unsaid = [e.filename for e in entries if not e.flag_bits & 0x800 and e.filename == e.orig_filename]
    meant = {}
    for encoding, expected in (("utf-8", ""), ("gb2312", "[一-龥]")):
        try:
            decoded = {name: name.encode("cp437").decode(encoding) for name in unsaid}
        except UnicodeDecodeError:
            continue
        # Two accented letters of code page 437 may be a sign of GB 2312 too, but no Chinese character.
        if re.search(expected, "".join(decoded.values())):
            meant = decoded
            break
    # Some Windows programs write backslashes.
    return {posixpath.normpath(_composed(meant.get(e.filename, e.filename)).replace("\\", "/")): e for e in entries}


def _without_junk(names):
    """Leaves out what macOS adds, .DS_Store and __MACOSX/._picture.png, and other hidden files."""
    return sorted(n for n in names if not any(part.startswith(".") or part == "__MACOSX" for part in n.split("/")))


def _rows(path, names, read, language, problems):
    """A `_Row` for each picture that has a caption; the others are added to `problems`."""
    extensions = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    pictures = [name for name in names if posixpath.splitext(name)[1].lower() in extensions]
    metadata = [name for name in names if posixpath.basename(name) in _METADATA]
    if len(metadata) > 1:
        raise ValueError(f"{path} holds several metadata files ({', '.join(metadata)}); keep one of them")
    if metadata:
        return _rows_of_metadata(path, metadata[0], names, pictures, read, language, problems)
    problems.extend(f"{name!r}: no metadata.csv, and not in a sub-folder" for name in pictures if "/" not in name)
    pictures = [name for name in pictures if "/" in name]
    classes = sorted({name.split("/")[-2] for name in pictures})
    return [
        _Row(name, _digest("/".join(name.split("/")[-2:])), folder.replace("_", " "), classes.index(folder))
        for name in pictures
        for folder in [name.split("/")[-2]]
    ]


def _rows_of_metadata(path, metadata, names, pictures, read, language, problems):
    base = posixpath.dirname(metadata)
    names, pictures, rows = set(names), set(pictures), []
    without_row = set(pictures)
    try:
        data = read(metadata)
    except Exception as error:  # of zipfile, zlib or the system: damaged, encrypted, not permitted
        raise ValueError(f"{metadata} in {path} cannot be read ({error}); make it again, without a password") from None
    for place, fields in _read_metadata(metadata, data, language, problems):
        file_name = fields.get("file_name")
        if not isinstance(file_name, str) or not file_name.strip():
            problems.append(f"{place}: no file_name")
            continue
        file_name = posixpath.normpath(_composed(file_name.strip()).replace("\\", "/"))
        name = posixpath.join(base, file_name)
        digest = _digest(file_name)
        texts = [fields.get(column) for column in _COLUMNS[language]]
        texts = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
        without_row.discard(name)
        if file_name.startswith(("/", "../")):
            problems.append(f"{file_name!r}: leaves the folder")
        elif name not in names:
            problems.append(f"{file_name!r}: no such file ({place})")
        elif name not in pictures:
            problems.append(f"{file_name!r}: not a kind of picture file that Pillow reads ({place})")
        elif not texts:
            problems.append(f"{file_name!r}: the caption is empty ({place})")
        else:
            rows.append(_Row(name, digest, texts[digest[4] % len(texts)], None))
    problems.extend(f"{name!r}: no row in {metadata}" for name in sorted(without_row))
    return rows


def _read_metadata(name, data, language, problems):
    """The rows of a metadata file as [(place, fields)], the place for messages."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} is not UTF-8 (line {line}); save it as UTF-8 (a spreadsheet calls it 'CSV UTF-8')") from None
    if name.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text, newline=""))
        try:
            rows = [(f"{name} line {reader.line_num}", fields) for fields in reader]
        except csv.Error as error:
            raise ValueError(f"{name} is no CSV file ({error}, line {reader.line_num}); save it again as CSV UTF-8") from None
        columns = reader.fieldnames or []
    else:
        rows, columns = [], {}
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                fields = dict(json.loads(line))
            except (ValueError, TypeError):
                problems.append(f"{name} line {number}: not a JSON object")
                continue
            rows.append((f"{name} line {number}", fields))
            columns.update(fields)
    missing = [column for column in ("file_name", *_COLUMNS[language]) if column not in columns]
    if missing:
        raise ValueError(
            f"{name} lacks {' and '.join(missing)} (it has: {', '.join(columns) or 'nothing'}); add to every row file_name, "
            "the picture's path, text, its caption in English, and for the languages zh and both text_zh, the one in Chinese"
        )
    return rows


def _digest(file_name):
    return hashlib.sha256(file_name.encode("utf-8", "surrogateescape")).digest()


def _decode(data, image_size):
    """The bytes of a picture file as uint8 [H, W, 3], of the largest central square where a size is given."""
    with Image.open(io.BytesIO(data)) as opened:
        image = _rgb(ImageOps.exif_transpose(opened))
    if image_size is not None:
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _rgb(image):
    """A Pillow image of any mode as RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_to_8_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode == "LAB":  # the only mode that `convert` cannot do
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return image.convert("RGB")


def _to_8_bits(values, mode):
    """Grey of more than 8 bits, [H, W], scaled to uint8: Pillow itself would clip it.

    The modes "I" and "F" do not say what white is: the first of 1 ("F" only), 255 and 65535 that no value exceeds; for
    other values their own range.
    """
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("has pixels that are not finite")
    low, high = values.min(), values.max()
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(mode, (65535,))
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        values, white = values - low, high - low
    return np.round(values * (255 / white)).astype(np.uint8) if white else np.zeros(values.shape, np.uint8)


def _report(path, problems):
    for problem in problems[:_MAX_REPORTED]:
        _log.warning("%s: left out %s", path, problem)
    if len(problems) > _MAX_REPORTED:
        _log.warning("%s: left out %d more", path, len(problems) - _MAX_REPORTED)

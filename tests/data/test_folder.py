"""Folders and .zips of pictures: every kind of picture that Pillow reads, metadata, and what goes wrong."""

import io
import json
import logging
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

import tfgen.data

ORANGE = (230, 120, 40)


def arrays(dataset):
    """All examples as one dict of arrays, the images as uint8."""
    examples = next(iter(dataset.batch(int(dataset.cardinality())).as_numpy_iterator()))
    return {**examples, "image": np.round((examples["image"] + 1) * 127.5).astype(np.uint8)}


def load(path, split="train", image_size=None, language="en"):
    return tfgen.data.load(f"folder:{path}", split, image_size, language)


def write(folder, rows, header="file_name,text,text_zh", size=(8, 8)):
    """A folder of orange pictures with a metadata.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        Image.new("RGB", size, ORANGE).save(folder / row.split(",")[0])
    (folder / "metadata.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return folder


def zipped(folder, target, prefix="pictures/"):
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return target


def half_transparent(mode, color):
    """The left half opaque, the right half invisible: black to a reader who forgets the alpha channel."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste(color, (0, 0, 4, 8))
    return image if mode == "RGBA" else image.convert(mode)


def palette(transparent):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([9, 9, 9, *ORANGE, 40, 50, 60])
    if transparent:
        image.paste(2, (4, 0, 8, 8))
        image.info["transparency"] = 2
    return image


def rotated():
    """Stored lying, to be shown turned by a quarter: what is stored below is shown on the left."""
    image = Image.new("RGB", (8, 8), "white")
    image.paste(ORANGE, (0, 4, 8, 8))
    exif = image.getexif()
    exif[0x0112] = 6
    return image, {"exif": exif, "quality": 100, "subsampling": 0}


def animation():
    return palette(False), {"save_all": True, "append_images": [Image.new("P", (8, 8), 0)], "duration": 10}


def grey16(value, dtype):
    return Image.fromarray(np.full((8, 8), value, dtype))


GREY = (100, 100, 100)
WHITE = (255, 255, 255)
# file name -> what to save, then the color expected in the left half, and in the right half
PICTURES = {
    "rgb.png": (Image.new("RGB", (8, 8), ORANGE), ORANGE, ORANGE),
    "grey.png": (Image.new("L", (8, 8), 100), GREY, GREY),
    "bits.png": (Image.new("1", (8, 8), 1), WHITE, WHITE),
    "palette.png": (palette(False), ORANGE, ORANGE),
    "palette-transparent.png": (palette(True), ORANGE, WHITE),
    "rgba.png": (half_transparent("RGBA", ORANGE), ORANGE, WHITE),
    "la.png": (half_transparent("LA", GREY), GREY, WHITE),
    "color-key.png": ((Image.new("RGB", (8, 8), ORANGE), {"transparency": ORANGE}), WHITE, WHITE),
    "cmyk.tif": (Image.new("CMYK", (8, 8), (25, 135, 215, 0)), ORANGE, ORANGE),
    "cmyk.jpg": ((Image.new("CMYK", (8, 8), (25, 135, 215, 0)), {"quality": 100}), ORANGE, ORANGE),
    "ycbcr.tif": (Image.new("RGB", (8, 8), ORANGE).convert("YCbCr"), ORANGE, ORANGE),
    "lab.tif": (Image.new("LAB", (8, 8), (255, 128, 128)), WHITE, WHITE),
    "grey16.png": (grey16(25_700, np.uint16), GREY, GREY),
    "grey16.tif": (grey16(25_700, np.uint16), GREY, GREY),
    "int32-of-16-bits.tif": (grey16(25_700, np.int32), GREY, GREY),
    "int32-of-8-bits.tif": (grey16(100, np.int32), GREY, GREY),
    "float-to-1.tif": (grey16(100 / 255, np.float32), GREY, GREY),
    "float-to-255.tif": (grey16(100, np.float32), GREY, GREY),
    "int32-wide.tif": (Image.fromarray(np.tile(np.repeat(np.int32([-7, 10**6]), 4), (8, 1))), (0, 0, 0), WHITE),
    "float-flat.tif": (grey16(-1, np.float32), (0, 0, 0), (0, 0, 0)),
    "exif.jpg": (rotated(), ORANGE, WHITE),
    "animated.gif": (animation(), ORANGE, ORANGE),
    "photo.webp": ((Image.new("RGB", (8, 8), ORANGE), {"lossless": True}), ORANGE, ORANGE),
}


@pytest.mark.parametrize("file_name", PICTURES)
def test_every_kind_of_picture(tmp_path, file_name):
    saved, left, right = PICTURES[file_name]
    image, options = saved if isinstance(saved, tuple) else (saved, {})
    image.save(tmp_path / file_name, **options)
    (tmp_path / "metadata.csv").write_text(f"file_name,text\n{file_name},it\n")
    picture = arrays(load(tmp_path))["image"][0].astype(int)
    assert picture.shape == (8, 8, 3)
    tolerance = 2 if file_name.endswith((".jpg", "ycbcr.tif", "lab.tif")) else 0
    np.testing.assert_allclose(picture[:, 0], np.tile(left, (8, 1)), atol=tolerance)
    np.testing.assert_allclose(picture[:, -1], np.tile(right, (8, 1)), atol=tolerance)


def test_central_square_resized_with_antialiasing(tmp_path):
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, 16:48:2] = 255  # stripes of one pixel in the central square, black to its sides
    Image.fromarray(image).save(tmp_path / "stripes.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\nstripes.png,stripes\n")
    dataset = load(tmp_path, image_size=8)
    assert dataset.element_spec["image"].shape == (8, 8, 3)
    assert dataset.element_spec["image"].dtype.name == "float32"
    picture = arrays(dataset)["image"][0]
    assert np.all(np.abs(picture[:, 1:-1].astype(int) - 127) < 12)
    assert arrays(load(tmp_path))["image"].shape == (1, 32, 64, 3)


def test_sizes_that_differ_need_image_size(tmp_path):
    write(tmp_path, [f"{i}.png,small" for i in range(20)])
    Image.new("RGB", (9, 7)).save(tmp_path / "3.png")
    Image.new("RGB", (9, 7)).save(tmp_path / "4.png")
    with pytest.raises(ValueError, match=r"differ in size.*8x8.*9x7.*give image_size"):
        load(tmp_path)
    assert arrays(load(tmp_path, image_size=16))["image"].shape[1:] == (16, 16, 3)


def test_splits_by_file_name_hold_every_picture_once(tmp_path):
    write(tmp_path / "a", [f"{i}.png,picture {i},图{i}" for i in range(200)])
    splits = {split: arrays(load(tmp_path / "a", split))["caption"].tolist() for split in ("train", "test")}
    assert sorted(splits["train"] + splits["test"]) == sorted(f"picture {i}".encode() for i in range(200))
    assert 10 <= len(splits["test"]) <= 32
    # The split is the name's, wherever the picture lies and whatever lies beside it.
    archive = zipped(write(tmp_path / "b", [f"{i}.png,picture {i},图{i}" for i in range(150, 250)]), tmp_path / "b.zip")
    again = set(arrays(load(archive, "test"))["caption"])
    assert {c for c in again if int(c.split()[1]) < 200} == {c for c in splits["test"] if int(c.split()[1]) >= 150}
    with pytest.raises(ValueError, match="unknown split 'val' of a folder; choose from train, test"):
        load(tmp_path / "a", "val")


def test_languages(tmp_path):
    rows = [f"{i}.png,picture {i},图{i}" for i in range(100)]
    write(tmp_path, rows)
    drawn = [caption.decode() for caption in arrays(load(tmp_path, language="both"))["caption"]]
    assert drawn == [caption.decode() for caption in arrays(load(tmp_path, language="both"))["caption"]]
    chinese = [caption for caption in drawn if caption.startswith("图")]
    assert 25 <= len(chinese) <= 65
    assert all(c.decode().startswith("图") for c in arrays(load(tmp_path, language="zh"))["caption"])
    write(tmp_path, [row.rsplit(",", 1)[0] for row in rows], "file_name,text")
    for language in ("zh", "both"):
        with pytest.raises(ValueError, match=r"metadata.csv lacks text_zh \(it has: file_name, text\); add"):
            load(tmp_path, language=language)


def test_sub_folders_are_captions_and_labels(tmp_path):
    for folder in ("red_panda", "猫", "ape"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (8, 8), ORANGE).save(tmp_path / "in" / folder / f"{i}.PNG")
    (tmp_path / "in" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    for path in (tmp_path / "in", zipped(tmp_path / "in", tmp_path / "in.zip")):
        parts = [arrays(load(path, split)) for split in ("train", "test")]
        pairs = {(c.decode(), label) for part in parts for c, label in zip(part["caption"], part["label"], strict=True)}
        assert pairs == {("ape", 0), ("red panda", 1), ("猫", 2)}
        assert sum(len(part["label"]) for part in parts) == 30
        assert parts[0]["label"].dtype == np.int64


@pytest.mark.parametrize(
    ("name", "encoding"), [("外套", "utf-8"), ("外套", "gb2312"), ("Mäntel", "cp437"), ("créée", "cp437"), ("riñón", "cp437")]
)
def test_names_of_archives_that_do_not_say_how_they_are_encoded(tmp_path, name, encoding):
    """macOS writes UTF-8, Windows the code page of its language, all without the flag that says so."""
    folder = write(tmp_path / "in", ["a.png,a coat,外套"])
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(folder / "a.png", "XXXXXX/a.png")
    raw = name.encode(encoding).ljust(6, b"_")
    archive.write_bytes(archive.read_bytes().replace(b"XXXXXX", raw))
    assert arrays(load(archive))["caption"].tolist() == [raw.decode(encoding).replace("_", " ").encode()]


def test_names_with_accents_taken_apart_are_found(tmp_path):
    """As macOS writes them, while the metadata have them in one piece."""
    folder = write(tmp_path / "in", ["café.png,a coat,外套"])
    (folder / "café.png").rename(folder / unicodedata.normalize("NFD", "café.png"))
    for path in (folder, zipped(folder, tmp_path / "in.zip")):
        assert arrays(load(path))["caption"].tolist() == [b"a coat"]


def test_one_usable_picture_is_enough_for_training(tmp_path):
    # By its name h.png is for testing, a.png for training.
    for names in (["h.png"], ["a.png"], ["h.png", "a.png"]):
        folder = write(tmp_path / "-".join(names), [f"{name},alone,独" for name in names])
        if len(names) == 2:
            (folder / "a.png").write_bytes(b"damaged")
        assert int(load(folder).cardinality()) == 1
        with pytest.raises(ValueError, match=rf"the split 'test' .* is empty: of {len(names)} picture"):
            load(folder, "test")


def test_jsonl_bom_and_sub_folder_of_metadata(tmp_path):
    write(tmp_path / "x", ["a.png,one,一"])
    text = (tmp_path / "x" / "metadata.csv").read_text(encoding="utf-8")
    (tmp_path / "x" / "metadata.csv").write_text(text, encoding="utf-8-sig")
    assert arrays(load(tmp_path / "x"))["caption"].tolist() == [b"one"]
    (tmp_path / "x" / "metadata.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"several metadata files \(metadata.csv, metadata.jsonl\)"):
        load(tmp_path / "x")
    (tmp_path / "x" / "metadata.csv").unlink()
    row = {"file_name": "./a.png", "text": " a line\u2028of two ", "text_zh": "一"}
    (tmp_path / "x" / "metadata.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    examples = arrays(load(tmp_path))
    assert examples["caption"].tolist() == ["a line\u2028of two".encode()]
    assert set(examples) == {"image", "caption"}


def test_unusable_pictures_are_named_with_the_reason(tmp_path, caplog):
    write(tmp_path / "in", [f"good{i}.png,good,好" for i in range(3)])
    folder = tmp_path / "in"
    (folder / "noise.png").write_bytes(b"not a picture")
    picture = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(picture, "png")
    (folder / "cut.png").write_bytes(picture.getvalue()[:2000])
    Image.new("RGB", (8, 8)).save(folder / "without-row.png")
    Image.new("RGB", (8, 8)).save(folder / "no-caption.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    Image.new("RGB", (8, 8)).save(folder / "._good0.png")
    (folder / "__MACOSX").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "__MACOSX" / "good0.png")
    (folder / "words.txt").write_text("words")
    rows = [
        "noise.png,x",
        "cut.png,x",
        "gone.png,x",
        "no-caption.png, ,x",
        "../outside.png,x",
        "/etc/x.png,x",
        "words.txt,x",
        ",x",
    ]
    with (folder / "metadata.csv").open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(rows))
    for path in (folder, zipped(folder, tmp_path / "in.zip")):
        caplog.clear()
        assert arrays(load(path))["caption"].tolist() == [b"good"] * 3
        messages = [record.getMessage() for record in caplog.records]
        assert {(record.name, record.levelno) for record in caplog.records} == {("tfgen", logging.WARNING)}
        for name, reason in {
            "noise.png'": "not a picture that Pillow can read",
            "cut.png'": "truncated",
            "'gone.png'": "no such file (",
            "without-row.png'": "no row in ",
            "'no-caption.png'": "the caption is empty (",
            "'../outside.png'": "leaves the folder",
            "'/etc/x.png'": "leaves the folder",
            "'words.txt'": "not a kind of picture file",
            "metadata.csv line 12": "no file_name",
        }.items():
            assert [m for m in messages if name in m and reason in m and "\n" not in m], (name, messages)
        assert len(messages) == 9


def test_no_more_than_twenty_lines_of_warnings(tmp_path, caplog):
    write(tmp_path, ["good.png,good,好"])
    for i in range(45):
        (tmp_path / f"{i}.png").write_bytes(b"")
    load(tmp_path)
    assert len(caplog.records) == 21
    assert caplog.records[-1].getMessage().endswith("left out 25 more")


def test_sources_that_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match=r"there is no '.*nowhere'; give folder:PATH"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no ''"):
        load("")
    for split in ("train", "test"):
        with pytest.raises(ValueError, match=r"no usable picture; put pictures beside a metadata.csv"):
            load(tmp_path, split)
    Image.new("RGB", (8, 8)).save(tmp_path / "lonely.png")
    with pytest.raises(ValueError, match=r"no usable picture; put pictures beside a metadata.csv"):
        load(tmp_path)
    whole = zipped(write(tmp_path / "in", ["a.png,one,一"]), tmp_path / "in.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.zip is neither a folder nor a .zip that can be read"):
        load(tmp_path / "cut.zip")
    (tmp_path / "damaged.zip").write_bytes(whole.replace(b"a.png,one", b"a.png,two"))
    with pytest.raises(ValueError, match=r"metadata.csv in .*damaged.zip cannot be read \(Bad CRC-32"):
        load(tmp_path / "damaged.zip")
    for metadata, message in {
        "name,text\na.png,one": r"metadata.csv lacks file_name \(it has: name, text\)",
        "file_name;text\na.png;one": r"lacks file_name and text \(it has: file_name;text\)",
        "": r"lacks file_name and text \(it has: nothing\)",
    }.items():
        (tmp_path / "in" / "metadata.csv").write_text(metadata)
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "in")
    (tmp_path / "in" / "metadata.csv").write_bytes("file_name,text\na.png,红色的猫".encode("gbk"))
    with pytest.raises(ValueError, match=r"metadata.csv is not UTF-8 \(line 2\); save it as UTF-8"):
        load(tmp_path / "in")
    (tmp_path / "in" / "metadata.csv").write_text("file_name,text\na.png," + "x" * 200_000)
    with pytest.raises(ValueError, match=r"metadata.csv is no CSV file \(field larger"):
        load(tmp_path / "in")


def test_damaged_lines_and_members_cost_only_themselves(tmp_path, caplog):
    write(tmp_path / "in", [f"{i}.png,one,一" for i in range(1, 4)])
    (tmp_path / "in" / "metadata.csv").unlink()
    lines = [json.dumps({"file_name": f"{i}.png", "text": "one"}) for i in range(1, 4)]
    (tmp_path / "in" / "metadata.jsonl").write_text("\n".join(["{not json", "7", *lines]))
    archive = zipped(tmp_path / "in", tmp_path / "in.zip")
    data = bytearray(archive.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 255  # the first picture's checksum is now wrong
    archive.write_bytes(data)
    assert int(load(archive).cardinality()) == 2
    text = caplog.text
    assert "metadata.jsonl line 1: not a JSON object" in text
    assert "metadata.jsonl line 2: not a JSON object" in text
    assert "'pictures/1.png': Bad CRC-32" in text


def test_emoji(shared_data):
    archive = shared_data / "emoji64" / "emoji64.zip"
    english = {split: arrays(load(archive, split)) for split in ("train", "test")}
    chinese = {split: arrays(load(archive, split, 16, "zh")) for split in ("train", "test")}
    assert len(english["train"]["caption"]) + len(english["test"]["caption"]) == 1631
    assert 130 < len(english["test"]["caption"]) < 196
    assert english["train"]["image"].shape[1:] == (64, 64, 3)
    assert chinese["train"]["image"].shape[1:] == (16, 16, 3)
    # Pictures and captions go together: the grinning face, 1f600.png, is the file's first row.
    split, index = next((s, i) for s in english for i, c in enumerate(english[s]["caption"]) if c == b"grinning face")
    assert chinese[split]["caption"][index].decode() == "嘿嘿"
    with zipfile.ZipFile(archive) as opened:
        picture = np.asarray(Image.open(io.BytesIO(opened.read("emoji64/1f600.png"))))
    np.testing.assert_array_equal(english[split]["image"][index], picture)

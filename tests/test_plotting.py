import io

import numpy as np
import pytest
from PIL import Image

from tfgen import plotting


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plotting.show(np.zeros((5, 8, 8, 3), np.uint8), "five black squares", ["a", "b"], columns=3),
        lambda: plotting.show(np.full((1, 28, 28, 1), 60, np.uint8), "a grey square"),
        lambda: plotting.curves({"a": [1, 2, 3]}, "a line", "x", "y"),
        lambda: plotting.curves(
            {"a": ([1, 10], [1, 2]), "b": ([1, 10], [2, 1], [0.1, 0.2])}, "two lines", log=["x"], floor=0.5
        ),
        lambda: plotting.scatter({"a": np.zeros((3, 2)), "b": np.ones((2, 2))}, "two groups"),
    ],
)
def test_a_notebook_gets_a_picture_and_its_description(draw):
    picture = draw()
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == picture.alt
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))
    assert min(pixels.shape[:2]) > 40
    assert pixels.std() > 5  # something is drawn


def test_pictures_are_shown_as_they_are():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[0, ..., 0] = images[1, ..., 2] = 200
    pixels = np.asarray(Image.open(io.BytesIO(plotting.show(images, "red and blue").png)).convert("RGB"))
    colors, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    frequent = {tuple(color) for color, count in zip(colors.tolist(), counts, strict=True) if count > 400}
    assert {(200, 0, 0), (0, 0, 200)} <= frequent

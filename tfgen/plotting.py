"""Every picture and plot."""

import io

import numpy as np
from PIL import Image

from tfgen.files import write_whole


def grid(images, columns=None, padding=2):
    """Pictures uint8 [N, H, W, C] side by side on white, as one picture uint8 [H', W', C].

    Args:
        columns: pictures of a row; as square as can be by default.
        padding: pixels between pictures.
    """
    num_images, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(num_images)))
    rows = -(-num_images // columns)
    sheet = np.full((rows * (height + padding) - padding, columns * (width + padding) - padding, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + padding), index % columns * (width + padding)
        sheet[top : top + height, left : left + width] = image
    return sheet


def png_bytes(image, scale=1):
    """A picture uint8 [H, W, 1 or 3] as the bytes of a PNG, each pixel drawn `scale` times as large."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def save_png(image, file, scale=1):
    """Write a picture uint8 [H, W, 1 or 3] to a PNG file, whole or not at all."""
    write_whole(file, png_bytes(image, scale))

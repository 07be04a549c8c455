"""What happens while a model trains."""

import time
from pathlib import Path

import keras

from tfgen import plotting


class SampleGrid(keras.callbacks.Callback):
    """After each epoch, writes a grid of pictures from fixed seeds to FOLDER/epoch_NNNN.png.

    Args:
        folder: where to write.
        prompts: one row of pictures each; None for a model without text, which gets as many rows as columns.
        num_images: pictures of a row.
    """

    def __init__(self, folder, prompts=None, num_images=8):
        super().__init__()
        self.folder, self.prompts, self.num_images = Path(folder), prompts, num_images

    def on_epoch_end(self, epoch, logs=None):
        images = self.model.generate(self.prompts, num_images=self.num_images if self.prompts else self.num_images**2)
        plotting.save_png(plotting.grid(images, columns=self.num_images), self.folder / f"epoch_{epoch + 1:04d}.png")


class Checkpoint(keras.callbacks.Callback):
    """After each epoch, saves weights, averaged weights and every optimizer to one file, whole or not at all.

    Attributes:
        seconds: time spent in training, earlier parts of an interrupted run counted in.
    """

    def __init__(self, file):
        super().__init__()
        self.file = Path(file)
        self.seconds_file = self.file.with_suffix(".seconds")
        self.seconds = float(self.seconds_file.read_text()) if self.seconds_file.exists() else 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.perf_counter() - self._start
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_name("partial.keras")
        self.model.save(partial)
        partial.replace(self.file)
        self.seconds_file.write_text(str(self.seconds))

"""What happens while a model trains."""

import json
import time
from pathlib import Path

import keras

from tfgen import plotting
from tfgen.files import save_whole, write_whole


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
    """After each epoch, saves weights, averaged weights and every optimizer to one file, and to a .json beside it what follows.

    Attributes:
        seconds: time spent in training, earlier parts of an interrupted run counted in; add what came before `fit`.
        metrics: those of the last epoch.
    """

    def __init__(self, file):
        super().__init__()
        self.file, self.record = Path(file), Path(file).with_suffix(".json")
        self.seconds, self.metrics = 0.0, {}
        if self.record.exists():
            self.seconds, self.metrics = json.loads(self.record.read_text()).values()

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.perf_counter() - self._start
        self.metrics = {name: float(value) for name, value in (logs or {}).items()}
        save_whole(self.model, self.file)
        write_whole(self.record, json.dumps({"seconds": self.seconds, "metrics": self.metrics}).encode())

    def remove(self):
        """When the run is complete."""
        self.file.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)

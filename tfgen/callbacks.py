"""What happens while a model trains."""

import json
import time
import warnings
from pathlib import Path

import keras
import tensorflow as tf

from tfgen import plotting
from tfgen.files import save_whole, write_whole
from tfgen.metrics import predict_images
from tfgen.models.image_model import PromptWarning


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptWarning)  # of captions longer than the encoder
            images = self.model.generate(self.prompts, num_images=self.num_images if self.prompts else self.num_images**2)
        plotting.save_png(plotting.grid(images, columns=self.num_images), self.folder / f"epoch_{epoch + 1:04d}.png")


class Checkpoint(keras.callbacks.Callback):
    """After each epoch, saves weights, averaged weights and every optimizer to a file, and the attributes to a .json beside it.

    Attributes:
        seconds: time spent in training, earlier parts of an interrupted run counted in; add what came before `fit`.
        metrics: those of the last epoch.
    """

    def __init__(self, file):
        super().__init__()
        self.file, self.record = Path(file), Path(file).with_suffix(".json")
        self.seconds, self.metrics = 0.0, {}
        if self.record.exists():
            record = json.loads(self.record.read_text())
            self.seconds, self.metrics = record["seconds"], record["metrics"]

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


class Measure(keras.callbacks.Callback):
    """Measures samples during `fit`, logs the figure, keeps the best model, and stops when the figure gets no better.

    The loss of a GAN does not tell how good its pictures are, and a diffusion model's hardly does: here the metric decides. Its
    value joins the epoch's logs; the folder has it for TensorBoard, with a grid of samples, and the best model as `best.keras`
    (averaged weights, no optimizer).

    Args:
        metric: `tfgen.metrics.FrechetDistance`, or another of real and generated pictures that is best when small.
        real: pictures [N, H, W, C] that the model does not train on, uint8 or floats in [-1, 1].
        folder: where to write.
        prompts: of the samples, drawn as many times each as it takes; None for a model without text.
        num_images: samples of a measurement, of the same seeds each time.
        every: epochs from one measurement to the next; None for as often as keeps all measuring under a tenth of the time
            spent in training.
        patience: measurements without a new best after which training stops; None to go on.

    Attributes:
        best: the least value so far.
        training_seconds, measuring_seconds: spent so far.
    """

    def __init__(self, metric, real, folder, prompts=None, num_images=2000, every=None, patience=None):
        super().__init__()
        self.metric, self.folder, self.every, self.patience = metric, Path(folder), every, patience
        self.prompts, self.num_images = prompts, num_images
        self.real_features = self._features(real)
        self.best, self.since_best = float("inf"), 0
        self.training_seconds, self.measuring_seconds, self._cost = 0.0, 0.0, None

    def _features(self, pictures):
        return predict_images(self.metric.extractor, pictures)

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(str(self.folder))

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        start = time.perf_counter()
        self.training_seconds += start - self._start
        if self._is_due(epoch):
            measuring = time.perf_counter()
            self._measure(epoch, logs)
            self._cost = time.perf_counter() - measuring
        self.measuring_seconds += time.perf_counter() - start

    def on_train_end(self, logs=None):
        self._writer.close()
        if self.best == float("inf"):
            warnings.warn("nothing was measured: the run was too short; give every=1 or a longer run", stacklevel=2)

    def _is_due(self, epoch):
        if self.every:
            return (epoch + 1) % self.every == 0
        if self._cost is None:
            self._features(self._samples(64))  # traces
            start = time.perf_counter()
            self._features(self._samples(64))
            self._cost = (time.perf_counter() - start) * self.num_images / 64
        return self.measuring_seconds + self._cost <= 0.1 * self.training_seconds

    def _samples(self, num_images):
        if self.prompts is None:
            return self.model.generate(num_images=num_images)
        return self.model.generate([self.prompts[index % len(self.prompts)] for index in range(num_images)])

    def _measure(self, epoch, logs):
        samples = self._samples(self.num_images)
        self.metric.reset_state()
        self.metric.add_real(self.real_features)
        self.metric.add_generated(self._features(samples))
        value = self.metric.result()
        value = float(value[self.metric.name] if isinstance(value, dict) else value)
        logs[self.metric.name] = value
        with self._writer.as_default(step=epoch + 1):
            tf.summary.scalar(self.metric.name, value)
            tf.summary.image("samples", plotting.grid(samples[:64])[None])
        self._writer.flush()
        if value < self.best:
            self.best, self.since_best = value, 0
            save_whole(self.model.averaged_model(), self.folder / "best.keras")
        else:
            self.since_best += 1
            if self.patience and self.since_best >= self.patience:
                self.model.stop_training = True

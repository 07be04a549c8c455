"""How the cost of a diffusion model grows with pixels, width, batch and steps.

    python benchmarks/scale.py       # writes results/scale.json

One setting at a time is varied about those of shapes-diffusion, with random weights. A training step has 32 pictures, drawing
is 4 steps with guidance of 16 pictures, where not varied. Of each: the U-Net's arithmetic for a picture at one call, seconds,
the median of five after one that traces, and the part of the machine's rate for large matrices that was reached. Training calls
the U-Net forward and backward, three times the arithmetic of a call; drawing calls it twice a step.
"""

import time

import report
import tensorflow as tf

from tfgen import data
from tfgen.models import TextToImageDiffusion, load_model
from tfgen.training import Settings, batches_for, compile_for

RUNS, PROMPT = 5, "a large red circle on a blue background"
USUAL = {"image_size": 32, "channels": (64, 128), "batch_size": 32, "num_images": 16, "steps": 4}
VARIED = {
    "image_size": (16, 32, 64),
    "channels": ((32, 64), (64, 128), (96, 192), (128, 256)),
    "batch_size": (8, 16, 32, 64, 128),
    "num_images": (1, 4, 16, 64),
    "steps": (1, 2, 4, 8, 16),
}


def timed(function):
    function()
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return report.summary(seconds)


def cost(encoder, chosen, rate):
    """Of a model with such settings."""
    settings = Settings("diffusion", image_size=chosen["image_size"], batch_size=chosen["batch_size"], steps=1000)
    model = TextToImageDiffusion(encoder.copy(), chosen["image_size"], channels=chosen["channels"], steps=chosen["steps"])
    compile_for(model, settings)
    source = data.load("shapes", image_size=chosen["image_size"], num_scenes=4 * chosen["batch_size"])
    batch = next(iter(batches_for(model, settings, source, 0)))
    step, arithmetic = tf.function(model.train_step), report.arithmetic(model.unet)
    training = timed(lambda: step(batch))
    drawing = timed(lambda: model.generate(PROMPT, num_images=chosen["num_images"]))
    trained = 3 * chosen["batch_size"] * arithmetic / training["median"]
    drawn = 2 * chosen["steps"] * chosen["num_images"] * arithmetic / drawing["median"]
    return {
        "parameters_of_unet": model.unet.count_params(),
        "megaflops_a_call": arithmetic / 1e6,
        "training_step_seconds": training,
        "training_utilisation": trained / rate,
        "drawing_seconds": drawing,
        "drawing_utilisation": drawn / rate,
    }


encoder, rate = load_model("shapes-diffusion").text_encoder, report.matrix_rate()
figures = {"matrix_product_gflops": rate / 1e9}
known = {}  # the usual settings are in every row
for name, values in VARIED.items():
    figures[name] = {}
    for value in values:
        chosen = {**USUAL, name: value}
        known[str(chosen)] = figures[name][str(value)] = known.get(str(chosen)) or cost(encoder, chosen, rate)
        report.write("scale", figures)

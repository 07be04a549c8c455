"""How long a picture takes: cold and warm, from Python and from the SavedModel, alone and 16 at once.

    python benchmarks/latency.py       # writes results/latency.json

Of each model, by turns in one run, each measurement in a process of its own: the whole of `tfgen generate`; in Python, from
`import tfgen` to the first picture, then pictures of other prompts; and the exported SavedModel, in a process that imports
TensorFlow and tensorflow_text alone. Aim: a warm picture of the default model in at most 30 ms, memory under 1 GiB.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

from tfgen.export import export
from tfgen.models import load_model

MODELS, ROUNDS = ("shapes-student", "shapes-diffusion"), 5
SHARED = """
import json, resource, statistics, sys, time
start = time.perf_counter()
WORDS = ["red", "green", "blue", "yellow", "orange", "purple", "white"]


def summary(draw):
    first = time.perf_counter()
    draw([f"a large {WORDS[0]} circle on black"])
    now = time.perf_counter()
    found = {"to_first_picture_ms": 1000 * (now - start), "first_picture_ms": 1000 * (now - first)}
    draw(16 * ["a star"])
    for name, num_images in (("picture_ms", 1), ("each_of_16_ms", 16)):
        taken = []
        for word in 3 * WORDS:
            begin = time.perf_counter()
            draw(num_images * [f"a large {word} circle on black"])
            taken.append(1000 * (time.perf_counter() - begin) / num_images)
        found[name] = statistics.median(taken)
    if sys.platform == "linux":  # ru_maxrss would count the process that began this one
        found["memory_gib"] = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 2**20
    else:
        found["memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30
    print(json.dumps(found))


"""
PYTHON = """
import tfgen
model = tfgen.load_model(sys.argv[1])
summary(lambda prompts: model.generate(prompts))
"""
SAVED_MODEL = """
import tensorflow as tf, tensorflow_text
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
summary(lambda prompts: signature(prompt=tf.constant(prompts), seed=tf.range(len(prompts), dtype=tf.int64)))
"""


def asked(script, argument):
    command = [sys.executable, "-c", SHARED + script, str(argument)]
    # Set by tfgen, which is imported here: what imports TensorFlow alone does without.
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def command_line(model, folder):
    start = time.perf_counter()
    tfgen = Path(sys.executable).with_name("tfgen")
    command = [tfgen, "generate", "a large red circle", "--model", model, "-o", f"{folder}/a.png"]
    subprocess.run(command, check=True, capture_output=True)
    return {"seconds": time.perf_counter() - start}


with tempfile.TemporaryDirectory() as folder:
    ways = {}
    for model in MODELS:
        saved_model = export(load_model(model), Path(folder) / model)
        ways[f"{model}, tfgen generate"] = lambda model=model: command_line(model, folder)
        ways[f"{model}, Python"] = lambda model=model: asked(PYTHON, model)
        ways[f"{model}, SavedModel"] = lambda saved_model=saved_model: asked(SAVED_MODEL, saved_model)
    for measure in ways.values():
        measure()  # fills the file cache
    rounds = []
    for _ in range(ROUNDS):
        rounds.append({name: measure() for name, measure in ways.items()})
        report.write("latency", {"rounds": rounds})
figures = {name: {metric: report.summary([one[name][metric] for one in rounds]) for metric in rounds[0][name]} for name in ways}
first, second = (f"{model}, Python" for model in MODELS)
ratios = [one[second]["picture_ms"] / one[first]["picture_ms"] for one in rounds]
figures["times_as_fast"] = statistics.median(ratios)
report.write("latency", figures)

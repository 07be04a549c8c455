"""Two workers on one machine against one: the same losses of the same batches, and how long they take.

    python benchmarks/workers.py       # writes results/workers.json

Each worker is a process on a core of its own; two find each other over loopback and share each batch of 64 scenes
(`tf.distribute.MultiWorkerMirroredStrategy`). One process with both cores, and one on a single core, take as many steps of the
same batches. All train the U-Net and the text encoder of shapes-diffusion from random weights; the first steps, which trace,
are not timed. By turns, five rounds; an interrupted benchmark goes on after its last complete one.
"""

import json
import os
import socket
import subprocess
import sys

import report

RESULTS = report.RESULTS / "workers.json"
ROUNDS, STEPS, BATCH_SIZE = 5, 30, 64
WORKER = """
import json, os, sys, time
os.sched_setaffinity(0, json.loads(sys.argv[1]))
import tfgen
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy() if "TF_CONFIG" in os.environ else tf.distribute.get_strategy()
import keras
from tfgen import data, training

settings = training.Settings("diffusion", steps=1000, batch_size=int(sys.argv[3]), text={"sequence_length": 36})
source = data.load("shapes", num_scenes=2000)
with strategy.scope():
    keras.utils.set_random_seed(0)
    model = training.build(settings, source)
    training.compile_for(model, settings)
batches, losses, ends = training.batches_for(model, settings, source, 0), [], []


class Losses(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        losses.append(logs["loss"])  # the mean of the epoch so far
        ends.append(time.perf_counter())


steps, untimed = int(sys.argv[2]), 5
model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[Losses()])
losses = [number * now - (number - 1) * before for number, (before, now) in enumerate(zip([0.0, *losses], losses), 1)]
print(json.dumps({"losses": losses, "seconds": (ends[-1] - ends[untimed - 1]) / (steps - untimed)}))
"""


def begin(cores, **environment):
    command = [sys.executable, "-c", WORKER, json.dumps(cores), str(STEPS), str(BATCH_SIZE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def result(process):
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def two_workers():
    with socket.socket() as first, socket.socket() as second:  # ports that are free
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{one.getsockname()[1]}" for one in (first, second)]
    places = [{"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    processes = [begin([index], TF_CONFIG=json.dumps(place)) for index, place in enumerate(places)]
    try:
        first, _ = [result(process) for process in processes]
        return first
    finally:
        for process in processes:
            process.kill()


kinds = {
    "one worker, one core": lambda: result(begin([0])),
    "one worker, two cores": lambda: result(begin([0, 1])),
    "two workers, one core each": two_workers,
}
rounds = json.loads(RESULTS.read_text())["figures"].get("rounds", []) if RESULTS.exists() else []
while len(rounds) < ROUNDS:
    rounds.append({name: run() for name, run in kinds.items()})
    report.write("workers", {"rounds": rounds})
first, *_, second = (rounds[0][name]["losses"] for name in kinds)
figures = {
    "seconds_per_step": {name: report.summary([one[name]["seconds"] for one in rounds]) for name in kinds},
    "times_as_fast": {
        f"two workers, one core each, against {name}": report.summary(
            [one[name]["seconds"] / one["two workers, one core each"]["seconds"] for one in rounds]
        )
        for name in list(kinds)[:2]
    },
    "losses": {name: rounds[0][name]["losses"] for name in kinds},
    "greatest_relative_difference_of_losses": max(abs(b / a - 1) for a, b in zip(first, second, strict=True)),
}
report.write("workers", figures)

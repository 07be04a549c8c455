"""Which of TensorFlow's kernels are the fastest on this processor, in training and in drawing?

    python benchmarks/processor.py

By turns in one run, each in a process of its own: Eigen's kernels and oneDNN's, with and without XLA. Training is that of
shapes-diffusion, 32 pictures a step; drawing is 10 steps for one picture and for 16, guidance counted in. The first call of
each, which traces and compiles, is given apart.
"""

import json
import os
import statistics
import subprocess
import sys

import report

ROUNDS = 5
KERNELS = {"Eigen": "0", "oneDNN": "1"}
MEASURE = """
import json, sys, time
import tfgen
from tfgen import data
from tfgen.models import TextToImageDiffusion
from tfgen.training import Settings, batches_for, compile_for

def timed(name, function, repeats):
    start = time.perf_counter()
    function()
    found[f"{name}, first, ms"] = 1000 * (time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    found[f"{name}, ms"] = 1000 * (time.perf_counter() - start) / repeats

found, xla = {}, sys.argv[1] == "xla"
shipped = tfgen.load_model("shapes-diffusion")
settings = Settings("diffusion", steps=1000)
model = TextToImageDiffusion(**{**shipped.get_config(), "text_encoder": shipped.text_encoder, "ema_half_life": 20_000})
compile_for(model, settings)
model.compile(model.optimizer, jit_compile=xla, text_optimizer=model.text_optimizer)
for batch_size in (1, 16):
    prompts = ["a large red circle on a blue background"] * batch_size
    timed(f"10 steps of {batch_size}", lambda: model.generate(prompts, steps=10), 3)
batches = batches_for(model, settings, data.load("shapes", num_scenes=512), 0)
timed("20 training steps", lambda: model.fit(batches, steps_per_epoch=20, shuffle=False, verbose=0), 2)
print(json.dumps(found))
"""


def measured(kernels, compiler):
    command = [sys.executable, "-c", MEASURE, compiler]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": KERNELS[kernels]}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


kinds = [(kernels, compiler) for kernels in KERNELS for compiler in ("no XLA", "xla")]
rounds = []
for _ in range(ROUNDS):
    rounds.append({", ".join(kind): measured(*kind) for kind in kinds})
    report.write("processor", {"rounds": rounds})
first, figures = next(iter(rounds[0])), {}
for kind in rounds[0]:
    figures[kind] = {
        metric: {
            **report.summary([one[kind][metric] for one in rounds]),
            "times as fast as the first": statistics.median(one[first][metric] / one[kind][metric] for one in rounds),
        }
        for metric in rounds[0][kind]
    }
report.write("processor", figures)

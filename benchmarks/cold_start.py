"""`tfgen generate` from a cold start against the import of what it stands on, by turns in one run.

    python benchmarks/cold_start.py

Aim: at most 2.5 times `python -c "import tensorflow, keras_nlp"`.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

RUNS = 7
IMPORT = [sys.executable, "-c", "import tensorflow, keras_nlp"]


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


with tempfile.TemporaryDirectory() as folder:
    tfgen = Path(sys.executable).with_name("tfgen")
    generate = [tfgen, "generate", "a large red circle on a blue background", "-o", f"{folder}/a.png"]
    seconds(IMPORT), seconds(generate)  # fills the file cache
    pairs = [(seconds(IMPORT), seconds(generate)) for _ in range(RUNS)]

imports, generates = zip(*pairs, strict=True)
ratio = statistics.median(generated / imported for imported, generated in pairs)
figures = {"import_seconds": report.summary(imports), "generate_seconds": report.summary(generates), "ratio": ratio}
report.write("cold_start", figures)

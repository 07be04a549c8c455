"""The main job from end to end: a prompt becomes a picture, and the SavedModel of the same model answers the same prompt."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import tfgen
from tfgen import plotting
from tfgen.export import export
from tfgen.files import write_whole

PROMPT = "a large red circle on a blue background"
SEED = 7


def main(folder="demo"):
    """Write FOLDER/picture.png and FOLDER/served.png, and say how far apart they are."""
    folder = Path(folder)
    model = tfgen.load_model()
    picture = model.generate(PROMPT, seed=SEED)[0]
    plotting.save_png(picture, folder / "picture.png")
    print(f'"{PROMPT}", seed {SEED}: {folder / "picture.png"}')

    saved_model = export(model, folder / "saved_model")
    served = tf.saved_model.load(saved_model).signatures["serving_default"]
    png = served(prompt=tf.constant([PROMPT]), seed=tf.constant([SEED], tf.int64))["image_bytes"][0].numpy()
    write_whole(folder / "served.png", png)
    difference = np.abs(tf.io.decode_png(png).numpy().astype(int) - picture).max()
    print(f"{saved_model} answers the same prompt: {folder / 'served.png'}, at most {difference}/255 apart")
    return 0 if difference <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Makes this preset again, from the scene grammar and the names of a folder of captioned pictures in both languages.

python saved_models/bilingual-bert/make.py emoji64.zip DIR
"""

import sys

from tfgen import data, text
from tfgen.data import captions, shapes

NUM_SCENES, TIMES_EACH_NAME = 50_000, 10


def names_of(pictures):
    for language in captions.LANGUAGES:
        for split in ("train", "test"):
            for example in data.load(f"folder:{pictures}", split, 16, language):
                yield example["caption"].numpy().decode()


def main(pictures, folder):
    corpus = list(names_of(pictures)) * TIMES_EACH_NAME
    for seed, language in enumerate(captions.LANGUAGES):
        scenes = shapes.sample_scenes(NUM_SCENES, [seed, 0], num_objects=(1, 2))
        corpus += captions.describe(scenes, language, [seed, 0])[0]
    print(f"hidden tokens guessed right: {text.pretrain_bert(corpus, folder):.4f}")


main(*sys.argv[1:])

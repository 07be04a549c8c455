"""The pictures of README, drawn by the model that ships.

python docs/figures.py
"""

from pathlib import Path

import tfgen
from tfgen import plotting

PROMPTS = [
    "a large red circle on a blue background",
    "蓝色背景上的一个大红圆",
    "a small white star in the top left on purple",
    "一个绿色的三角形在中间，黄色背景",
    "a big orange ring on black",
    "a small green square above a large yellow circle on a white background",
    "白色背景上，一个小黑十字在一个大蓝环的左边",
    "a purple cross right of an orange triangle on green",
]
SEED = 7

images = tfgen.load_model().generate(PROMPTS, seed=[SEED] * len(PROMPTS))
for index, image in enumerate(images, 1):
    plotting.save_png(image, Path(__file__).parent / "pictures" / f"{index}.png", scale=5)

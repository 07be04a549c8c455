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
    "黄色背景，中间有一个绿色的三角形",
    "a big orange ring on black",
    "a small green square above a large yellow star on a white background",
    "白色背景上，一个黑色的小十字在一个蓝色的大圆环的左边",
    "a purple star to the right of an orange triangle on green",
]
SEED = 7

PICTURES = Path(__file__).parent / "pictures"

model = tfgen.load_model()
for index, image in enumerate(model.generate(PROMPTS, seed=[SEED] * len(PROMPTS)), 1):
    plotting.save_png(image, PICTURES / f"{index}.png", scale=5)
teacher = tfgen.load_model("shapes-diffusion")
plotting.attention_page(teacher.attention_maps(PROMPTS[5], SEED), PICTURES / "attention.png", num_steps=4)

CLOTHES = ["a t-shirt", "连衣裙", "a coat", "凉鞋", "a bag", "an ankle boot"]
clothes = tfgen.load_model("fashion-text-dcgan").generate(CLOTHES, num_images=12)
plotting.save_png(plotting.grid(clothes, columns=12), PICTURES / "fashion-text-dcgan.png", scale=2)

"""tfgen against diffusers (PyTorch) on a processor: U-Nets of the same arithmetic, the same steps, float32.

    python benchmarks/peer.py       # writes results/peer.json

Peers are installed into an environment of their own, .cache/diffusers. By turns in one run, each in a process of its own:
drawing, 10 steps of DDIM with guidance, one picture and 16; and training steps of 32 pictures with AdamW, and with Muon,
which tfgen trains with. tfgen draws from prompts, reading them and drawing noise counted in; the peer is handed the text's
features. It runs eagerly, as diffusers does by default, in both orders of memory that PyTorch has; the faster one counts.

Arithmetic is counted as multiplications and additions of products and convolutions, for a picture at one call of the network;
the peer's widths were chosen to have as much. What part of the machine's own rate that is, is seen beside a product of two
large matrices, by NumPy.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS, STEPS, TRAINING_STEPS, BATCH_SIZE, GUIDANCE_SCALE = 5, 10, 20, 32, 3.5
BATCHES = (1, 16)
ROOT = Path(__file__).parents[1]
PEER = ROOT / ".cache" / "diffusers" / "bin" / "python"
PACKAGES = ("torch==2.13.0", "diffusers==0.42.1", "numpy")


def timed(function, repeats):
    """Seconds of one call, after one that warms up."""
    function()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def diffusers(memory_format):
    """Seconds of the peer, by what it did, and its arithmetic."""
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    unet = UNet2DConditionModel(
        sample_size=16, in_channels=12, out_channels=12, block_out_channels=(32, 72), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    unet = unet.to(memory_format=getattr(torch, memory_format))
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(STEPS)

    def pictures(num_images):
        return torch.randn(num_images, 12, 16, 16).to(memory_format=getattr(torch, memory_format))

    def draw(num_images):
        x, text = pictures(num_images), torch.randn(2 * num_images, 36, 128)
        with torch.inference_mode():
            for t in scheduler.timesteps:
                towards, away = unet(torch.cat([x, x]), t, text).sample.chunk(2)
                x = scheduler.step(away + GUIDANCE_SCALE * (towards - away), t, x).prev_sample

    optimizer = torch.optim.AdamW(unet.parameters(), 1e-4)
    images, text = pictures(BATCH_SIZE), torch.randn(BATCH_SIZE, 36, 128)

    def train():
        t, noise = torch.randint(1000, (BATCH_SIZE,)), torch.randn_like(images)
        loss = (unet(scheduler.add_noise(images, noise, t), t, text).sample - noise).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    found = {f"drawing {size}": timed(lambda size=size: draw(size), 3) for size in BATCHES}
    found["training, AdamW"] = timed(train, TRAINING_STEPS)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(pictures(1), 0, text[:1])
    return {"seconds": found, "arithmetic": counter.get_total_flops()}


def ours(jit_compile):
    """Seconds of tfgen, by what it did, and its arithmetic."""
    import keras
    import report

    import tfgen
    from tfgen import data
    from tfgen.models import TextToImageDiffusion
    from tfgen.training import Settings, batches_for, compile_for

    shipped = tfgen.load_model("shapes-diffusion")
    model = TextToImageDiffusion(**{**shipped.get_config(), "text_encoder": shipped.text_encoder})
    prompts = ["a large red circle on a blue background"]
    model.chosen_jit_compile = jit_compile
    found = {
        f"drawing {size}": timed(
            lambda size=size: model.generate(size * prompts, steps=STEPS, guidance_scale=GUIDANCE_SCALE), 3
        )
        for size in BATCHES
    }
    settings = Settings("diffusion", steps=1000, batch_size=BATCH_SIZE)
    batches = batches_for(model, settings, data.load("shapes", num_scenes=512), 0)
    for name in () if jit_compile else ("AdamW", "Muon"):  # by XLA drawing alone; processor.py has its training
        compile_for(model, settings)
        if name == "AdamW":
            model.compile(keras.optimizers.AdamW(1e-4), text_optimizer=keras.optimizers.AdamW(1e-4))
        fit = timed(lambda: model.fit(batches, steps_per_epoch=TRAINING_STEPS, shuffle=False, verbose=0), 1)
        found[f"training, {name}"] = fit / TRAINING_STEPS
    return {"seconds": found, "arithmetic": report.arithmetic(model.unet)}


def measured(python, *arguments):
    command = [python, __file__, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def main():
    import report

    installed = PEER.parents[1] / "installed"
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER.parents[1]], check=True)
        subprocess.run([PEER, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        installed.touch()
    kinds = {
        "tfgen": (sys.executable, "ours", ""),
        "tfgen, XLA": (sys.executable, "ours", "jit_compile"),
        "diffusers": (PEER, "diffusers", "contiguous_format"),
        "diffusers, channels last": (PEER, "diffusers", "channels_last"),
    }
    rounds, rates = [], []
    for _ in range(ROUNDS):
        rates.append(report.matrix_rate())
        rounds.append({kind: measured(*command) for kind, command in kinds.items()})
        report.write("peer", {"rounds": rounds})
    rate = statistics.median(rates)
    figures = {"matrix_product_gflops": rate / 1e9, "packages": PACKAGES}
    for kind in kinds:
        arithmetic = rounds[0][kind]["arithmetic"]
        figures[kind] = {"megaflops_a_call": arithmetic / 1e6}
        for task in rounds[0][kind]["seconds"]:
            calls = 2 * STEPS * int(task.split()[1]) if task.startswith("drawing") else 3 * BATCH_SIZE
            seconds = [one[kind]["seconds"][task] for one in rounds]
            gflops = arithmetic * calls / statistics.median(seconds) / 1e9
            figures[kind][task] = {"seconds": report.summary(seconds), "gflops": gflops, "utilisation": 1e9 * gflops / rate}

    def fastest(one, name, task):
        return min(found["seconds"][task] for kind, found in one.items() if kind.startswith(name) and task in found["seconds"])

    for task in rounds[0]["diffusers"]["seconds"]:
        ratios = [fastest(one, "diffusers", task) / fastest(one, "tfgen", task) for one in rounds]
        figures[f"times as fast, {task}"] = report.summary(ratios)
    report.write("peer", figures)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(ours(bool(sys.argv[2])) if sys.argv[1] == "ours" else diffusers(sys.argv[2])))
    else:
        main()

"""Every picture and plot."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tfgen.files import write_whole

_CHINESE_FONTS = ("Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei")

# Told apart by colour-blind readers (Okabe & Ito, 2008, "Color Universal Design"), and in print by their marks and strokes.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKS, _STROKES = "os^Dv*X", ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 1)), (0, (8, 4)))
_MOST_TICKS = 10  # with a number each


@dataclass(frozen=True)
class Picture:
    """What a notebook shows.

    Attributes:
        png: the file's bytes.
        alt: what it shows, in words, for who cannot see it.
    """

    png: bytes
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


def show(images, alt, titles=(), columns=8, scale=2.0):
    """Pictures uint8 [N, H, W, C] side by side, as a `Picture`.

    Args:
        alt: what they show, in words.
        titles: one over each of the first pictures; "" for none.
        columns: pictures of a row.
        scale: size of each, relative to 32 pixels of a screen.
    """
    from matplotlib.figure import Figure  # slow to import

    columns = min(columns, len(images))
    rows, side = -(-len(images) // columns), 0.45 * scale
    figure = Figure(figsize=(side * columns, side * rows + (0.25 if titles else 0)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for index, panel in enumerate(panels):
        panel.axis("off")
        if index < len(images):
            panel.imshow(images[index], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panel.set_title(titles[index] if index < len(titles) else "", fontsize=8)
    return Picture(_rendered(figure), alt)


def curves(lines, alt, xlabel="", ylabel="", log=(), floor=None):
    """Lines over a common axis, as a `Picture`.

    Args:
        lines: {name: values [N], or (x [N], y [N]), or (x, y, deviation of y)}.
        alt: what they show, in words.
        log: axes with a logarithmic scale, of "x" and "y".
        floor: where to draw a dotted line across, or None.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    panel = figure.subplots()
    places = set()
    for index, (name, values) in enumerate(lines.items()):
        x, y, *deviation = values if isinstance(values, tuple) else (np.arange(1, len(values) + 1), values)
        places.update(x)
        style = {"color": _COLORS[index % 7], "linestyle": _STROKES[index % 7], "label": name}
        style |= {"marker": _MARKS[index % 7], "markersize": 4} if len(x) <= 30 else {}
        panel.errorbar(x, y, *deviation, capsize=3, **style) if deviation else panel.plot(x, y, **style)
    if floor is not None:
        panel.axhline(floor, color="grey", linewidth=1, linestyle=":", label="floor")
    panel.set(xlabel=xlabel, ylabel=ylabel, **{f"{axis}scale": "log" for axis in log})
    if "x" in log and len(places) <= _MOST_TICKS:  # powers of ten would be few and far between
        panel.set_xticks(sorted(places), [f"{place:g}" for place in sorted(places)])
        panel.set_xticks([], minor=True)
    if len(lines) > 1 or floor is not None:
        panel.legend(fontsize=8)
    return Picture(_rendered(figure), alt)


def scatter(groups, alt, xlabel="", ylabel=""):
    """Points of a plane, as a `Picture`.

    Args:
        groups: {name: points [N, 2]}.
        alt: what they show, in words.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    panel = figure.subplots()
    for index, (name, points) in enumerate(groups.items()):
        panel.scatter(*np.transpose(points), s=9, color=_COLORS[index % 7], marker=_MARKS[index % 7], alpha=0.6, label=name)
    panel.set(xlabel=xlabel, ylabel=ylabel)
    if len(groups) > 1:
        figure.legend(loc="outside lower center", fontsize=8)  # beside the points, which may be anywhere
    return Picture(_rendered(figure), alt)


def _rendered(figure, dpi=100):
    """The bytes of a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()


def grid(images, columns=None, padding=2):
    """Pictures uint8 [N, H, W, C] side by side on white, as one picture uint8 [H', W', C].

    Args:
        columns: pictures of a row; as square as can be by default.
        padding: pixels between pictures.
    """
    num_images, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(num_images)))
    rows = -(-num_images // columns)
    sheet = np.full((rows * (height + padding) - padding, columns * (width + padding) - padding, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + padding), index % columns * (width + padding)
        sheet[top : top + height, left : left + width] = image
    return sheet


def evaluation_page(found, file):
    """What `tfgen.evaluation.evaluate` found, on one page.

    Generated pictures and the nearest training pictures; the features of real and generated pictures in the plane in which the
    real ones spread most; each score from 0 to 1 beside its floor; all other figures as text, but a diffusion model's
    error at each noise level as a curve.

    Args:
        found: `tfgen.evaluation.Evaluation`.
        file: PNG to write, whole or not at all.
    """
    from matplotlib.figure import Figure

    report = found.report
    errors, parts, others = {}, {}, {}
    for name, value in report["metrics"].items():
        if "error_at" in name:
            errors[float(name.rpartition("_")[2])] = value["mean"]
        elif name.endswith("_part") or "accuracy" in name or name in ("precision", "recall", "coverage"):
            parts[name] = value
        else:
            others[name] = value
    figure = Figure(figsize=(12, 12), layout="constrained")
    figure.suptitle(f"{report['model']}, {report['data']}, features of {report['extractor']}")
    rows = [["samples", "plane"], ["nearest", "scores"], ["others", "scores"]] + ([["errors", "scores"]] if errors else [])
    panels = figure.subplot_mosaic(rows, height_ratios=(4, 1, 2, 1.5)[: len(rows)])
    _show(panels["samples"], grid(found.generated[:: max(1, len(found.generated) // 64)][:64], 8), "generated")
    pairs = np.concatenate([found.generated[: len(found.nearest)], found.nearest])
    _show(panels["nearest"], grid(pairs, len(found.nearest)), "generated, and below the nearest training pictures")

    mean = found.real_features.mean(axis=0)
    _, _, axes = np.linalg.svd(found.real_features - mean, full_matrices=False)
    for features, name in ((found.real_features, "real"), (found.generated_features, "generated")):
        x, y = ((features - mean) @ axes[:2].T)[:1000].T
        panels["plane"].scatter(x, y, s=4, alpha=0.5, label=name)
    panels["plane"].set(title="features, where real ones differ most", xticks=[], yticks=[])
    panels["plane"].legend()

    places = np.arange(len(parts))
    means, spreads = ([value.get(key, 0) for value in parts.values()] for key in ("mean", "standard_deviation"))
    panels["scores"].barh(places, means, xerr=spreads)
    panels["scores"].plot([value["floor"] for value in parts.values()], places, "k|", markersize=9)
    panels["scores"].set(
        yticks=places, yticklabels=parts, xlim=(0, None), title="generated ± standard deviation; | real pictures"
    )
    panels["scores"].tick_params(axis="y", labelsize=7)
    panels["scores"].invert_yaxis()
    lines = [f"{'':<30}{'mean':>10}{'± sd':>10}{'floor':>10}"]
    for name, value in others.items():
        cells = [f"{value[key]:.4g}" if key in value else "" for key in ("mean", "standard_deviation", "floor")]
        lines.append(f"{name:<30}{''.join(f'{cell:>10}' for cell in cells)}")
    panels["others"].text(0, 1, "\n".join(lines), family="monospace", fontsize=9, va="top")
    panels["others"].axis("off")
    if errors:
        panels["errors"].semilogy(*zip(*errors.items(), strict=True), "o-")
        panels["errors"].set(title="mean squared error of the estimated picture", xlabel="t, from clean picture to noise")
    write_whole(file, _rendered(figure, dpi=80))


def attention_page(found, file, num_steps=6):
    """Which word looks where, a row for each of some steps: the denoised estimate, then a map for each word.

    Args:
        found: `tfgen.models.diffusion.AttentionMaps`.
        file: PNG to write, whole or not at all.
        num_steps: rows, evenly spaced over the steps.
    """
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    fonts = ["DejaVu Sans", *(name for name in _CHINESE_FONTS if name in get_font_names())]
    steps = np.unique(np.linspace(0, len(found.times) - 1, num_steps).round().astype(int))
    figure = Figure(figsize=(0.9 * (len(found.words) + 1), 1.0 * len(steps) + 0.4), layout="constrained")
    panels = figure.subplots(len(steps), len(found.words) + 1, squeeze=False)
    brightest = found.maps[steps].max(axis=(0, 2, 3))  # of each word: [CLS] would else outshine the others
    for row, step in zip(panels, steps, strict=True):
        row[0].imshow(found.images[step].squeeze(), cmap="gray", vmin=0, vmax=255)
        row[0].set_ylabel(f"t = {found.times[step]:.2f}", fontsize=8)
        for panel, values, top in zip(row[1:], found.maps[step], brightest, strict=True):
            panel.imshow(values, cmap="magma", vmin=0, vmax=top)
    for panel, word in zip(panels[0], ["picture", *found.words], strict=True):
        panel.set_title(word, fontsize=8, fontfamily=fonts)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    write_whole(file, _rendered(figure))


def _show(panel, picture, title):
    panel.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    panel.set(title=title, anchor="N")
    panel.axis("off")


def png_bytes(image, scale=1):
    """A picture uint8 [H, W, 1 or 3] as the bytes of a PNG, each pixel drawn `scale` times as large."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def save_png(image, file, scale=1):
    """Write a picture uint8 [H, W, 1 or 3] to a PNG file, whole or not at all."""
    write_whole(file, png_bytes(image, scale))

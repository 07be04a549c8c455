"""Steering towards a prompt."""

from keras import ops


def classifier_free(denoise, positive, negative, guidance_scale, rescale=0.0, interval=(0.0, 1.0)):
    """Classifier-free guidance on the estimate of x0: negative + scale (positive - negative) (Ho & Salimans, 2022,
    arXiv:2207.12598, equation 6; the scale here is 1 + w there, so 1 is no guidance).

    Args:
        denoise: function (x, t, condition) -> estimate of x0 [B, H, W, C].
        positive, negative: conditions, dicts of tensors [B, ...]; the negative one is that of the empty prompt, or of the
            negative prompt.
        guidance_scale: float or tensor [B].
        rescale: 0 to 1, how far the contrast of each estimate, which guidance raises, is brought back to that of the unguided
            one (Lin et al., 2023, arXiv:2305.08891, equations 15 and 16).
        interval: (earliest, latest) t at which to guide; elsewhere the network is called for the prompt alone, at half the cost
            (Kynkäänniemi et al., 2024, arXiv:2404.07724, equation 5).

    Returns:
        A function (x, t) -> estimate of x0, both halves in one call of the network.
    """
    condition = {name: ops.concatenate([positive[name], negative[name]]) for name in positive}
    scale = ops.reshape(ops.convert_to_tensor(guidance_scale, "float32"), (-1, 1, 1, 1))

    def guided(x, t):
        both = denoise(ops.concatenate([x, x]), t, condition)
        towards, away = ops.split(both, 2)
        estimate = away + scale * (towards - away)
        if not rescale:
            return estimate
        contrast, wanted = (ops.std(one, axis=(1, 2, 3), keepdims=True) for one in (estimate, towards))
        return estimate * (rescale * wanted / ops.maximum(contrast, 1e-6) + 1 - rescale)

    def at_times(x, t):
        inside = ops.logical_and(t >= interval[0], t <= interval[1])
        return ops.cond(inside, lambda: guided(x, t), lambda: denoise(x, t, positive))

    return guided if tuple(interval) == (0.0, 1.0) else at_times

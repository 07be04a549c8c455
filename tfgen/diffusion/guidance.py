"""Steering towards a prompt."""

from keras import ops


def classifier_free(denoise, positive, negative, guidance_scale):
    """Classifier-free guidance on the estimate of x0: negative + scale (positive - negative) (Ho & Salimans, 2022,
    arXiv:2207.12598, equation 6; the scale here is 1 + w there, so 1 is no guidance).

    Args:
        denoise: function (x, t, condition) -> estimate of x0 [B, H, W, C].
        positive, negative: conditions, dicts of tensors [B, ...]; the negative one is an empty prompt's, or of what
            should not be seen.
        guidance_scale: float or tensor [B].

    Returns:
        A function (x, t) -> estimate of x0, both halves in one call of the network.
    """
    condition = {name: ops.concatenate([positive[name], negative[name]]) for name in positive}
    scale = ops.reshape(ops.convert_to_tensor(guidance_scale, "float32"), (-1, 1, 1, 1))

    def guided(x, t):
        both = denoise(ops.concatenate([x, x]), t, condition)
        towards, away = ops.split(both, 2)
        return away + scale * (towards - away)

    return guided

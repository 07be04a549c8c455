"""From noise to a picture. A sampler is a pure function of (denoise, x, times, noise); it starts from any x at the first time.

Both samplers here take the step of DDIM (Song et al., 2021, arXiv:2010.02502, equation 12), written for any schedule,

    x_s = alpha_s x0 + sqrt(sigma_s^2 - eta^2 v) eps + eta sqrt(v) z,
    v = sigma_s^2 / sigma_t^2 (sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2),

where v is the variance of x_s given x_t and x0: eta = 0 draws no noise, eta = 1 is DDPM's ancestral step.
"""

import numpy as np
from keras import ops


def uniform_times(steps, start=1.0):
    """`steps` + 1 times from `start` down to 0, evenly spaced, float32."""
    return np.linspace(start, 0.0, steps + 1, dtype=np.float32)


def ddim(denoise, x, times, schedule, noise=None, eta=0.0, callback=None):
    """Sample with DDIM.

    Args:
        denoise: function (x [B, H, W, C], t scalar) -> estimate of x0.
        x: where to start, at time times[0]: pure noise at time 1, or a picture noised half-way.
        times: float [steps + 1], falling; the last is usually 0.
        schedule: function t -> (alpha, sigma).
        noise: function step -> noise like x, for eta > 0.
        eta: 0 for a deterministic path, 1 for DDPM's.
        callback: called in eager mode at each step with (step, x, t, x0): x is the picture at time t, x0 what it is taken for.

    Returns:
        x at the last time.
    """
    alphas, sigmas = schedule(ops.convert_to_tensor(times))
    times = ops.convert_to_tensor(times)

    def step(i, x):
        alpha_t, sigma_t, alpha_s, sigma_s = alphas[i], sigmas[i], alphas[i + 1], sigmas[i + 1]
        x0 = denoise(x, times[i])
        if callback:
            callback(i, x, times[i], x0)
        eps = (x - alpha_t * x0) / sigma_t
        if eta:
            ratio = alpha_t / alpha_s
            variance = eta**2 * (sigma_s / sigma_t) ** 2 * (sigma_t**2 - (ratio * sigma_s) ** 2)
            x = alpha_s * x0 + ops.sqrt(ops.maximum(sigma_s**2 - variance, 0.0)) * eps + ops.sqrt(variance) * noise(i)
        else:
            x = alpha_s * x0 + sigma_s * eps
        return x

    return ops.fori_loop(0, times.shape[0] - 1, step, x)


def ddpm(denoise, x, times, schedule, noise, callback=None):
    """Sample by DDPM's ancestral steps (Ho et al., 2020, arXiv:2006.11239, algorithm 2): `ddim` with eta 1."""
    return ddim(denoise, x, times, schedule, noise, eta=1.0, callback=callback)


SAMPLERS = {"ddim": ddim, "ddpm": ddpm}

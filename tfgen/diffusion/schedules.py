"""How signal turns into noise: x(t) = alpha(t) x0 + sigma(t) eps for t from 0 (picture) to 1 (noise)."""

import math

from keras import ops

_LOG_SNR_MIN = -9.2  # alpha(1) = 0.01: enough noise to hide a picture, enough signal to predict eps


def flow(t):
    """The straight line of rectified flow: alpha = 1 - t, sigma = t (Liu et al., 2022, arXiv:2209.03003)."""
    return 1.0 - t, t


def cosine(t):
    """log SNR = -2 log tan(pi t / 2), variance preserving, its end bounded (Nichol & Dhariwal, 2021, arXiv:2102.09672;
    in this form Hoogeboom et al., 2023, arXiv:2301.11093)."""
    end = 2 / math.pi * math.atan(math.exp(-_LOG_SNR_MIN / 2))
    angle = math.pi / 2 * end * t
    return ops.cos(angle), ops.sin(angle)


def linear(t):
    """DDPM's beta from 0.0001 to 0.02 in 1,000 steps, in continuous time: beta(t) = 0.1 + 19.9 t, alpha(t)^2 =
    exp(-integral of beta) (Ho et al., 2020, arXiv:2006.11239; Song et al., 2021, arXiv:2011.13456, equation 33)."""
    log_alpha_squared = -(0.1 * t + 9.95 * t * t)
    return ops.exp(0.5 * log_alpha_squared), ops.sqrt(-ops.expm1(log_alpha_squared))


SCHEDULES = {"flow": flow, "cosine": cosine, "linear": linear}


def get(name):
    """A function from t (tensor or float in [0, 1]) to (alpha, sigma)."""
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; choose from {', '.join(SCHEDULES)}")
    return SCHEDULES[name]

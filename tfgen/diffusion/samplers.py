"""From noise to a picture. A sampler is a pure function of (denoise, x, times, noise); it starts from any x at the first time.

Those without noise follow the probability flow dx = x0 dalpha + eps dsigma, where x = alpha x0 + sigma eps and x0 is the
network's denoised estimate of x (Song et al., 2021, arXiv:2011.13456, equation 13). `euler` and `heun` step along it in t. In
lambda = log(alpha / sigma) the part that is linear in x has a solution (Lu et al., 2022, arXiv:2211.01095, equation 8),

    x_s = sigma_s / sigma_t x_t + alpha_s  integral from 0 to h of e^(u - h) x0(lambda_t + u) du,    h = lambda_s - lambda_t,

and the others differ in how they approximate x0 over a step: `ddim` holds it constant, `dpmpp_2m` and `dpmpp_3m` extrapolate
the polynomial through the last two or three estimates, and `unipc` uses the estimate at the end of the step too.
"""

import math

import numpy as np
import tensorflow as tf
from keras import ops

# Where there is no signal lambda is minus infinity, and infinity where there is no noise; e^-40 is nothing beside 1.
_BEYOND = 40.0
_MAX_SIGMA, _MIN_SIGMA = 80.0, 0.002  # of Karras et al., 2022, arXiv:2206.00364, table 1: noise for a signal of 1


def uniform_times(steps, schedule=None, start=1.0):
    """`steps` + 1 times from `start` down to 0, evenly spaced, float32."""
    return np.linspace(start, 0.0, steps + 1, dtype=np.float32)


def shifted(times, shift):
    """Times in [0, 1] moved towards 1, s t / (1 + (s - 1) t) for a shift s > 1 (Esser et al., 2024, arXiv:2403.03206, equation
    23)."""
    return shift * times / (1 + (shift - 1) * times)


def log_snr_times(steps, schedule):
    """Times from 1 down to 0 between which log(alpha / sigma) grows evenly, from -log 80 to -log 0.002 (Lu et al., 2022,
    arXiv:2206.00927, section 3.3). Arguments and result as of `karras_times`."""
    return _times_of_noise(np.geomspace(_MAX_SIGMA, _MIN_SIGMA, steps), schedule)


def karras_times(steps, schedule):
    """Times from 1 down to 0 between which (sigma / alpha)^(1/7) falls evenly, from 80 to 0.002 (Karras et al., 2022,
    arXiv:2206.00364, equation 5): more of them where there is much noise than by `log_snr_times`.

    Args:
        steps: how many.
        schedule: function t -> (alpha, sigma).

    Returns:
        float32 [steps + 1].
    """
    return _times_of_noise(np.linspace(_MAX_SIGMA ** (1 / 7), _MIN_SIGMA ** (1 / 7), steps) ** 7, schedule)


def _times_of_noise(noise, schedule):
    """The times at which sigma / alpha has the given, falling values; but 1 for the first of them, and 0 at the end."""
    low, high = np.zeros(len(noise)), np.ones(len(noise))
    for _ in range(50):
        middle = (low + high) / 2
        with tf.init_scope():  # numbers also where a graph is traced
            alpha, sigma = (np.asarray(value) for value in schedule(ops.convert_to_tensor(middle)))
        low, high = np.where(sigma < noise * alpha, middle, low), np.where(sigma < noise * alpha, high, middle)
    return np.array([1.0, *high[1:], 0.0], np.float32)


TIME_GRIDS = {"uniform": uniform_times, "log_snr": log_snr_times, "karras": karras_times}


def ddim(denoise, x, times, schedule, noise=None, eta=0.0, callback=None):
    """Sample with DDIM (Song et al., 2021, arXiv:2010.02502, equation 12), written for any schedule,

        x_s = alpha_s x0 + sqrt(sigma_s^2 - eta^2 v) eps + eta sqrt(v) z,
        v = sigma_s^2 / sigma_t^2 (sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2),

    where v is the variance of x_s given x_t and x0: eta = 0 draws no noise, eta = 1 is DDPM's ancestral step.

    Args:
        denoise: function (x [B, H, W, C], t scalar) -> estimate of x0.
        x: where to start, at time times[0]: pure noise at time 1, or a picture noised half-way.
        times: float [steps + 1], falling; the last is usually 0.
        schedule: function t -> (alpha, sigma).
        noise: function step -> noise like x, for eta > 0.
        eta: 0 for a deterministic path, 1 for DDPM's.
        callback: called in eager mode at each step with (step, x, t, x0): x is the noisy picture at time t, x0 its
            denoised estimate.

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


def euler(denoise, x, times, schedule, noise=None, callback=None):
    """Sample by Euler's steps in t, of first order. Arguments and result as of `ddim`; draws no noise."""
    slope, times = _slope(denoise, times, schedule, callback)
    return ops.fori_loop(0, times.shape[0] - 1, lambda i, x: x + (times[i + 1] - times[i]) * slope(i, x), x)


def heun(denoise, x, times, schedule, noise=None, callback=None):
    """Sample by Heun's steps in t, of second order, each two calls of the network (Karras et al., 2022, arXiv:2206.00364,
    algorithm 1); the last is Euler's, as the slope is not known where there is no noise. Arguments and result as of `ddim`."""
    slope, times = _slope(denoise, times, schedule, callback)

    def step(i, x):
        interval, first = times[i + 1] - times[i], slope(i, x)
        return x + interval / 2 * (first + slope(i + 1, x + interval * first, reports=False))

    last = times.shape[0] - 2
    x = ops.fori_loop(0, last, step, x)
    return x + (times[last + 1] - times[last]) * slope(last, x)


def _slope(denoise, times, schedule, callback):
    """A function (step, x) -> dx / dt at that step's time, and the times as a tensor."""
    times = ops.convert_to_tensor(times)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(times)
        alphas, sigmas = schedule(times)
    alpha_slopes, sigma_slopes = tape.gradient(alphas, times), tape.gradient(sigmas, times)

    def slope(i, x, reports=True):
        x0 = denoise(x, times[i])
        if callback and reports:
            callback(i, x, times[i], x0)
        return alpha_slopes[i] * x0 + sigma_slopes[i] * (x - alphas[i] * x0) / sigmas[i]

    return slope, times


def dpmpp_2m(denoise, x, times, schedule, noise=None, callback=None):
    """Sample with the multistep form of DPM-Solver++, of second order at one call of the network a step (Lu et al., 2022,
    arXiv:2211.01095, equation 8): the line through two estimates is integrated exactly, where their algorithm 2 has
    (1 - e^-h) h / 2 in place of h - 1 + e^-h. Arguments and result as of `ddim`; draws no noise."""
    return _multistep(denoise, x, times, schedule, 2, callback)


def dpmpp_3m(denoise, x, times, schedule, noise=None, callback=None):
    """As `dpmpp_2m`, of third order, by the parabola through three estimates."""
    return _multistep(denoise, x, times, schedule, 3, callback)


def unipc(denoise, x, times, schedule, noise=None, callback=None):
    """Sample with UniPC (Zhao et al., 2023, arXiv:2302.04867, algorithm 1): a step as of `dpmpp_2m`, taken again by the
    parabola through the estimate at its end as well, which is made for the next step anyway. Of third order, at one call of the
    network a step. Arguments and result as of `ddim`; draws no noise."""
    return _multistep(denoise, x, times, schedule, 2, callback, corrects=True)


def _multistep(denoise, x, times, schedule, order, callback, corrects=False):
    exact_times = ops.cast(times, "float64")  # differences of small steps
    alphas, sigmas = schedule(exact_times)
    lambdas = ops.log(alphas) - ops.log(sigmas)
    first, last = (lambdas[1], lambdas[-2]) if times.shape[0] > 2 else (0.0, 0.0)  # a single step has nothing between
    lambdas = ops.where(alphas > 0, lambdas, first - _BEYOND)
    lambdas = ops.where(sigmas > 0, lambdas, last + _BEYOND)
    keeps = ops.cast(sigmas[1:] / sigmas[:-1], x.dtype)
    # Over the last step, to no noise at all, an estimate can only be held constant.
    orders = ops.minimum(ops.where(sigmas[1:] > 0, order, 1), 1 + ops.arange(times.shape[0] - 1))
    predicting = ops.cast(alphas[1:, None] * _weights(lambdas, orders, order), x.dtype)
    if corrects:
        correcting = ops.cast(alphas[1:, None] * _weights(lambdas, orders + 1, order + 1, ahead=1), x.dtype)
    times = ops.convert_to_tensor(times)

    def step(i, state):
        x, before, estimates = state  # `before` is x before the step that led to it, `estimates` the newest first
        x0 = denoise(x, times[i])
        if callback:
            callback(i, x, times[i], x0)
        estimates = [x0, *estimates[:-1]]
        if corrects:
            last = ops.maximum(i - 1, 0)
            corrected = keeps[last] * before + _weighted(correcting[last], estimates)
            x = ops.where(i > 0, corrected, x)
        return keeps[i] * x + _weighted(predicting[i], estimates), x, estimates

    nothing = ops.zeros_like(x)
    x, _, _ = ops.fori_loop(0, times.shape[0] - 1, step, (x, x, [nothing] * (order + corrects)))
    return x


def _weighted(weights, estimates):
    return sum(weights[k] * estimates[k] for k in range(weights.shape[0]))


def _weights(lambdas, orders, most, ahead=0):
    """What each estimate counts in a step's integral, float64 [S, most].

    Args:
        lambdas: float64 [S + 1], of the times.
        orders: int [S], how many estimates a step has.
        most: the most of them.
        ahead: 1 where the newest estimate is that of the step's end, 0 of its start.
    """
    steps = lambdas.shape[0] - 1
    h = lambdas[1:] - lambdas[:-1]
    moments = _moments(h)
    earlier = ops.concatenate([lambdas[:1] - [[2.0], [1.0]][k] for k in range(2)] + [lambdas])  # before the first: never used
    nodes = [earlier[2 + ahead - k : 2 + ahead - k + steps] - lambdas[:-1] for k in range(most)]
    weights = ops.zeros((steps, most), "float64")
    for order in range(1, most + 1):
        these = ops.stack(_lagrange(moments, nodes[:order]) + [ops.zeros_like(h)] * (most - order), axis=1)
        weights = ops.where((orders == order)[:, None], these, weights)
    return weights


def _moments(h):
    """Integrals of e^(u - h) u^k from 0 to h, for k = 0, 1, 2."""
    zeroth = -ops.expm1(-h)
    first = h - zeroth
    return zeroth, first, h * h - 2 * first


def _lagrange(moments, nodes):
    """Of the polynomial through values at one to three nodes, what each value counts in the integral of e^(u - h) times it."""
    zeroth, first, second = moments
    weights = []
    for j, node in enumerate(nodes):
        others = [*nodes[:j], *nodes[j + 1 :]]
        product = (zeroth, first - sum(others) * zeroth, second - sum(others) * first + math.prod(others) * zeroth)
        weights.append(product[len(others)] / math.prod(node - other for other in others))
    return weights


SAMPLERS = {
    "ddim": ddim, "ddpm": ddpm, "euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "dpmpp_3m": dpmpp_3m, "unipc": unipc,
}  # fmt: skip

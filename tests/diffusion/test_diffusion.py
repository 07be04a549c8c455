"""The pure functions of diffusion, against closed forms."""

import numpy as np
import pytest
import tensorflow as tf

from tfgen.diffusion import noise, parameterisations, samplers, schedules
from tfgen.diffusion.guidance import classifier_free

MEAN, DEVIATION = 0.5, 0.3


def gaussian_denoiser(schedule):
    """E[x0 | x_t] where x0 is Gaussian: the exact answer that a network would learn."""

    def denoise(x, t):
        alpha, sigma = schedule(t)
        return MEAN + alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2) * (x - alpha * MEAN)

    return denoise


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_schedules_run_from_picture_to_noise(name):
    t = np.linspace(0, 1, 101, dtype=np.float32)
    alpha, sigma = (np.asarray(value) for value in schedules.get(name)(tf.constant(t)))
    assert alpha[0] > 0.999
    assert sigma[0] < 0.02
    assert alpha[-1] < 0.011
    assert sigma[-1] > 0.999
    assert (np.diff(alpha) < 0).all()
    assert (np.diff(sigma) > 0).all()
    if name != "flow":
        assert np.allclose(alpha**2 + sigma**2, 1, atol=1e-5)


def test_the_linear_schedule_is_ddpms():
    beta = np.linspace(1e-4, 0.02, 1000)
    expected = np.sqrt(np.cumprod(1 - beta))
    alpha, _ = schedules.linear(tf.constant(np.arange(1, 1001) / 1000, tf.float32))
    assert np.abs(np.asarray(alpha) - expected).max() < 2e-3


@pytest.mark.parametrize("schedule", schedules.SCHEDULES)
@pytest.mark.parametrize("name", parameterisations.PARAMETERISATIONS)
def test_each_parameterisation_gives_x0_back(name, schedule):
    rng = np.random.default_rng(0)
    x0, eps = rng.normal(size=(2, 50)).astype(np.float32)
    for t in (0.05, 0.5, 0.95):
        alpha, sigma = (float(value) for value in schedules.get(schedule)(tf.constant(t)))
        predictions = {"x0": x0, "eps": eps, "v": alpha * eps - sigma * x0, "flow": eps - x0}
        estimate = parameterisations.to_x0(name, predictions[name], alpha * x0 + sigma * eps, alpha, sigma)
        assert np.allclose(estimate, x0, atol=1e-3)


def test_eps_is_refused_where_it_cannot_work():
    with pytest.raises(ValueError, match="pure noise"):
        parameterisations.check("eps", "flow")
    with pytest.raises(ValueError, match="choose from eps, x0, v, flow"):
        parameterisations.check("y", "flow")
    with pytest.raises(ValueError, match="choose from flow, cosine, linear"):
        parameterisations.check("x0", "quadratic")


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_samplers_reach_the_known_distribution(name, sampler):
    schedule = schedules.get(name)
    x = tf.random.stateless_normal([4000, 1, 1, 1], (0, 1))
    times = samplers.uniform_times(200)
    steps = {"noise": lambda i: tf.random.stateless_normal(x.shape, (1, i))} if sampler == "ddpm" else {}
    samples = samplers.SAMPLERS[sampler](gaussian_denoiser(schedule), x, times, schedule, **steps).numpy()
    assert abs(samples.mean() - MEAN) < 0.02
    assert abs(samples.std() - DEVIATION) < 0.02


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize(
    ("sampler", "order"), [("ddim", 1), ("euler", 1), ("heun", 2), ("dpmpp_2m", 2), ("dpmpp_3m", 3), ("unipc", 3)]
)
def test_samplers_converge_to_the_exact_path_in_their_order(name, sampler, order):
    """For Gaussian data the deterministic path is known: x0 lies as many deviations from its mean as x1 from its own."""
    schedule = schedules.get(name)
    x = tf.reshape(tf.linspace(-2.0, 2.0, 9), [9, 1, 1, 1])
    alpha, sigma = (float(value) for value in schedule(tf.constant(1.0)))
    exact = MEAN + DEVIATION * (x - alpha * MEAN) / np.sqrt((alpha * DEVIATION) ** 2 + sigma**2)
    errors = []
    for steps in (40, 80):
        samples = samplers.SAMPLERS[sampler](gaussian_denoiser(schedule), x, samplers.log_snr_times(steps, schedule), schedule)
        errors.append(float(tf.reduce_max(tf.abs(samples - exact))))
    assert errors[1] < 0.04
    assert errors[0] > 0.9 * 2**order * errors[1]  # half the step, 2^-order of the error


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("sampler", [name for name in samplers.SAMPLERS if name != "ddpm"])
def test_one_step_leads_to_what_the_noise_is_taken_for(name, sampler):
    schedule, x = schedules.get(name), tf.random.stateless_normal([16, 1, 1, 1], (0, 1))
    found = samplers.SAMPLERS[sampler](gaussian_denoiser(schedule), x, samplers.uniform_times(1), schedule)
    if sampler not in ("euler", "heun"):  # which go straight on in t
        assert np.allclose(found, gaussian_denoiser(schedule)(x, tf.constant(1.0)), atol=1e-5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_times_are_spaced_as_they_say(name):
    schedule = schedules.get(name)

    def noise(times):
        alpha, sigma = (np.asarray(value) for value in schedule(tf.constant(times, tf.float64)))
        return sigma / alpha

    assert np.allclose(samplers.uniform_times(4, start=0.5), [0.5, 0.375, 0.25, 0.125, 0.0])
    assert np.allclose(samplers.shifted(samplers.uniform_times(4), 3), [1.0, 0.9, 0.75, 0.5, 0.0])
    for grid in (samplers.log_snr_times, samplers.karras_times):
        times = grid(8, schedule)
        assert times[0] == 1
        assert times[-1] == 0
        assert times.shape == (9,)
        assert np.all(np.diff(times) < 0)
        inner = noise(times[1:-1])
        spaced = np.log(inner) if grid is samplers.log_snr_times else inner ** (1 / 7)
        assert np.allclose(np.diff(spaced), np.diff(spaced).mean(), rtol=0.01)
        assert inner[-1] == pytest.approx(0.002, rel=0.01)
        assert np.array_equal(grid(1, schedule), [1, 0])


def test_ddpm_takes_the_steps_of_the_paper():
    """One step against equation 7 of Ho et al., 2020, in their beta, alpha, alpha-bar."""
    t, s = 0.6, 0.5
    x, x0, z = (tf.random.stateless_normal([3, 2, 2, 1], (i, 0)) for i in range(3))
    taken = samplers.ddpm(lambda x, t: x0, x, np.array([t, s], np.float32), schedules.linear, lambda i: z)
    alpha_bar_t, alpha_bar_s = (float(schedules.linear(tf.constant(time))[0]) ** 2 for time in (t, s))
    alpha = alpha_bar_t / alpha_bar_s
    mean = (
        np.sqrt(alpha_bar_s) * (1 - alpha) / (1 - alpha_bar_t) * x0 + np.sqrt(alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t) * x
    )
    variance = (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha)
    assert np.allclose(taken, mean + np.sqrt(variance) * z, atol=1e-4)


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_a_sampler_starts_half_way_and_reports_each_step(sampler):
    schedule, picture = schedules.flow, tf.fill([2, 1, 1, 1], 0.7)
    alpha, sigma = schedule(0.5)
    reported = []
    samples = samplers.SAMPLERS[sampler](
        lambda x, t: picture, alpha * picture + sigma * tf.ones_like(picture), samplers.uniform_times(5, start=0.5), schedule,
        noise=lambda i: tf.ones_like(picture), callback=lambda *values: reported.append([float(np.mean(v)) for v in values]),
    )  # fmt: skip
    assert np.allclose(samples, 0.7, atol=1e-5)
    steps, x, times, x0 = np.transpose(reported)
    assert steps.tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(times, [0.5, 0.4, 0.3, 0.2, 0.1])
    assert np.allclose(x0, 0.7)
    if sampler != "ddpm":
        assert np.allclose(x, [schedule(t)[0] * 0.7 + schedule(t)[1] for t in times], atol=1e-5)  # the noise stays 1


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
def test_a_sampler_is_the_same_in_a_graph(sampler):
    x = tf.random.stateless_normal([4, 2, 2, 1], (0, 1))
    noise = tf.random.stateless_normal([8, 4, 2, 2, 1], (0, 2))

    def sample(x, times):
        return samplers.SAMPLERS[sampler](gaussian_denoiser(schedules.flow), x, times, schedules.flow, noise=lambda i: noise[i])

    times = samplers.uniform_times(8)
    expected = sample(x, times)
    assert np.allclose(expected, tf.function(sample, autograph=False)(x, times), atol=1e-5)
    assert np.allclose(expected, tf.function(sample, jit_compile=True)(x, times), atol=1e-5)


def test_guidance_scales_the_difference():
    conditions = {"wanted": tf.ones([2, 1])}, {"wanted": tf.zeros([2, 1])}

    def denoise(x, t, condition):
        return 0 * x + condition["wanted"][:, :, None, None] * 3 + 1

    x = tf.zeros([2, 4, 4, 1])
    for scale, expected in ((1.0, 4.0), (0.0, 1.0), (2.5, 8.5)):
        assert np.allclose(classifier_free(denoise, *conditions, scale)(x, 0.5), expected)
    one_each = classifier_free(denoise, *conditions, tf.constant([1.0, 2.5]))(x, 0.5).numpy()
    assert np.allclose(one_each[:, 0, 0, 0], [4.0, 8.5])


def test_guidance_keeps_to_its_interval_and_brings_contrast_back():
    conditions = {"wanted": tf.ones([2, 1])}, {"wanted": tf.zeros([2, 1])}
    pattern = tf.reshape(tf.linspace(-1.0, 1.0, 16), [1, 4, 4, 1])

    def denoise(x, t, condition):
        return (condition["wanted"][:, :, None, None] + 1) * pattern + 0 * x

    x = tf.zeros([2, 4, 4, 1])
    limited = classifier_free(denoise, *conditions, 5.0, interval=(0.2, 0.7))
    assert np.allclose(limited(x, tf.constant(0.5)), 6 * pattern)
    for t in (0.1, 0.8):
        assert np.allclose(limited(x, tf.constant(t)), 2 * pattern)
        assert np.allclose(tf.function(limited)(x, tf.constant(t)), 2 * pattern)
    for rescale, factor in ((1.0, 2.0), (0.5, 4.0)):
        assert np.allclose(classifier_free(denoise, *conditions, 5.0, rescale=rescale)(x, 0.5), factor * pattern, atol=1e-5)


def test_noise_belongs_to_its_seed():
    together = noise.gaussian([5, 6, 2**40 + 5], (4, 4, 1)).numpy()
    assert np.array_equal(together[0], noise.gaussian([5], (4, 4, 1))[0])
    assert np.array_equal(together, tf.function(lambda seeds: noise.gaussian(seeds, (4, 4, 1)))(tf.constant([5, 6, 2**40 + 5])))
    assert np.abs(together[0] - together[2]).max() > 0.1  # no two 64-bit seeds share their noise
    assert np.abs(together[0] - noise.gaussian([5], (4, 4, 1), stream=1)[0]).max() > 0.1
    many = noise.gaussian(range(500), (8, 8, 1)).numpy()
    assert abs(many.mean()) < 0.03
    assert abs(many.std() - 1) < 0.02

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.diffusion.noise import gaussian
from tfgen.metrics import HeldOutELBO
from tfgen.models import VAE
from tfgen.models.image_model import picture_seeds


@pytest.fixture(scope="module")
def trained(request):
    """A VAE that has learned four pictures of 16x16."""
    images = np.random.default_rng(0).integers(0, 2, (4, 16, 16, 1)).astype(np.uint8) * 255
    batch = {"image": tf.cast(images, tf.float32) / 127.5 - 1}
    model = VAE(16, 1, latent_size=4, width=8, ema_half_life=200)
    model.compile("adam")
    model.optimizer.learning_rate = 3e-3
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=400, verbose=0, shuffle=False)
    return model, images


def test_pictures_come_back_through_their_latents(trained):
    model, images = trained
    latents = model.encode(images)
    assert latents.shape == (4, 4)
    assert np.abs(model.decode(latents).astype(int) - images).mean() < 10
    assert np.array_equal(model.reconstruct(images), model.decode(latents))


def test_interpolation_runs_from_one_picture_to_the_other(trained):
    model, images = trained
    walk = model.interpolate(images[0], images[1], 5)
    assert walk.shape == (5, 16, 16, 1)
    assert np.abs(walk[0].astype(int) - images[0]).mean() < 10
    assert np.abs(walk[-1].astype(int) - images[1]).mean() < 10


def test_the_elbo_is_that_of_the_definition(trained):
    model, images = trained
    batch = {"image": tf.cast(images, tf.float32) / 127.5 - 1}
    reported = model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    posterior = model.averaged_encoder({"image": batch["image"]})
    mean, deviation = posterior["mean"].numpy(), np.exp(0.5 * posterior["log_variance"].numpy())
    eps = gaussian(picture_seeds(batch["image"]), (4,)).numpy()
    logits = model.averaged_decoder({"latents": mean + deviation * eps}).numpy().astype(np.float64)
    target = images / 255
    reconstruction = (np.logaddexp(0, logits) - target * logits).sum(axis=(1, 2, 3)).mean()
    kl = (0.5 * (mean**2 + deviation**2 - 1) - np.log(deviation)).sum(axis=1).mean()
    assert np.isclose(reported["reconstruction"], reconstruction, rtol=1e-4)
    assert np.isclose(reported["kl"], kl, rtol=1e-4)
    assert np.isclose(reported["negative_elbo"], reconstruction + kl, rtol=1e-4)


def test_the_held_out_elbo_depends_on_no_batch_or_order(trained):
    model, images = trained
    pictures = tf.cast(images, tf.float32) / 127.5 - 1
    whole, parts = HeldOutELBO(model), HeldOutELBO(model)
    whole.update_state({"image": pictures})
    for index in (2, 0, 3, 1):
        parts.update_state({"image": pictures[index : index + 1]})
    for name, value in whole.result().items():
        assert np.isclose(value, parts.result()[name], rtol=1e-5), name
    reported = model.evaluate(tf.data.Dataset.from_tensors({"image": pictures}), verbose=0, return_dict=True)
    assert np.isclose(whole.result()["negative_elbo"], reported["negative_elbo"], rtol=1e-5)
    assert whole.result()["active_units"] == np.sum(np.var(model.encode(images), axis=0) > 0.01)


def update(model, batch):
    return {name: float(value) for name, value in model.update(batch, model.draw_noise(8, tf.constant([0, 0]))).items()}


def test_beta_free_bits_and_annealing_weigh_the_kl(make_model, batches):
    batch = next(iter(batches))
    plain = update(make_model("vae", with_text=False), batch)
    assert np.isclose(plain["loss"], plain["reconstruction"] + plain["kl"], rtol=1e-5)
    beta = update(make_model("vae", with_text=False, beta=4.0), batch)
    assert np.isclose(beta["loss"], plain["reconstruction"] + 4 * plain["kl"], rtol=1e-5)
    free = update(make_model("vae", with_text=False, free_bits=5.0), batch)
    assert np.isclose(free["loss"], plain["reconstruction"] + 6 * 5.0, rtol=1e-5)  # six latents, none worth 5 nats yet
    annealed = make_model("vae", with_text=False, annealing_images=80)
    assert np.isclose(update(annealed, batch)["loss"], plain["reconstruction"], rtol=1e-5)
    for _ in range(4):
        update(annealed, batch)
    half_way = update(annealed, batch)
    assert np.isclose(half_way["loss"], half_way["reconstruction"] + 0.5 * half_way["kl"], rtol=1e-5)


def test_gaussian_pixels_are_normalised(make_model, batches):
    model = make_model("vae", with_text=False, likelihood="gaussian", deviation=0.5)
    batch = next(iter(batches))
    reconstruction, _, _ = model.elbo_terms(batch)
    latents = model.averaged_encoder({"image": batch["image"]})
    eps = gaussian(picture_seeds(batch["image"]), (model.latent_size,))
    latents = latents["mean"] + tf.exp(0.5 * latents["log_variance"]) * eps
    drawn = tf.tanh(model.averaged_decoder({"latents": latents})).numpy()
    density = -0.5 * ((batch["image"] - drawn) / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi))
    assert np.allclose(reconstruction, -density.numpy().sum(axis=(1, 2, 3)), rtol=1e-4)


def test_the_dense_variant_has_no_convolutions():
    model = VAE(28, 1, dense=True, width=8)
    assert not [layer for network in (model.encoder, model.decoder) for layer in network.layers if "conv" in layer.name]
    assert model.generate(num_images=2).shape == (2, 28, 28, 1)


def test_the_temperature_spreads_the_latents_that_are_drawn(make_model):
    model = make_model("vae", with_text=False, temperature=1.5)
    latents = gaussian(tf.constant([3, 4], tf.int64), (model.latent_size,))
    assert np.array_equal(model.generate(num_images=2, seed=3), model.decode(1.5 * latents))


@pytest.fixture(scope="module")
def with_prior(make_model):
    """A VAE whose prior tells captions apart."""
    model = make_model("vae", num_blocks=1, temperature=0.5)
    for network in (model.prior, model.averaged_prior):
        for name in ("mean", "log_variance"):
            layer = network.get_layer(name)
            layer.kernel.assign(keras.random.normal(layer.kernel.shape, 0, 0.2, seed=1))
    return model


def test_latents_are_drawn_as_the_prior_says_of_the_prompt(with_prior):
    model, prompts = with_prior, ["a red circle", "蓝色的星星"]
    token_ids = model.tokenize(prompts)
    expected = model.averaged_prior({"pooled": model.averaged_text_encoder(token_ids, token_ids != 0)["pooled"]})
    assert np.abs(expected["mean"][0] - expected["mean"][1]).max() > 0.1
    eps = gaussian(tf.constant([3, 4], tf.int64), (model.latent_size,))
    latents = expected["mean"] + 0.5 * tf.exp(expected["log_variance"] / 2) * eps
    assert np.array_equal(model.generate(prompts, seed=[3, 4]), model.decode(latents, prompts))


def test_the_kl_is_that_of_posterior_and_prior(with_prior, batches):
    """By Monte Carlo: the mean of log q(z | x, text) - log p(z | text) over z of q."""
    model, batch = with_prior, next(iter(batches))
    _, kl, _ = model.elbo_terms(batch)
    text = {"pooled": model.averaged_text_encoder.encode(batch)["pooled"]}
    q, p = model.averaged_encoder({"image": batch["image"], **text}), model.averaged_prior(text)
    z = q["mean"] + tf.exp(q["log_variance"] / 2) * np.random.default_rng(0).normal(size=(20_000, *kl.shape)).astype(np.float32)
    log_q, log_p = (-0.5 * ((z - of["mean"]) ** 2 / tf.exp(of["log_variance"]) + of["log_variance"]) for of in (q, p))
    assert np.allclose(kl, tf.reduce_mean(log_q - log_p, axis=0), rtol=0.05, atol=0.05)
    assert np.max(kl) > 0.2


def test_unusable_input_is_refused():
    model = VAE(28, 1, width=4)
    with pytest.raises(ValueError, match=r"give uint8 \[N, 28, 28, 1\]"):
        model.encode(np.zeros((2, 32, 32, 1), np.uint8))
    with pytest.raises(ValueError, match="choose from bernoulli, gaussian"):
        VAE(28, 1, likelihood="poisson")
    with pytest.raises(ValueError, match="deviation is 0; give a number of at least 1e-06"):
        VAE(28, 1, deviation=0)
    with pytest.raises(ValueError, match="trained without text"):
        model.encode(np.zeros((2, 28, 28, 1), np.uint8), "three")


def test_prompts_steer_what_is_encoded_and_decoded(make_model):
    model = make_model("vae")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    latents = model.encode(pictures, "a red circle")
    assert np.allclose(latents, model.encode(pictures, ["a red circle"] * 3))
    assert not np.allclose(latents, model.encode(pictures, "a blue star"))
    assert not np.array_equal(model.decode(latents, "a red circle"), model.decode(latents, "a blue star"))
    with pytest.raises(ValueError, match="2 prompts for 3 pictures"):
        model.decode(latents, ["a", "b"])


def test_reconstructions_and_random_pictures_are_normalised_together(make_model, batches):
    """As they will be by the finished model: the statistics kept are those of both, however far apart their latents lie."""
    model, batch = make_model("vae", caption_dropout=0.0), next(iter(batches))
    bias = model.prior.get_layer("mean").bias
    bias.assign(bias + 5)
    model.compile(**{name: keras.optimizers.SGD(0.0) for name in model.optimized_variables})
    noise = model.draw_noise(8, tf.constant([0, 0]))
    step = tf.function(model.update)
    for _ in range(100):
        step(batch, noise)
    text = {"pooled": model.text_encoder.encode(batch)["pooled"]}
    latents = []
    for distribution, eps in ((model.encoder({"image": batch["image"], **text}), "eps"), (model.prior(text), "drawn_eps")):
        latents.append(distribution["mean"] + tf.exp(distribution["log_variance"] / 2) * noise[eps])
    both = {"latents": tf.concat(latents, axis=0), "pooled": tf.concat([text["pooled"]] * 2, axis=0)}
    finished = model.decoder(both, training=False).numpy()
    assert np.abs(finished - model.decoder(both, training=True)).max() < 0.01 * np.abs(finished).max()

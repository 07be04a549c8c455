import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.models import DCGAN
from tfgen.models.contrastive import positive_pairs
from tfgen.models.dcgan import LOSSES
from tfgen.models.layers import picture_to_features


@pytest.mark.parametrize("image_size", [28, 32, 64])
@pytest.mark.parametrize("dense", [False, True])
def test_sizes_by_one_argument(image_size, dense):
    model = DCGAN(image_size, 1, width=4, dense=dense)
    assert model.generate(num_images=2).shape == (2, image_size, image_size, 1)
    convolutions = [layer for layer in model.generator.layers if "conv" in layer.name]
    assert bool(convolutions) != dense


def test_odd_sizes_and_unknown_losses_are_refused():
    with pytest.raises(ValueError, match="such as 28, 32 or 64"):
        DCGAN(50, 1)
    with pytest.raises(ValueError, match="choose from non_saturating, hinge, wasserstein"):
        DCGAN(28, 1, adversarial_loss="least_squares")


@pytest.mark.parametrize("adversarial_loss", LOSSES)
@pytest.mark.parametrize("spectral_normalization", [False, True])
def test_every_loss_trains_under_xla(adversarial_loss, spectral_normalization, make_model, batches):
    settings = {"adversarial_loss": adversarial_loss, "spectral_normalization": spectral_normalization}
    model = make_model("dcgan", with_text=False, jit_compile=True, **settings)
    history = model.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0).history
    assert np.isfinite(list(history.values())).all()


def test_losses_are_those_of_the_papers():
    real, fake = tf.constant([0.5, 2.0]), tf.constant([-0.3, 1.5])
    probability_real, probability_fake = tf.sigmoid(real), tf.sigmoid(fake)
    discriminator, generator = LOSSES["non_saturating"]
    assert np.allclose(discriminator(real, fake), -tf.math.log(probability_real) - tf.math.log(1 - probability_fake), atol=1e-5)
    assert np.allclose(generator(fake), -tf.math.log(probability_fake), atol=1e-5)
    discriminator, generator = LOSSES["hinge"]
    assert np.allclose(discriminator(real, fake), [0.5 + 0.7, 0.0 + 2.5])
    discriminator, generator = LOSSES["wasserstein"]
    assert np.allclose(discriminator(real, fake), [-0.8, -0.5])


def test_the_gradient_penalty_is_zero_for_a_unit_slope(make_model):
    model = make_model("dcgan", with_text=False, adversarial_loss="wasserstein")
    size = 16 * 16 * 3
    model.discriminator = lambda inputs, training: (
        tf.reduce_sum(inputs["image"], axis=[1, 2, 3], keepdims=False)[:, None] / size**0.5
    )
    pictures = tf.random.stateless_normal([2, 4, 16, 16, 3], (0, 0))
    assert float(model._gradient_penalty(pictures[0], pictures[1], {}, tf.ones([4]), training=True)) < 1e-6


def test_the_r1_penalty_is_half_the_squared_slope_at_real_pictures(make_model):
    model = make_model("dcgan", with_text=False, r1_penalty=3.0)
    # The slope is the picture itself, of 16x16x3 pixels that are all 2 where it is real.
    model.discriminator = lambda inputs, training: tf.reduce_sum(inputs["image"] ** 2, axis=[1, 2, 3])[:, None] / 2
    real, fake = 2 * tf.ones([4, 16, 16, 3]), tf.ones([4, 16, 16, 3])

    def loss():
        return float(model._discriminator_loss(real, fake, {}, same=None, mix=None)[0])

    with_penalty = loss()
    model.r1_penalty = 0.0
    assert with_penalty - loss() == pytest.approx(3.0 / 2 * 16 * 16 * 3 * 2**2, rel=1e-5)


def test_the_averaged_model_keeps_its_discriminator(make_model, batches):
    model = make_model("dcgan", with_text=False)
    model.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0)
    averaged = model.averaged_model()
    averaged.compile()
    held = tf.data.Dataset.from_tensors(next(iter(batches)))
    expected = model.evaluate(held, verbose=0, return_dict=True)
    assert averaged.evaluate(held, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-4)


def test_spectral_normalization_bounds_every_layer_of_the_discriminator(make_model, batches):
    model = make_model("dcgan", with_text=False, spectral_normalization=True, num_blocks=1)
    model.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0)
    batch = next(iter(batches))
    for _ in range(50):
        model.discriminator({"image": batch["image"]}, training=True)
    kernels = [layer.layer.kernel.numpy() for layer in model.discriminator.layers if hasattr(layer, "power_iterations")]
    assert len(kernels) == 4  # down, the two of the block, and of the logit
    for kernel in kernels:
        assert np.isclose(np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1].max(), 1, atol=0.02)
    before = model.get_weights()
    model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0)
    for left, right in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(left, right)  # measuring changes nothing


def test_a_real_picture_with_the_nearest_wrong_caption_counts_as_false(make_model, batches):
    model = make_model("dcgan", text_conditioning="matching_aware")
    history = model.fit(batches, steps_per_epoch=3, shuffle=False, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    batch = next(iter(batches))
    text = model.text_encoder.encode(batch)
    fake = model.generator({"latents": tf.zeros([8, 6]), "pooled": text["pooled"]}, training=False)
    given = {"pooled": text["pooled"]}

    def loss_of(batch, empty=False):
        same = positive_pairs(batch, empty)
        return float(model._discriminator_loss(batch["image"], fake, given, same, mix=None, training=False)[0])

    def logits(image, pooled):
        return model.discriminator({"image": image, "pooled": pooled[:, None]}, training=False)

    vectors = text["pooled"] / np.linalg.norm(text["pooled"], axis=1, keepdims=True)
    ids, nearest = batch["token_ids"].numpy(), []
    for own in range(8):
        others = [other for other in range(8) if not np.array_equal(ids[other], ids[own])]
        nearest.append(max(others, key=lambda other: float(np.dot(vectors[own], vectors[other]))))
    real, wrong = (logits(batch["image"], tf.gather(text["pooled"], captions)) for captions in (range(8), nearest))
    expected = tf.nn.softplus(-real) + (tf.nn.softplus(logits(fake, text["pooled"])) + tf.nn.softplus(wrong)) / 2
    assert loss_of(batch) == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)
    no_caption_is_wrong = tf.nn.softplus(-real) + tf.nn.softplus(logits(fake, text["pooled"]))
    of_one_class = {**batch, "label": tf.zeros([8], tf.int64)}
    for loss in (loss_of(of_one_class), loss_of(batch, tf.ones([8], bool))):
        assert loss == pytest.approx(float(tf.reduce_mean(no_caption_is_wrong)), rel=1e-5)
    with pytest.raises(ValueError, match="choose from matching_aware, projection"):
        DCGAN(28, 1, text_conditioning="concatenation")
    with pytest.raises(ValueError, match="mode_seeking is -1; give a number of at least 0"):
        DCGAN(28, 1, mode_seeking=-1)


def test_the_text_encoder_learns_from_what_the_discriminator_reads_not_from_how_the_generator_is_led(make_model, batches):
    model = make_model("dcgan", text_conditioning="projection")
    projection = model.discriminator.get_layer("projection")
    projection.set_weights([np.zeros_like(values) for values in projection.get_weights()])  # it reads no text
    before = model.text_encoder.get_weights()
    model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
    for left, right in zip(before, model.text_encoder.get_weights(), strict=True):
        assert np.array_equal(left, right)


def test_mode_seeking_keeps_pictures_of_one_caption_apart(make_model, batches):
    apart = []
    for mode_seeking in (0.0, 1.0):
        model = make_model("dcgan", mode_seeking=mode_seeking)
        model.fit(batches, steps_per_epoch=30, shuffle=False, verbose=0)
        pictures = model.generate("a large red circle", num_images=16).astype(float)
        apart.append(pictures.std(axis=0).mean())
    assert apart[1] > 1.5 * apart[0]


def test_with_blocks_features_say_what_there_is_wherever_it_is():
    image = keras.Input((32, 32, 1))
    network = keras.Model(image, picture_to_features(image, 8, num_blocks=1))
    here, there = np.zeros((2, 1, 32, 32, 1), np.float32)
    here[0, 8:14, 8:12] = there[0, 16:22, 12:16] = 1
    places, what = np.split(np.concatenate([network(here), network(there)]), [8 * 8 * 16], axis=1)
    assert what.shape == (2, 16)
    assert np.allclose(what[0], what[1], atol=1e-5)
    assert what.max() > 0
    assert not np.allclose(places[0], places[1], atol=1e-2)

"""What every family promises."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.models.image_model import MAX_BATCH, PromptWarning, take_step
from tfgen.models.layers import ConditionedBlock

FAMILIES = ["dcgan", "vae", "diffusion", "student"]
PROMPTS = ["a large red circle", "一个大红圆", "", "a blue ring", "a star"]


def fit(model, batches, steps=3):
    return model.fit(batches, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0).history


TAKE_LONG = [("dcgan", True), ("diffusion", True), ("student", False), ("student", True)]


@pytest.mark.parametrize(
    ("family", "jit_compile"),
    [
        *[("dcgan", False), ("vae", False), ("vae", True), ("diffusion", False)],
        *[pytest.param(*case, marks=pytest.mark.long) for case in TAKE_LONG],
    ],
)
def test_each_family_trains_with_and_without_xla(family, jit_compile, make_model, batches, capfd):
    model = make_model(family, jit_compile=jit_compile)
    trained = [variable for variables in model.optimized_variables.values() for variable in variables]
    before = [variable.numpy() for variable in trained]
    history = fit(model, batches)
    assert model.jit_compile is jit_compile
    assert "jit_compile=False" not in "".join(capfd.readouterr())  # Keras's "Proceeding with `jit_compile=False`"
    assert set(history) == {tracker.name for tracker in model.metrics}
    assert np.isfinite(list(history.values())).all()
    changed = [not np.array_equal(old, new) for old, new in zip(before, trained, strict=True)]
    assert np.mean(changed) > 0.8
    held_out = model.evaluate(tf.data.Dataset.from_tensors(next(iter(batches))), verbose=0, return_dict=True)
    assert set(held_out) == set(history)


@pytest.mark.parametrize("family", ["dcgan", "vae"])
def test_text_is_optional_for_gan_and_vae(family, make_model, batches):
    model = make_model(family, with_text=False)
    fit(model, batches, 1)
    assert model.generate(num_images=3).shape == (3, 16, 16, 3)
    with pytest.raises(ValueError, match="trained without text"):
        model.generate("a red circle")


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_come_in_the_order_of_prompts_and_belong_to_their_seeds(family, make_model, shake):
    model = shake(make_model(family))
    images = model.generate(PROMPTS, num_images=2, seed=3)
    assert images.shape == (10, 16, 16, 3)
    assert images.dtype == np.uint8
    for index in (0, 3, 8):
        alone = model.generate(PROMPTS[index // 2], seed=3 + index)
        assert np.abs(alone[0].astype(int) - images[index]).max() <= 1
    given = model.generate(PROMPTS[:2], seed=[9, 4])
    assert np.abs(given[1].astype(int) - model.generate(PROMPTS[1], seed=4)[0]).max() <= 1
    assert np.abs(images[0].astype(int) - images[1]).max() > 1
    again = model.generate([PROMPTS[3], PROMPTS[0], PROMPTS[3]], seed=[4, 3, 4])
    assert np.abs(again[0].astype(int) - again[2]).max() <= 1
    assert np.abs(again[1].astype(int) - images[0]).max() <= 1
    many = model.generate(PROMPTS[0], num_images=MAX_BATCH + 2, seed=3)
    assert np.abs(many[-1].astype(int) - model.generate(PROMPTS[0], seed=3 + MAX_BATCH + 1)[0]).max() <= 1


def test_seeds_are_whole_numbers(make_model):
    for seed in (1.5, [0.9], None, "7"):
        with pytest.raises(ValueError, match="give a whole number, or one for each picture"):
            make_model("dcgan").generate("a star", seed=seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_graph_is_for_batches_of_any_size_and_many_models_are_no_reason_to_warn(family, make_model, capfd):
    traced = []
    for model in (make_model(family) for _ in range(5)):
        sample = type(model).pooled_text if family in ("dcgan", "vae") else type(model).denoiser
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(model), sample.__name__, lambda *args, of=sample: traced.append(args) or of(*args))
            for num_images in (1, 3, 2):
                model.generate("a star", num_images=num_images)
    assert len(traced) == 5
    assert "retracing" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_setting_that_is_changed_on_a_model_counts_from_then_on(jit_compile, make_model, shake):
    model = shake(make_model("diffusion", jit_compile=jit_compile))
    before = model.generate("a star", seed=1, guidance_scale=4.0)
    model.guidance_rescale = 0.7
    after = model.generate("a star", seed=1, guidance_scale=4.0)
    assert not np.array_equal(before, after)
    model.guidance_rescale = 0.0
    assert np.array_equal(before, model.generate("a star", seed=1, guidance_scale=4.0))


def test_drawing_is_by_xla_or_refused(make_model):
    with pytest.raises(ValueError, match="by XLA the noise of ddpm would be other noise"):
        make_model("diffusion", jit_compile=True).generate("a star", sampler="ddpm")


def test_the_seed_of_a_run_says_what_noise_it_trains_with(make_model, batches):
    batch, noises = next(iter(batches)), []
    for seed in (0, 0, 1):
        model = make_model("vae")
        model.noise_seed = seed
        noises.append(model.step_noise(batch)["eps"].numpy())
    assert np.array_equal(noises[0], noises[1])
    assert not np.isclose(noises[0], noises[2]).any(axis=-1).any()


def test_one_negative_prompt_is_for_all_alone_or_in_a_list(make_model, shake):
    model = shake(make_model("diffusion"))
    expected = model.generate(["a star", "a ring"], seed=1, negative_prompts="red")
    assert np.array_equal(expected, model.generate(["a star", "a ring"], seed=1, negative_prompts=["red"]))


def test_what_a_prompt_says_in_vain_is_named(make_model):
    model = make_model("vae")
    with pytest.warns(PromptWarning, match=r"never saw: giraffe, crcle \(nearest: circle\)"):
        model.generate(["a red giraffe", "a blue crcle"])
    with pytest.warns(PromptWarning) as warned:
        images = model.generate(["a giraffe", "长颈鹿"], seed=[4, 5])
    assert "named in: a giraffe, 长颈鹿; drawn at random" in str(warned[1].message)
    assert np.array_equal(images, model.generate(["", ""], seed=[4, 5]))
    with pytest.warns(PromptWarning, match="longer than 24 tokens"):
        model.generate("a red circle " * 9)
    with pytest.warns(PromptWarning) as warned:
        make_model("diffusion").generate("a star", negative_prompts="a giraffe")
    assert "named in: a giraffe; of no effect as a negative prompt" in str(warned[1].message)


def test_saved_models_generate_the_same_in_a_new_process(make_model, shake, tmp_path):
    for family in FAMILIES:
        model = shake(make_model(family))
        model.save(tmp_path / f"{family}.keras")
        np.save(tmp_path / f"{family}.npy", model.generate(PROMPTS, seed=5))
    script = (
        "import sys, keras, numpy as np, tfgen\n"
        "for family in sys.argv[2:]:\n"
        "    model = keras.saving.load_model(f'{sys.argv[1]}/{family}.keras')\n"
        "    images = model.generate(['a large red circle', '一个大红圆', '', 'a blue ring', 'a star'], seed=5)\n"
        "    assert np.array_equal(images, np.load(f'{sys.argv[1]}/{family}.npy')), f'pictures of {family} differ'\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path, *FAMILIES], check=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_goes_on_from_every_optimizers_state(family, make_model, batches, tmp_path):
    model = make_model(family)
    fit(model, batches, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name in model.optimized_variables:
        old, new = getattr(model, name).variables, getattr(loaded, name).variables
        assert len(old) > 2
        for left, right in zip(old, new, strict=True):
            assert np.array_equal(left, right), left.path
        assert int(getattr(loaded, name).iterations) == 3
    batch = next(iter(batches))
    for one in (model, loaded):
        one.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False)
    # Adam makes the rounding of a vanishing gradient a small part of its step of 1e-3; lost state would be a large one.
    for left, right in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.allclose(left, right, atol=5e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_averaged_model_is_what_generates(family, make_model, shake):
    model = shake(make_model(family))
    averaged = model.averaged_model()
    assert np.array_equal(averaged.generate(PROMPTS, seed=1), model.generate(PROMPTS, seed=1))
    assert averaged.count_params() < 0.8 * model.count_params()


def test_the_average_forgets_half_in_its_half_life(make_model, batches):
    model = make_model("vae", ema_half_life=80)
    fit(model, batches, 1)
    model.optimizer.iterations.assign(10**6)  # past the quicker first steps
    for weight in model.decoder.weights:
        weight.assign(tf.zeros_like(weight))
    for weight in model.averaged_decoder.weights:
        weight.assign(tf.ones_like(weight))
    for _ in range(10):
        model.average_weights(8)
    assert np.allclose(model.averaged_decoder.weights[0], 0.5, atol=1e-4)


@pytest.mark.parametrize("family", ["dcgan", "vae", "diffusion"])  # a student's encoder learns no words
def test_dropped_captions_teach_no_words(family, make_model, batches):
    for caption_dropout, learns in ((1.0, False), (0.0, True)):
        model = make_model(family, caption_dropout=caption_dropout)
        embedding = model.text_encoder.embedding.weights[0]
        before = embedding.numpy()
        batch = next(iter(batches))
        model.update(batch, model.draw_noise(8, tf.constant([1, 2])))
        said = np.setdiff1d(batch["token_ids"], [0, *model.text_encoder.tokenizer.empty_caption()])
        assert (np.abs(embedding.numpy() - before)[said].max() > 0) == learns


@pytest.fixture(scope="session")
def two_devices():
    """One strategy for all tests: those of one process share the numbers of their collective operations, and clash."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.mark.parametrize("clipping", [{"learning_rate": 0.01}, {"learning_rate": 1.0, "global_clipnorm": 0.1}])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_devices_take_the_step_of_one(family, clipping, make_model, batches, two_devices):
    """Batch normalisation is synchronised, there is no dropout, and the noise is handed in. By plain gradient descent, as
    Adam's first step is the same whatever the gradient's scale; so is a clipped one, and half a batch's should not be clipped
    alone. Without the losses that set one caption of a device's batch against the others, of which half a batch has fewer."""
    alone = {"dcgan": {"text_conditioning": "projection"}, "vae": {"matching_weight": 0.0, "free_bits": 0.5}}

    def descending():
        model = make_model(family, **alone.get(family, {}))
        optimizers = {name: keras.optimizers.SGD(**clipping) for name in model.optimized_variables}
        model.compile(**optimizers)
        return model

    batch = next(iter(batches))
    one = descending()
    noise = one.draw_noise(8, tf.constant([1, 2]))
    tf.function(one.update)(batch, noise)
    with two_devices.scope():
        two = descending()

    def halves(values):
        return two_devices.experimental_distribute_values_from_function(
            lambda context: tf.nest.map_structure(
                lambda value: tf.split(value, 2)[context.replica_id_in_sync_group] if value.shape.rank else value, values
            )
        )

    @tf.function
    def step(batch, noise):
        return two_devices.run(two.update, (batch, noise))

    step(halves(batch), halves(noise))
    for left, right in zip(one.weights, two.weights, strict=True):
        assert np.allclose(left, right, rtol=1e-4, atol=2e-5), left.path


def test_a_variable_that_no_loss_depends_on_stays_as_it_is():
    used, unused = keras.Variable([1.0, 1.0]), keras.Variable([1.0, 1.0])
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=1.0)
    optimizer.build([used, unused])
    take_step(optimizer, [tf.constant([3.0, 4.0]), None], [used, unused])
    assert np.allclose(used, [0.4, 0.2])
    assert np.array_equal(unused, [1.0, 1.0])


def test_losses_and_metrics_that_would_not_be_used_are_refused(make_model):
    for unused in ({"loss": "mse"}, {"metrics": ["accuracy"]}):
        with pytest.raises(ValueError, match=f"leave out {next(iter(unused))}, and see"):
            make_model("vae").compile(**unused)


def test_fit_runs_on_two_devices(make_model, batches, two_devices):
    with two_devices.scope():
        model = make_model("dcgan")
    assert np.isfinite(list(fit(model, batches, 2).values())).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": []}, "list of prompts is empty"),
        ({"prompts": "a", "num_images": 0}, "whole number from 1"),
        ({"prompts": "a", "seed": [1, 2]}, "2 seeds for 1 pictures"),
        ({"prompts": "a", "steps": 0}, "from 1 to 1000"),
        ({"prompts": "a", "steps": 10**6}, "from 1 to 1000"),
        ({"prompts": "a", "guidance_scale": float("nan")}, "from 0 to 100"),
        ({"prompts": "a", "sampler": "magic"}, "choose from ddim, ddpm"),
        ({"prompts": ["a", "b"], "negative_prompts": ["a", "b", "c"]}, "3 negative prompts for 2 prompts"),
        ({"prompts": ["a", 3]}, "must be a string"),
        ({"prompts": "a" * 50_000}, "at most 20,000 characters"),
    ],
)
def test_unusable_requests_are_refused_with_the_way_out(arguments, message, make_model):
    with pytest.raises(ValueError, match=message):
        make_model("diffusion").generate(**arguments)


@pytest.mark.parametrize("family", ["dcgan", "vae"])
@pytest.mark.parametrize("setting", [{"steps": 5}, {"guidance_scale": 2.0}, {"sampler": "ddim"}, {"negative_prompts": "red"}])
def test_families_without_a_sampler_refuse_its_settings(family, setting, make_model):
    with pytest.raises(ValueError, match="in one pass"):
        make_model(family).generate("a circle", **setting)


@pytest.mark.filterwarnings("ignore::tfgen.models.image_model.PromptWarning")
@pytest.mark.parametrize("prompt", ["", " ", "\x00\x1b[31m", "🎈🎈", "مرحبا", "red " * 4000])
def test_odd_prompts_give_pictures(prompt, make_model):
    assert make_model("diffusion").generate(prompt).shape == (1, 16, 16, 3)


def test_the_automatic_choice_of_xla_is_none_on_a_cpu(make_model):
    model = make_model("vae", with_text=False)
    model.compile()
    assert model.jit_compile is False


def test_steps_samplers_guidance_and_negative_prompts_change_the_picture(make_model, shake):
    model = shake(make_model("diffusion"))
    plain = model.generate("a large red circle").astype(int)
    samplers = [{"sampler": name} for name in ("ddpm", "heun", "dpmpp_2m", "dpmpp_3m", "unipc")]
    for changed in ({"steps": 9}, {"guidance_scale": 9.0}, {"negative_prompts": "a blue ring"}, *samplers):
        assert np.abs(model.generate("a large red circle", **changed) - plain).max() > 1, changed
    ancestral = model.generate(PROMPTS[:2], sampler="ddpm", seed=4)
    assert np.abs(ancestral[1].astype(int) - model.generate(PROMPTS[1], sampler="ddpm", seed=5)[0]).max() <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_grid": "even"}, "choose from uniform, log_snr, karras"),
        ({"guidance_rescale": 1.5}, "from 0 to 1"),
        ({"guidance_interval": (0.7, 0.2)}, "the earlier first"),
    ],
)
def test_unusable_settings_of_sampling_are_refused(settings, message, make_model):
    with pytest.raises(ValueError, match=message):
        make_model("diffusion", **settings)


def test_a_model_keeps_its_settings_of_sampling(make_model, shake, tmp_path):
    model = shake(make_model("diffusion", guidance_scale=9.0, steps=2))
    pictures = [model.generate("a large red circle").astype(int)]
    changes = {"time_grid": "karras", "guidance_rescale": 1.0, "guidance_interval": (0.0, 0.9)}
    for changed in (*({name: value} for name, value in changes.items()), changes):
        other = type(model).beginning_with(model, **changed)
        pictures.append(other.generate("a large red circle").astype(int))
        assert all(np.abs(pictures[-1] - before).max() > 1 for before in pictures[:-1])
    other.save(tmp_path / "model.keras")
    assert np.array_equal(keras.saving.load_model(tmp_path / "model.keras").generate("a large red circle"), pictures[-1])


@pytest.mark.parametrize(
    ("schedule", "parameterisation"),
    [("flow", "x0"), ("flow", "flow"), ("cosine", "v"), ("linear", "eps")],
)
def test_diffusion_trains_in_every_parameterisation(schedule, parameterisation, make_model, batches):
    model = make_model("diffusion", schedule=schedule, parameterisation=parameterisation)
    losses = [fit(model, batches, 8)["loss"][0] for _ in range(2)]
    assert losses[1] < losses[0]


def test_held_out_figures_are_means_over_pictures_not_over_batches(make_model, batches):
    model = make_model("diffusion", time_shift=1e-6, caption_dropout=0)  # nearly no noise, so that a picture's place is nothing
    pictures = tf.data.Dataset.from_tensor_slices({name: value[:5] for name, value in next(iter(batches)).items()})

    def error(dataset):
        return model.evaluate(dataset, verbose=0, return_dict=True)["x0_error"]

    each = [error(pictures.skip(index).take(1).batch(1)) for index in range(5)]
    assert np.isclose(error(pictures.batch(4)), np.mean(each), rtol=1e-4)
    assert not np.isclose(np.mean([np.mean(each[:4]), each[4]]), np.mean(each), rtol=1e-3)


def test_xla_holds_or_is_refused():
    script = (
        "import tensorflow as tf\n"
        "from tfgen.models import VAE\n"
        "tf.config.experimental.enable_op_determinism()\n"
        "model = VAE(16, 1, width=4)\n"
        "model.compile()\n"
        "assert not model.jit_compile\n"
        "model.compile(jit_compile=True)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert 'give jit_compile="auto" or False' in result.stderr


@pytest.mark.parametrize("family", ["dcgan", "vae"])
def test_blocks_are_trained_and_steer_what_is_drawn(family, make_model, batches):
    model = make_model(family, num_blocks=2, ema_half_life=0)
    fit(model, batches)
    network = model.decoder if family == "vae" else model.generator
    blocks = [layer for layer in network.layers if isinstance(layer, ConditionedBlock)]
    assert len(blocks) == 2
    for block in blocks:
        drawn = model.generate("a red circle")
        block.convolution_2.kernel.assign(0 * block.convolution_2.kernel)
        block.convolution_2.bias.assign(0 * block.convolution_2.bias)
        assert not np.array_equal(drawn, model.generate("a red circle"))
    with pytest.raises(ValueError, match="num_blocks is 2, but dense networks have no blocks; give one of the two"):
        make_model(family, num_blocks=2, dense=True)


@pytest.mark.parametrize("family", ["dcgan", "vae"])
def test_drawn_pictures_are_matched_with_their_captions_by_a_network_that_learns_from_real_ones(family, make_model, batches):
    batch = next(iter(batches))

    learned = []
    for brightness in (0.0, 1.0):
        model = make_model(family, matching_weight=20.0)
        drawing = model.decoder if family == "vae" else model.generator
        last = [layer for layer in drawing.layers if layer.weights][-1]
        last.bias.assign(last.bias + brightness)  # other drawn pictures, the same real ones
        model.update(batch, model.draw_noise(8, tf.constant([1, 2])))
        learned.append(model.picture_encoder.get_weights())
    for left, right in zip(*learned, strict=True):
        assert np.array_equal(left, right)
    model = make_model(family, matching_weight=20.0)
    step = tf.function(model.update)
    first, *_, last = (step(batch, model.draw_noise(8, tf.constant([1, 2]))) for _ in range(60))
    assert last["matching_loss"] < 0.7 * first["matching_loss"]
    held_out = model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    assert np.isfinite(held_out["matching_loss"])
    if family == "vae":
        assert held_out["loss"] == pytest.approx(held_out["negative_elbo"], rel=1e-5)
    averaged = model.averaged_model()
    assert averaged.matching_weight == 0
    assert not hasattr(averaged, "picture_encoder")
    assert np.array_equal(averaged.generate("a red circle"), model.generate("a red circle"))

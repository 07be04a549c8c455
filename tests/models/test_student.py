"""What a few-step student promises beyond the other families."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.models import FewStepStudent

PROMPTS = ["a large red circle", "一个蓝色的环", ""]


def test_a_student_begins_as_its_teacher_without_guidance(make_model, shake):
    teacher = shake(make_model("diffusion", guidance_scale=1.0))
    student = FewStepStudent.of(teacher, ema_half_life=0, time_shift=1.0)
    for steps in (1, 2, 4):
        expected = teacher.generate(PROMPTS, seed=3, steps=steps)
        assert np.abs(student.generate(PROMPTS, seed=3, steps=steps).astype(int) - expected).max() <= 1


def test_a_student_may_begin_as_another(make_model, shake):
    teacher = make_model("diffusion")
    other = FewStepStudent.of(teacher, ema_half_life=0)
    shake(other.averaged_unet)
    student = FewStepStudent.of(teacher, begin_with=other, ema_half_life=0)
    np.testing.assert_array_equal(student.generate(PROMPTS, seed=3), other.generate(PROMPTS, seed=3))
    assert student.keeps_teacher
    wider = FewStepStudent.of(make_model("diffusion", channels=(32,)), ema_half_life=0)
    with pytest.raises(ValueError, match="begin with one that it taught"):
        FewStepStudent.of(teacher, begin_with=wider)


@pytest.fixture
def apart(make_model, shake):
    """A student whose first step is learned apart, and the one that it begins as."""
    teacher = shake(make_model("diffusion"))
    other = FewStepStudent.of(teacher, ema_half_life=0)
    shake(other.averaged_unet)
    student = FewStepStudent.of(teacher, begin_with=other, first_step_apart=True, ema_half_life=20)
    student.compile(keras.optimizers.Adam(1e-3), fake_optimizer=keras.optimizers.Adam(1e-3))
    return student, other


def drawn_in(model, counts=(1, 2, 4)):
    return [model.generate(PROMPTS, seed=3, steps=steps) for steps in counts]


def test_learning_a_first_step_apart_leaves_the_others_as_they_are(apart, batches, tmp_path):
    student, other = apart
    begun = drawn_in(student)
    np.testing.assert_array_equal(begun[0], other.generate(PROMPTS, seed=3, steps=1))
    later = [weight.numpy() for weight in student.later_unet.weights]
    assert all(map(np.array_equal, later, other.averaged_unet.get_weights()))
    student.fit(batches, steps_per_epoch=5, shuffle=False, verbose=0)
    drawn = drawn_in(student)
    assert all((one != before).any() for one, before in zip(drawn, begun, strict=True))
    assert all(map(np.array_equal, later, student.later_unet.get_weights()))
    student.averaged_model().save(tmp_path / "model.keras")
    np.testing.assert_array_equal(drawn_in(keras.saving.load_model(tmp_path / "model.keras")), drawn)


def test_a_path_begins_with_the_network_of_the_first_step_and_goes_on_with_the_other(apart):
    student, _ = apart
    assert student.sampling_times(2) == pytest.approx(student.sampling_times(4)[[0, 3, 4]])
    in_one, *begun = drawn_in(student)
    for weight in student.later_unet.weights:
        weight.assign_add(0.1 * tf.ones_like(weight))
    np.testing.assert_array_equal(student.generate(PROMPTS, seed=3, steps=1), in_one)
    longer = drawn_in(student, (2, 4))
    assert all((one != before).any() for one, before in zip(longer, begun, strict=True))
    for weight in student.averaged_unet.weights:
        weight.assign_add(0.1 * tf.ones_like(weight))
    assert (student.generate(PROMPTS, seed=3, steps=1) != in_one).any()
    assert all((one != before).any() for one, before in zip(drawn_in(student, (2, 4)), longer, strict=True))
    assert student.attention_maps("a red star").maps.shape[0] == 4


def test_a_first_step_is_learned_apart_from_where_it_had_come(apart, make_model, shake):
    student, other = apart
    for weight in student.averaged_unet.weights:
        weight.assign_add(0.1 * tf.ones_like(weight))
    teacher = shake(make_model("diffusion"))
    further = FewStepStudent.of(teacher, begin_with=student, first_step_apart=True, ema_half_life=0)
    np.testing.assert_array_equal(drawn_in(further), drawn_in(student))
    together = FewStepStudent.of(teacher, begin_with=student, ema_half_life=0)
    np.testing.assert_array_equal(drawn_in(together), drawn_in(other))
    with pytest.raises(ValueError, match="give one as begin_with"):
        FewStepStudent.of(teacher, first_step_apart=True)


def test_a_student_has_the_network_of_its_teacher_and_learns_plain_guidance(make_model):
    teacher = make_model("diffusion")
    for other in ({"num_heads": 1}, {"schedule": "cosine"}, {"num_blocks": 2}, {"channels": [32]}):
        with pytest.raises(TypeError, match="in the model whose weights are taken; leave it out"):
            FewStepStudent.of(teacher, **other)
    with pytest.raises(ValueError, match="a student learns plain guidance"):
        FewStepStudent.of(make_model("diffusion", guidance_rescale=0.7))


def off_dark_and_bright(model, steps):
    """How far 64 pictures, which should be all dark or all bright, are from that at the mean."""
    levels = model.generate([""], num_images=64, seed=5, steps=steps).mean(axis=(1, 2, 3)) / 127.5 - 1
    return np.mean(np.abs(np.abs(levels) - 0.8))


@pytest.mark.long
def test_in_one_step_it_draws_what_its_teacher_draws_in_many(make_model, batches):
    """Whatever is asked for is dark or bright at random: at first sight of noise the teacher can only say grey."""
    teacher = make_model("diffusion", ema_half_life=0, guidance_scale=1.0)
    teacher.compile(keras.optimizers.Adam(3e-3))

    def dark_or_bright(index, batch):
        levels = tf.where(tf.random.stateless_uniform([8, 1, 1, 1], [index, 0]) < 0.5, -0.8, 0.8)
        return {**batch, "image": levels + tf.zeros_like(batch["image"])}

    teacher.fit(batches.enumerate().map(dark_or_bright), steps_per_epoch=300, shuffle=False, verbose=0)
    off_in_one = off_dark_and_bright(teacher, 1)
    assert off_dark_and_bright(teacher, 30) < 0.25 * off_in_one
    student = FewStepStudent.of(teacher, ema_half_life=0)
    student.compile(keras.optimizers.Adam(5e-4), fake_optimizer=keras.optimizers.Adam(2e-3))
    kept = [*student.text_encoder.weights, *student.teacher_unet.weights]
    before = [weight.numpy() for weight in kept]
    student.fit(batches, steps_per_epoch=600, shuffle=False, verbose=0)
    for steps in (1, 4):
        assert off_dark_and_bright(student, steps) < 0.5 * off_in_one
    assert all(map(np.array_equal, before, kept))


def test_without_its_teacher_it_draws_and_says_that_it_cannot_be_trained(make_model, batches):
    finished = make_model("student").averaged_model()
    assert finished.generate("a star").shape == (1, 16, 16, 3)
    finished.compile()
    for learn in (finished.fit, finished.evaluate):
        with pytest.raises(ValueError, match=r"FewStepStudent\.of\(teacher\)"):
            learn(batches.take(1), verbose=0, **({"shuffle": False} if learn == finished.fit else {}))


@pytest.mark.parametrize(("matched", "steps"), [(0, 1), (2, 2), (3, 4)])
def test_it_is_trained_where_its_own_steps_lead_when_it_draws(matched, steps, make_model, shake, batches):
    """The last step of one, of two and of four, in training and in the picture."""
    batch = next(iter(batches))
    student = shake(make_model("student", ema_half_life=0, steps=steps, time_shift=2.0))
    drawn = student.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    noise = {**student.draw_noise(8, tf.constant([0, 0])), "matched": tf.constant(matched), "empty": tf.zeros([8], tf.bool)}
    trained = student.update(batch, noise)
    for name in ("distance", "fake_loss"):
        assert float(trained[name]) == pytest.approx(drawn[name], rel=1e-4)


def test_a_first_step_apart_is_trained_as_it_draws(apart, batches):
    student, _ = apart
    student.steps, batch = 1, next(iter(batches))
    drawn = student.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    noise = {**student.draw_noise(8, tf.constant([0, 0])), "empty": tf.zeros([8], tf.bool)}
    trained = student.update(batch, noise)
    for name in ("distance", "fake_loss"):
        assert float(trained[name]) == pytest.approx(drawn[name], rel=1e-4)


@pytest.mark.parametrize("followed", range(5))
def test_a_step_that_is_its_teachers_has_no_error(followed, make_model, shake, batches, monkeypatch):
    monkeypatch.setattr("tfgen.models.student._SHORT_STEPS", 1)
    student = FewStepStudent.of(shake(make_model("diffusion")), ema_half_life=0)
    student.compile(fake_optimizer="adam")
    noise = {**student.draw_noise(8, tf.constant([0, 0])), "followed": tf.constant(followed), "guidance_scale": tf.ones([8])}
    of_one = student.update(next(iter(batches)), noise)
    assert float(of_one["path_error"]) < 1e-6
    monkeypatch.setattr("tfgen.models.student._SHORT_STEPS", 3)
    assert float(student.update(next(iter(batches)), noise)["path_error"]) > 1e-4


def test_its_teachers_short_steps_begin_and_end_where_a_step_of_its_own_does(make_model):
    student = make_model("student")
    for num_steps in (2, 4):
        times = student.sampling_times(num_steps)
        for step in range(num_steps):
            short = student._short_steps(step, num_steps)
            assert short[[0, -1]] == pytest.approx(times[step : step + 2])
            assert (np.diff(short) < 0).all()


def test_its_steps_come_where_its_teachers_path_leads(make_model, shake, batches):
    """Of a teacher that has learned nothing, with weights shaken, and so with a path that bends."""
    student = FewStepStudent.of(shake(make_model("diffusion")), ema_half_life=0)
    student.compile(keras.optimizers.Adam(1e-3), fake_optimizer=keras.optimizers.Adam(1e-3))
    some = tf.data.Dataset.from_tensors(next(iter(batches)))
    before = student.evaluate(some, verbose=0, return_dict=True)["path_error"]
    student.fit(batches, steps_per_epoch=200, shuffle=False, verbose=0)
    assert student.evaluate(some, verbose=0, return_dict=True)["path_error"] < 0.7 * before


def test_in_one_step_it_keeps_the_colors_of_its_four_place_by_place(make_model, shake, batches, monkeypatch):
    """Without that it would be far off: the two networks say nothing yet, for both are as at the beginning."""
    monkeypatch.setattr("tfgen.models.student._SHORT_STEPS", 1)
    student = FewStepStudent.of(shake(make_model("diffusion")), ema_half_life=0)
    student.compile(keras.optimizers.Adam(1e-3), fake_optimizer=keras.optimizers.SGD(0.0))

    def off_color():
        pictures = [student.generate("a star", num_images=32, steps=steps) for steps in (1, 4)]
        one, four = (images.reshape(32, 4, 4, 4, 4, 3).mean(axis=(2, 4)) for images in pictures)
        return np.abs(one - four).mean()

    before, batch = off_color(), next(iter(batches))
    for step in range(60):
        noise = {**student.draw_noise(8, tf.constant([step, 0])), "matched": tf.constant(0), "guidance_scale": tf.ones([8])}
        student.update(batch, noise)
    assert off_color() < 1.3 * before  # 1.6 times, if the mean color alone were kept


def test_outside_its_interval_a_student_is_not_guided(make_model, shake):
    student = shake(make_model("student"))
    of_config = {**student.get_config(), "text_encoder": student.text_encoder}

    def guided_in(earliest, latest):
        other = FewStepStudent(**{**of_config, "guidance_interval": (earliest, latest)})
        other.set_weights(student.get_weights())
        return other

    never, before_the_last = guided_in(0.01, 0.02), guided_in(0.5, 1.0)
    turned = {"negative_prompts": "yellow"}
    unguided = student.generate(PROMPTS, seed=3, guidance_scale=1.0)
    np.testing.assert_array_equal(never.generate(PROMPTS, seed=3), unguided)
    np.testing.assert_array_equal(never.generate(PROMPTS, seed=3, **turned), unguided)
    np.testing.assert_array_equal(drawn_in(before_the_last, (1, 2)), drawn_in(student, (1, 2)))
    in_four = before_the_last.generate(PROMPTS, seed=3)
    assert (in_four != student.generate(PROMPTS, seed=3)).any()
    assert (in_four != unguided).any()


def test_guidance_is_an_input_and_a_negative_prompt_turns_the_picture(make_model, shake):
    student = shake(make_model("student"))
    usual = student.generate(PROMPTS, seed=1, guidance_scale=3.0)
    assert (usual != student.generate(PROMPTS, seed=1, guidance_scale=6.0)).any()
    turned = student.generate(PROMPTS, seed=1, guidance_scale=3.0, negative_prompts=["yellow", "", ""])
    assert (usual[0] != turned[0]).any()
    assert np.array_equal(usual[1:], turned[1:])
    assert np.array_equal(
        student.generate(PROMPTS, seed=1, guidance_scale=1.0),
        student.generate(PROMPTS, seed=1, guidance_scale=1.0, negative_prompts="yellow"),
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"steps": 3}, "in 1, 2 or 4"), ({"steps": 50}, "in 1, 2 or 4"), ({"sampler": "heun"}, "leave it out")],
)
def test_it_draws_as_it_has_learned_and_no_other_way(settings, message, make_model):
    with pytest.raises(ValueError, match=message):
        make_model("student").generate("a star", **settings)


def test_a_finished_student_keeps_its_settings(make_model):
    assert make_model("student", max_loss_weight=7.0).averaged_model().max_loss_weight == 7.0


def test_its_words_look_somewhere(make_model):
    found = make_model("student").attention_maps("a red star")
    assert found.maps.shape[:2] == (4, len(found.words))

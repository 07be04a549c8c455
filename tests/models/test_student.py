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


def test_it_learns_which_picture_a_noise_is(make_model, batches):
    """Of a few pairs it learns by heart what comes of them, by one step and by four."""
    batch = next(iter(batches))
    pairs = tf.data.Dataset.from_tensors(batch)
    student = make_model("student", channels=(16, 16), ema_half_life=100)
    student.compile(keras.optimizers.Adam(3e-3))
    read = student.text_encoder.get_weights()
    student.fit(pairs.repeat(), steps_per_epoch=300, shuffle=False, verbose=0)
    assert all(map(np.array_equal, read, student.text_encoder.get_weights()))  # it reads as its teacher does
    other = {**batch, "noise": tf.reverse(batch["noise"], [0])}  # the same captions, of other noise
    for steps in (1, 4):
        student.steps = steps
        learned = student.evaluate(pairs, verbose=0, return_dict=True)["x0_error"]
        assert learned < 0.5 * student.evaluate(tf.data.Dataset.from_tensors(other), verbose=0, return_dict=True)["x0_error"]
        assert learned < 0.05


@pytest.mark.parametrize(("task", "steps"), [(0, 1), (1, 2), (4, 4)])
def test_it_learns_from_where_its_own_steps_lead_when_it_draws(task, steps, make_model, shake, batches):
    """The last step of each path, in training and in the picture."""
    batch = next(iter(batches))
    student = shake(make_model("student", ema_half_life=0, steps=steps, time_shift=2.0))
    drawn = student.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    trained = student.update(batch, {"task": tf.constant(task)})
    assert float(trained["x0_error"]) == pytest.approx(drawn["x0_error"], rel=1e-4)


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


def test_its_words_look_somewhere(make_model):
    found = make_model("student").attention_maps("a red star")
    assert found.maps.shape[:2] == (4, len(found.words))

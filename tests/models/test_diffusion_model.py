"""What the diffusion model that ships shows of its work."""

import numpy as np
import pytest
from PIL import Image

import tfgen
from tfgen import plotting
from tfgen.models.layers import PixelTextAttention


@pytest.fixture(scope="module")
def found():
    model = tfgen.load_model("shapes-diffusion")
    return model.attention_maps("a large red circle in the top left on a white background", seed=3, steps=10)


def test_words_look_where_they_are_drawn(found):
    assert found.maps.shape == (10, len(found.words), 8, 8)
    assert found.images.shape == (10, 32, 32, 3)
    assert found.words[:4] == ["[CLS]", "a", "large", "red"]
    assert np.all(np.diff(found.times) < 0)
    at_the_end = dict(zip(found.words, found.maps[-1], strict=True))
    top_left = np.zeros((8, 8), bool)
    top_left[:4, :4] = True
    assert at_the_end["circle"][top_left].mean() > 5 * at_the_end["circle"][~top_left].mean()
    red = (found.images[-1, ..., 0] > 150) & (found.images[-1, ..., 1] < 100)
    assert red[:16, :16].sum() > 50
    assert red[16:, 16:].sum() == 0


@pytest.mark.parametrize(
    "settings",
    [{"time_grid": "karras"}, {"sampler": "unipc"}, {"sampler": "ddpm"}, {"channels": (16,), "patch_size": 4, "num_blocks": 3}],
)
def test_the_picture_whose_attention_is_shown_is_the_one_that_is_drawn(settings, make_model):
    model = make_model("diffusion", **settings)
    drawn = model.generate("a red star", seed=3)[0].astype(int)
    assert np.abs(model.attention_maps("a red star", seed=3).images[-1] - drawn).max() <= 1


@pytest.mark.parametrize(("channels", "places"), [((8, 16), ["down_1_0", "up_1_0"]), ((16,), ["down_0_0"])])
def test_words_are_asked_at_the_coarsest_grid_but_never_right_before_the_output(channels, places, make_model):
    layers = make_model("diffusion", channels=channels).unet.layers
    found = [layer.name for layer in layers if isinstance(layer, PixelTextAttention)]
    assert found == [f"{place}_attention" for place in places]


def test_attention_is_shown_word_by_word(found, tmp_path):
    plotting.attention_page(found, tmp_path / "page.png", num_steps=3)
    with Image.open(tmp_path / "page.png") as page:
        assert page.width > page.height > 200

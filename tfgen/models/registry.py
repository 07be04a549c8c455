"""Finding and loading trained models."""

import os
import warnings
import zipfile
from pathlib import Path

import keras
import tensorflow as tf

from tfgen import text  # noqa: F401  registers what a saved model may hold
from tfgen.models import dcgan, diffusion, optimizers, student, vae  # noqa: F401
from tfgen.models.image_model import ImageModel

DEFAULT_MODEL = "shapes-student"


def model_folders():
    """Folders that hold shipped models, in the order they are searched: $TFGEN_MODELS, the clone, the installed wheel."""
    package = Path(__file__).resolve().parent.parent
    places = [os.environ.get("TFGEN_MODELS"), package.parent / "saved_models", package / "saved_models"]
    return [Path(place) for place in places if place and Path(place).is_dir()]


def _shipping(file):
    """Names of the folders that ship with such a file in them, with the folders."""
    found = {}
    for place in model_folders():
        for folder in sorted(place.iterdir()):
            if (folder / file).is_file():
                found.setdefault(folder.name, folder)
    return found


def shipped_models():
    """Names of the models that ship, with their folders."""
    return _shipping("model.keras")


def shipped_presets():
    """Names of the text presets that ship, with their folders."""
    return _shipping("tokenizer.json")


def find_preset(name_or_path):
    """The folder of a text preset that ships under a name; any other name or path as it is, for keras-nlp to find."""
    return shipped_presets().get(str(name_or_path), name_or_path)


def find_model(name_or_path):
    """The folder or .keras file that a name or path means.

    Raises:
        ValueError: there is none; names those that ship.
    """
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    if (path.suffix == ".keras" and path.is_file()) or (path / "model.keras").is_file():
        return path
    if path.is_dir():
        raise ValueError(f"{path} holds no model.keras; give a folder that `tfgen train` wrote")
    raise ValueError(
        f"no model {str(name_or_path)!r}; these ship: {', '.join(shipped) or 'none'}; or give the path of a model's folder"
    )


def absolute_name_or_path(name_or_path):
    """A name or path that means the same model from any folder."""
    return str(name_or_path) if str(name_or_path) in shipped_models() else os.path.abspath(name_or_path)


def load_image_model(name_or_path):
    """`load_model` of a model that draws.

    Raises:
        ValueError: it draws nothing, or does not load.
    """
    model = load_model(name_or_path)
    if not isinstance(model, ImageModel):
        raise ValueError(f"{name_or_path} makes no pictures; give another model (see `tfgen info`)")
    return model


def load_model(name_or_path=DEFAULT_MODEL):
    """Load a model that ships, or one of your own.

    Args:
        name_or_path: a name as in saved_models/, a folder as `tfgen train` writes it, or a .keras file.

    Returns:
        A `keras.Model`, ready to `generate`.

    Raises:
        ValueError: there is no such model, or its file cannot be read by this version.
    """
    path = find_model(name_or_path)
    file = path / "model.keras" if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            whole = zipfile.is_zipfile(opened)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    if not whole:
        raise ValueError(f"{file} is damaged or incomplete; copy it again, or train it again from its settings.toml")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras would leave what it does not find as it is, with a warning
            warnings.filterwarnings("ignore", "Layer .* was passed an input with a mask")  # keras-nlp's T5
            return keras.saving.load_model(file)
    except Exception as error:
        is_of_the_machine = isinstance(error, MemoryError | tf.errors.ResourceExhaustedError)
        if is_of_the_machine or (isinstance(error, OSError) and error.errno):  # such as a full disk, as Keras unpacks the file
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file} does not load with this version of tfgen (see `tfgen info`): {reason}") from error

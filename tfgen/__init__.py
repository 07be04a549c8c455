"""Image generation in TensorFlow/Keras, steered by a prompt: DCGAN, VAE and diffusion.

    import tfgen
    model = tfgen.load_model("shapes-student")
    images = model.generate("a large red circle on a blue background", seed=7)

Importing it registers every class that a saved model may hold, so that `keras.saving.load_model` finds them. The command
line does without until a command needs them: TensorFlow takes seconds to import, `tfgen --help` should not.
"""

import importlib
import os
import sys

__version__ = "0.1.0"

# TensorFlow, which reads this when it is imported, leaves its oneDNN kernels off on processors without AVX-512, where a U-Net
# trains and draws faster with them too; benchmarks/processor.py compares them.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_PUBLIC = {
    "DCGAN": "models",
    "VAE": "models",
    "TextToImageDiffusion": "models",
    "FewStepStudent": "models",
    "load_model": "models",
    "build_tokenizer": "text",
    "TransformerTextEncoder": "text",
    "check_environment": "environment",
}
_MODULES = (
    "callbacks", "data", "diffusion", "evaluation", "export", "metrics", "models", "plotting", "text",
    "training",
)  # fmt: skip

__all__ = [*_PUBLIC, *_MODULES]


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"tfgen.{_PUBLIC[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"tfgen.{name}")
    raise AttributeError(f"module 'tfgen' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


if os.path.basename(sys.argv[0] if sys.argv else "") not in ("tfgen", "tfgen.exe"):
    importlib.import_module("tfgen.models")

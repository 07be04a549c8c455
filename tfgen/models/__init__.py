"""The model families, one file each, and the judge."""

from tfgen.models.dcgan import DCGAN
from tfgen.models.diffusion import TextToImageDiffusion
from tfgen.models.judge import build_judge
from tfgen.models.registry import load_model
from tfgen.models.student import FewStepStudent
from tfgen.models.vae import VAE

__all__ = ["DCGAN", "VAE", "FewStepStudent", "TextToImageDiffusion", "build_judge", "load_model"]

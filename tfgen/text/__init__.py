"""From a prompt to token embeddings, a mask and one pooled vector."""

from tfgen.text.encoders import TransformerTextEncoder
from tfgen.text.tokenizer import CaptionTokenizer, build_tokenizer

__all__ = ["CaptionTokenizer", "TransformerTextEncoder", "build_tokenizer"]

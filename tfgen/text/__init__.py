"""From a prompt to token embeddings, a mask and one pooled vector."""

from tfgen.text.encoders import TextEncoder, TransformerTextEncoder
from tfgen.text.normalization import normalize, normalize_text
from tfgen.text.presets import PresetTextEncoder, PresetTokenizer, load_preset_encoder, text_network
from tfgen.text.pretraining import pretrain_bert
from tfgen.text.tokenizer import CaptionTokenizer, build_tokenizer
from tfgen.text.word_vectors import WordVectorEncoder, build_word_vector_encoder, load_word_vectors, train_word_vectors
from tfgen.text.words import STOP_WORDS, WordTokenizer, preprocess

__all__ = [
    "STOP_WORDS",
    "CaptionTokenizer",
    "PresetTextEncoder",
    "PresetTokenizer",
    "TextEncoder",
    "TransformerTextEncoder",
    "WordTokenizer",
    "WordVectorEncoder",
    "build_tokenizer",
    "build_word_vector_encoder",
    "load_preset_encoder",
    "load_word_vectors",
    "normalize",
    "normalize_text",
    "preprocess",
    "pretrain_bert",
    "text_network",
    "train_word_vectors",
]

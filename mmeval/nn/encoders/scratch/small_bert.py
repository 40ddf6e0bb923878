"""A small BERT over bytes, without pretrained weights."""

from __future__ import annotations

from mmeval.errors import MissingExtraError, UserError
from mmeval.nn.encoder import TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.encoders.name import EncoderName
from mmeval.nn.encoders.tokens import ByteTokenizer

HEAD_WIDTH = 32


def build_text(name: EncoderName, frozen: bool) -> TextEncoder:
    """Build ``small-bert[:LAYERSxWIDTH]``, with the option ``length``."""
    name.check_options("length")
    layers, width = name.sizes("2x128", "LAYERS", "WIDTH")
    if width % HEAD_WIDTH:
        raise UserError(f'"{name.full}": WIDTH must be a multiple of {HEAD_WIDTH}.')
    if name.integer("length", 64, 512) < 3:
        raise UserError(f'"{name.full}": length must be at least 3: a text stands between two special tokens.')
    name.require_training("text", frozen)
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        raise MissingExtraError(f"The text encoder {name.full}", "transformers", "models") from None
    tokenizer, length = ByteTokenizer(), name.integer("length", 64, 512)
    config = BertConfig(
        vocab_size=tokenizer.size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD_WIDTH,
        intermediate_size=4 * width,
        max_position_embeddings=512,
        pad_token_id=tokenizer.special.pad,
    )
    return BertEncoder(name.full, BertModel(config), tokenizer, TextInput(length, tokenizer.name))

"""A small BERT over bytes that trains from nothing."""

from __future__ import annotations

from mmeval.errors import MissingExtraError, UserError
from mmeval.nn.encoder import TextEncoder, TextInput
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.encoders.name import Named
from mmeval.nn.encoders.tokens import ByteTokenizer

HEAD = 32


def text(named: Named, frozen: bool) -> TextEncoder:
    """``small-bert[:LAYERSxWIDTH]``, with the option ``length``."""
    named.only("length")
    layers, width = named.sizes("2x128", "LAYERS", "WIDTH")
    if width % HEAD:
        raise UserError(f'"{named.full}": WIDTH must be a multiple of {HEAD}.')
    if named.number("length", 64, 512) < 3:
        raise UserError(f'"{named.full}": length must be at least 3: a text stands between two special tokens.')
    if frozen:
        raise UserError(f'The text encoder "{named.full}" starts from nothing: frozen, it would say nothing.')
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        raise MissingExtraError(f"The text encoder {named.full}", "transformers", "models") from None
    tokenizer, length = ByteTokenizer(), named.number("length", 64, 512)
    config = BertConfig(
        vocab_size=tokenizer.size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD,
        intermediate_size=4 * width,
        max_position_embeddings=512,
        pad_token_id=tokenizer.special.pad,
    )
    return BertEncoder(named.full, BertModel(config), tokenizer, TextInput(length, tokenizer.name))

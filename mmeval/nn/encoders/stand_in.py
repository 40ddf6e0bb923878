"""A stand-in for published tokenizers, for models with random weights only.

With a random word table, any tokenization will do that is deterministic, tells texts apart, has the special tokens at
their published ids, and stays within the vocabulary. With published weights its ids would mean other words, so only
``weights=random`` uses it, and the encoder's ``input`` shows the name of its class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmeval.nn.encoders.architectures import Words

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def tokenizer(words: Words, vocabulary: int) -> Any:  # noqa: ANN401 - transformers' own class
    """Return a tokenizer of transformers whose pieces are bytes, pairs of letters, and characters of two bytes.

    Args:
        words: special tokens and their ids; a text is put between ``start`` and ``end``.
        vocabulary: number of ids; pieces are spread evenly over the ids that are not special.
    """
    from transformers import PreTrainedTokenizerFast

    class StandInTokenizer(PreTrainedTokenizerFast):
        """Has a name that tells it from the published tokenizer."""

    names = {
        "pad_token": words.pad,
        "eos_token": words.end,
        "sep_token": words.end,
        "bos_token": words.start,
        "cls_token": words.start,
        "unk_token": words.unknown,
        "mask_token": words.mask,
    }
    return StandInTokenizer(  # type: ignore[no-untyped-call]
        tokenizer_object=_backend(words, vocabulary),
        model_max_length=words.length,
        padding_side="right",
        truncation_side="right",
        **{name: pair[0] for name, pair in names.items() if pair},
    )


def save_tokenizer(folder: Path, words: Words, vocabulary: int) -> Path:
    """Write the tokenizer into ``folder``, for libraries that load tokenizers from one; returns ``folder``."""
    from transformers import PreTrainedTokenizerFast

    stand_in = tokenizer(words, vocabulary)
    plain = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=stand_in.backend_tokenizer, model_max_length=words.length, **stand_in.special_tokens_map
    )
    plain.save_pretrained(folder)
    return folder


def _backend(words: Words, vocabulary: int) -> Any:  # noqa: ANN401 - tokenizers' own class
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    special = dict(pair for pair in (words.pad, words.end, words.start, words.unknown, words.mask) if pair)
    reserved = {*special.values(), *words.others}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _pairs(vocabulary - len(reserved) - len(alphabet))
    pieces = [*alphabet, *(first + second for first, second in merges)]
    free = [number for number in range(vocabulary) if number not in reserved]
    ids = {piece: free[number * (len(free) - 1) // (len(pieces) - 1)] for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=ids | special, merges=merges, fuse_unk=False))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    frame = [words.start, words.end]
    backend.post_processor = processors.TemplateProcessing(
        single=" ".join([words.start[0], "$A", words.end[0]] if words.start else ["$A", words.end[0]]),
        pair=None,
        special_tokens=list(dict.fromkeys(pair for pair in frame if pair)),
    )
    return backend


def _pairs(limit: int) -> list[tuple[str, str]]:
    """Return at most ``limit`` merges: characters of two bytes, then pairs of letters, then a space before a letter."""
    character_of = _characters()
    characters = [
        (character_of[lead], character_of[follow]) for lead in range(0xC3, 0xE0) for follow in range(0x80, 0xC0)
    ]
    letters = [(first, second) for first in LETTERS for second in LETTERS]
    return [*characters, *letters, *((character_of[ord(" ")], letter) for letter in LETTERS)][:limit]


def _characters() -> dict[int, str]:
    """Return the character by which a byte-level tokenizer shows each byte (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + number) for number, byte in enumerate(others)}

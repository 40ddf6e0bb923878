"""A stand-in for a published tokenizer: texts -> ids of its vocabulary, for models of random weights and no others.

A word table of random weights knows no words, so any cut of a text will do that is always the same, keeps texts apart,
has the special tokens at their published ids and stays within the vocabulary. With published weights the ids would mean
other words: nothing but ``weights=random`` asks for it, and the class's name stands in the encoder's ``input``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmeval.nn.encoders.architectures import Words

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def tokenizer(words: Words, vocabulary: int) -> Any:  # noqa: ANN401 - transformers' own class
    """A tokenizer of transformers: bytes, joined to pairs of letters and to characters of two bytes.

    Args:
        words: special tokens and their ids; a text is framed by ``start`` and ``end``.
        vocabulary: ids there are; those of pieces are spread evenly over what the special tokens leave.
    """
    from transformers import PreTrainedTokenizerFast

    class StandInTokenizer(PreTrainedTokenizerFast):
        """Named so that nobody takes it for the published one."""

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


def written(folder: Path, words: Words, vocabulary: int) -> Path:
    """The same in a folder, as a library reads tokenizers."""
    from transformers import PreTrainedTokenizerFast

    made = tokenizer(words, vocabulary)
    plain = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made.backend_tokenizer, model_max_length=words.length, **made.special_tokens_map
    )
    plain.save_pretrained(folder)
    return folder


def _backend(words: Words, vocabulary: int) -> Any:  # noqa: ANN401 - tokenizers' own class
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    special = dict(pair for pair in (words.pad, words.end, words.start, words.unknown, words.mask) if pair)
    taken = {*special.values(), *words.others}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    joined = _pairs(vocabulary - len(taken) - len(alphabet))
    pieces = [*alphabet, *(first + second for first, second in joined)]
    free = [number for number in range(vocabulary) if number not in taken]
    ids = {piece: free[number * (len(free) - 1) // (len(pieces) - 1)] for number, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocab=ids | special, merges=joined, fuse_unk=False))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    frame = [words.start, words.end]
    made.post_processor = processors.TemplateProcessing(
        single=" ".join([words.start[0], "$A", words.end[0]] if words.start else ["$A", words.end[0]]),
        pair=None,
        special_tokens=list(dict.fromkeys(pair for pair in frame if pair)),
    )
    return made


def _pairs(room: int) -> list[tuple[str, str]]:
    """At most ``room`` pairs that are joined: characters of two bytes, then letters, then a space before a letter."""
    shown = _characters()
    characters = [(shown[lead], shown[follow]) for lead in range(0xC3, 0xE0) for follow in range(0x80, 0xC0)]
    letters = [(first, second) for first in LETTERS for second in LETTERS]
    return [*characters, *letters, *((shown[ord(" ")], letter) for letter in LETTERS)][:room]


def _characters() -> dict[int, str]:
    """The character by which a byte-level tokenizer shows each byte (GPT-2's table): itself where it can be seen."""
    seen = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + number) for number, byte in enumerate(unseen)}

"""The stand-in tokenizer: ids are in the vocabulary, deterministic, and spread over it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import BERT_BASE, MT5_SMALL, XLMR_BASE, Architecture
from mmeval.nn.encoders.huggingface.tokenizer import PublishedTokenizer

ARCHITECTURES = {"bert": BERT_BASE, "xlm-r": XLMR_BASE, "mt5": MT5_SMALL}
TOKENIZERS = {name: stand_in.tokenizer(value.words, value.vocabulary) for name, value in ARCHITECTURES.items()}
SPECIAL = {"bert": ([101], [102]), "xlm-r": ([0], [2]), "mt5": ([], [1])}
"""Ids before and after a text."""
PINNED = {
    "bert": [883, 23014, 2391, 12437, 12502, 12610, 12361],
    "xlm-r": [7202, 188500, 19555, 101850, 102384, 103272, 101228],
}


@pytest.mark.parametrize("name", ARCHITECTURES)
@given(text=st.text(alphabet=st.characters(), max_size=40))
def test_any_text_becomes_ids_of_the_vocabulary(name: str, text: str) -> None:
    start, end = SPECIAL[name]
    (row,) = PublishedTokenizer(TOKENIZERS[name], 512).rows([text])
    assert row[: len(start)] == start
    assert row[-1:] == end
    inner = row[len(start) : -1]
    assert all(0 <= number < ARCHITECTURES[name].vocabulary for number in inner)
    special = {
        pair[1]
        for pair in (ARCHITECTURES[name].words.pad, ARCHITECTURES[name].words.end, ARCHITECTURES[name].words.start)
        if pair
    }
    assert not special & set(inner)
    assert TOKENIZERS[name].decode(inner) == text.encode("utf-8", "replace").decode()


def test_ids_are_the_same_on_every_machine() -> None:
    """A saved model with random weights depends on these ids, so they are pinned."""
    assert TOKENIZERS["bert"]("red кръг")["input_ids"] == [101, *PINNED["bert"], 102]
    assert TOKENIZERS["xlm-r"]("red кръг")["input_ids"] == [0, *PINNED["xlm-r"], 2]


def test_letters_and_two_byte_characters_are_merged() -> None:
    """Texts are then not much longer than with a subword tokenizer."""
    assert len(TOKENIZERS["xlm-r"]("червен кръг")["input_ids"]) - 2 == 10 + 1
    assert len(TOKENIZERS["xlm-r"]("retention")["input_ids"]) - 2 <= 5


def test_ids_are_spread_over_the_vocabulary() -> None:
    """High ids must occur, so that an embedding table that is too small fails."""
    ids = sorted(TOKENIZERS["xlm-r"].get_vocab().values())
    assert ids[-2] > 250_000 - 200
    assert max(b - a for a, b in itertools.pairwise(ids)) < 200


def test_class_name_tells_it_from_published_tokenizers() -> None:
    assert type(TOKENIZERS["bert"]).__name__ == "StandInTokenizer"


def test_small_vocabulary_has_fewer_pairs() -> None:
    small = Architecture("bert", {"vocab_size": 400}, BERT_BASE.words)
    tokenizer = stand_in.tokenizer(small.words, small.vocabulary)
    ids = list(tokenizer.get_vocab().values())
    assert len(ids) == len(set(ids))
    assert max(ids) < 400

"""The stand-in for a published tokenizer: any text, ids of the vocabulary, the same on every machine."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmeval.nn.encoders import stand_in
from mmeval.nn.encoders.architectures import BERT_BASE, MT5_SMALL, XLMR_BASE, Architecture
from mmeval.nn.encoders.huggingface.tokenizer import PublishedTokenizer

KEPT = {"bert": BERT_BASE, "xlm-r": XLMR_BASE, "mt5": MT5_SMALL}
CUT = {name: stand_in.tokenizer(one.words, one.vocabulary) for name, one in KEPT.items()}
SPECIAL = {"bert": ([101], [102]), "xlm-r": ([0], [2]), "mt5": ([], [1])}
"""Ids before and behind a text."""
PINNED = {
    "bert": [883, 23014, 2391, 12437, 12502, 12610, 12361],
    "xlm-r": [7202, 188500, 19555, 101850, 102384, 103272, 101228],
}


@pytest.mark.parametrize("name", KEPT)
@given(text=st.text(alphabet=st.characters(), max_size=40))
def test_any_text_becomes_ids_of_the_vocabulary(name: str, text: str) -> None:
    start, end = SPECIAL[name]
    (row,) = PublishedTokenizer(CUT[name], 512).rows([text])
    assert row[: len(start)] == start
    assert row[-1:] == end
    inner = row[len(start) : -1]
    assert all(0 <= number < KEPT[name].vocabulary for number in inner)
    special = {pair[1] for pair in (KEPT[name].words.pad, KEPT[name].words.end, KEPT[name].words.start) if pair}
    assert not special & set(inner)
    assert CUT[name].decode(inner) == text.encode("utf-8", "replace").decode()


def test_ids_are_the_same_on_every_machine() -> None:
    """Else a model of random weights that was saved here would read other words there."""
    assert CUT["bert"]("red кръг")["input_ids"] == [101, *PINNED["bert"], 102]
    assert CUT["xlm-r"]("red кръг")["input_ids"] == [0, *PINNED["xlm-r"], 2]


def test_letters_and_characters_of_two_bytes_are_joined() -> None:
    """Texts are then not much longer than a subword tokenizer makes them."""
    assert len(CUT["xlm-r"]("червен кръг")["input_ids"]) - 2 == 10 + 1
    assert len(CUT["xlm-r"]("retention")["input_ids"]) - 2 <= 5


def test_ids_are_spread_over_the_vocabulary() -> None:
    """A table that is too small must fail, not pass for want of high ids."""
    ids = sorted(CUT["xlm-r"].get_vocab().values())
    assert ids[-2] > 250_000 - 200
    assert max(b - a for a, b in itertools.pairwise(ids)) < 200


def test_its_name_says_what_it_is() -> None:
    assert type(CUT["bert"]).__name__ == "StandInTokenizer"


def test_a_small_vocabulary_has_fewer_pairs() -> None:
    small = Architecture("bert", {"vocab_size": 400}, BERT_BASE.words)
    cut = stand_in.tokenizer(small.words, small.vocabulary)
    ids = list(cut.get_vocab().values())
    assert len(ids) == len(set(ids))
    assert max(ids) < 400

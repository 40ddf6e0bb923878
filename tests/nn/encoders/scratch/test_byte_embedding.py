"""Bytes as vectors: the text input of Perceiver IO."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmeval import UserError
from mmeval.nn import text_encoder

TEXTS = ["red apple", "Красное яблоко", "赤い🍎", ""]


def test_ids_are_those_of_the_references_tokenizer() -> None:
    """Other ids would make weights of elsewhere useless, and cut characters in half of the scripts."""
    from transformers import PerceiverTokenizer

    reference: Any = PerceiverTokenizer()
    ids, mask = text_encoder("bytes:64x8").tokenize(TEXTS)
    expected = reference(TEXTS, padding="longest")
    assert ids.tolist() == expected["input_ids"]
    assert mask.tolist() == [[bool(one) for one in row] for row in expected["attention_mask"]]


def test_vectors_are_those_of_the_references_preprocessor() -> None:
    """Byte plus position, at any length."""
    from transformers import PerceiverConfig
    from transformers.models.perceiver.modeling_perceiver import PerceiverTextPreprocessor

    reference: Any = PerceiverTextPreprocessor(PerceiverConfig(d_model=8, max_position_embeddings=64))
    encoder: Any = text_encoder("bytes:64x8")
    encoder.bytes.load_state_dict(reference.embeddings.state_dict())
    encoder.positions.load_state_dict(reference.position_embeddings.state_dict())
    ids, mask = encoder.tokenize(TEXTS)
    torch.testing.assert_close(encoder.encode(ids, mask).tokens, reference(ids)[0], rtol=0, atol=0)


def test_a_text_is_encoded_alike_beside_any_other() -> None:
    encoder = text_encoder("bytes:16x8")
    together = encoder.encode(*encoder.tokenize([*TEXTS, "a" * 100]))
    for row, text in enumerate(TEXTS):
        alone = encoder.encode(*encoder.tokenize([text]))
        torch.testing.assert_close(together.pooled[row], alone.pooled[0])
        torch.testing.assert_close(together.tokens[row][together.mask[row]], alone.tokens[0])


def test_a_text_that_is_too_long_keeps_its_end_mark() -> None:
    ids, mask = text_encoder("bytes:6x8").tokenize(["abcdefgh"])
    assert ids.tolist() == [[4, *(ord(c) + 6 for c in "abcd"), 5]]
    assert mask.all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bytes:2x8", "LENGTH must be from 3 to 65536"),
        ("bytes:8", "write LENGTHxWIDTH"),
        ("bytes:8x8?length=3", 'no option "length"; it has none'),
    ],
)
def test_a_size_that_does_not_fit_is_refused(name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        text_encoder(name)


def test_bytes_that_learned_nothing_can_not_be_frozen() -> None:
    with pytest.raises(UserError, match="starts from nothing: frozen, it would say nothing"):
        text_encoder("bytes:8x8", frozen=True)

"""Byte embeddings, the text input of Perceiver IO."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmeval import UserError
from mmeval.nn import text_encoder

TEXTS = ["red apple", "Красное яблоко", "赤い🍎", ""]


def test_ids_match_the_reference_tokenizer() -> None:
    """Other ids would make published weights useless."""
    from transformers import PerceiverTokenizer

    reference: Any = PerceiverTokenizer()
    ids, mask = text_encoder("bytes:64x8").tokenize(TEXTS)
    expected = reference(TEXTS, padding="longest")
    assert ids.tolist() == expected["input_ids"]
    assert mask.tolist() == [[bool(value) for value in row] for row in expected["attention_mask"]]


def test_vectors_match_the_reference_preprocessor() -> None:
    """Byte embedding plus position embedding, at any length."""
    from transformers import PerceiverConfig
    from transformers.models.perceiver.modeling_perceiver import PerceiverTextPreprocessor

    reference: Any = PerceiverTextPreprocessor(PerceiverConfig(d_model=8, max_position_embeddings=64))
    encoder: Any = text_encoder("bytes:64x8")
    encoder.bytes.load_state_dict(reference.embeddings.state_dict())
    encoder.positions.load_state_dict(reference.position_embeddings.state_dict())
    ids, mask = encoder.tokenize(TEXTS)
    torch.testing.assert_close(encoder.encode(ids, mask).tokens, reference(ids)[0], rtol=0, atol=0)


def test_encoding_does_not_depend_on_the_batch() -> None:
    encoder = text_encoder("bytes:16x8")
    together = encoder.encode(*encoder.tokenize([*TEXTS, "a" * 100]))
    for row, text in enumerate(TEXTS):
        alone = encoder.encode(*encoder.tokenize([text]))
        torch.testing.assert_close(together.pooled[row], alone.pooled[0])
        torch.testing.assert_close(together.tokens[row][together.mask[row]], alone.tokens[0])


def test_truncated_text_keeps_its_end_token() -> None:
    ids, mask = text_encoder("bytes:6x8").tokenize(["abcdefgh"])
    assert ids.tolist() == [[4, *(ord(c) + 6 for c in "abcd"), 5]]
    assert mask.all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bytes:2x8", "LENGTH must be from 3 to 65536"),
        ("bytes:8", "write LENGTHxWIDTH"),
        ("bytes:8x8?length=3", 'no option "length"; it has none'),
    ],
)
def test_invalid_sizes_raise_user_error(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        text_encoder(name)


def test_untrained_encoder_cannot_be_frozen() -> None:
    with pytest.raises(UserError, match="has no pretrained weights, so it can't be frozen"):
        text_encoder("bytes:8x8", frozen=True)

"""M-CLIP's text towers, loaded in their published format without their package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmeval.errors import MissingWeightsError, UserError
from mmeval.nn.encoders.huggingface.m_clip import build_text
from mmeval.nn.encoders.name import EncoderName
from tests.hub.tiny import tokenizer

TEXTS = ["a red shirt for you", "rot", "赤い シャツ"]


def published(folder: Path, base: str = "xlm-roberta-large") -> tuple[Any, torch.nn.Linear]:
    """Write a tiny model in M-CLIP's format; returns the base model and the linear layer."""
    import transformers

    torch.manual_seed(0)
    words = tokenizer("<s>", "</s>", length=512)
    xlm = "xlm" in base
    config = (transformers.XLMRobertaConfig if xlm else transformers.BertConfig)(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=34,
        type_vocab_size=1,
        layer_norm_eps=1e-5 if xlm else 1e-12,
        pad_token_id=1 if xlm else 0,
    )
    model = (transformers.XLMRobertaModel if xlm else transformers.BertModel)(config).eval()
    layer = torch.nn.Linear(64, 24)
    state = {f"transformer.{name}": value for name, value in model.state_dict().items()}
    state["transformer.embeddings.position_ids"] = torch.arange(34)[None]  # as older versions saved it
    state |= {f"LinearTransformation.{name}": value for name, value in layer.state_dict().items()}
    torch.save(state, folder / "pytorch_model.bin")
    content = {"modelBase": base, "model_type": "M-CLIP", "numDims": 24, "transformerDimensions": 64}
    words.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(content))
    return model, layer


def named(folder: Path, options: str = "") -> EncoderName:
    return EncoderName.parse(f"m-clip:{folder}{options}")


@pytest.mark.parametrize("base", ["xlm-roberta-large", "sentence-transformers/LaBSE"])
def test_pooled_is_the_projected_mean_of_the_states(tmp_path: Path, base: str) -> None:
    """M-CLIP takes the mean over the mask, then the linear layer, and normalises nothing."""
    model, layer = published(tmp_path, base)
    encoder = build_text(named(tmp_path), True)
    assert (encoder.width, encoder.published, encoder.input.length) == (24, False, 32 if "xlm" in base else 34)
    with torch.inference_mode():
        ids, mask = encoder.tokenize(TEXTS)
        encoded = encoder.encode(ids, mask)
        states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weights = mask[:, :, None].float()
        expected = layer((states * weights).sum(1) / weights.sum(1))
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-6)
    assert encoded.tokens.shape == (3, ids.shape[1], 24)
    mean = (encoded.tokens * weights).sum(1) / weights.sum(1)
    torch.testing.assert_close(encoded.pooled, mean, rtol=1e-4, atol=1e-5)
    assert encoded.pooled.norm(dim=1).std() > 1e-3


def test_tokens_match_the_published_tokenizer(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    published(tmp_path)
    reference = PreTrainedTokenizerFast.from_pretrained(tmp_path)  # reads tokenizer.json, whatever the class
    ids, mask = build_text(named(tmp_path), True).tokenize(TEXTS)
    for row, row_mask, text in zip(ids, mask, TEXTS, strict=True):
        assert row[row_mask].tolist() == reference(text)["input_ids"]
    short, _ = build_text(named(tmp_path, "?length=4"), True).tokenize(TEXTS)
    assert short.shape[1] == 4
    assert short[0].tolist() == reference(TEXTS[0], truncation=True, max_length=4)["input_ids"]


def test_encoding_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    published(tmp_path)
    encoder = build_text(named(tmp_path), True)
    with torch.inference_mode():
        together = encoder.encode(*encoder.tokenize(TEXTS)).pooled
        alone = encoder.encode(*encoder.tokenize(TEXTS[1:2])).pooled
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-6)


def test_encoder_has_blocks(tmp_path: Path) -> None:
    """Frozen layers and layer-wise learning rates need them."""
    published(tmp_path)
    assert len(build_text(named(tmp_path), False).blocks()) == 3


def test_folder_without_m_clips_files_is_refused(tmp_path: Path) -> None:
    published(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(MissingWeightsError, match="does not hold the files that M-CLIP publishes"):
        build_text(named(tmp_path), True)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(MissingWeightsError, match="does not hold the files that M-CLIP publishes"):
        build_text(named(tmp_path), True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m-clip:./nowhere", '"m-clip:./nowhere": there is no folder nowhere.'),
        (
            "m-clip:M-CLIP/Nobody?weights=random",
            '"m-clip:M-CLIP/Nobody?weights=random": weights=random is supported for '
            "M-CLIP/XLM-Roberta-Large-Vit-B-32, M-CLIP/XLM-Roberta-Large-Vit-L-14, "
            "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus only.",
        ),
    ],
)
def test_invalid_names_raise_user_error(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        build_text(EncoderName.parse(name), True)
    assert str(caught.value) == message

"""M-CLIP's text towers: read as they are published, without the package that publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmeval.errors import MissingWeightsError, UserError
from mmeval.nn.encoders.huggingface.m_clip import text
from mmeval.nn.encoders.name import Named
from tests.hub.tiny import tokenizer

TEXTS = ["a red shirt for you", "rot", "赤い シャツ"]


def published(folder: Path, base: str = "xlm-roberta-large") -> tuple[Any, torch.nn.Linear]:
    """A tiny model in M-CLIP's format; the base model, and the layer behind it."""
    import transformers

    torch.manual_seed(0)
    cut = tokenizer("<s>", "</s>", length=512)
    xlm = "xlm" in base
    config = (transformers.XLMRobertaConfig if xlm else transformers.BertConfig)(
        vocab_size=len(cut),
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
    said = {"modelBase": base, "model_type": "M-CLIP", "numDims": 24, "transformerDimensions": 64}
    cut.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(said))
    return model, layer


def named(folder: Path, options: str = "") -> Named:
    return Named.parse(f"m-clip:{folder}{options}")


@pytest.mark.parametrize("base", ["xlm-roberta-large", "sentence-transformers/LaBSE"])
def test_an_embedding_is_the_projected_mean_of_the_states(tmp_path: Path, base: str) -> None:
    """M-CLIP's own computation: mean over the mask, then the linear layer; nothing is normalised."""
    model, layer = published(tmp_path, base)
    encoder = text(named(tmp_path), True)
    assert (encoder.width, encoder.published, encoder.input.length) == (24, False, 32 if "xlm" in base else 34)
    with torch.inference_mode():
        ids, mask = encoder.tokenize(TEXTS)
        found = encoder.encode(ids, mask)
        states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        weights = mask[:, :, None].float()
        expected = layer((states * weights).sum(1) / weights.sum(1))
    torch.testing.assert_close(found.pooled, expected, rtol=1e-5, atol=1e-6)
    assert found.tokens.shape == (3, ids.shape[1], 24)
    mean = (found.tokens * weights).sum(1) / weights.sum(1)
    torch.testing.assert_close(found.pooled, mean, rtol=1e-4, atol=1e-5)
    assert found.pooled.norm(dim=1).std() > 1e-3


def test_texts_are_cut_as_the_published_tokenizer_cuts_them(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    published(tmp_path)
    cut = PreTrainedTokenizerFast.from_pretrained(tmp_path)  # as tokenizer.json has it, whatever the class
    ids, mask = text(named(tmp_path), True).tokenize(TEXTS)
    for row, kept, one in zip(ids, mask, TEXTS, strict=True):
        assert row[kept].tolist() == cut(one)["input_ids"]
    short, _ = text(named(tmp_path, "?length=4"), True).tokenize(TEXTS)
    assert short.shape[1] == 4
    assert short[0].tolist() == cut(TEXTS[0], truncation=True, max_length=4)["input_ids"]


def test_a_text_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    published(tmp_path)
    encoder = text(named(tmp_path), True)
    with torch.inference_mode():
        together = encoder.encode(*encoder.tokenize(TEXTS)).pooled
        alone = encoder.encode(*encoder.tokenize(TEXTS[1:2])).pooled
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-6)


def test_its_depth_is_known(tmp_path: Path) -> None:
    """Else layers can't be frozen, nor learn at rates of their own."""
    published(tmp_path)
    assert len(text(named(tmp_path), False).blocks()) == 3


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    published(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(MissingWeightsError, match="does not hold what M-CLIP publishes"):
        text(named(tmp_path), True)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(MissingWeightsError, match="does not hold what M-CLIP publishes"):
        text(named(tmp_path), True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m-clip:./nowhere", '"m-clip:./nowhere": there is no folder nowhere.'),
        (
            "m-clip:M-CLIP/Nobody?weights=random",
            '"m-clip:M-CLIP/Nobody?weights=random": its sizes are not known without its weights; those of '
            "M-CLIP/XLM-Roberta-Large-Vit-B-32, M-CLIP/XLM-Roberta-Large-Vit-L-14, "
            "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus are.",
        ),
    ],
)
def test_a_bad_name_is_refused(name: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        text(Named.parse(name), True)
    assert str(caught.value) == said

"""A folder says itself what is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmeval import UserError
from mmeval.nn import image_encoder, text_encoder
from mmeval.nn.encoders.name import Named
from tests.hub import tiny


@pytest.mark.parametrize(("family", "kind"), [("vit", "HubImage"), ("clip", "HubImage"), ("timm_model", "TimmImage")])
def test_a_folder_is_read_by_the_library_that_wrote_it(family: str, kind: str) -> None:
    encoder = image_encoder(f"local:{tiny.folder(family)}")
    assert type(encoder).__name__ == kind
    assert encoder.name == f"local:{tiny.folder(family)}"
    assert not encoder.published  # by name nobody else has it, so a saved model holds its weights
    assert encoder.fixed() == set()


@pytest.mark.parametrize(
    ("files", "reader", "modality"),
    [
        (["config.json", "modules.json"], "sentence_transformer", "text"),
        (["open_clip_config.json"], "open_clip_towers", "image"),
        (["open_clip_config.json", "config.json"], "hf_image", "image"),
        (["config.json"], "hf_text", "text"),
    ],
)
def test_where_several_could_read_it_the_one_that_says_most_does(
    files: list[str], reader: str, modality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of sentence-transformers holds one of transformers, without its pooling and projection."""
    for name in files:
        (tmp_path / name).write_text(json.dumps({"model_type": "bert"}))
    seen: list[Named] = []

    def made(named: Named, frozen: bool) -> None:
        seen.append(named)
        raise UserError("stop")

    monkeypatch.setattr(f"mmeval.nn.encoders.{reader}.{modality}", made)
    with pytest.raises(UserError, match="stop"):
        (image_encoder if modality == "image" else text_encoder)(f"local:{tmp_path}?length=9")
    assert (seen[0].rest, seen[0].options) == (str(tmp_path), {"length": "9"})


def test_another_reader_may_be_asked_for() -> None:
    """The transformers model in a folder of sentence-transformers, to be a trunk."""
    folder = tiny.folder("xlm_roberta")
    assert text_encoder(f"local:{folder}?as=hf&length=9").input.length == 9


def test_a_folder_may_be_under_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tiny.copy("bert", tmp_path / "bert")
    own, same = text_encoder("local:~/bert"), text_encoder(f"local:{tiny.folder('bert')}")
    for key, value in same.state_dict().items():
        assert torch.equal(own.state_dict()[key], value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^\"local:\": write local:PATH\.$"):
        text_encoder("local:")
    with pytest.raises(UserError, match=rf'^"local:{tmp_path}/none": there is no folder {tmp_path}/none\.$'):
        image_encoder(f"local:{tmp_path}/none")
    (tmp_path / "config.json").write_text("not JSON")
    with pytest.raises(UserError) as error:
        image_encoder(f"local:{tmp_path}")
    assert str(error.value) == (
        f'"local:{tmp_path}": the folder holds no model: there is neither modules.json, nor a config.json of '
        "transformers or timm, nor open_clip_config.json."
    )
    with pytest.raises(UserError, match="as=tf; write st or hf or open_clip or timm"):
        image_encoder(f"local:{tmp_path}?as=tf")
    with pytest.raises(UserError, match="the folder holds a model of timm, which has no text encoder"):
        text_encoder(f"local:{tiny.folder('timm_model')}")


def test_a_folder_does_not_look_for_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model out of a folder is loaded, and predicts, where there is none."""
    from mmeval.nn.encoders import weights

    monkeypatch.setattr(weights, "_has_address", lambda host: pytest.fail(f"looked for {host}"))
    source = weights.Source("local:x", str(tmp_path), None, local=True, random=False)
    with weights.fetching(source):
        pass

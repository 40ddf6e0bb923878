"""``local:`` encoders: the library is recognised by the files of the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmeval import UserError
from mmeval.nn import image_encoder, text_encoder
from mmeval.nn.encoders.name import EncoderName
from tests.hub import tiny


@pytest.mark.parametrize(("family", "kind"), [("vit", "HubImage"), ("clip", "HubImage"), ("timm_model", "TimmImage")])
def test_folder_is_loaded_with_the_library_that_wrote_it(family: str, kind: str) -> None:
    encoder = image_encoder(f"local:{tiny.folder(family)}")
    assert type(encoder).__name__ == kind
    assert encoder.name == f"local:{tiny.folder(family)}"
    assert not encoder.published  # it can't be downloaded again, so a saved model holds its weights
    assert encoder.restorable_state() == set()


@pytest.mark.parametrize(
    ("files", "module", "modality"),
    [
        (["config.json", "modules.json"], "sentence_transformers.load", "text"),
        (["open_clip_config.json"], "open_clip.load", "image"),
        (["open_clip_config.json", "config.json"], "huggingface.image", "image"),
        (["config.json"], "huggingface.text", "text"),
    ],
)
def test_most_specific_library_is_preferred(
    files: list[str], module: str, modality: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of sentence-transformers holds one of transformers, without its pooling and projection."""
    for name in files:
        (tmp_path / name).write_text(json.dumps({"model_type": "bert"}))
    seen: list[EncoderName] = []

    def build(name: EncoderName, frozen: bool) -> None:
        seen.append(name)
        raise UserError("stop")

    monkeypatch.setattr(f"mmeval.nn.encoders.{module}.build_{modality}", build)
    with pytest.raises(UserError, match="stop"):
        (image_encoder if modality == "image" else text_encoder)(f"local:{tmp_path}?length=9")
    assert (seen[0].argument, seen[0].options) == (str(tmp_path), {"length": "9"})


def test_option_as_selects_the_library() -> None:
    """With ``as=hf`` the transformers model in a folder of sentence-transformers can be a trunk."""
    folder = tiny.folder("xlm_roberta")
    assert text_encoder(f"local:{folder}?as=hf&length=9").input.length == 9


def test_tilde_in_the_path_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tiny.copy("bert", tmp_path / "bert")
    own, same = text_encoder("local:~/bert"), text_encoder(f"local:{tiny.folder('bert')}")
    for key, value in same.state_dict().items():
        assert torch.equal(own.state_dict()[key], value)


def test_missing_or_unreadable_folder_raises_user_error(tmp_path: Path) -> None:
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


def test_loading_from_a_folder_uses_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the address of the Hub is looked up."""
    from mmeval.nn.encoders import weights

    monkeypatch.setattr(weights, "_has_address", lambda host: pytest.fail(f"looked for {host}"))
    source = weights.WeightsSource("local:x", str(tmp_path), None, local=True, random=False)
    with weights.fetching(source):
        pass

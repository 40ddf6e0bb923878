"""Image encoders of transformers: the model's own outputs, with its published preprocessing."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmeval import UserError
from mmeval.data.images import decode_batch
from mmeval.data.store import Store
from mmeval.engine.embeddings import image_embeddings
from mmeval.errors import MissingExtraError, MissingWeightsError
from mmeval.nn import ImageEncoder, image_encoder
from tests.hub import hub, tiny

ALONE = ["vit", "dinov2", "resnet", "swin"]
TOWERS = ["clip", "metaclip2", "siglip"]


def local(family: str, options: str = "") -> ImageEncoder:
    return image_encoder(f"local:{tiny.folder(family)}{options}").eval()


def published(family: str) -> Any:
    import transformers

    return transformers.AutoModel.from_pretrained(tiny.folder(family)).eval()


def pixels(encoder: ImageEncoder, count: int = 3) -> Tensor:
    seeded = torch.Generator().manual_seed(0)
    size = (count, 3, encoder.input.height, encoder.input.width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=seeded)


@pytest.mark.parametrize("family", ALONE)
def test_tokens_match_the_model_without_class_and_register_tokens(family: str) -> None:
    encoder, model = local(family), published(family)
    images = pixels(encoder)
    with torch.no_grad():
        states = model(pixel_values=encoder.input.normalise(images)).last_hidden_state
        encoded = encoder.encode(images)
    if family == "resnet":
        expected, pooled = states.flatten(2).transpose(1, 2), states.mean((2, 3))
    else:
        prefix = {"vit": 1, "dinov2": 4, "swin": 0}[family]
        expected, pooled = states[:, prefix:], states[:, 0] if prefix else states.mean(1)
    assert encoded.mask.all()
    torch.testing.assert_close(encoded.tokens, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoded.pooled, pooled, rtol=1e-5, atol=1e-5)
    assert encoder.width == pooled.shape[1]


@pytest.mark.parametrize("family", TOWERS)
def test_image_features_match_the_model(family: str) -> None:
    """transformers 5 returns them in an object instead of a tensor."""
    encoder, model = local(family), published(family)
    images = pixels(encoder)
    with torch.no_grad():
        out = model.get_image_features(pixel_values=encoder.input.normalise(images))
        encoded = encoder.encode(images)
    expected = out if torch.is_tensor(out) else out.pooler_output
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-5)
    assert encoded.tokens.shape == (3, 16, expected.shape[1])
    if family != "siglip":
        with torch.no_grad():
            patches = model.vision_model.post_layernorm(out.last_hidden_state[:, 1:])
            torch.testing.assert_close(encoded.tokens, model.visual_projection(patches), rtol=1e-5, atol=1e-5)


def test_features_returned_as_a_tensor_are_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers before 5 returned a tensor."""
    encoder: Any = local("clip")
    images = pixels(encoder)
    expected = encoder.encode(images).pooled
    original = encoder.model.get_image_features
    monkeypatch.setattr(encoder.model, "get_image_features", lambda **inputs: original(**inputs).pooler_output)
    encoded = encoder.encode(images)
    assert encoded.tokens.shape == (3, 1, encoder.width)
    assert torch.equal(encoded.pooled, expected)


@pytest.mark.parametrize("family", ["vit", "dinov2", "resnet", "clip", "siglip"])
def test_preprocessing_matches_the_published_processor(family: str) -> None:
    """Size, crop, interpolation, mean and std are equal up to the rounding of pixels."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(tiny.folder(family), backend="pil")
    encoder = local(family)
    gradient = np.add.outer(np.arange(90), np.arange(90)) % 90 * 2
    image = Image.fromarray(np.stack([gradient, gradient[::-1], gradient // 2], 2).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    read = encoder.input
    images = decode_batch([file.getvalue()], (read.height, read.width), read.interpolation, read.crop)
    expected = processor(image, return_tensors="pt")["pixel_values"]
    assert expected.shape == images.shape
    step = 1 / 255 / min(read.std)
    torch.testing.assert_close(read.normalise(images), expected, rtol=0, atol=1.01 * step)


def test_declared_input_is_the_published_one() -> None:
    vit, dino, resnet, clip = (local(family).input for family in ("vit", "dinov2", "resnet", "clip"))
    assert (vit.interpolation, vit.crop, vit.mean) == ("bilinear", 0.0, (0.5, 0.5, 0.5))
    assert (dino.interpolation, dino.crop) == ("bicubic", 32 / 36)
    assert resnet.crop == 0.875  # ConvNeXT's rule below 384 pixels
    assert clip.crop == 1.0
    assert clip.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ({"size": 48}, (48, 0.0, 0.5)),  # a plain number, as in older files
        ({"size": {"height": 48, "width": 48}, "do_normalize": False}, (48, 0.0, 0.0)),
        ({"size": {"height": 48, "width": 48}, "rescale_factor": 1 / 127.5}, (48, 0.0, 0.25)),
    ],
)
def test_other_forms_of_preprocessor_config_are_read(
    tmp_path: Path, published: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    folder = tiny.copy("vit", tmp_path / "vit")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **published}))
    read = image_encoder(f"local:{folder}").input
    assert (read.height, read.crop, read.mean[0]) == expected


@pytest.mark.parametrize("family", ["vit", "clip", "siglip", "dinov2", "resnet"])
def test_option_size_changes_the_image_size(family: str) -> None:
    encoder = local(family, "?size=96")
    encoded = encoder.encode(pixels(encoder))
    assert encoded.tokens.shape == (3, 12 * 12, encoder.width)
    assert encoder.input.height == encoder.input.width == 96


@pytest.mark.parametrize("family", ALONE + TOWERS)
def test_every_parameter_is_used(family: str) -> None:
    encoder = local(family)
    encoded = encoder.encode(pixels(encoder))
    (encoded.pooled.square().sum() + encoded.tokens.square().sum()).backward()
    assert [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []
    frozen = [name for name, p in encoder.named_parameters() if not p.requires_grad]
    assert frozen == (["model.embeddings.mask_token"] if family == "dinov2" else [])


@pytest.mark.parametrize("family", ["vit", "resnet", "clip"])
def test_frozen_encoder_runs_once_per_image(family: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached vectors and tokens equal the encoder's output, and another encoder with the same weights reads them."""
    rows = np.arange(5)
    first = image_encoder(f"local:{tiny.folder(family)}", frozen=True, tokens=True)
    image_embeddings(first, store, rows, torch.device("cpu"))
    again = image_encoder(f"local:{tiny.folder(family)}", frozen=True, tokens=True)
    read = first.input
    images = decode_batch([store.image(row) for row in rows], (read.height, read.width), read.interpolation, read.crop)
    expected = first.encode(images)
    monkeypatch.setattr(type(again), "encode", lambda *_: pytest.fail("encoded again"))
    embeddings = image_embeddings(again, store, rows, torch.device("cpu"))
    torch.testing.assert_close(torch.from_numpy(embeddings.gather(rows)), expected.pooled, rtol=1e-4, atol=1e-5)
    tokens, mask = embeddings.gather_tokens(rows)
    assert mask.all()
    torch.testing.assert_close(tokens, expected.tokens, rtol=1e-2, atol=1e-2)


def test_published_encoder_need_not_be_saved(capsys: pytest.CaptureFixture[str]) -> None:
    with hub({"some/vit": tiny.folder("vit"), "some/clip": tiny.folder("clip")}) as server:
        for name in ("vit", "clip"):
            encoder = image_encoder(f"hf:some/{name}", frozen=True)
            assert encoder.published
            assert encoder.restorable_state() == set(encoder.state_dict())
            for key, value in local(name).state_dict().items():
                assert torch.equal(encoder.state_dict()[key], value)
        assert image_encoder(f"hf:some/vit?revision={server.commit('some/vit')}").published
        assert not image_encoder("hf:some/vit?weights=random").published
        with pytest.raises(MissingWeightsError, match="could not be loaded: the Hub has no model some/none"):
            image_encoder("hf:some/none")
    assert capsys.readouterr() == ("", "")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match='The image encoder hf:a/b needs the package "transformers"'):
        image_encoder("hf:a/b")


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("vit", "?size=60", "size=60; write a multiple of its patches of 8 pixels"),
        ("vit", "?pool=cls", 'this encoder has no option "pool"; it has size, weights'),
        ("bert", "", "bert takes no images of a fixed size"),
        ("resnet", "?size=0", "size=0; write a whole number from 1 to 2048"),
    ],
)
def test_unsupported_names_raise_user_error(family: str, options: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        image_encoder(f"local:{tiny.folder(family)}{options}")
    assert sentence in str(error.value)


def test_folder_without_preprocessor_config_is_refused(tmp_path: Path) -> None:
    """A guessed preprocessing would silently change all scores."""
    folder = tiny.copy("vit", tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises((UserError, MissingWeightsError), match=r"preprocessor_config\.json"):
        image_encoder(f"local:{folder}")

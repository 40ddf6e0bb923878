"""Encoders of sentence-transformers match its own ``encode``, except for SigLIP, where that depends on the batch.

All models are tiny, with random weights, and saved by the library.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmeval import Tuning, UserError
from mmeval.errors import MissingWeightsError
from mmeval.nn import Encoded, ImageEncoder, TextEncoder, image_encoder, text_encoder
from mmeval.nn.tuning import lr_multipliers

WORDS = ["query", ":", "red", "dress", "big", "blue", "shoe", "of", "leather", "for", "men", "and", "women"]
TEXTS = ["red dress", "big blue shoe of leather for men and women", "shoe"]
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TOWERS = ["clip", "siglip"]


@contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def tokenizer(length: int, framed: bool = True) -> Any:
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[UNK]", "[MASK]"]
    ids = {word: i for i, word in enumerate([*special, *WORDS])} | {"[SEP]": 39}
    backend = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if framed:
        ends = [("[CLS]", 1), ("[SEP]", 39)]
        backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=length,
    )


def bert(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=40, max_position_embeddings=32, **SMALL)).save_pretrained(folder)
    tokenizer(32).save_pretrained(folder)


def clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    torch.manual_seed(0)
    ids = {"vocab_size": 40, "max_position_embeddings": 16, "eos_token_id": 39, "bos_token_id": 1, "pad_token_id": 0}
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=SMALL | ids, vision_config=vision, projection_dim=24)).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(images, tokenizer(16)).save_pretrained(folder)


def siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    torch.manual_seed(0)
    ids = {"vocab_size": 40, "max_position_embeddings": 64, "projection_size": 32}
    ids |= {"eos_token_id": 39, "bos_token_id": 1, "pad_token_id": 0}
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=SMALL | ids, vision_config=vision)).save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(images, tokenizer(64, framed=False)).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("st")
    folders = {"bert": root / "bert", "clip": root / "clip", "siglip": root / "siglip"}
    with quiet():
        bert(folders["bert"])
        clip(folders["clip"])
        siglip(folders["siglip"])
        for name in ("linear", "tanh", "both", "e5"):
            folders[name] = root / name
            sentence_model(name, folders["bert"]).save(str(folders[name]))
    return folders


def sentence_model(name: str, folder: Path) -> Any:
    """Return a text model with one of the published combinations of modules."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    torch.manual_seed(0)
    first = Transformer(str(folder))
    mean = Pooling(32, "mean")
    parts = {
        "linear": [first, mean, Dense(32, 16, bias=False, activation_function=nn.Identity())],  # multilingual CLIP
        "tanh": [first, mean, Dense(32, 16, activation_function=nn.Tanh())],  # distiluse
        "both": [first, Pooling(32, ("cls", "mean"))],
        "e5": [first, mean, Normalize()],
    }[name]
    prompts = {"query": "query : ", "passage": "for : "} if name == "e5" else {}
    default = "query" if name == "e5" else None
    return SentenceTransformer(modules=parts, device="cpu", prompts=prompts, default_prompt_name=default)


def loaded(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    with quiet():
        return SentenceTransformer(str(folder), device="cpu")


def texts_of(folder: Path, options: str = "", **how: Any) -> TextEncoder:
    return text_encoder(f"local:{folder}?as=st{options}", **how).eval()


def images_of(folder: Path, **how: Any) -> ImageEncoder:
    return image_encoder(f"local:{folder}?as=st", **how).eval()


def encoded(encoder: TextEncoder, *texts: str) -> Encoded:
    with torch.no_grad():
        return encoder.encode(*encoder.tokenize(texts))


def pixels(count: int = 2) -> torch.Tensor:
    seed = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=seed)


@pytest.mark.parametrize("name", ["bert", "linear", "tanh", "both", "e5", "clip"])
def test_text_vectors_match_the_library(folders: dict[str, Path], name: str) -> None:
    """This covers prompt, pooling, dense layers and normalisation."""
    encoder, model = texts_of(folders[name]), loaded(folders[name])
    output = encoded(encoder, *TEXTS)
    torch.testing.assert_close(output.pooled, torch.from_numpy(model.encode(TEXTS)), rtol=1e-5, atol=1e-5)
    assert output.tokens.shape == (*output.mask.shape, encoder.width)
    assert output.pooled.shape == (3, encoder.width)
    if name == "e5":
        assert encoder.input.prefix == "query : "
        other = texts_of(folders[name], "&prompt=passage")
        expected = torch.from_numpy(model.encode(TEXTS, prompt_name="passage"))
        torch.testing.assert_close(encoded(other, *TEXTS).pooled, expected, rtol=1e-5, atol=1e-5)
        bare = torch.from_numpy(model.encode(TEXTS, prompt=""))
        torch.testing.assert_close(encoded(texts_of(folders[name], "&prompt=none"), *TEXTS).pooled, bare)


@pytest.mark.parametrize("name", ["bert", "linear"])
def test_pooled_vector_is_the_mean_of_the_tokens(folders: dict[str, Path], name: str) -> None:
    """A linear layer after the pooling is applied to tokens too, so that they share the space of the pooled vector."""
    output = encoded(texts_of(folders[name]), *TEXTS)
    weights = output.mask[:, :, None].float()
    torch.testing.assert_close((output.tokens * weights).sum(1) / weights.sum(1), output.pooled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TOWERS)
def test_image_vectors_match_the_library(folders: dict[str, Path], name: str) -> None:
    encoder, model = images_of(folders[name]), loaded(folders[name])
    images = pixels()
    as_pillow = [Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())) for image in images]
    with torch.no_grad():
        output = encoder.encode(images)
    torch.testing.assert_close(output.pooled, torch.from_numpy(model.encode(as_pillow)), rtol=1e-5, atol=1e-5)
    assert output.tokens.shape == (2, 16, encoder.width)  # without the class token
    read = encoder.input
    assert (read.height, read.width, read.interpolation) == (32, 32, "bicubic")
    assert (read.crop, read.mean[0]) == ((1.0, 0.48145466) if name == "clip" else (0.0, 0.5))


def test_siglip_reads_64_positions_without_a_mask(folders: dict[str, Path]) -> None:
    """As in training. The library pads to the longest text, so that a text's vector depends on its batch."""
    from transformers import AutoModel

    encoder = texts_of(folders["siglip"])
    ids, mask = encoder.tokenize(TEXTS)
    assert (encoder.input.length, encoder.input.padding, encoder.input.masked) == (64, "length", False)
    assert ids.shape == (3, 64)
    assert mask.sum(1).tolist() == [2, 9, 1]
    reference = AutoModel.from_pretrained(folders["siglip"]).eval()
    with torch.no_grad():
        expected = reference.get_text_features(input_ids=ids).pooler_output
    torch.testing.assert_close(encoder.encode(ids, mask).pooled, expected)
    torch.testing.assert_close(encoder.encode(ids, torch.ones_like(mask)).pooled, expected)
    assert encoder.logit_bias == pytest.approx(reference.logit_bias.item())
    model = loaded(folders["siglip"])
    difference = np.abs(model.encode(TEXTS[:2])[0] - model.encode(TEXTS[:1])[0]).max()
    assert difference > 0.01  # the library still behaves so


@pytest.mark.parametrize("name", ["bert", "linear", *TOWERS])
def test_encoding_does_not_depend_on_the_batch(folders: dict[str, Path], name: str) -> None:
    encoder = texts_of(folders[name])
    alone, together = encoded(encoder, TEXTS[0]), encoded(encoder, *TEXTS)
    torch.testing.assert_close(alone.pooled[0], together.pooled[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        alone.tokens[0][alone.mask[0]], together.tokens[0][together.mask[0]], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["bert", "linear", "both", "e5", *TOWERS])
def test_every_parameter_is_used(folders: dict[str, Path], name: str) -> None:
    """BERT's pooler and the other tower are removed, because they would never get a gradient."""
    encoder = texts_of(folders[name]).train()
    encoder.encode(*encoder.tokenize(TEXTS)).pooled.square().mul(torch.rand(encoder.width)).sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    if name in TOWERS:
        images = images_of(folders[name]).train()
        images.encode(pixels()).pooled.square().sum().backward()
        assert not [n for n, p in images.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize("name", ["bert", *TOWERS])
def test_blocks_are_ordered_from_the_embeddings_to_the_top(folders: dict[str, Path], name: str) -> None:
    tuning = Tuning(layer_decay=0.5)
    encoders = [texts_of(folders[name], tuning=tuning)]
    encoders += [images_of(folders[name], tuning=tuning)] if name in TOWERS else []
    for encoder in encoders:
        assert len(encoder.blocks()) == 3
        multipliers = lr_multipliers(encoder)
        low = {n for n, p in encoder.named_parameters() if multipliers[p] == 0.125}
        assert low
        assert all("embeddings" in n or "pre_layrnorm" in n for n in low)
        inside = {id(p) for block in encoder.blocks() for p in block.parameters()}
        assert inside <= {id(p) for p in encoder.parameters()}


def test_long_texts_are_truncated(folders: dict[str, Path]) -> None:
    for name, length in (("bert", 32), ("clip", 16), ("siglip", 64)):
        encoder = texts_of(folders[name])
        ids, mask = encoder.tokenize(["red " * 200, "shoe"])
        assert encoder.input.length == length
        assert ids.shape == mask.shape == (2, length)


def test_pooling_is_part_of_the_identity(folders: dict[str, Path], tmp_path: Path) -> None:
    """Pooling has no weights, but models with different pooling must not share cached embeddings."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    identities = set()
    for mode in ("mean", "cls"):
        with quiet():
            modules = [Transformer(str(folders["bert"])), Pooling(32, mode)]
            SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path))
        identities.add(texts_of(tmp_path).identity())
    assert len(identities) == 2


def test_odd_texts_have_finite_vectors(folders: dict[str, Path]) -> None:
    for name in ("bert", *TOWERS):
        assert encoded(texts_of(folders[name]), "", "\ud83d", "Красное платье 🍎").pooled.isfinite().all()


def test_loading_is_quiet_and_keeps_the_random_state(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    before = torch.random.get_rng_state()
    texts_of(folders["bert"])
    images_of(folders["clip"])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")


def test_unavailable_weights_raise_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for build in (image_encoder, text_encoder):
        with pytest.raises(MissingWeightsError) as error:
            build("st:someone/some-model")
        assert str(error.value) == (
            "The weights of st:someone/some-model could not be loaded: HF_HUB_OFFLINE is set, and this machine has no "
            "copy. Download them on a machine with a network, or name a folder that holds them: local:PATH."
        )


def test_invalid_names_raise_user_error(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has no image tower of CLIP or SigLIP"):
        images_of(folders["bert"])
    with pytest.raises(UserError, match='the model has no prompt "title"; it has query, passage'):
        texts_of(folders["e5"], "&prompt=title")
    with pytest.raises(UserError, match='this encoder has no option "length"; it has prompt, revision'):
        text_encoder("st:someone/some-model?length=3")
    with pytest.raises(UserError, match="write st:OWNER/NAME"):
        text_encoder("st:")
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}', "utf-8")
    with pytest.raises(UserError, match="sentence-transformers can't load it"):
        texts_of(tmp_path)
    by_st = text_encoder(f"st:{folders['linear']}")
    assert by_st.width == 16
    assert not by_st.published

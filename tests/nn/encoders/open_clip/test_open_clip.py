"""Towers of open_clip: outputs equal those of open_clip and transformers, and each encoder has one tower.

All models are tiny, with random weights, in folders that open_clip can load.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import nn

from mmeval import Tuning, UserError
from mmeval.errors import MissingWeightsError
from mmeval.nn import Encoder, ImageEncoder, TextEncoder, image_encoder, text_encoder
from mmeval.nn.encoders.open_clip import load as loading
from mmeval.nn.tuning import lr_multipliers

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
COCA = {"layers": 2, "heads": 4, "width": 32, "context_length": 16, "vocab_size": 100, "attn_pooler_heads": 4}
WORDS = ["red", "dress", "big", "blue", "shoe", "of", "leather", "for", "men", "and", "women"]


def timm(name: str, pool: str, proj: str | None, size: int = 160, width: int = 24) -> dict[str, Any]:
    tower = {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj, "image_size": size}
    return {"embed_dim": width, "custom_text": True, "vision_cfg": tower, "text_cfg": TEXT}


MODELS: dict[str, dict[str, Any]] = {
    "clip": {"embed_dim": 24, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT},
    "mean": {
        "embed_dim": 24,
        "vision_cfg": VISION | {"pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": TEXT,
    },
    "resnet": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
        "text_cfg": TEXT,
    },
    "coca": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": VISION | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": COCA,
    },
    "vit": timm("test_vit", "token", None),
    "vit-mean": timm("test_vit", "avg", None),
    "convnext": timm("test_convnext", "", "linear"),
    "siglip": timm("vit_tiny_patch16_224", "map", "none", 224, 192),
    "xlmr": {
        "embed_dim": 24,
        "vision_cfg": VISION,
        "text_cfg": {"hf_model_name": "", "hf_tokenizer_name": "beside", "hf_pooler_type": "mean_pooler"},
    },
}
# A model that attends to padding and pools the last position, as all SigLIP models do.
MODELS["siglip"] |= {
    "init_logit_bias": -10,
    "text_cfg": {
        "context_length": 64,
        "vocab_size": 40,
        "hf_tokenizer_name": "beside",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 32,
        "heads": 4,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}
PLACES = {"clip": 16, "mean": 16, "resnet": 4, "coca": 255, "vit": 100, "vit-mean": 100, "convnext": 25, "siglip": 196}
"""Tokens of an image, without the class token."""
IMAGE_TOWERS = [name for name in MODELS if name != "xlmr"]
TEXT_TOWERS = ["clip", "coca", "siglip", "xlmr"]


def write_tokenizer(folder: Path, pad: str, length: int) -> None:
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    single = "$A </s>" if pad == "</s>" else "<s> $A </s>"
    backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token=pad,
        padding_side="right",
        model_max_length=length,
    ).save_pretrained(folder)


def write_model(folder: Path, config: dict[str, Any], **preprocessing: Any) -> Any:
    """Write configuration and random weights into a folder; returns open_clip's model."""
    folder.mkdir(exist_ok=True)
    content = {"model_cfg": config, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(content), "utf-8")
    torch.manual_seed(1)
    logging.disable(logging.CRITICAL)
    try:
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    finally:
        logging.disable(logging.NOTSET)
    for p in model.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=0.2)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return model.eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    from transformers import XLMRobertaConfig

    root, models = tmp_path_factory.mktemp("open_clip"), {}
    for name, config in MODELS.items():
        folder = root / name
        folder.mkdir()
        if name == "siglip":
            write_tokenizer(folder, "</s>", 64)
        if name == "xlmr":
            size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
            XLMRobertaConfig(vocab_size=40, max_position_embeddings=130, **size).save_pretrained(folder)
            write_tokenizer(folder, "<pad>", 128)
            config = config | {"text_cfg": config["text_cfg"] | {"hf_model_name": str(folder)}}
        models[name] = folder, write_model(folder, config)
    return models


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the Hub's client offline, so that it does not retry."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def images_of(folder: Path, options: str = "", **how: Any) -> ImageEncoder:
    return image_encoder(f"open_clip:local-dir:{folder}{options}", **how).eval()


def texts_of(folder: Path, options: str = "", **how: Any) -> TextEncoder:
    return text_encoder(f"open_clip:local-dir:{folder}{options}", **how).eval()


def random_images(encoder: ImageEncoder, count: int = 2) -> torch.Tensor:
    shape = (count, 3, encoder.input.height, encoder.input.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def hf_clip(reference: Any) -> Any:
    """Return CLIP of ``transformers`` with the weights of an open_clip model."""
    from transformers import CLIPConfig, CLIPModel

    size = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}  # 2: pool where the id is highest
    text = size | {"vocab_size": 49408, "max_position_embeddings": 16, "hidden_act": "quick_gelu"} | ids
    vision = size | {"image_size": 32, "patch_size": 8, "hidden_act": "quick_gelu"}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    state = {}
    for key, value in reference.state_dict().items():
        if key.endswith(("in_proj_weight", "in_proj_bias")):
            stem, kind = key.rsplit("attn.in_proj_", 1)
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                state[f"{stem}self_attn.{part}_proj.{kind}"] = rows
        else:
            state[key] = value
    names = [
        ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
        ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
        ("visual.conv1", "vision_model.embeddings.patch_embedding"),
        ("visual.ln_pre", "vision_model.pre_layrnorm"),
        ("visual.ln_post", "vision_model.post_layernorm"),
        ("visual.proj", "visual_projection.weight"),
        ("visual.transformer.resblocks", "vision_model.encoder.layers"),
        ("token_embedding", "text_model.embeddings.token_embedding"),
        ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
        ("ln_final", "text_model.final_layer_norm"),
        ("text_projection", "text_projection.weight"),
        ("transformer.resblocks", "text_model.encoder.layers"),
    ]
    parts = [("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")]
    mapped = {}
    for key, value in state.items():
        own, theirs = next(((a, b) for a, b in names if key.startswith(a)), ("", ""))
        new = theirs + key[len(own) :]
        for a, b in [*parts, (".attn.out_proj", ".self_attn.out_proj")]:
            new = new.replace(a, b)
        mapped[new] = value.T if key in ("visual.proj", "text_projection") else value
    missing, unexpected = model.load_state_dict(mapped, strict=False)
    assert not unexpected
    assert not [key for key in missing if "position_ids" not in key]
    return model


def test_clip_matches_transformers(models: dict[str, tuple[Path, Any]]) -> None:
    """Otherwise results with these weights could not be compared with published ones."""
    folder, own = models["clip"]
    reference = hf_clip(own)
    images, texts = images_of(folder), texts_of(folder)
    pixels, (ids, mask) = random_images(images), texts.tokenize(["a red dress", "shoes"])
    with torch.no_grad():
        image_features = reference.get_image_features(pixel_values=images.input.normalise(pixels))
        text_features = reference.get_text_features(input_ids=ids)
        torch.testing.assert_close(images.encode(pixels).pooled, image_features.pooler_output, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(texts.encode(ids, mask).pooled, text_features.pooler_output, rtol=1e-5, atol=1e-5)
    assert images.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)


@pytest.mark.parametrize("name", IMAGE_TOWERS)
def test_image_features_match_open_clip(models: dict[str, tuple[Path, Any]], name: str) -> None:
    """Features are not normalised: the zero-shot recipe adds embeddings before it scales them to length 1."""
    folder, reference = models[name]
    encoder = images_of(folder)
    pixels = random_images(encoder)
    options = {"normalize": False} if name == "coca" else {}
    with torch.no_grad():
        encoded = encoder.encode(pixels)
        expected = reference.encode_image(encoder.input.normalise(pixels), **options)
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-5)
    assert encoded.tokens.shape == (2, PLACES[name], encoder.width)
    assert encoded.pooled.shape == (2, encoder.width)
    assert encoded.mask.all()


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_text_features_match_open_clip(models: dict[str, tuple[Path, Any]], name: str) -> None:
    folder, reference = models[name]
    encoder = texts_of(folder)
    ids, mask = encoder.tokenize(["red dress", "big blue shoe of leather"])
    options = {"normalize": False} if name == "coca" else {}
    with torch.no_grad():
        encoded = encoder.encode(ids, mask)
        expected = reference.encode_text(ids, **options)
    torch.testing.assert_close(encoded.pooled, expected, rtol=0, atol=0)
    assert encoded.tokens.shape == (*ids.shape, encoder.width)
    assert encoded.pooled.shape == (2, encoder.width)


@pytest.mark.parametrize("space", ["joint", "hidden"])
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_a_tower_is_used(models: dict[str, tuple[Path, Any]], name: str, space: str) -> None:
    """An unused parameter gets no gradient, which stops training on several devices; the other tower must be gone."""
    folder, _ = models[name]
    images, texts = images_of(folder, f"?space={space}").train(), texts_of(folder, f"?space={space}").train()
    encoded = [images.encode(random_images(images)), texts.encode(*texts.tokenize(["red dress", "shoe"]))]
    sum(output.pooled.square().sum() for output in encoded).backward()
    for encoder, output in zip((images, texts), encoded, strict=True):
        assert not [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
        assert output.tokens.shape[-1] == output.pooled.shape[-1] == encoder.width


def test_tokens_lie_in_the_space_of_the_pooled_vector(models: dict[str, tuple[Path, Any]]) -> None:
    """CMA-CLIP's attention mixes both, so tokens need the same norm and projection."""
    folder, reference = models["clip"]
    images, texts = images_of(folder), texts_of(folder)
    with torch.no_grad():
        pixels = random_images(images)
        visual = reference.visual
        states = visual.transformer(visual._embeds(images.input.normalise(pixels)))
        torch.testing.assert_close(images.encode(pixels).tokens, visual.ln_post(states)[:, 1:] @ visual.proj)
        ids, mask = texts.tokenize(["red dress"])
        encoded = texts.encode(ids, mask)
        hidden = texts_of(folder, "?space=hidden").encode(ids, mask)
        torch.testing.assert_close(hidden.tokens @ reference.text_projection, encoded.tokens)
        torch.testing.assert_close(hidden.pooled @ reference.text_projection, encoded.pooled)


def test_clip_pools_the_end_of_text(models: dict[str, tuple[Path, Any]]) -> None:
    """Its attention is causal: at the start of a text, all texts have the same state."""
    encoder = texts_of(models["clip"][0])
    ids, mask = encoder.tokenize(["red dress", "a big blue shoe!"])
    encoded = encoder.encode(ids, mask)
    ends = ids.argmax(1)
    assert mask.sum(1).tolist() == (ends + 1).tolist() == [4, 7]
    for row in range(2):
        torch.testing.assert_close(encoded.pooled[row], encoded.tokens[row, ends[row]])
    torch.testing.assert_close(encoded.tokens[0, 0], encoded.tokens[1, 0])
    assert (encoded.pooled[0] - encoded.pooled[1]).abs().max() > 0.1


@pytest.mark.parametrize("name", TEXT_TOWERS)
def test_encoding_does_not_depend_on_the_batch(models: dict[str, tuple[Path, Any]], name: str) -> None:
    """SigLIP pools a padded position, so the amount of padding must not depend on the batch."""
    encoder = texts_of(models[name][0])
    with torch.no_grad():
        alone = encoder.encode(*encoder.tokenize(["red dress"]))
        together = encoder.encode(*encoder.tokenize(["red dress", "big blue shoe of leather for men and women"]))
    torch.testing.assert_close(alone.pooled[0], together.pooled[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        alone.tokens[0][alone.mask[0]], together.tokens[0][together.mask[0]], rtol=1e-5, atol=1e-5
    )


def test_siglip_reads_64_positions_and_pools_the_last(models: dict[str, tuple[Path, Any]]) -> None:
    """As in training, it attends to padding; the returned mask only marks the text, up to the first end of text."""
    encoder = texts_of(models["siglip"][0])
    ids, mask = encoder.tokenize(["Red, DRESS!", "shoe"])
    assert (encoder.input.length, encoder.input.padding, encoder.input.masked) == (64, "length", False)
    assert ids.shape == (2, 64)
    assert mask.sum(1).tolist() == [3, 2]
    encoded = encoder.encode(ids, mask)
    torch.testing.assert_close(encoded.pooled, encoded.tokens[:, -1])
    torch.testing.assert_close(encoder.encode(ids, torch.ones_like(mask)).pooled, encoded.pooled)
    assert encoder.logit_bias == -10
    torch.testing.assert_close(encoder.tokenize(["red dress"])[0][0], ids[0])  # canonicalised


def test_text_without_tokens_has_one_unmasked_token(models: dict[str, tuple[Path, Any]]) -> None:
    """Attention over no token gives NaN."""
    encoder = texts_of(models["siglip"][0])
    assert encoder.tokenize(["..."])[1].any(1).all()
    for name in TEXT_TOWERS:
        other = texts_of(models[name][0])
        assert other.encode(*other.tokenize(["", "\ud83d", "Красное платье 🍎"])).pooled.isfinite().all()


def test_truncated_text_keeps_its_end_token(models: dict[str, tuple[Path, Any]]) -> None:
    encoder = texts_of(models["clip"][0])
    ids, mask = encoder.tokenize(["red " * 50, "red " * 500])
    assert ids.shape == (2, 16)
    assert mask.all()
    assert (ids[:, -1] == 49407).all()
    torch.testing.assert_close(ids[0], ids[1])


def test_xlm_r_is_pooled_by_masked_mean_and_projected(models: dict[str, tuple[Path, Any]]) -> None:
    folder, reference = models["xlmr"]
    encoder = texts_of(folder)
    ids, mask = encoder.tokenize(["red dress", "big blue shoe of leather"])
    assert ids.shape == (2, 7)  # not 77, because the model gets the mask
    with torch.no_grad():
        states = reference.text.transformer(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(reference.text.proj(mean), reference.encode_text(ids), rtol=0, atol=0)
        torch.testing.assert_close(encoder.encode(ids, mask).pooled, reference.text.proj(mean), rtol=0, atol=0)
        padded = open_clip.get_tokenizer(f"local-dir:{folder}")(["red dress", "big blue shoe of leather"])
        assert padded.shape == (2, 77)
        full = reference.encode_text(padded)
        torch.testing.assert_close(encoder.encode(ids, mask).pooled, full, rtol=1e-5, atol=1e-5)


def test_coca_returns_caption_queries_as_tokens(models: dict[str, tuple[Path, Any]]) -> None:
    """Query 0 is the contrastive one; a decoder reads the other 255."""
    folder, reference = models["coca"]
    images, texts = images_of(folder, "?space=hidden"), texts_of(folder)
    pixels = random_images(images)
    with torch.no_grad():
        _, queries = reference.visual(images.input.normalise(pixels))
        encoded = images.encode(pixels)
        torch.testing.assert_close(encoded.tokens, queries)
        assert encoded.tokens.shape == (2, 255, 32)
        ids, mask = texts.tokenize(["red dress"])
        assert texts.encode(ids, mask).tokens.shape == (1, 16, 32)  # without the class token at the end


@pytest.mark.parametrize("name", MODELS)
def test_blocks_are_ordered_from_the_embeddings_to_the_top(models: dict[str, tuple[Path, Any]], name: str) -> None:
    """Layer-wise decay and frozen layers need it: embeddings have the lowest rate, projections the highest."""
    folder, _ = models[name]
    tuning = Tuning(layer_decay=0.5)
    for encoder in (images_of(folder, tuning=tuning), texts_of(folder, tuning=tuning)):
        multipliers = lr_multipliers(encoder)
        factors = {n: multipliers[p] for n, p in encoder.named_parameters()}
        lowest = min(factors.values())
        assert lowest == 0.5 ** len(encoder.blocks())
        assert all(
            factor == 1 for n, factor in factors.items() if n.endswith((".proj", "text_projection", "ln_post.bias"))
        )
        low = {n for n, factor in factors.items() if factor == lowest}
        assert not [n for n in low if "proj" in n.split(".")[-1] or "ln_post" in n or "ln_final" in n]
        assert any("emb" in n or "conv" in n or "stem" in n for n in low)
        inside = [p for block in encoder.blocks() for p in block.parameters()]
        assert len(inside) == len({id(p) for p in inside})
        assert {id(p) for p in inside} <= {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize("name", ["clip", "xlmr", "convnext"])
def test_gradient_checkpointing_gives_the_same_gradients(models: dict[str, tuple[Path, Any]], name: str) -> None:
    def gradients_with(tuning: Tuning) -> list[torch.Tensor]:
        gradients = []
        for encoder in (images_of(models[name][0], tuning=tuning), texts_of(models[name][0], tuning=tuning)):
            encoder.train()
            for module in encoder.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
            inputs = [random_images(encoder)] if isinstance(encoder, ImageEncoder) else encoder.tokenize(["red dress"])
            encoder.encode(*inputs).pooled.sum().backward()
            gradients += [p.grad for p in encoder.parameters()]
        return gradients

    for own, other in zip(gradients_with(Tuning()), gradients_with(Tuning(checkpointing=True)), strict=True):
        torch.testing.assert_close(own, other)


def test_unsupported_gradient_checkpointing_raises_user_error(models: dict[str, tuple[Path, Any]]) -> None:
    with pytest.raises(UserError, match="has no gradient checkpointing"):
        images_of(models["resnet"][0], tuning=Tuning(checkpointing=True))


def test_adapters_and_frozen_layers_work_in_both_towers(models: dict[str, tuple[Path, Any]]) -> None:
    pytest.importorskip("peft", reason="adapters come from peft")
    tuning = Tuning(lora_rank=2, frozen_layers=2)
    for encoder in (images_of(models["clip"][0], tuning=tuning), texts_of(models["clip"][0], tuning=tuning)):
        trainable = [n for n, p in encoder.named_parameters() if p.requires_grad]
        assert trainable
        assert all("lora" in n and "resblocks.1." in n for n in trainable)


def test_image_input_follows_the_checkpoint(tmp_path: Path, models: dict[str, tuple[Path, Any]]) -> None:
    """A wrong crop, mean or interpolation lowers scores without any error."""
    read = images_of(models["clip"][0]).input
    assert (read.height, read.width, read.interpolation, read.crop) == (32, 32, "bicubic", 1.0)
    assert read.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    write_model(tmp_path, MODELS["clip"], resize_mode="squash", interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    read = images_of(tmp_path).input
    assert (read.interpolation, read.mean, read.std, read.crop) == ("bilinear", (0.5,) * 3, (0.5,) * 3, 0.0)
    write_model(tmp_path, MODELS["clip"], resize_mode="longest")
    with pytest.raises(UserError, match='needs images resized by "longest", which mmeval does not support'):
        images_of(tmp_path)


def test_activation_is_part_of_the_identity(tmp_path: Path) -> None:
    """Models with QuickGELU and GELU may have equal weights, but must not share cached embeddings."""
    identities = set()
    for quick in (True, False):
        write_model(tmp_path, MODELS["clip"] | {"quick_gelu": quick})
        identities |= {images_of(tmp_path).identity(), texts_of(tmp_path).identity()}
    assert len(identities) == 4


@pytest.mark.parametrize(
    ("name", "trained", "own", "suggestion"),
    [
        ("ViT-B-32/openai", "QuickGELU", "GELU", "ViT-B-32-quickgelu/openai"),
        ("ViT-B-16/dfn2b", "QuickGELU", "GELU", "ViT-B-16-quickgelu/dfn2b"),
        ("RN50/openai", "QuickGELU", "GELU", "RN50-quickgelu/openai"),
    ],
)
def test_weights_of_the_other_activation_are_refused(name: str, trained: str, own: str, suggestion: str) -> None:
    """open_clip only warns, and the embeddings are silently a little wrong."""
    with pytest.raises(UserError) as error:
        image_encoder(f"open_clip:{name}")
    assert str(error.value) == (
        f'"open_clip:{name}": these weights were trained with {trained}, and {name.split("/")[0]} has {own}; '
        f"write open_clip:{suggestion}."
    )


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("build", [image_encoder, text_encoder])
@pytest.mark.parametrize(
    "name", ["ViT-B-32-quickgelu/openai", "ViT-B-32/laion2b_s34b_b79k", "hf-hub:someone/some-model"]
)
def test_unavailable_weights_raise_one_sentence(build: Any, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MissingWeightsError) as error:
        build(f"open_clip:{name}")
    assert str(error.value) == (
        f"The weights of open_clip:{name} could not be loaded: HF_HUB_OFFLINE is set, and this machine has no copy. "
        "Download them on a machine with a network, or name a folder that holds them: local:PATH."
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "write open_clip:MODEL/TAG"),
        ("ViT-B-23/openai", 'No model of open_clip is named "ViT-B-23". Did you mean "ViT-B-32"?'),
        ("coca_ViT-B-32/openai", "it has laion2b_s13b_b90k, mscoco_finetuned_laion2b_s13b_b90k."),
        ("local-dir:/nowhere", "there is no open_clip_config.json in /nowhere"),
        ("ViT-B-32?size=64", 'this encoder has no option "size"; it has space, weights'),
        ("ViT-B-32?space=other", "write joint or hidden"),
    ],
)
def test_invalid_names_raise_user_error(name: str, message: str) -> None:
    for build in (image_encoder, text_encoder):
        with pytest.raises(UserError) as error:
            build(f"open_clip:{name}")
        assert message in str(error.value)


def test_folder_without_weights_raises_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path, MODELS["clip"])
    (tmp_path / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(MissingWeightsError, match="can't be loaded"):
        images_of(tmp_path)
    random = images_of(tmp_path, "?weights=random")
    assert not random.published
    assert capfd.readouterr() == ("", "")


def test_loading_is_quiet_and_keeps_the_random_state(
    models: dict[str, tuple[Path, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """A head must start with the same weights whether the tower was loaded or taken from the other encoder's model."""
    before, root = torch.random.get_rng_state(), list(logging.getLogger().handlers)
    images_of(models["clip"][0])
    texts_of(models["xlmr"][0])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert logging.getLogger().handlers == root
    assert logging.root.manager.disable == logging.NOTSET
    assert capfd.readouterr() == ("", "")


def test_published_weights_are_loaded_once_for_both_towers(
    models: dict[str, tuple[Path, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, original = [], open_clip.create_model

    def create_model(name: str, tag: str, **options: Any) -> Any:
        calls.append((name, tag))
        return original(f"local-dir:{models['clip'][0]}", **options)

    monkeypatch.setattr(open_clip, "create_model", create_model)
    name = "open_clip:ViT-B-32-quickgelu/openai"
    image, text = image_encoder(name), text_encoder(name)
    assert calls == [("ViT-B-32-quickgelu", "openai")]
    assert not loading._other_tower
    assert image.published
    assert text.published
    again = text_encoder(name)
    assert len(calls) == 2
    assert {id(p) for p in again.parameters()}.isdisjoint(id(p) for p in text.parameters())
    loading._other_tower.clear()


def test_local_names_load_open_clip_folders(models: dict[str, tuple[Path, Any]]) -> None:
    folder = models["clip"][0]
    encoders: list[Encoder] = [image_encoder(f"local:{folder}"), text_encoder(f"local:{folder}?space=hidden")]
    assert [encoder.width for encoder in encoders] == [24, 32]
    assert not any(encoder.published for encoder in encoders)
    assert encoders[0].name == f"local:{folder}"

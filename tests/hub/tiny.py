"""Tiny models with random weights, one per supported family, in the format of its library."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOM = Path(tempfile.mkdtemp(prefix="tiny-models-"))
atexit.register(shutil.rmtree, ROOM, ignore_errors=True)

WORDS = [
    "a",
    "red",
    "shirt",
    "for",
    "you",
    "rot",
    "grün",
    "Hemd",
    "für",
    "dich",
    "赤い",
    "シャツ",
    "あなた",
    "の",
    "ため",
    "に",
]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def _transformers() -> Any:
    import transformers

    torch.manual_seed(0)
    return transformers


def _save(folder: Path, *things: Any) -> Path:
    for thing in things:
        thing.save_pretrained(folder)
    return folder


def tokenizer(
    start: str, end: str, pad: str = "<pad>", *, lower: bool = False, length: int = 40, side: str = "right"
) -> Any:
    """A subword tokenizer that puts a text between ``start`` (or nothing) and ``end``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    transformers = _transformers()
    specials = list(dict.fromkeys([*SPECIALS, *filter(None, (start, end, pad))]))
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), *([normalizers.Lowercase()] if lower else [])])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=specials, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator([" ".join(WORDS), *WORDS] * 4, trainer)
    ends = [(token, backend.token_to_id(token)) for token in (start, end) if token]
    template = f"{start} $A {end}".strip()
    backend.post_processor = processors.TemplateProcessing(single=template, pair=None, special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=start or "<s>",
        cls_token=start or "<s>",
        eos_token=end,
        sep_token=end,
        pad_token=pad,
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=length,
        padding_side=side,
    )


def _ids(cut: Any) -> dict[str, int]:
    return {"pad_token_id": cut.pad_token_id, "bos_token_id": cut.bos_token_id, "eos_token_id": cut.eos_token_id}


def xlm_roberta(folder: Path) -> Path:
    """XLM-R without a pooler, like the published models."""
    t, cut = _transformers(), tokenizer("<s>", "</s>")
    config = t.XLMRobertaConfig(vocab_size=len(cut), max_position_embeddings=64, **SIZES, **_ids(cut))
    return _save(folder, t.XLMRobertaModel(config, add_pooling_layer=False), cut)


def bert(folder: Path) -> Path:
    t, cut = _transformers(), tokenizer("<s>", "</s>")
    config = t.BertConfig(vocab_size=len(cut), max_position_embeddings=64, pad_token_id=cut.pad_token_id, **SIZES)
    return _save(folder, t.BertModel(config), cut)


def distilbert(folder: Path) -> Path:
    t, cut = _transformers(), tokenizer("<s>", "</s>")
    config = t.DistilBertConfig(
        vocab_size=len(cut), dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=64,
        dropout=0.0, attention_dropout=0.0, pad_token_id=cut.pad_token_id,
    )  # fmt: skip
    return _save(folder, t.DistilBertModel(config), cut)


def mt5(folder: Path) -> Path:
    """mT5 with its decoder; its tokenizer adds no start token."""
    t, cut = _transformers(), tokenizer("", "</s>", length=int(1e30))
    config = t.MT5Config(
        vocab_size=len(cut), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, dropout_rate=0.0,
        pad_token_id=cut.pad_token_id, eos_token_id=cut.eos_token_id, decoder_start_token_id=cut.pad_token_id,
    )  # fmt: skip
    return _save(folder, t.MT5Model(config), cut)


TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
IMAGE = {"image_size": 32, "patch_size": 8}


def clip(folder: Path) -> Path:
    """CLIP, whose tokenizer lower-cases texts and pads with the end token."""
    t, cut = _transformers(), tokenizer("<|startoftext|>", "<|endoftext|>", "<|endoftext|>", lower=True, length=24)
    config = t.CLIPConfig(
        text_config={**TOWER, **_ids(cut), "vocab_size": len(cut), "max_position_embeddings": 24},
        vision_config={**TOWER, **IMAGE},
        projection_dim=20,
    )
    prepare = t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return _save(folder, t.CLIPModel(config), cut, prepare)


def metaclip2(folder: Path) -> Path:
    t, cut = _transformers(), tokenizer("<s>", "</s>", length=24)
    config = t.MetaClip2Config(
        text_config={**TOWER, **_ids(cut), "vocab_size": len(cut), "max_position_embeddings": 24},
        vision_config={**TOWER, **IMAGE},
        projection_dim=20,
    )
    prepare = t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return _save(folder, t.MetaClip2Model(config), cut, prepare)


def siglip(folder: Path, side: str = "right") -> Path:
    """SigLIP (and SigLIP 2 of a fixed size): no start token, no mask, always 64 tokens, pooled at the last one."""
    t, cut = _transformers(), tokenizer("", "</s>", length=64, side=side)
    config = t.SiglipConfig(
        text_config={**TOWER, **_ids(cut), "vocab_size": len(cut), "max_position_embeddings": 64},
        vision_config={**TOWER, **IMAGE},
    )
    prepare = t.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    return _save(folder, t.SiglipModel(config), cut, prepare)


def vit(folder: Path) -> Path:
    """ViT without a pooler, like the models fine-tuned on ImageNet."""
    t = _transformers()
    model = t.ViTModel(t.ViTConfig(**SIZES, **IMAGE), add_pooling_layer=False)
    return _save(folder, model, t.ViTImageProcessorPil(size={"height": 32, "width": 32}))


def dinov2(folder: Path) -> Path:
    t = _transformers()
    config = t.Dinov2WithRegistersConfig(**{**SIZES, **IMAGE}, num_register_tokens=3)
    prepare = t.BitImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
    return _save(folder, t.Dinov2WithRegistersModel(config), prepare)


def resnet(folder: Path) -> Path:
    """ResNet with changed batch statistics, and the preprocessing of ConvNeXT."""
    t = _transformers()
    config = t.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 2], layer_type="basic")
    return _save(folder, moved(t.ResNetModel(config)), t.ConvNextImageProcessorPil(size={"shortest_edge": 64}))


def swin(folder: Path) -> Path:
    t = _transformers()
    config = t.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4, drop_path_rate=0.0
    )
    return _save(folder, t.SwinModel(config), t.ViTImageProcessorPil(size={"height": 32, "width": 32}))


def timm_model(folder: Path, name: str = "resnet18", **how: Any) -> Path:
    """A model in the format in which ``timm`` pushes it to the Hub."""
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(0)
    save_for_hf(moved(timm.create_model(name, pretrained=False, **how)), folder, model_args=how)
    return folder


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """Change all norms from their initial values, so that a test notices a norm that is left out."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


@functools.cache
def folder(family: str, **how: Any) -> Path:
    """Return the folder of a family (a function above), created once; don't change it."""
    path: Path = globals()[family](ROOM / "-".join([family, *map(str, how.values())]), **how)
    return path


def copy(family: str, to: Path, **config: Any) -> Path:
    """Return a copy of a family's folder that may be changed; ``config`` is merged into its ``config.json``."""
    shutil.copytree(folder(family), to)
    settings = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(settings | config))
    return to

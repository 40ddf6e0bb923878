"""CoCa as open_clip publishes it: sizes, preprocessing and weights, under our names."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmeval import MissingExtraError, MissingWeightsError, UserError
from mmeval.nn import ImageInput
from mmeval_coca.config import CoCaConfig

RENAMED = (
    (r"\.ln_2\.", ".mlp.0."),
    (r"\.mlp\.c_fc\.", ".mlp.1."),
    (r"\.mlp\.c_proj\.", ".mlp.3."),
    (r"^visual\.conv1\.", "image_encoder.embedding.patches."),
    (r"^visual\.class_embedding$", "image_encoder.embedding.cls"),
    (r"^visual\.positional_embedding$", "image_encoder.embedding.positions"),
    (r"^visual\.ln_pre\.", "image_encoder.embedding.norm."),
    (r"^visual\.transformer\.resblocks\.", "image_encoder.layers."),
    (r"^visual\.attn_pool\.query$", "core.poolers.first.queries"),
    (r"^visual\.attn_pool\.ln_q\.", "core.poolers.first.query_norm."),
    (r"^visual\.attn_pool\.ln_k\.", "core.poolers.first.source_norm."),
    (r"^visual\.attn_pool\.", "core.poolers.first."),
    (r"^visual\.ln_post\.", "core.poolers.first.norm."),
    (r"^visual\.proj$", "core.image_projection.weight"),
    (r"^text\.token_embedding\.", "text_encoder.words."),
    (r"^text\.positional_embedding$", "text_encoder.unimodal.places.positions"),
    (r"^text\.cls_emb$", "text_encoder.unimodal.places.cls"),
    (r"^text\.transformer\.resblocks\.", "text_encoder.unimodal.layers."),
    (r"^text\.ln_final\.", "core.text_norm."),
    (r"^text\.text_projection$", "core.text_projection.weight"),
    # A layer of its multimodal decoder is a block with self-attention and one with cross-attention.
    (r"^text_decoder\.resblocks\.(\d+)\.mlp\.", r"core.multimodal.layers.\1.between."),
    (r"^text_decoder\.resblocks\.", "core.multimodal.layers."),
    (r"^text_decoder\.cross_attn\.(\d+)\.ln_1\.", r"core.multimodal.layers.\1.cross_norm."),
    (r"^text_decoder\.cross_attn\.(\d+)\.ln_1_kv\.", r"core.multimodal.layers.\1.image_norm."),
    (r"^text_decoder\.cross_attn\.(\d+)\.attn\.", r"core.multimodal.layers.\1.cross."),
    (r"^text_decoder\.cross_attn\.", "core.multimodal.layers."),
    (r"^text_decoder\.ln_final\.", "core.multimodal.norm."),
    (r"^text_decoder\.text_projection$", "core.vocabulary.weight"),
    (r"^logit_scale$", "core.logit_scale"),
    (r"\.ln_1\.", ".norm."),
    (r"\.attn\.", ".attention."),
    (r"\.out_proj\.", ".out."),
    (r"\.([qkv])_proj_weight$", r".\1.weight"),
)
"""open_clip's names and ours: each change in turn."""
TRANSPOSED = ("visual.proj", "text.text_projection", "text_decoder.text_projection")
"""Kept as ``[in, out]`` there, without a layer around them."""
NEW = ("core.class_pooler.",)
"""What no published CoCa has."""


@dataclass(frozen=True)
class Published:
    """A published CoCa."""

    name: str
    config: CoCaConfig
    """The user's, with its sizes and ways."""
    state: Mapping[str, Tensor]
    """Its weights by the names that :class:`mmeval_coca.model.CoCa` has for them."""
    read: ImageInput
    """How it wants its images."""
    vocabulary: int
    """Words that it knows."""
    random: bool = False
    """Whether the weights were drawn, so that a saved model must hold them."""

    def fill(self, model: nn.Module) -> None:
        """Give ``model``, built of ``config``, these weights.

        Raises:
            UserError: some that it needs are not among them.
        """
        parts = ("image_encoder.", "text_encoder.", "core.")
        wanted = [k for k in model.state_dict() if k.startswith(parts) and not k.startswith(NEW)]
        for key in wanted:
            if key not in self.state:
                raise UserError(f"coca: {self.name} is no CoCa that is known here: it has no weights for {key}.")
        model.load_state_dict({key: self.state[key] for key in wanted}, strict=False)


def published(config: CoCaConfig) -> Published:
    """The CoCa that ``config.weights`` names, ``open_clip:MODEL/TAG``; with ``?weights=random`` only its architecture.

    Raises:
        UserError: there is none of that name.
        MissingExtraError: open_clip is not installed.
        MissingWeightsError: its weights are not on this machine, and can't be downloaded.
    """
    found = re.fullmatch(r"(open_clip:([^/]+)/([^/?]+))(\?weights=random)?", config.weights)
    if not found:
        raise UserError(f'coca: weights "{config.weights}"; write open_clip:MODEL/TAG or leave it empty.')
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError(f"The weights {config.weights}", "open-clip-torch", "models") from None
    whole, name, tag, random = found.groups()
    known = [f"open_clip:{m}/{t}" for m, t in open_clip.list_pretrained() if m.lower().startswith("coca")]
    if whole not in known:
        raise UserError(f'coca: open_clip has no weights "{config.weights}"; it has {", ".join(known)}.')
    if random:
        with _hushed():
            model = open_clip.create_model(name, device=torch.get_default_device())
        # open_clip never draws this one: it would be whatever the memory held.
        nn.init.normal_(model.text_decoder.text_projection, std=model.text_decoder.width**-0.5)
        return replace(taken(config, open_clip.get_model_config(name), model), random=True)
    try:
        with _hushed():
            model = open_clip.create_model(name, pretrained=tag)
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingWeightsError(config.weights, f"{str(error).splitlines()[0].rstrip('.')}.") from None
    return taken(config, open_clip.get_model_config(name), model)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """open_clip logs by the root logger that it found no weights, which is said as an error, or was asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def taken(config: CoCaConfig, described: Mapping[str, Any], model: Any) -> Published:  # noqa: ANN401 - open_clip's
    """An open_clip model and what its ``get_model_config`` says of it, as :class:`Published`."""
    vision, text, fused = (described[key] for key in ("vision_cfg", "text_cfg", "multimodal_cfg"))
    head = vision.get("head_width", 64)
    sizes = {
        "image_encoder": "vit:{layers}x{width}x{patch_size}x{image_size}".format(**vision) + f"?head={head}",
        "text_encoder": "clip-bpe",
        "width": text["width"],
        "heads": text["heads"],
        "unimodal_layers": text["layers"],
        "multimodal_layers": fused["layers"],
        "multimodal_block": "open_clip",
        "text_length": text["context_length"],
        "cls_mask": "correct" if model.text.correct_cls_mask else "shifted",
        "poolers": "single",
        "queries": vision.get("attn_pooler_queries", 256),
        "pooler_heads": vision.get("attn_pooler_heads", 8),
        "embedding": described["embed_dim"],
    }
    return Published(
        config.weights, config.model_copy(update=sizes), renamed(model.state_dict()), _input(model), text["vocab_size"]
    )


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's weights by our names; queries, keys and values, there in one matrix, each by its own."""
    ours: dict[str, Tensor] = {}
    for theirs, tensor in state.items():
        name = theirs
        for pattern, change in RENAMED:
            name = re.sub(pattern, change, name)
        head, joined, kind = name.partition("in_proj_")
        if joined:
            ours |= {f"{head}{part}.{kind}": one for part, one in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            ours[name] = tensor.T if theirs in TRANSPOSED else tensor
    return ours


def _input(model: Any) -> ImageInput:  # noqa: ANN401 - open_clip's
    """Its own preprocessing; it cuts the middle out where ``resize_mode`` is "shortest"."""
    told = model.visual.preprocess_cfg
    size = told["size"]
    height, width = (size, size) if isinstance(size, int) else size
    crop = 1.0 if told["resize_mode"] == "shortest" else 0.0
    mean, std = ((one[0], one[1], one[2]) for one in (told["mean"], told["std"]))
    return ImageInput(height, width, told["interpolation"], mean, std, crop)

"""Published CoCas of open_clip (sizes, preprocessing, weights), and CLIP's tokenizer."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmeval import MissingExtraError, MissingWeightsError, UserError
from mmeval.nn import ImageInput
from mmeval_coca.config import CoCaConfig

PATTERNS = (
    # A layer of the multimodal decoder is two of open_clip's blocks: self-attention and MLP, cross-attention and MLP.
    (r"^text_decoder\.resblocks\.(\d+)\.(ln_2|mlp)\.", r"multimodal.layers.\1.between.\2."),
    (r"^text_decoder\.cross_attn\.(\d+)\.ln_1\.", r"multimodal.layers.\1.cross.norm."),
    (r"^text_decoder\.cross_attn\.(\d+)\.ln_1_kv\.", r"multimodal.layers.\1.cross.image_norm."),
    (r"^text_decoder\.cross_attn\.(\d+)\.attn\.", r"multimodal.layers.\1.cross.attention."),
    (r"^text_decoder\.cross_attn\.(\d+)\.(ln_2|mlp)\.", r"multimodal.layers.\1.mlp.\2."),
    (r"^text_decoder\.resblocks\.", "multimodal.layers."),
    (r"^text_decoder\.ln_final\.", "multimodal.norm."),
    (r"^text_decoder\.text_projection$", "losses.captioning.words.weight"),
    (r"^visual\.conv1\.", "image_encoder.embedding.patches."),
    (r"^visual\.class_embedding$", "image_encoder.embedding.cls"),
    (r"^visual\.positional_embedding$", "image_encoder.embedding.positions"),
    (r"^visual\.ln_pre\.", "image_encoder.embedding.norm."),
    (r"^visual\.transformer\.resblocks\.", "image_encoder.layers."),
    (r"^visual\.attn_pool\.query$", "poolers.pooler.queries"),
    (r"^visual\.attn_pool\.ln_q\.", "poolers.pooler.query_norm."),
    (r"^visual\.attn_pool\.ln_k\.", "poolers.pooler.source_norm."),
    (r"^visual\.attn_pool\.attn\.", "poolers.pooler.attention."),
    (r"^visual\.ln_post\.", "poolers.pooler.norm."),
    (r"^visual\.proj$", "losses.contrastive.image_projection.weight"),
    (r"^text\.token_embedding\.", "text_encoder.words."),
    (r"^text\.positional_embedding$", "text_encoder.decoder.embedding.positions"),
    (r"^text\.cls_emb$", "text_encoder.decoder.embedding.cls"),
    (r"^text\.transformer\.resblocks\.", "text_encoder.decoder.layers."),
    (r"^text\.ln_final\.", "text_norm."),
    (r"^text\.text_projection$", "losses.contrastive.text_projection.weight"),
    (r"^logit_scale$", "losses.contrastive.logit_scale"),
    # Within a transformer layer.
    (r"\.ln_1\.", ".attention.norm."),
    (r"\.attn\.", ".attention.attention."),
    (r"\.(mlp|between)\.ln_2\.", r".\1.norm."),
    (r"\.ln_2\.", ".mlp.norm."),
    (r"\.(mlp|between)(\.mlp)?\.c_fc\.", r".\1.expand."),
    (r"\.(mlp|between)(\.mlp)?\.c_proj\.", r".\1.contract."),
    (r"\.out_proj\.", ".out."),
    (r"\.([qkv])_proj_weight$", r".\1.weight"),
)
"""Regular expressions that turn open_clip's parameter names into ours, applied one after another."""
TRANSPOSED = ("visual.proj", "text.text_projection", "text_decoder.text_projection")
"""Weights that open_clip stores as ``[in, out]``, without a linear layer around them."""
NEW = ("heads.", "readouts.")
"""Parts of our model that no published CoCa has."""


class ClipBpe:
    """CLIP's tokenizer from the package open_clip: lower-cased byte-level BPE, made for English.

    It writes other scripts as bytes, so no text is unknown to it.
    """

    name, vocabulary = "CLIP's BPE", 49408
    padding: Literal["longest", "length"] = "length"

    def __init__(self) -> None:
        """Load the merges.

        Raises:
            MissingExtraError: open_clip is not installed.
        """
        try:
            from open_clip.tokenizer import SimpleTokenizer
        except ImportError:
            raise MissingExtraError("The text encoder clip-bpe", "open-clip-torch", "models") from None
        self._tokenize: Callable[[list[str], int], Tensor] = SimpleTokenizer()

    def __call__(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Return ids ``[B, length]`` and their mask, as open_clip trains: id 0 is padding, but also a lone "!"."""
        ids = self._tokenize(list(texts), length) if texts else torch.zeros(0, length, dtype=torch.long)
        return ids, ids != 0


@dataclass(frozen=True)
class Published:
    """A published CoCa."""

    name: str
    """``open_clip:MODEL/TAG``."""
    config: CoCaConfig
    """The user's options, with sizes, poolers, block and mask of the published model."""
    weights: Mapping[str, Tensor]
    """Weights by their names in :class:`mmeval_coca.model.CoCa`."""
    image_input: ImageInput
    """Size and preprocessing of its images."""
    vocabulary: int
    """Number of token ids."""
    random: bool = False
    """Whether the weights were drawn at random, so that a saved model must contain them."""

    def fill(self, model: nn.Module) -> None:
        """Load the weights into ``model``, which was built from ``config``.

        Raises:
            UserError: a weight is missing.
        """
        wanted = [key for key in model.state_dict() if not key.startswith(NEW)]
        for key in wanted:
            if key not in self.weights:
                raise UserError(f"coca: {self.name} is not a CoCa that mmeval can load: it has no weights for {key}.")
        model.load_state_dict({key: self.weights[key] for key in wanted}, strict=False)


def load_published(config: CoCaConfig) -> Published:
    """Load the CoCa that ``config.weights`` names, ``open_clip:MODEL/TAG``.

    With ``?weights=random`` behind the name its architecture gets random weights.

    Raises:
        UserError: open_clip has no weights of that name.
        MissingExtraError: open_clip is not installed.
        MissingWeightsError: the weights are neither on this machine nor to be downloaded.
    """
    match = re.fullmatch(r"(open_clip:([^/]+)/([^/?]+))(\?weights=random)?", config.weights)
    if not match:
        raise UserError(
            f'coca: "{config.weights}" names no weights; write open_clip:MODEL/TAG, or leave weights empty.'
        )
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError(f"The weights {config.weights}", "open-clip-torch", "models") from None
    whole, name, tag, random = match.groups()
    known = [f"open_clip:{m}/{t}" for m, t in open_clip.list_pretrained() if m.lower().startswith("coca")]
    if whole not in known:
        raise UserError(f'coca: open_clip has no weights "{config.weights}"; it has {", ".join(known)}.')
    if random:
        with _no_log():
            model = open_clip.create_model(name, device=torch.get_default_device())
        # open_clip leaves this parameter uninitialised.
        nn.init.normal_(model.text_decoder.text_projection, std=model.text_decoder.width**-0.5)
        return replace(from_open_clip(config, open_clip.get_model_config(name), model), random=True)
    try:
        with _no_log():
            model = open_clip.create_model(name, pretrained=tag)
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingWeightsError(config.weights, f"{str(error).splitlines()[0].rstrip('.')}.") from None
    return from_open_clip(config, open_clip.get_model_config(name), model)


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Disable logging: open_clip warns through the root logger of missing weights, which is an error here or wanted."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def from_open_clip(
    config: CoCaConfig,
    described: Mapping[str, Any],
    model: Any,  # noqa: ANN401 - open_clip's
) -> Published:
    """Convert an open_clip model; ``described`` is what ``open_clip.get_model_config`` returns for it."""
    vision, text, multimodal = (described[key] for key in ("vision_cfg", "text_cfg", "multimodal_cfg"))
    head = vision.get("head_width", 64)
    sizes = {
        "image_encoder": "vit:{layers}x{width}x{patch_size}x{image_size}".format(**vision) + f"?head={head}",
        "text_encoder": "clip-bpe",
        "width": text["width"],
        "heads": text["heads"],
        "unimodal_layers": text["layers"],
        "multimodal_layers": multimodal["layers"],
        "multimodal_block": "open_clip",
        "text_length": text["context_length"],
        "cls_mask": "correct" if model.text.correct_cls_mask else "shifted",
        "poolers": "single",
        "queries": vision.get("attn_pooler_queries", 256),
        "pooler_heads": vision.get("attn_pooler_heads", 8),
        "embedding": described["embed_dim"],
    }
    return Published(
        config.weights,
        config.model_copy(update=sizes),
        convert_weights(model.state_dict()),
        _image_input(model),
        text["vocab_size"],
    )


def convert_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename open_clip's weights, and split its joint matrices of queries, keys and values into three."""
    converted: dict[str, Tensor] = {}
    for original, tensor in weights.items():
        name = original
        for pattern, replacement in PATTERNS:
            name = re.sub(pattern, replacement, name)
        head, joint, kind = name.partition("in_proj_")
        if joint:
            converted |= {f"{head}{part}.{kind}": x for part, x in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            converted[name] = tensor.T if original in TRANSPOSED else tensor
    return converted


def _image_input(model: Any) -> ImageInput:  # noqa: ANN401 - open_clip's
    """Return the model's own preprocessing; ``resize_mode`` "shortest" crops the middle of the image."""
    cfg = model.visual.preprocess_cfg
    size = cfg["size"]
    height, width = (size, size) if isinstance(size, int) else size
    crop = 1.0 if cfg["resize_mode"] == "shortest" else 0.0
    mean, std = ((x[0], x[1], x[2]) for x in (cfg["mean"], cfg["std"]))
    return ImageInput(height, width, cfg["interpolation"], mean, std, crop)

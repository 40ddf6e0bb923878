"""MMBT (Kiela et al. 2019, arXiv 1909.02950); section numbers refer to the paper."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import BertEncoder, ProjectedText, SingleStream, bert, image_encoder, text_encoder
from mmeval_mmbt.cleaning import CleaningTokenizer
from mmeval_mmbt.config import MMBTConfig

IMAGE, TEXT = 0, 1
"""Token types. The third one of V-SNLI, for a second sentence, is not needed for classification."""
GRIDS = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (5, 1), 6: (3, 2), 7: (7, 1), 8: (4, 2), 9: (3, 3)}
"""Rows and columns of the grid of N regions."""
MEAN, STD, CROP = (0.46777044, 0.44531429, 0.40661017), (0.12221994, 0.12145835, 0.14380469), 224 / 256
"""Image normalization of the authors' code."""
GREY = 128


def regions(tokens: Tensor, count: int, pooling: str = "avg") -> Tensor:
    """Pool a square feature map to ``count`` regions, row by row (section 3.1).

    Args:
        tokens: ``[B, T, D]``; the last ``side * side`` tokens are the map, tokens before it are ignored.
        count: N, 1 to 9.
        pooling: ``avg`` or ``max``.

    Returns:
        ``[B, N, D]``.
    """
    side = isqrt(tokens.shape[1])
    maps = tokens[:, -side * side :].transpose(1, 2).reshape(tokens.shape[0], -1, side, side)  # [B, D, side, side]
    pooled = (F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d)(maps, GRIDS[count])
    return pooled.flatten(2).transpose(1, 2)


class MMBT(SingleStream):
    """A BERT over ``[CLS] regions [SEP] words``; its pooled first state feeds one linear layer per task.

    Sections 3.1 and 3.2. Each segment counts its positions from 0 and has its own token type.
    """

    config: MMBTConfig
    text_type: ClassVar[int] = TEXT

    def __init__(self, config: MMBTConfig, context: ModelContext) -> None:
        """Build trunk and encoders by name, and the new layers.

        Raises:
            UserError: options contradict each other; see also ``mmeval.nn.bert`` and ``image_encoder``.
        """
        _check_options(config)
        image = image_encoder(config.image_encoder, config.image_tuning, tokens=True)
        if config.image_pixels == "official":
            image.input = replace(image.input, mean=MEAN, std=STD, crop=CROP)
        trunk = bert(config.trunk, config.trunk_tuning, types=2)
        _set_dropout(trunk, config.dropout)
        text = None
        if config.text_encoder:
            encoder = text_encoder(config.text_encoder, config.text_tuning, tokens=True)
            text = ProjectedText(encoder, _projection(encoder.width, trunk.width, config))
        else:
            trunk.specials = False  # [CLS] and [SEP] surround the regions, not the text
            if config.clean_text:
                trunk.tokenizer = CleaningTokenizer(trunk.tokenizer)
                trunk.input = replace(trunk.input, tokenizer=trunk.tokenizer.name)
        super().__init__(
            config,
            context,
            image=image,
            trunk=trunk,
            image_embedding=_projection(image.width, trunk.width, config),
            text=text,
        )
        special = trunk.tokenizer.special
        self.register_buffer("frame", torch.tensor([special.cls, special.sep]), persistent=False)

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return regions ``[B, N, D]``, and bool ``[B, N]``: whether the trunk may attend to them."""
        assert self.image_encoder is not None
        if self.config.missing_image == "grey":
            size, present = self.image_encoder.input, batch.has_image[:, None, None, None]
            shape = (present.shape[0], 3, size.height, size.width)
            blank = torch.full(shape, GREY, dtype=torch.uint8, device=present.device)
            images = blank if batch.images is None else torch.where(present, batch.images, blank)
            batch = replace(batch, images=images, has_image=torch.ones_like(batch.has_image))
        tokens = self.image_encoder(batch).tokens
        # Zero the tokens of missing images: they may be NaN, and NaN times zero is NaN.
        tokens = torch.where(batch.has_image[:, None, None], tokens, 0)
        pooled = regions(tokens, self.config.regions, self.config.region_pooling)
        return pooled, batch.has_image[:, None].expand(pooled.shape[:2])

    def embed_image(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first segment, ``[CLS] regions [SEP]``: tokens ``[B, N + 2, H]`` and mask."""
        cls, sep = (word.expand(features.shape[0], 1, -1) for word in self.trunk.words(self.get_buffer("frame")))
        segment = torch.cat([cls, self.image_embedding(features), sep], 1)
        positions = torch.arange(segment.shape[1], device=features.device)
        return self.trunk.embed(segment, positions, IMAGE), F.pad(mask, (1, 1), value=True)

    def read(self, content: Tensor, text_mask: Tensor, features: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the trunk over the image segment, then the text; arguments and result as in the base class."""
        image = self.embed_image(features, image_mask)
        return self.run_trunk(image, (self.embed_text(content, text_mask), text_mask))


def _projection(width: int, out: int, config: MMBTConfig) -> nn.Sequential:
    """Return the linear map W_n of section 3.1, after our optional norm and dropout."""
    before: list[nn.Module] = [nn.LayerNorm(width)] if config.feature_norm else []
    before += [nn.Dropout(config.feature_dropout)] if config.feature_dropout else []
    return nn.Sequential(*before, nn.Linear(width, out))


def _set_dropout(trunk: BertEncoder, p: float) -> None:
    """Set every dropout of the trunk to ``p``, except in LoRA adapters, which have an option of their own."""
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Dropout) and "lora" not in name:
            module.p = p


def _check_options(config: MMBTConfig) -> None:
    if config.trunk_tuning.frozen:
        raise UserError(
            "mmbt: a frozen trunk can't learn to read images; leave out trunk_tuning.frozen, or freeze only its first "
            "N blocks with trunk_tuning.frozen_layers=N."
        )
    if config.missing_image == "grey" and config.image_tuning.frozen:
        raise UserError(
            "mmbt: a frozen image encoder encodes each image of the data set once, and no grey image in place of "
            "missing ones; set missing_image=masked."
        )
    if config.clean_text and config.text_encoder:
        raise UserError(
            f'mmbt: clean_text cleans the text for the trunk, but here "{config.text_encoder}" reads the text; set '
            "text_encoder= (empty) or clean_text=false."
        )

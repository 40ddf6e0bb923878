"""MMBT (Kiela et al. 2019, arXiv 1909.02950), to be read beside section 3 of the paper."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmeval import Batch, ModelContext, UserError
from mmeval.nn import BertEncoder, ClassPrior, Heads, Output, TorchModel, bert, image_encoder, text_encoder
from mmeval_mmbt.cleaning import Cleaned
from mmeval_mmbt.config import MMBTConfig

IMAGE, TEXT = 0, 1
"""Token types. The third of V-SNLI, where a second sentence follows, has no use here."""
GRIDS = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (5, 1), 6: (3, 2), 7: (7, 1), 8: (4, 2), 9: (3, 3)}
"""Rows and columns of N regions."""
MEAN, STD, CROP = (0.46777044, 0.44531429, 0.40661017), (0.12221994, 0.12145835, 0.14380469), 224 / 256
"""Of the authors' image transform."""
GREY = 128


def regions(tokens: Tensor, count: int, pooling: str = "avg") -> Tensor:
    """Pool a square feature map to ``count`` regions, row by row (section 3.1).

    Args:
        tokens: ``[B, T, D]``; the last ``side * side`` of them are the map, what stands before them is no place in it.
        count: N, 1 to 9.
        pooling: ``avg`` or ``max``.

    Returns:
        ``[B, N, D]``.
    """
    side = isqrt(tokens.shape[1])
    maps = tokens[:, -side * side :].transpose(1, 2).reshape(len(tokens), -1, side, side)  # [B, D, side, side]
    pooled = (F.adaptive_max_pool2d if pooling == "max" else F.adaptive_avg_pool2d)(maps, GRIDS[count])
    return pooled.flatten(2).transpose(1, 2)


class MMBT(TorchModel):
    """A BERT over ``[CLS] regions [SEP] words``, its pooler, and one linear layer per task, without dropout."""

    config: MMBTConfig

    def __init__(self, config: MMBTConfig, context: ModelContext) -> None:
        """Build trunk and encoders by name, and the few layers that are new.

        Raises:
            UserError: options that contradict each other; see also ``mmeval.nn.bert`` and ``image_encoder``.
        """
        super().__init__(config, context)
        _refuse(config)
        self.image_encoder = image_encoder(config.image_encoder, config.image_tuning, tokens=True)
        if config.image_pixels == "official":
            self.image_encoder.input = replace(self.image_encoder.input, mean=MEAN, std=STD, crop=CROP)
        trunk = bert(config.trunk, config.trunk_tuning, types=2)
        _set_dropout(trunk, config.dropout)
        self.apart: BertEncoder | None = None
        self.text_projection: nn.Sequential | None = None
        if config.text_encoder:
            self.text_encoder, self.apart = text_encoder(config.text_encoder, config.text_tuning, tokens=True), trunk
            self.text_projection = _projection(self.text_encoder.width, trunk.width, config)
        else:
            self.text_encoder = trunk
            trunk.specials = False  # the only [CLS] and [SEP] are those of the image segment
            if config.clean_text:
                trunk.tokenizer = Cleaned(trunk.tokenizer)
                trunk.input = replace(trunk.input, tokenizer=trunk.tokenizer.name)
        self.image_projection = _projection(self.image_encoder.width, trunk.width, config)
        self.pooler = trunk.take_pooler()
        self.heads = Heads(trunk.width, context)
        self.prior = ClassPrior(context)
        special = trunk.tokenizer.special
        self.register_buffer("frame", torch.tensor([special.cls, special.sep]), persistent=False)

    @property
    def trunk(self) -> BertEncoder:
        """The BERT: the text encoder itself as in the paper, or one apart from it."""
        trunk = self.text_encoder if self.apart is None else self.apart
        assert isinstance(trunk, BertEncoder)
        return trunk

    def forward(self, batch: Batch) -> Output:
        """Logits of every task; the class shares of the training split where there is neither image nor text."""
        logits = self.heads(self.fuse(*self._image(batch), *self._text(batch)))
        return Output(self.prior(logits, batch.has_image | batch.has_text))

    def fuse(self, image: Tensor, seen: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """The trunk over both segments, pooled (sections 3.1 and 3.2).

        Each segment counts its positions from 0 and has its own type; the LayerNorm behind their sum is BERT's.

        Args:
            image: ``[B, N, D_image]``, regions.
            seen: bool ``[B]``, whether they may be looked at.
            text: ``[B, T, D]``, embeddings of the words.
            mask: bool ``[B, T]``, True where a word stands.

        Returns:
            ``[B, D]``: tanh of a linear layer over the last state of [CLS].
        """
        rows, n, t = len(image), image.shape[1], text.shape[1]
        cls, sep = (word.expand(rows, 1, -1) for word in self.trunk.words(self.get_buffer("frame")))
        segment = torch.cat([cls, self.image_projection(image), sep], 1)  # [B, N + 2, D]
        x = torch.cat(
            [
                self.trunk.embed(segment, torch.arange(n + 2, device=image.device), IMAGE),
                self.trunk.embed(text, torch.arange(t, device=image.device), TEXT),
            ],
            1,
        )  # [B, N + 2 + T, D]
        one = torch.ones_like(seen)[:, None]
        pooled: Tensor = self.pooler(self.trunk.layers(x, torch.cat([one, seen[:, None].expand(-1, n), one, mask], 1)))
        return pooled

    def _image(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Regions ``[B, N, D_image]``, and whether they may be looked at, bool ``[B]``."""
        assert self.image_encoder is not None
        if self.config.missing_image == "grey":
            read, here = self.image_encoder.input, batch.has_image[:, None, None, None]
            blank = torch.full((len(batch), 3, read.height, read.width), GREY, dtype=torch.uint8, device=here.device)
            images = blank if batch.images is None else torch.where(here, batch.images, blank)
            batch = replace(batch, images=images, has_image=torch.ones_like(batch.has_image))
        tokens = self.image_encoder(batch).tokens
        # What stands where no image is may be anything, and NaN times zero is NaN.
        tokens = torch.where(batch.has_image[:, None, None], tokens, 0)
        return regions(tokens, self.config.regions, self.config.region_pooling), batch.has_image

    def _text(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embeddings of the words ``[B, T, D]``, without position and type, and their mask."""
        if self.text_projection is None:
            assert batch.text_ids is not None
            assert batch.text_mask is not None
            return self.trunk.words(batch.text_ids), batch.text_mask & batch.has_text[:, None]
        assert self.text_encoder is not None
        encoded = self.text_encoder(batch)
        tokens = self.text_projection(torch.where(encoded.mask[:, :, None], encoded.tokens, 0))
        most = self.trunk.embeddings.position_embeddings.num_embeddings - self.trunk.first_position
        return tokens[:, :most], encoded.mask[:, :most]


def _projection(width: int, out: int, config: MMBTConfig) -> nn.Sequential:
    """W_n of section 3.1, behind the norm and the dropout that are ours."""
    before: list[nn.Module] = [nn.LayerNorm(width)] if config.feature_norm else []
    before += [nn.Dropout(config.feature_dropout)] if config.feature_dropout else []
    return nn.Sequential(*before, nn.Linear(width, out))


def _set_dropout(trunk: BertEncoder, p: float) -> None:
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Dropout) and "lora" not in name:
            module.p = p


def _refuse(config: MMBTConfig) -> None:
    if config.trunk_tuning.frozen:
        raise UserError(
            "mmbt: a frozen trunk can't learn to read images; leave trunk_tuning.frozen out, or keep only its first "
            "N blocks with trunk_tuning.frozen_layers=N."
        )
    if config.missing_image == "grey" and config.image_tuning.frozen:
        raise UserError(
            "mmbt: a frozen image encoder is asked once per image and never of a grey one; set missing_image=masked."
        )
    if config.clean_text and config.text_encoder:
        raise UserError(
            f'mmbt: clean_text is about what the trunk reads, and here "{config.text_encoder}" reads the text; set '
            "text_encoder= (empty) or clean_text=false."
        )

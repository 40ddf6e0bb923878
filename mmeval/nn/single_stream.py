"""Base of single-stream models: one BERT reads the tokens of a text and of an image as one sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mmeval.api.recipe import TorchConfig, Tuning
from mmeval.api.task import ModelContext
from mmeval.data.batch import Batch
from mmeval.nn.build import text_encoder
from mmeval.nn.encoder import ImageEncoder, TextEncoder
from mmeval.nn.encoders.huggingface.bert import BertEncoder
from mmeval.nn.heads import ClassPrior, Heads
from mmeval.nn.model import Output, TorchModel


class ProjectedText(NamedTuple):
    """A text encoder whose token states replace the word vectors of a trunk."""

    encoder: TextEncoder
    projection: nn.Module
    """Maps token states ``[B, T, D]`` to the width of the trunk."""


def replace_words(trunk: BertEncoder, name: str, tuning: Tuning, *, standardize: bool) -> ProjectedText:
    """Build a text encoder that replaces the word vectors of ``trunk``, and remove the trunk's unused word table.

    Args:
        trunk: changed in place.
        name: name of the text encoder, as in :func:`mmeval.nn.text_encoder`.
        tuning: how the text encoder learns.
        standardize: whether each state gets mean 0 and variance 1 before the linear projection.

    Raises:
        UserError: see :func:`mmeval.nn.text_encoder`.
    """
    encoder = text_encoder(name, tuning, tokens=True)
    trunk.embeddings.word_embeddings = None  # an unused parameter would be saved and never learn
    norm = [nn.LayerNorm(encoder.width, elementwise_affine=False)] if standardize else []
    return ProjectedText(encoder, nn.Sequential(*norm, nn.Linear(encoder.width, trunk.width)))


class FirstPass(NamedTuple):
    """Inputs and result of the forward pass that classified a batch, from which pre-training losses start."""

    features: Tensor
    """``[B, R, D]``, as ``features`` returned them."""
    image_mask: Tensor
    """bool ``[B, R]``."""
    text_mask: Tensor
    """bool ``[B, T]``."""
    states: Tensor
    """``[B, T + N, H]``, as ``read`` returned them."""


class SingleStream(TorchModel):
    """Base of models in which one BERT reads text and image tokens as one sequence.

    The pooled first state feeds one linear layer per task. A subclass defines ``features`` and ``embed_image``; it may
    override ``read`` for another order of the two modalities, and assign ``pretraining``: a module that returns
    additional losses by name, called as ``pretraining(model, batch, first_pass)`` in training.
    """

    text_type: ClassVar[int] = 0
    """Token type (segment) of the text."""

    def __init__(
        self,
        config: TorchConfig,
        context: ModelContext,
        *,
        image: ImageEncoder,
        trunk: BertEncoder,
        image_embedding: nn.Module,
        text: ProjectedText | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Assemble the parts, and create pooler and heads.

        Args:
            config: the options of the model.
            context: tasks and class counts.
            image: the image encoder.
            trunk: the BERT.
            image_embedding: maps image features to the width of the trunk; ``embed_image`` calls it.
            text: replaces the word vectors of the trunk; by default the trunk reads its own words.
            dropout: dropout of the pooled state.
        """
        super().__init__(config, context)
        self.image_encoder = image
        self.text_encoder = trunk if text is None else text.encoder
        self.separate_trunk = None if text is None else trunk
        self.text_projection = None if text is None else text.projection
        self.image_embedding = image_embedding
        self.pooler = trunk.take_pooler()
        self.dropout = nn.Dropout(dropout)
        self.heads = Heads(trunk.width, context)
        self.prior = ClassPrior(context)
        self.pretraining: nn.Module | None = None

    @property
    def trunk(self) -> BertEncoder:
        """The BERT: the text encoder itself, unless a separate text encoder replaces its words."""
        trunk = self.text_encoder if self.separate_trunk is None else self.separate_trunk
        assert isinstance(trunk, BertEncoder)
        return trunk

    @abstractmethod
    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return image features ``[B, R, D]``, zero where there is no image, and their mask ``[B, R]``."""

    @abstractmethod
    def embed_image(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image's tokens ``[B, N, H]`` in the sequence, and their mask ``[B, N]``."""

    def forward(self, batch: Batch) -> Output:
        """Return the logits of every task; the class prior for examples without image and text."""
        features, image_mask = self.features(batch)  # [B, R, D], [B, R]
        content, text_mask = self.text_content(batch)  # [B, T, H], [B, T]
        states, pooled = self.read(content, text_mask, features, image_mask)
        logits = self.prior(self.heads(self.dropout(pooled)), batch.has_image | batch.has_text)
        losses = {}
        if self.training and self.pretraining is not None:
            losses = self.pretraining(self, batch, FirstPass(features, image_mask, text_mask, states))
        return Output(logits, losses, embedding=pooled)

    def text_content(self, batch: Batch, ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return text vectors ``[B, T, H]`` without position and type, and their mask ``[B, T]``.

        Texts longer than the trunk has positions are truncated: a separate text encoder may read more tokens.

        Args:
            batch: the examples.
            ids: read these tokens instead of the batch's; only without a separate text encoder.
        """
        if self.text_projection is None:
            assert batch.text_ids is not None
            assert batch.text_mask is not None
            content = self.trunk.words(batch.text_ids if ids is None else ids)
            mask = batch.text_mask & batch.has_text[:, None]
        else:
            assert self.text_encoder is not None
            encoded = self.text_encoder(batch)
            mask = encoded.mask
            # Zero masked states before the projection: they may be NaN, and NaN times zero is NaN.
            content = self.text_projection(torch.where(mask[:, :, None], encoded.tokens, 0))
        longest = self.trunk.embeddings.position_embeddings.num_embeddings - self.trunk.first_position
        return content[:, :longest], mask[:, :longest]

    def embed_text(self, content: Tensor, mask: Tensor) -> Tensor:
        """Return BERT's embedding ``[B, T, H]`` of ``content``, with positions from 0; zero where masked."""
        positions = torch.arange(content.shape[1], device=content.device)
        return torch.where(mask[:, :, None], self.trunk.embed(content, positions, self.text_type), 0)

    def read(self, content: Tensor, text_mask: Tensor, features: Tensor, image_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the trunk over the text, then the image.

        Args:
            content: ``[B, T, H]``, from ``text_content``.
            text_mask: bool ``[B, T]``.
            features: ``[B, R, D]``.
            image_mask: bool ``[B, R]``.

        Returns:
            The last states ``[B, T + N, H]`` and the pooled first state ``[B, H]``.
        """
        text = self.embed_text(content, text_mask)
        return self.run_trunk((text, text_mask), self.embed_image(features, image_mask))

    def run_trunk(self, *segments: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the trunk over the concatenation of segments, each embedded tokens ``[B, T, H]`` and mask ``[B, T]``.

        Returns:
            The last states and the pooled first state ``[B, H]``.
        """
        tokens, masks = zip(*segments, strict=True)
        states = self.trunk.layers(torch.cat(tokens, 1), torch.cat(masks, 1))
        return states, self.pooler(states)

"""How an encoder learns: frozen whole or by depth, at its own learning rate, through adapters, with less memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from torch import nn

from mmeval.api.recipe import Tuning
from mmeval.errors import MissingExtraError, UserError
from mmeval.nn.encoder import Encoder

E = TypeVar("E", bound=Encoder)


def tuned(encoder: E, tuning: Tuning) -> E:
    """Make ``encoder`` learn as ``tuning`` says, in place.

    Raises:
        UserError: it has not so many layers, no gradient checkpointing, or nothing that an adapter fits.
        MissingExtraError: LoRA without the package ``peft``.
    """
    encoder.tuning = tuning
    if tuning.frozen:
        encoder.freeze()
    elif tuning.frozen_layers or tuning.lora_rank:
        _by_depth(encoder, tuning)
    if tuning.checkpointing and not tuning.frozen:
        try:
            encoder.checkpoint()
        except NotImplementedError:
            raise UserError(f"{encoder.name} has no gradient checkpointing; leave tuning.checkpointing out.") from None
    encoder.settle()
    return encoder


def rates(encoder: Encoder) -> dict[nn.Parameter, float]:
    """Factor on the recipe's learning rate of each parameter: ``rate * layer_decay ** (blocks above)``.

    Layer-wise decay as in Clark et al. 2020 (ELECTRA, arXiv 2003.10555, appendix A): the top has ``rate`` itself.
    """
    tuning, blocks = encoder.tuning, encoder.blocks()
    factors = dict.fromkeys(encoder.parameters(), tuning.lr_multiplier)
    for depth, block in enumerate(blocks):
        factors |= dict.fromkeys(block.parameters(), tuning.lr_multiplier * tuning.layer_decay ** (len(blocks) - depth))
    return factors


def encoders(model: nn.Module) -> Iterator[Encoder]:
    """The encoders within a model, each once."""
    yield from (module for module in model.modules() if isinstance(module, Encoder))


def hold(model: nn.Module, epoch: int) -> None:
    """Give or deny gradients to the encoders whose layers are held in the first epochs; ``epoch`` counts from 1."""
    for encoder in encoders(model):
        if encoder.tuning.frozen_epochs and not encoder.frozen:
            encoder.hold(epoch <= encoder.tuning.frozen_epochs)


def _by_depth(encoder: Encoder, tuning: Tuning) -> None:
    count = len(encoder.blocks())
    if tuning.frozen_layers > count:
        raise UserError(f"{encoder.name} has {count} blocks, of which {tuning.frozen_layers} can't be frozen.")
    if tuning.lora_rank:
        _adapt(encoder, tuning)
    encoder.freeze_blocks(tuning.frozen_layers)


def _adapt(encoder: Encoder, tuning: Tuning) -> None:
    """Add adapters to each linear layer of the blocks that aren't frozen; nothing else of the encoder learns."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtraError(f"LoRA of {encoder.name}", "peft", "models") from None
    inside = {id(m) for block in encoder.blocks()[tuning.frozen_layers :] for m in block.modules()}
    # The output layer of torch's own attention is a Linear too, but its weight is read and its forward never called.
    targets = [n for n, m in encoder.named_modules() if type(m) is nn.Linear and id(m) in inside]
    if not targets:
        raise UserError(f"{encoder.name} has no linear layer in its blocks for an adapter; leave lora_rank out.")
    encoder.requires_grad_(False)
    config = LoraConfig(
        r=tuning.lora_rank, lora_alpha=tuning.lora_alpha, lora_dropout=tuning.lora_dropout, target_modules=targets
    )
    inject_adapter_in_model(config, encoder)

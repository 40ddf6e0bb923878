"""How encoders learn: frozen layers, learning rates by depth, low-rank adapters, gradient checkpointing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from torch import nn

from mmeval.api.recipe import Tuning
from mmeval.errors import MissingExtraError, UserError
from mmeval.nn.encoder import Encoder

E = TypeVar("E", bound=Encoder)


def tuned(encoder: E, tuning: Tuning) -> E:
    """Apply ``tuning`` to ``encoder`` in place, and return it.

    Raises:
        UserError: it has fewer blocks than are to be frozen, no gradient checkpointing, or no layer for an adapter.
        MissingExtraError: LoRA without the package ``peft``.
    """
    encoder.tuning = tuning
    if tuning.frozen:
        encoder.freeze()
    elif tuning.frozen_layers or tuning.lora_rank:
        _tune_blocks(encoder, tuning)
    if tuning.checkpointing and not tuning.frozen:
        try:
            encoder.enable_gradient_checkpointing()
        except NotImplementedError:
            raise UserError(f"{encoder.name} has no gradient checkpointing; leave tuning.checkpointing out.") from None
    encoder.record_frozen_parameters()
    return encoder


def lr_multipliers(encoder: Encoder) -> dict[nn.Parameter, float]:
    """Return each parameter's multiple of the recipe's learning rate: ``lr_multiplier * layer_decay ** depth``.

    ``depth`` counts the blocks from the top, and is 0 for parameters above all blocks. This is layer-wise decay as in
    Clark et al. 2020 (ELECTRA, arXiv 2003.10555, appendix A).
    """
    tuning, blocks = encoder.tuning, encoder.blocks()
    multipliers = dict.fromkeys(encoder.parameters(), tuning.lr_multiplier)
    for index, block in enumerate(blocks):
        multiplier = tuning.lr_multiplier * tuning.layer_decay ** (len(blocks) - index)
        multipliers |= dict.fromkeys(block.parameters(), multiplier)
    return multipliers


def encoders(model: nn.Module) -> Iterator[Encoder]:
    """Yield the encoders within a model, each once."""
    yield from (module for module in model.modules() if isinstance(module, Encoder))


def apply_frozen_epochs(model: nn.Module, epoch: int) -> None:
    """Freeze or unfreeze encoders whose tuning has ``frozen_epochs``, before epoch ``epoch`` (counted from 1)."""
    for encoder in encoders(model):
        if encoder.tuning.frozen_epochs and not encoder.frozen:
            encoder.freeze_for_now(epoch <= encoder.tuning.frozen_epochs)


def _tune_blocks(encoder: Encoder, tuning: Tuning) -> None:
    count = len(encoder.blocks())
    if tuning.frozen_layers > count:
        raise UserError(f"{encoder.name} has {count} blocks, of which {tuning.frozen_layers} can't be frozen.")
    if tuning.lora_rank:
        _add_adapters(encoder, tuning)
    encoder.freeze_blocks(tuning.frozen_layers)


def _add_adapters(encoder: Encoder, tuning: Tuning) -> None:
    """Add low-rank adapters to each linear layer of the blocks that are not frozen; all other parameters freeze."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtraError(f"LoRA of {encoder.name}", "peft", "models") from None
    inside = {id(m) for block in encoder.blocks()[tuning.frozen_layers :] for m in block.modules()}
    # The type is compared exactly: the output layer of torch's own attention is a subclass of Linear whose weight is
    # read and whose forward, where an adapter would sit, is never called.
    targets = [n for n, m in encoder.named_modules() if type(m) is nn.Linear and id(m) in inside]
    if not targets:
        raise UserError(f"{encoder.name} has no linear layer in its blocks for an adapter; leave lora_rank out.")
    encoder.requires_grad_(False)
    config = LoraConfig(
        r=tuning.lora_rank, lora_alpha=tuning.lora_alpha, lora_dropout=tuning.lora_dropout, target_modules=targets
    )
    inject_adapter_in_model(config, encoder)

"""Every preset of every model that mmeval ships builds and learns at its published size, with random weights."""

from __future__ import annotations

import pytest
import torch

from mmeval.testing import random_weights, try_preset
from mmeval.testing.network import no_network
from mmeval.testing.plugin_under_test import PluginUnderTest
from mmeval.testing.presets import MAX_PARAMETERS, model_size

SIZES = {
    # Millions of parameters, as papers and open_clip have them, and what the plugin puts on top.
    ("mmbt", "paper"): 58.14 + 109.48 + 1.57,  # ResNet-152, BERT-base, 2048 -> 768: "about 169"
    ("coca", "base"): 253.56,  # open_clip's table
    ("embracenet", "paper"): 22.98 + 146.94 + 9.44,  # ResNeXt-50, mT5-small's encoder, docking layers
    ("clip", "paper"): 366.12,
    ("clip", "siglip2"): 375.23,
    ("clip", "xlm-r-large"): 1193.01,
    ("clip", "metaclip2"): 1858.78,
    ("clip", "m-clip"): 87.85 + 559.37,
    ("clip", "st-multilingual"): 87.85 + 135.13,
    ("cma-clip", "paper"): 151.28 + 6.8,  # OpenAI's CLIP B/32, two layers of 512 and a head per task
    ("late-fusion", "paper"): 85.80 + 108.89,  # ViT-B/16, BERT-base without its pooler
    ("unimodal", "paper"): 109.48,  # BERT-base
    ("unimodal", "paper-image"): 85.80,  # ViT-B/16
    ("unimodal", "base"): 277.45,  # XLM-R-base without its pooler
    ("perceiver", "paper"): 48.4 + 2.8,  # the ImageNet model, byte and position embeddings, wider input
}
TRAINED = [
    # In an ordinary run the contract's rule trains them already; these are too large for it, or too slow.
    *(("clip", preset) for preset in ("paper", "base", "fine-tune", "siglip2", "msiglip", "nllb-clip", "m-clip")),
    *(("clip", preset) for preset in ("st-multilingual", "glami-zero-shot", "xlm-r-large", "metaclip2")),
    *((name, "base") for name in ("cma-clip", "coca", "embracenet", "imagebert", "kaleidobert", "late-fusion", "mmbt")),
    *((name, "base") for name in ("perceiver", "unimodal")),
    *((name, "paper") for name in ("coca", "kaleidobert", "late-fusion", "perceiver")),
]


@pytest.mark.parametrize(("name", "preset"), SIZES)
def test_a_preset_has_the_published_size(name: str, preset: str) -> None:
    """On the meta device, where it takes no memory, and without a network."""
    plugin = PluginUnderTest(name)
    _ = plugin.store
    with no_network() as attempts, torch.random.fork_rng(devices=[]):
        parameters, _ = model_size(plugin, random_weights(plugin.spec, preset))
    assert attempts == []
    assert parameters / 1e6 == pytest.approx(SIZES[name, preset], abs=0.2)


@pytest.mark.slow
@pytest.mark.large  # hundreds of millions of parameters: 2 to 8 GB and half a minute each
@pytest.mark.parametrize(("name", "preset"), TRAINED)
def test_a_large_preset_takes_a_step(name: str, preset: str) -> None:
    trial = try_preset(name, preset)
    assert trial.ran


def test_presets_skipped_by_the_contract_are_trained() -> None:
    """A new preset that is too large for the rule must be added to those that are trained."""
    left_out = {(name, preset) for (name, preset), size in SIZES.items() if size * 1e6 > MAX_PARAMETERS}
    assert left_out <= set(TRAINED)

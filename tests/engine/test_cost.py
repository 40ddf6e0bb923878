"""Parameters and operations of a model, and the time of its frozen encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mmeval import Examples, FitContext, ModelContext, ModelSize
from mmeval.data.store import Store
from mmeval.engine import cost
from mmeval.engine.cost import Cost, count_flops, measure, parameter_count
from mmeval.engine.runner import TorchRunner
from mmeval.nn import image_encoder
from mmeval.nn.model import Output
from mmeval.plugin.configure import configure
from mmeval.protocol import Inputs
from mmeval_embracenet import build
from mmeval_embracenet.config import EmbraceNetConfig

SMALL = ["image_encoder=small-cnn:32", "text_encoder=char-ngrams:512x16", "width=16", "recipe.epochs=1"]


def runner(context: ModelContext, *changes: str) -> TorchRunner:
    torch.manual_seed(0)
    return TorchRunner(build(configure(EmbraceNetConfig, "embracenet", {}, [*SMALL, *changes]), context))


def test_a_matrix_product_counts_two_operations_per_weight() -> None:
    layer, x = nn.Linear(30, 7), torch.zeros(5, 30)
    assert count_flops(lambda: layer(x)) == 2 * 5 * 30 * 7


def test_convolutions_are_counted() -> None:
    layer, x = nn.Conv2d(3, 8, 5, padding=2), torch.zeros(2, 3, 16, 16)
    assert count_flops(lambda: layer(x)) == 2 * 2 * 16 * 16 * 3 * 8 * 25


def test_attention_is_counted_on_the_cpu_too() -> None:
    """The fused kernel of the CPU, which torch's counter does not know, would count as nothing."""
    q = torch.zeros(2, 4, 9, 16)
    flops = count_flops(lambda: nn.functional.scaled_dot_product_attention(q, q, q))
    assert flops == 2 * (2 * 2 * 4 * 9 * 9 * 16)


def test_a_fused_transformer_layer_is_counted() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True).eval()
    x = torch.zeros(3, 10, 16)
    products = 3 * 10 * 16 * (3 * 16 + 16 + 64 + 64)
    assert count_flops(lambda: layer(x)) == 2 * products + 2 * (2 * 3 * 10 * 10 * 16)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_parameter_that_is_the_input_of_a_layer_is_no_obstacle(store: Store, context: ModelContext) -> None:
    """torch's counter failed for perceiver's latents and imagebert's [IMG] token."""
    model = runner(context)
    latents, layer = nn.Parameter(torch.zeros(4, 16)), nn.Linear(16, 16)
    model.model.register_parameter("latents", latents)
    model.model.add_module("layer", layer)
    plain = measure(runner(context), Examples(store, "test"), "cpu").flops
    model.model.register_forward_pre_hook(lambda *_: (layer(latents), None)[1])
    found = measure(model, Examples(store, "test"), "cpu").flops
    assert found is not None
    assert found - plain == 2 * 4 * 16 * 16 / 8
    assert latents.requires_grad


def test_shared_and_frozen_parameters() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    first.bias.requires_grad_(False)
    both = nn.ModuleList([first, second])
    assert (parameter_count(both), parameter_count(both, trained=True)) == (24, 20)


def test_a_trained_encoder_has_no_cached_numbers_of_its_own(store: Store, context: ModelContext) -> None:
    model = runner(context, "image_tuning.frozen=false")
    found = measure(model, Examples(store, "test"), "cpu")
    assert found.parameters == found.trained == sum(p.numel() for p in model.model.parameters())
    assert found.flops == found.flops_cached
    assert found.encoder_seconds == 0
    assert found.flops is not None
    assert found.flops > 0


def test_a_frozen_encoder_counts_although_its_embeddings_are_cached(store: Store, context: ModelContext) -> None:
    model = runner(context, "image_tuning.frozen=true")
    found = measure(model, Examples(store, "test"), "cpu")
    encoder = model.model.image_encoder
    assert encoder is not None
    own = count_flops(lambda: encoder.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)))
    assert found.flops is not None
    assert found.flops_cached is not None
    assert found.flops - found.flops_cached == pytest.approx(own)
    assert found.parameters is not None
    assert found.trained == found.parameters - parameter_count(encoder)
    assert found.encoder_seconds is not None
    assert found.encoder_seconds > 0


def test_hidden_images_need_no_encoder(store: Store, context: ModelContext) -> None:
    model = runner(context, "image_tuning.frozen=true")
    found = measure(model, Examples(store, "test", Inputs.TEXT), "cpu")
    assert found.flops == found.flops_cached


def test_measuring_leaves_the_model_as_it_was(store: Store, context: ModelContext, tmp_path: Path) -> None:
    model, test = runner(context, "image_tuning.frozen=true"), Examples(store, "test")

    def predicted() -> np.ndarray:
        return np.concatenate([block["colour"] for block in model.predict(test, FitContext(0, "cpu", tmp_path))])

    before, trainable = predicted(), [p.requires_grad for p in model.model.parameters()]
    model.model.train()
    measure(model, test, "cpu")
    assert model.model.training
    assert [p.requires_grad for p in model.model.parameters()] == trainable
    np.testing.assert_array_equal(predicted(), before)


def test_the_sample_is_spread_over_the_complete_examples(store: Store) -> None:
    test = Examples(store, "test")
    sample = cost._sample(test, 8)
    assert len(sample) == 8
    assert (sample.image_rows >= 0).all()
    assert all(sample.texts)
    assert set(sample.languages) > {"de"}
    assert len(cost._sample(test, 1000)) == ((test.image_rows >= 0) & np.array([bool(t) for t in test.texts])).sum()


class Plain:
    """A plain model that states its size."""

    def __init__(self, size: Callable[[], object] | None) -> None:
        if size:
            self.size = size

    def predict(self, *_: object) -> None: ...
    def save(self, *_: object) -> None: ...
    def load(self, *_: object) -> None: ...


def test_a_plain_model_states_its_size_and_its_encoders(store: Store) -> None:
    model = Plain(lambda: ModelSize(trained=10, fixed=3, flops=20.0, image_encoder="small-cnn:32"))
    found = measure(model, Examples(store, "test"), "cpu")  # type: ignore[arg-type]
    encoder = image_encoder("small-cnn:32", frozen=True)
    own = count_flops(lambda: encoder.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)))
    assert (found.parameters, found.trained) == (13 + parameter_count(encoder), 10)
    assert (found.flops, found.flops_cached) == (20 + own, 20)


@pytest.mark.parametrize("size", [None, lambda: 7, lambda: 1 / 0])
def test_a_plain_model_without_a_valid_size_is_unknown_and_no_error(
    size: Callable[[], object] | None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(Plain(size), Examples(store, "test"), "cpu") == Cost()  # type: ignore[arg-type]
    assert ("The size of the model is not known: " in capsys.readouterr().err) == (size is not None)


def test_a_model_that_fails_under_the_counter_keeps_its_parameters(
    store: Store, context: ModelContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = runner(context)

    def fail(_: object) -> Output:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(model.model, "forward", fail)
    found = measure(model, Examples(store, "test"), "cpu")
    assert "The operations of the model can't be counted: RuntimeError: no kernel\n" in capsys.readouterr().err
    assert found.flops is None
    assert found.parameters == parameter_count(model.model)

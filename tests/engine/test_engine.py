"""Fitting and predicting: the same seed the same result, the best epoch kept, nothing learned from forbidden things."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmeval import Examples, ModelContext, UserError
from mmeval.api.recipe import Recipe
from mmeval.data.images import decode_batch
from mmeval.data.store import Store
from mmeval.engine import embeddings as cache
from mmeval.engine.collate import Collate
from mmeval.engine.device import accelerator, precision, resolve_device
from mmeval.engine.model import FitContext
from mmeval.engine.optim import schedule
from mmeval.engine.runner import TorchRunner
from mmeval.nn import image_encoder
from mmeval.plugin.configure import configure
from mmeval_embracenet import build
from mmeval_embracenet.config import EmbraceNetConfig

CPU = torch.device("cpu")
SMALL = ["image_encoder=small-cnn:32", "text_encoder=char-ngrams:512x16", "width=16", "recipe.batch_size=16"]


def runner(context: ModelContext, *changes: str, seed: int = 0) -> TorchRunner:
    torch.manual_seed(seed)
    options = [*SMALL, "image_tuning.frozen=false", "recipe.epochs=6", "recipe.learning_rate=0.01", *changes]
    return TorchRunner(build(configure(EmbraceNetConfig, "embracenet", {}, options), context))


def probabilities(model: TorchRunner, examples: Examples, fit: FitContext, task: str = "colour") -> np.ndarray:
    return np.concatenate([block[task] for block in model.predict(examples, fit)])


@pytest.fixture
def fit(tmp_path: Path) -> FitContext:
    folder = tmp_path / "fit"
    folder.mkdir()
    return FitContext(seed=0, device="cpu", folder=folder)


def test_it_learns_and_the_same_seed_gives_the_same_predictions(
    store: Store, context: ModelContext, fit: FitContext
) -> None:
    train, validation, test = (Examples(store, split) for split in ("train", "validation", "test"))
    outcomes = []
    for _ in range(2):
        model = runner(context)
        facts = model.fit(train, validation, fit)
        outcomes.append(probabilities(model, test, fit))
    np.testing.assert_array_equal(*outcomes)
    assert (outcomes[0].argmax(1) == test.labels("colour")).mean() > 0.8
    assert facts["validation_top1"] > 0.8
    assert list(fit.folder.iterdir()) == []


def test_the_epoch_that_was_best_on_validation_is_kept(
    store: Store, context: ModelContext, fit: FitContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of a later, worse epoch must not be what is saved; training stops when patience is out."""
    import mmeval.engine.fit as module

    seen: list[torch.Tensor] = []
    scores = iter([0.2, 0.9, 0.5, 0.4, 0.3, 0.1])

    def validate(model: torch.nn.Module, *_: object) -> float:
        seen.append(next(model.parameters()).detach().clone())
        return next(scores)

    monkeypatch.setattr(module, "_validate", validate)
    model = runner(context, "recipe.patience=3")
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    assert (facts["best_epoch"], facts["epochs"]) == (2, 5)
    torch.testing.assert_close(next(model.model.parameters()), seen[1])


def test_a_saved_model_predicts_the_same_when_loaded(
    store: Store, context: ModelContext, fit: FitContext, tmp_path: Path
) -> None:
    model, test = runner(context, "recipe.epochs=1"), Examples(store, "test")
    model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    model.save(tmp_path)
    loaded = runner(context, seed=99)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(probabilities(loaded, test, fit), probabilities(model, test, fit))
    with pytest.raises(UserError, match="holds the weights of another model"):
        runner(context, "width=17").load(tmp_path)


def test_a_loss_that_is_not_a_number_stops_with_advice(store: Store, context: ModelContext, fit: FitContext) -> None:
    model, calls = runner(context), iter(range(1000))

    def diverge(module: torch.nn.Module, _: object) -> None:
        if next(calls) == 1:
            module.docking[0].weight.data.fill_(torch.nan)  # type: ignore[index, union-attr]

    model.model.register_forward_pre_hook(diverge)
    with pytest.raises(
        UserError, match=r"^The loss became nan in epoch 1 \(seed 0\); try a lower --set recipe.learning"
    ):
        model.fit(Examples(store, "train"), Examples(store, "validation"), fit)


def test_predictions_do_not_depend_on_the_batch_size(store: Store, context: ModelContext, fit: FitContext) -> None:
    test = Examples(store, "test")
    one = probabilities(runner(context, "recipe.batch_size=1"), test, fit)
    many = probabilities(runner(context, "recipe.batch_size=64"), test, fit)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_a_batch_carries_no_id_split_or_slice_and_labels_only_in_training(store: Store, context: ModelContext) -> None:
    model = runner(context).model
    rows = np.arange(5)
    blind = Collate(Examples(store, "test"), model, CPU, labels=False)(rows)
    assert blind.labels == {}
    assert {"ids", "id", "split", "slices", "cluster"}.isdisjoint(vars(blind))
    assert set(Collate(Examples(store, "train"), model, CPU, labels=True)(rows).labels) == {"colour", "shade"}


def test_masks_say_what_is_missing(store: Store, context: ModelContext) -> None:
    test = Examples(store, "test")
    batch = Collate(test, runner(context).model, CPU, labels=False)(np.arange(len(test)))
    assert batch.has_image.tolist() == (test.image_rows >= 0).tolist()
    assert batch.has_text.tolist() == [bool(text) for text in test.texts]
    assert not batch.has_image.all()
    assert not batch.has_text.all()
    assert batch.images is not None
    assert (batch.images[~batch.has_image] == 0).all()


def test_each_image_is_embedded_once_whatever_shares_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three languages, three splits, two runs: one pass."""
    torch.manual_seed(5)
    encoder, counted = image_encoder("small-cnn:32", frozen=True), []
    plain = type(encoder).encode
    monkeypatch.setattr(type(encoder), "encode", lambda self, x: counted.append(len(x)) or plain(self, x))
    for split in ("train", "validation", "test", "train"):
        rows = Examples(store, split).image_rows
        found = cache.embeddings(encoder, store, rows, CPU).gather(rows)
        assert found.shape == (len(rows), 256)
    assert sum(counted) == len(np.unique(store.examples["image"].to_numpy()[store.examples["image"].to_numpy() >= 0]))
    direct = plain(encoder, decode_batch([store.image(3)], (32, 32))).pooled
    np.testing.assert_allclose(found[rows == 3][0], direct[0], atol=1e-5)


def test_a_part_of_the_cache_is_whole_or_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while embedding: the next call computes what is missing and takes nothing half-written."""
    torch.manual_seed(6)
    encoder = image_encoder("small-cnn:32", frozen=True)
    rows = Examples(store, "train").image_rows
    monkeypatch.setattr(cache, "PART", 8)
    plain, calls = cache.np.save, []

    def dies(file: object, table: np.ndarray, **options: bool) -> None:
        calls.append(len(table))
        if len(calls) == 2:
            raise KeyboardInterrupt
        plain(file, table, **options)

    monkeypatch.setattr(cache.np, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        cache.embeddings(encoder, store, rows, CPU)
    found = cache.embeddings(encoder, store, rows, CPU)
    assert calls == [8, 8, 8, 8]
    assert (np.abs(found.gather(rows)).sum(1) > 0).all()


def test_frozen_embeddings_and_pixels_give_the_same_predictions(
    store: Store, context: ModelContext, fit: FitContext
) -> None:
    """The cache is a matter of speed alone."""
    test = Examples(store, "test")
    frozen = runner(context, "image_tuning.frozen=true")
    free = runner(context)
    np.testing.assert_allclose(probabilities(frozen, test, fit), probabilities(free, test, fit), atol=1e-5)


def test_frozen_weights_are_saved_unless_they_are_to_be_had_by_name(
    store: Store, context: ModelContext, fit: FitContext, tmp_path: Path
) -> None:
    """A frozen encoder of random weights is part of the model; packaged weights would only be a copy."""
    assert not any(
        key.startswith("image_encoder.")
        for key in runner(
            context, "image_encoder=efficientnet-lite0:32", "image_tuning.frozen=true"
        ).model.learned_state()
    )
    frozen, test = runner(context, "image_tuning.frozen=true"), Examples(store, "test")
    expected = probabilities(frozen, test, fit)
    frozen.save(tmp_path)
    loaded = runner(context, "image_tuning.frozen=true", seed=99)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(probabilities(loaded, test, fit), expected)


def test_a_text_encoder_that_knows_nothing_cannot_be_frozen(context: ModelContext) -> None:
    with pytest.raises(UserError, match="starts from nothing: frozen, it would say nothing"):
        runner(context, "text_tuning.frozen=true")


def test_a_missing_image_is_masked_whether_embedded_or_not(store: Store, context: ModelContext) -> None:
    """An encoder's answer to a black square must not pass for an image."""
    model, test = runner(context).model, Examples(store, "test")
    encoded = model.image_encoder(Collate(test, model, CPU, labels=False)(np.arange(len(test))))  # type: ignore[misc]
    missing = torch.from_numpy(test.image_rows < 0)
    assert missing.any()
    assert not encoded.mask[missing].any()
    assert (encoded.pooled[missing] == 0).all()
    assert (encoded.pooled[~missing].abs().sum(1) > 0).all()


def test_learning_rates_follow_the_recipe() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    for kind, last in (("cosine", 0.0), ("constant", 1.0)):
        optim = torch.optim.SGD([parameter], lr=1.0)
        rate = schedule(optim, Recipe(warmup_ratio=0.2, schedule=kind), steps=10)
        seen = []
        for _ in range(10):
            seen.append(optim.param_groups[0]["lr"])
            optim.step()
            rate.step()
        assert seen[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
        assert optim.param_groups[0]["lr"] == pytest.approx(last)


def test_devices_and_precision_are_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu").type == "cpu"
    assert precision("auto", CPU) == "fp32"
    assert precision("bf16", CPU) == "bf16"
    assert accelerator(CPU, "bf16").mixed_precision == "bf16"
    assert accelerator(CPU, "auto").mixed_precision == "no"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="runs in one process so far"):
        accelerator(CPU, "auto")


@pytest.mark.parametrize(("name", "number"), [("auto", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_cuda_device_always_has_a_number(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """torch.cuda.set_device raises for one without, so that no run on a GPU got past its start."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device(name) == torch.device("cuda", number)


def test_bf16_on_the_cpu_trains_too(store: Store, context: ModelContext, fit: FitContext) -> None:
    model = runner(context, "recipe.precision=bf16")
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    assert facts["precision"] == "bf16"
    assert np.isfinite(probabilities(model, Examples(store, "test"), fit)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_call_runs_on_a_gpu(store: Store, context: ModelContext, tmp_path: Path) -> None:
    fit = FitContext(seed=0, device="cuda", folder=tmp_path)
    model = runner(context)
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    assert facts["validation_top1"] > 0.6
    assert probabilities(model, Examples(store, "test"), fit).shape == (42, 3)

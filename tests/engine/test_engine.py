"""Training and prediction: reproducible by seed, best epoch restored, no labels or ids in a batch."""

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
from mmeval.engine.device import accelerator, resolve_device, resolve_precision
from mmeval.engine.model import FitContext
from mmeval.engine.optim import build_scheduler
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


def test_training_learns_and_is_reproducible_by_seed(store: Store, context: ModelContext, fit: FitContext) -> None:
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


def test_best_epoch_on_validation_is_restored(
    store: Store, context: ModelContext, fit: FitContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of a later, worse epoch are not saved, and training stops when patience runs out."""
    import mmeval.engine.fit as module

    seen: list[torch.Tensor] = []
    scores = iter([0.2, 0.9, 0.5, 0.4, 0.3, 0.1])

    def validate(model: torch.nn.Module, *_: object) -> float:
        seen.append(next(model.parameters()).detach().clone())
        return next(scores)

    monkeypatch.setattr(module, "validation_score", validate)
    model = runner(context, "recipe.patience=3")
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    assert (facts["best_epoch"], facts["epochs"]) == (2, 5)
    assert [(epoch["epoch"], epoch["validation"]) for epoch in facts["history"]] == [
        (1, 0.2),
        (2, 0.9),
        (3, 0.5),
        (4, 0.4),
        (5, 0.3),
    ]
    assert facts["history"][0]["loss"] > facts["history"][-1]["loss"] > 0
    torch.testing.assert_close(next(model.model.parameters()), seen[1])


def test_loaded_model_predicts_the_same(store: Store, context: ModelContext, fit: FitContext, tmp_path: Path) -> None:
    model, test = runner(context, "recipe.epochs=1"), Examples(store, "test")
    model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    model.save(tmp_path)
    loaded = runner(context, seed=99)
    loaded.load(tmp_path)
    np.testing.assert_array_equal(probabilities(loaded, test, fit), probabilities(model, test, fit))
    with pytest.raises(UserError, match="holds the weights of another model"):
        runner(context, "width=17").load(tmp_path)


def test_nan_loss_stops_training_with_advice(store: Store, context: ModelContext, fit: FitContext) -> None:
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
    single = probabilities(runner(context, "recipe.batch_size=1"), test, fit)
    many = probabilities(runner(context, "recipe.batch_size=64"), test, fit)
    np.testing.assert_allclose(single, many, atol=1e-6)


def test_batches_carry_no_ids_and_labels_only_in_training(store: Store, context: ModelContext) -> None:
    model = runner(context).model
    rows = np.arange(5)
    unlabelled = Collate(Examples(store, "test"), model, CPU, labels=False)(rows)
    assert unlabelled.labels == {}
    assert {"ids", "id", "split", "slices", "cluster"}.isdisjoint(vars(unlabelled))
    assert set(Collate(Examples(store, "train"), model, CPU, labels=True)(rows).labels) == {"colour", "shade"}


def test_masks_mark_missing_images_and_texts(store: Store, context: ModelContext) -> None:
    test = Examples(store, "test")
    batch = Collate(test, runner(context).model, CPU, labels=False)(np.arange(len(test)))
    assert batch.has_image.tolist() == (test.image_rows >= 0).tolist()
    assert batch.has_text.tolist() == [bool(text) for text in test.texts]
    assert not batch.has_image.all()
    assert not batch.has_text.all()
    assert batch.images is not None
    assert (batch.images[~batch.has_image] == 0).all()


def test_each_image_is_embedded_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three languages, three splits and two runs share one pass of the encoder."""
    torch.manual_seed(5)
    encoder, counted = image_encoder("small-cnn:32", frozen=True), []
    encode = type(encoder).encode
    monkeypatch.setattr(type(encoder), "encode", lambda self, x: counted.append(len(x)) or encode(self, x))
    for split in ("train", "validation", "test", "train"):
        rows = Examples(store, split).image_rows
        vectors = cache.image_embeddings(encoder, store, rows, CPU).gather(rows)
        assert vectors.shape == (len(rows), 256)
    assert sum(counted) == len(np.unique(store.examples["image"].to_numpy()[store.examples["image"].to_numpy() >= 0]))
    direct = encode(encoder, decode_batch([store.image(3)], (32, 32))).pooled
    np.testing.assert_allclose(vectors[rows == 3][0], direct[0], atol=1e-5)


def test_interrupted_embedding_leaves_no_incomplete_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call computes the missing embeddings and does not read a half-written part."""
    torch.manual_seed(6)
    encoder = image_encoder("small-cnn:32", frozen=True)
    rows = Examples(store, "train").image_rows
    monkeypatch.setattr(cache, "PART_SIZE", 8)
    save, calls = cache.np.save, []

    def interrupted(file: object, table: np.ndarray, **options: bool) -> None:
        calls.append(len(table))
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(file, table, **options)

    monkeypatch.setattr(cache.np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.image_embeddings(encoder, store, rows, CPU)
    embeddings = cache.image_embeddings(encoder, store, rows, CPU)
    assert calls == [8, 8, 8, 8]
    assert (np.abs(embeddings.gather(rows)).sum(1) > 0).all()


def test_frozen_embeddings_and_pixels_give_the_same_predictions(
    store: Store, context: ModelContext, fit: FitContext
) -> None:
    """The cache changes the speed, not the result."""
    test = Examples(store, "test")
    frozen = runner(context, "image_tuning.frozen=true")
    not_frozen = runner(context)
    np.testing.assert_allclose(probabilities(frozen, test, fit), probabilities(not_frozen, test, fit), atol=1e-5)


def test_frozen_weights_are_saved_unless_published(
    store: Store, context: ModelContext, fit: FitContext, tmp_path: Path
) -> None:
    """A frozen encoder with random weights is part of the model; packaged weights would only be copied."""
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


def test_untrained_text_encoder_cannot_be_frozen(context: ModelContext) -> None:
    with pytest.raises(UserError, match="has no pretrained weights, so it can't be frozen"):
        runner(context, "text_tuning.frozen=true")


def test_missing_images_are_masked_in_encoder_output(store: Store, context: ModelContext) -> None:
    """The encoding of the black square that stands for a missing image must not be used."""
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
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        scheduler = build_scheduler(optimizer, Recipe(warmup_ratio=0.2, schedule=kind), steps=10)
        seen = []
        for _ in range(10):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert seen[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
        assert optimizer.param_groups[0]["lr"] == pytest.approx(last)


def test_device_and_precision_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_precision("auto", CPU) == "fp32"
    assert resolve_precision("bf16", CPU) == "bf16"
    assert accelerator(CPU, "bf16").mixed_precision == "bf16"
    assert accelerator(CPU, "auto").mixed_precision == "no"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="runs in one process so far"):
        accelerator(CPU, "auto")


@pytest.mark.parametrize(("name", "number"), [("auto", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_cuda_device_always_has_an_index(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """torch.cuda.set_device raises for a device without an index, which once stopped every run on a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device(name) == torch.device("cuda", number)


def test_bf16_trains_on_the_cpu(store: Store, context: ModelContext, fit: FitContext) -> None:
    model = runner(context, "recipe.precision=bf16")
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    assert facts["precision"] == "bf16"
    assert np.isfinite(probabilities(model, Examples(store, "test"), fit)).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_runs_on_a_gpu(store: Store, context: ModelContext, tmp_path: Path) -> None:
    fit = FitContext(seed=0, device=str(resolve_device("cuda")), folder=tmp_path)
    model = runner(context)
    facts = model.fit(Examples(store, "train"), Examples(store, "validation"), fit)
    assert facts["validation_top1"] > 0.6
    assert probabilities(model, Examples(store, "test"), fit).shape == (42, 3)

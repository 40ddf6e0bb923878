"""The measurements of ``gpu.py``, which starts a separate process for each."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import re
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from benchmarks.gpu import ALWAYS, ROOT, format_row, is_installed, say

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mmeval import Batch, Examples
    from mmeval.api.spec import DatasetSpec, ModelSpec
    from mmeval.data.store import Store
    from mmeval.nn import ImageEncoder, TorchModel

GIB = 2**30
BEGUN = time.monotonic()
"""Start of the process, before the import of torch, which takes seconds."""
PEAKS: tuple[tuple[str, float, str], ...] = (
    (r"H100 PCIe", 756e12, "NVIDIA H100 data sheet: 1,513 TFLOPS with sparsity, half of it without"),
    (r"H100 (80GB HBM3|SXM)", 989e12, "NVIDIA H100 data sheet: 1,979 TFLOPS with sparsity, half of it without"),
    (r"H200(?! NVL)", 989e12, "NVIDIA H200 data sheet: 1,979 TFLOPS with sparsity, half of it without"),
    (r"A100", 312e12, "NVIDIA A100 data sheet: 312 TFLOPS without sparsity"),
)
"""Pattern of a card's name, its published peak for dense bf16 in operations per second, and the source."""


@dataclass
class Bench:
    """The device, data and time budget of a step, and the file that its results go to."""

    device: torch.device
    tiny: bool
    seconds: float
    """The time budget."""
    output: Path
    started: float = BEGUN

    @property
    def left(self) -> float:
        """Seconds that are left of the budget."""
        return self.seconds - (time.monotonic() - self.started)

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        return 16 if self.tiny else 256

    def data(self) -> Store:
        """Return the prepared data."""
        from mmeval.console import quiet
        from mmeval.data.prepare.prepare import prepare

        with quiet():
            return prepare(dataset(tiny=self.tiny))

    def row(
        self, of: str, what: str, value: float | int | str | None, unit: str, goal: float | None = None, note: str = ""
    ) -> None:
        """Record and print a figure; a goal is reached if the figure is at least as large."""
        reached = None if goal is None or not isinstance(value, int | float) else value >= goal
        row = {"of": of, "what": what, "value": value, "unit": unit, "goal": goal, "reached": reached, "note": note}
        self.line(row=row)
        say(f"    {format_row(row)}")

    def skip(self, what: str, why: str) -> None:
        """Record and print that a measurement was skipped."""
        self.line(skipped={"what": what, "why": why})
        say(f"    {what}: skipped, {why}")

    def line(self, **content: Any) -> None:  # noqa: ANN401 - JSON
        """Append a JSON object to the output file, which ``gpu.py`` reads line by line."""
        with self.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content, ensure_ascii=False) + "\n")

    @contextlib.contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Run a part of a step; record any exception and continue with the next part."""
        try:
            yield
        except Exception as error:  # any error: the other parts can still be measured
            traceback.print_exc()
            self.skip(what, format_error(error))
        finally:
            self.free()

    def free(self) -> None:
        """Release unused device memory and reset the peak."""
        import gc

        import torch

        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def wait(self) -> None:
        """Wait until the card has finished all queued work."""
        import torch

        if self.cuda:
            torch.cuda.synchronize()

    def memory(self, of: str) -> None:
        """Record the peak memory since the last :meth:`free`."""
        import torch

        from mmeval.runs.environment import peak_memory_bytes

        if self.cuda:
            self.row(of, "peak device memory", torch.cuda.max_memory_allocated() / GIB, "GiB")
        else:
            self.row(of, "peak memory of the process", (peak_memory_bytes() or 0) / GIB, "GiB")


def format_error(error: BaseException) -> str:
    """Return type and message of an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


# --- The data: products of a shop, images of 298 x 228 and texts in thirteen languages. ---

HEIGHT, WIDTH, CLASSES = 298, 228, 191
"""Size of the images and number of classes, as in GLAMI-1M."""


class Products:
    """A source of photo-like JPEGs, each with texts of 8 to 40 words in several languages."""

    tasks: tuple[Any, ...]

    def __init__(self, *, tiny: bool) -> None:
        from mmeval import Task

        train, others = (96, 16) if tiny else (4096, 128)
        self.sizes = {"train": train, "validation": others, "test": others}
        # Epochs must be long, because each begins by waiting for its first batch.
        self.names = 1 if tiny else 8
        self.identity = {"benchmark": "gpu-1", "sizes": repr(self.sizes)}
        self.tasks = (Task("category", tuple(f"class {number}" for number in range(CLASSES))),)
        self.image_count = sum(self.sizes.values())
        self.size = self.image_count * self.names

    def images(self) -> Iterator[tuple[str, bytes]]:
        import numpy as np
        import simplejpeg
        from PIL import Image

        rng = np.random.default_rng(0)
        noise = rng.normal(0, 10, (HEIGHT + 256, WIDTH + 256, 3)).astype(np.float32)
        for number in range(self.image_count):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 12, 3)).astype(np.uint8))
            y, x = rng.integers(0, 256, 2)
            smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
            pixels = np.clip(smooth + noise[y : y + HEIGHT, x : x + WIDTH], 0, 255).astype(np.uint8)
            yield str(number), simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=85, colorspace="RGB")

    def examples(self) -> Iterator[Any]:
        import numpy as np

        from mmeval import Example
        from mmeval.testing.data import WORDS

        rng, languages, image = np.random.default_rng(1), sorted(WORDS), 0
        for split, count in self.sizes.items():
            for _ in range(count):
                label = {"category": f"class {image % CLASSES}"}
                for name in range(self.names):
                    language = languages[(image + name) % len(languages)]
                    words = rng.choice(WORDS[language].split(), rng.integers(8, 41)).tolist()
                    yield Example(
                        id=f"{image}/{language}",
                        text=" ".join([*words, str(image)]),
                        language=language,
                        split=split,
                        labels=label,
                        image=str(image),
                        cluster=str(image),
                    )
                image += 1


def dataset(*, tiny: bool) -> DatasetSpec:
    """Return the data set's spec, as a plugin would register it."""
    from mmeval import DatasetSpec

    return DatasetSpec(name="gpu-benchmark", summary="-", card=None, source=lambda: Products(tiny=tiny))


def start(bench: Bench) -> None:
    """Prepare the data, and record the properties of the machine."""
    import torch

    before = time.monotonic()
    store = bench.data()
    say(f"  {len(store.examples):,} examples in {time.monotonic() - before:.0f} s")
    from mmeval.data.loader import cores
    from mmeval.engine.device import device_name

    versions = {}
    for name in (*ALWAYS, "transformers", "timm", "open-clip-torch", "torchvision", "peft"):
        versions[name] = importlib.metadata.version(name) if is_installed(name) else None
    facts: dict[str, Any] = {
        "card": torch.cuda.get_device_name() if bench.cuda else "cpu",
        "device": device_name(bench.device),
        "device_memory_gib": torch.cuda.get_device_properties(0).total_memory / GIB if bench.cuda else None,
        "cores": cores(),
        "driver": driver() if bench.cuda else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if bench.cuda else None,  # type: ignore[no-untyped-call]
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "packages": versions,
        "peak_bf16_flops": peak(bench)[0],
        "peak_source": peak(bench)[1],
    }
    bench.line(facts=facts)
    say(f"  {facts['device']}, driver {facts['driver']}, CUDA {facts['cuda']}, torch {facts['torch']}")


def driver() -> str | None:
    """Return the version of the driver from nvidia-smi; None without it."""
    call = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        versions = subprocess.run(call, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return versions[0] if versions else None


def peak(bench: Bench) -> tuple[float | None, str | None]:
    """Return the published dense bf16 operations per second of the card, and the source; None if not in the table."""
    import torch

    return peak_of(torch.cuda.get_device_name()) if bench.cuda else (None, None)


def peak_of(card: str) -> tuple[float | None, str | None]:
    """Return the published peak and its source for a card's name; None for cards that are not in the table."""
    return next(((flops, source) for name, flops, source in PEAKS if re.search(name, card)), (None, None))


# --- Training with the engine's loop. ---


class Training:
    """A model that is trained step by step by the engine's own loop."""

    def __init__(self, bench: Bench, spec: ModelSpec, config: Any, limit: int | None = None) -> None:  # noqa: ANN401
        """Build the model of ``config``, and everything that ``mmeval.engine.fit.fit`` builds before its first step."""
        import torch

        from mmeval import Examples
        from mmeval.console import quiet
        from mmeval.engine.collate import Collate
        from mmeval.engine.device import accelerator
        from mmeval.engine.optim import build_optimizer, build_scheduler
        from mmeval.engine.runner import TorchRunner, as_model
        from mmeval.runs.train import context_of

        self.bench, self.recipe = bench, config.recipe
        self.examples: Examples = Examples(bench.data(), "train", limit=limit)
        torch.manual_seed(0)
        built = as_model(spec.build(config, context_of(self.examples)))
        if not isinstance(built, TorchRunner):
            raise TypeError("not a torch model, so there is nothing to measure on a GPU")
        self.model: TorchModel = built.model
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.accelerator = accelerator(bench.device, self.recipe.precision)
        before = time.monotonic()
        with quiet():
            self.collate = Collate(self.examples, self.model, bench.device, labels=True)
        self.embedding_seconds = time.monotonic() - before
        self.model, self.optim = self.accelerator.prepare(self.model, build_optimizer(self.model, self.recipe))
        self.scheduler = build_scheduler(self.optim.optimizer, self.recipe, 10_000)
        self.model.train()
        self.epoch, self.losses = 0, list[float]()

    def steps(self, collate: Callable[[np.ndarray[Any, Any]], Batch] | None = None) -> Iterator[int]:
        """Take the engine's steps, epoch after epoch without end; yield the number of examples of each step."""
        from mmeval.engine.fit import train_epoch

        while True:
            self.epoch += 1
            source: Any = collate or self.collate
            for size, loss in train_epoch(
                self.model, source, self.accelerator, self.optim, self.scheduler, 0, self.epoch
            ):
                self.losses.append(loss)
                yield size

    def resident(self) -> Resident:
        """Return batches that are already on the device, for :meth:`steps`."""
        return Resident(self)

    def flops(self) -> float:
        """Return the floating point operations of a forward and backward pass, per example.

        Counted are matrix products, convolutions and attention, to which the published peak of a card refers.
        """
        from torch.utils.flop_counter import FlopCounterMode

        from mmeval.engine.fit import task_loss

        batch = self.resident()()
        counter = FlopCounterMode(display=False)
        with counter:
            with self.accelerator.autocast():
                loss = task_loss(self.model(batch), batch.labels, 0.0)
            self.accelerator.backward(loss)
        self.optim.zero_grad()
        return counter.get_total_flops() / len(batch)


class Resident:
    """A replacement for ``Collate`` that returns the same few batches, already on the device, in turn."""

    def __init__(self, training: Training, count: int = 4) -> None:
        import numpy as np

        self.examples = training.examples
        size = min(training.recipe.batch_size, len(self.examples))
        count = max(1, min(count, len(self.examples) // size))
        rows = [np.arange(number * size, (number + 1) * size) for number in range(count)]
        self._batches = [training.collate(part).to(training.bench.device) for part in rows]
        training.bench.wait()
        self._turn = itertools.cycle(range(count))
        self._lock = threading.Lock()

    def __call__(self, rows: np.ndarray[Any, Any] | None = None) -> Batch:  # noqa: ARG002 - as Collate
        """Return the next batch; all batches have the same size."""
        with self._lock:
            return self._batches[next(self._turn)]


def rate(bench: Bench, steps: Iterator[int], seconds: float, most: int) -> tuple[float, int]:
    """Take ``most`` steps, or as many as fit into ``seconds`` (at least 2); return examples/s and their number."""
    bench.wait()
    started, examples, count = time.perf_counter(), 0, 0
    for size in itertools.islice(steps, most):
        examples, count = examples + size, count + 1
        if count > 1 and time.perf_counter() - started > seconds:
            break
    bench.wait()
    return examples / (time.perf_counter() - started), count


def halving(bench: Bench, make: Callable[[int], Training], of: str) -> Training:
    """Return a training after its first steps, with the largest batch size that fits: the bench's, half of it, ..."""
    size = bench.batch_size
    while True:
        try:
            training = make(size)
            for _ in itertools.islice(training.steps(), 3):
                pass
        except RuntimeError as error:
            if size < 2 or not out_of_memory(error):
                raise
        else:
            note = "" if size == bench.batch_size else f"out of memory at {size * 2}"
            bench.row(of, "batch size", size, "examples", note=note)
            return training
        size //= 2
        bench.free()


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether the card's memory was full, by torch's allocator or by a library that allocates for itself."""
    import torch

    message = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in message or "ALLOC_FAILED" in message


def small(spec: ModelSpec) -> list[str]:
    """Return changes of a plugin's default preset that make the model small, without weights, and fully trained."""
    from mmeval.api.config import defaults, options

    wanted = {
        "image_encoder": "small-cnn:32",
        "text_encoder": "" if "trunk" in {o.name for o in options(defaults(spec.config))} else "small-bert:1x32",
        "trunk": "small-bert:1x32",
        "image_tuning.frozen": "false",
        "text_tuning.frozen": "false",
        "tuning.frozen": "false",
        "mode": "fine-tune",
    }
    has = {option.name for option in options(defaults(spec.config))}
    return [f"{name}={value}" for name, value in wanted.items() if name in has and spec.name != "tfidf"]


def configured(bench: Bench, spec: ModelSpec, preset: str, *changes: str) -> Any:  # noqa: ANN401
    """Return the config of a preset with random weights at the published sizes; in a dry run, of a small model."""
    from mmeval.plugin.configure import configure
    from mmeval.testing import random_weights

    if bench.tiny:
        return configure(spec.config, spec.name, spec.presets[spec.default_preset], [*small(spec), *changes])
    return random_weights(spec, preset, changes)


@dataclass(frozen=True)
class Case:
    """A model that several steps measure in detail."""

    plugin: str
    preset: str
    changes: tuple[str, ...]
    of: str


CASES = (
    # The preset freezes the text encoder and caches its output. Here it is trained, so that each step tokenizes texts.
    Case("embracenet", "paper", ("text_tuning.frozen=false",), "EmbraceNet"),
    Case("cma-clip", "base", (), "CMA-CLIP"),
)
"""ResNeXt-50 with mT5-small, and ViT-B/32 with XLM-R base."""


def case_training(bench: Bench, case: Case) -> Training:
    """Return the training of a case, after its first steps."""
    from mmeval.plugin.manager import Manager

    spec = Manager().model(case.plugin)
    # With this learning rate random weights don't diverge; no figure depends on it.
    fixed = ("recipe.gradient_accumulation_steps=1", "recipe.learning_rate=1e-5", "recipe.modality_dropout=0")

    def make(size: int) -> Training:
        changes = () if bench.tiny else case.changes
        return Training(
            bench, spec, configured(bench, spec, case.preset, *changes, *fixed, f"recipe.batch_size={size}")
        )

    return halving(bench, make, case.of)


# --- The steps. ---


CONTRACT = {
    "embracenet": ("image_encoder=small-cnn:32", "image_tuning.frozen=false", "text_encoder=char-ngrams:4096x32"),
    "mmbt": ("image_encoder=small-cnn:32", "image_tuning.frozen=false", "text_encoder=", "trunk=small-bert:2x64"),
    "imagebert": ("image_encoder=small-cnn:32", "image_tuning.frozen=false", "text_encoder=", "trunk=small-bert:2x64"),
}
"""Three plugins, with changes that give them encoders without weights."""


def correctness(bench: Bench) -> None:
    """Check the contract's rule ``bf16`` on the device, and run the tests that are marked ``gpu``."""
    from mmeval.console import quiet
    from mmeval.testing import check_plugin

    for plugin, changes in CONTRACT.items():
        with bench.part(f"bf16 of {plugin}"), quiet():
            (result,) = check_plugin(plugin, changes=changes, device=str(bench.device), only=["bf16"])
            bench.row(plugin, "contract: bf16", result.verdict.value, "verdict", note=result.message)
    with bench.part("tests marked gpu"):
        if not is_installed("pytest"):
            bench.skip("tests marked gpu", "pytest is not installed")
            return
        _marked_tests(bench)


def _marked_tests(bench: Bench) -> None:
    """Run the tests that are marked ``gpu`` and record how many passed, failed and were skipped."""
    from xml.etree import ElementTree as ET

    files = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in p.read_text("utf-8")]
    report = bench.output.with_suffix(".xml")
    # This machine's version of torch may warn where the suite's own doesn't, so warnings are not errors.
    call = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider"]
    process = subprocess.run(
        [*call, f"--junitxml={report}", *files], cwd=ROOT, check=False, timeout=max(bench.left, 60)
    )
    tests = list(ET.parse(report).getroot().iter("testcase")) if report.is_file() else []
    kinds = {"failed": ("failure", "error"), "skipped": ("skipped",)}
    outcomes: dict[str, list[tuple[str, str]]] = {"passed": [], "failed": [], "skipped": []}
    for test in tests:
        kind = next((k for k, tags in kinds.items() for tag in tags if test.find(tag) is not None), "passed")
        detail = next((test.find(tag) for tag in kinds.get(kind, ()) if test.find(tag) is not None), None)
        outcomes[kind].append((test.get("name", ""), "" if detail is None else detail.get("message", "")))
    for kind, group in outcomes.items():
        note = "; ".join(f"{name}: {' '.join(why.split())[:200]}" for name, why in group[:5])
        bench.row("tests marked gpu", kind, len(group), "tests", note=note if kind == "failed" else "")
    bench.row("tests marked gpu", "exit status of pytest", process.returncode, "")


def training(bench: Bench) -> None:
    """Measure training end to end and on batches that are already on the device; count operations and memory."""
    for number, case in enumerate(CASES):
        share = bench.left / (len(CASES) - number)
        with bench.part(case.of):
            _training(bench, case, time.monotonic() + share)


def _training(bench: Bench, case: Case, end: float) -> None:
    """Measure a case until ``end`` (as ``time.monotonic`` counts)."""
    import numpy as np

    from mmeval.data.loader import batches

    run, rounds, most = case_training(bench, case), 2, 4 if bench.tiny else 400
    bench.row(case.of, "parameters", run.parameters, "")
    bench.row(case.of, "precision", run.accelerator.mixed_precision.replace("no", "fp32"), "")
    resident = run.resident()
    warm = 1 if bench.tiny else 8
    ways = {"end to end": run.steps(), "resident": run.steps(resident)}
    for steps in ways.values():
        rate(bench, steps, 1e9, warm)
    seconds = max((end - time.monotonic() - 5) / (2 * rounds + 1), 0.1)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, steps in ways.items():
            # Skip the batches that were built in advance while the other way was measured.
            rate(bench, steps, 1e9, 1 if bench.tiny else 4)
            rates[way].append(rate(bench, steps, seconds, most)[0])
    bench.memory(case.of)
    spread = {way: f"rounds: {', '.join(f'{value:,.0f}' for value in values)}" for way, values in rates.items()}
    means = {way: statistics.mean(values) for way, values in rates.items()}
    end_to_end, fixed = means["end to end"], means["resident"]
    bench.row(case.of, "training, end to end", end_to_end, "examples/s", note=spread["end to end"])
    bench.row(case.of, "the same step on resident batches", fixed, "examples/s", note=spread["resident"])
    bench.row(case.of, "end to end / resident", end_to_end / fixed, "", goal=0.95)
    order = np.arange(len(run.examples))
    sizes = (len(batch) for batch in batches(order, run.recipe.batch_size, run.collate))
    bench.row(case.of, "building batches alone", rate(bench, sizes, seconds, most)[0], "examples/s")
    flops = run.flops()
    bench.row(case.of, "operations of a step", flops / 1e9, "GFLOP/example", note="forward and backward, counted")
    top, source = peak(bench)
    for way, value in means.items():
        mfu = flops * value / top if top else None
        note = source or "no published peak for this card in the table"
        bench.row(case.of, f"MFU, {way}", mfu, "of the bf16 peak", note=note)


def embedding(bench: Bench) -> None:
    """Measure the embedding pass of CLIP ViT-B/32, and the bare encoder on tensors that are on the device."""
    import numpy as np

    from mmeval.console import quiet
    from mmeval.data.images import decode_batch
    from mmeval.data.loader import batches
    from mmeval.engine.embeddings import IMAGE_BATCH, image_embeddings
    from mmeval.nn import image_encoder

    of = "CLIP ViT-B/32"
    name = "small-cnn:32" if bench.tiny else "hf:openai/clip-vit-base-patch32?weights=random"
    encoder = image_encoder(name).freeze()
    store = bench.data()
    rows, read = np.arange(store.images.num_rows), encoder.input

    def make(part: np.ndarray[Any, Any]) -> torch.Tensor:
        encoded = [store.image(int(row)) for row in part]
        return decode_batch(encoded, (read.height, read.width), read.interpolation, read.crop)

    def package(wanted: np.ndarray[Any, Any]) -> float:
        _forget_embeddings()
        started = time.perf_counter()
        with quiet():
            image_embeddings(encoder, store, wanted, bench.device)
        return len(wanted) / (time.perf_counter() - started)

    package(rows[: 2 * IMAGE_BATCH])
    rates = [package(rows)]
    while len(rates) < 3 and bench.left > 4 * len(rows) / rates[0]:
        rates.append(package(rows))
    ours = statistics.median(rates)
    rounds = f"rounds: {', '.join(f'{value:,.0f}' for value in rates)}"
    bench.row(of, "embedding pass, end to end", ours, "images/s", note=f"{len(rows):,} images; {rounds}")
    decoded = rate(bench, (len(batch) for batch in batches(rows, IMAGE_BATCH, make)), max(bench.left / 4, 0.1), 10**6)[
        0
    ]
    bench.row(of, "decoding and resizing alone", decoded, "images/s")
    most = bench.batch_size
    pixels = make(np.resize(rows, most)).to(bench.device)
    bare: dict[str, float] = {}
    for label, size, half in (("as the pass", IMAGE_BATCH, False), ("at its best", most, bench.cuda)):
        bare[label] = _bare(bench, encoder, pixels[:size], half)
        note = f"batches of {min(size, most)}, {'bf16' if half else 'fp32'}"
        bench.row(of, f"bare encoder, {label}", bare[label], "images/s", note=note)
    for label, value in bare.items():
        bench.row(of, f"embedding pass / bare encoder, {label}", ours / value, "", goal=0.9)
    bench.memory(of)


def _bare(bench: Bench, encoder: ImageEncoder, pixels: torch.Tensor, half: bool) -> float:
    """Return images per second of an encoder on a batch that is on the device."""
    import torch

    def endless() -> Iterator[int]:
        while True:
            encoder.encode(pixels)
            yield len(pixels)

    seconds, most = (0.2, 3) if bench.tiny else (max(min(bench.left / 4, 5.0), 0.5), 10**6)
    with torch.inference_mode(), torch.autocast(bench.device.type, torch.bfloat16, enabled=half):
        rate(bench, endless(), 1e9, 2 if bench.tiny else 10)
        if not bench.cuda:
            return rate(bench, endless(), seconds, most)[0]
        # Calls return before the card has finished, so time a fixed number of calls that takes about that long.
        of_twenty = len(pixels) * 20 / rate(bench, endless(), 1e9, 20)[0]
        return rate(bench, endless(), 1e9, max(20, int(20 * seconds / of_twenty)))[0]


def _forget_embeddings() -> None:
    """Delete the embedding cache."""
    import shutil

    from mmeval.home import home

    shutil.rmtree(home() / "embeddings", ignore_errors=True)


def profile(bench: Bench) -> None:
    """Profile a training step of each case."""
    for case in CASES:
        with bench.part(case.of):
            _profile(bench, case)


OPERATORS = 15
"""Number of operators that are recorded, the slowest first."""
COPIES, WAITS = ("Memcpy", "Memset"), ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def _profile(bench: Bench, case: Case) -> None:
    """Record operators, idle time, copies and waits of a training step."""
    from torch._C._autograd import DeviceType
    from torch.autograd.profiler_util import EventList
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    from mmeval.data.loader import batches
    from mmeval.engine import fit

    run, count, waited = case_training(bench, case), 2 if bench.tiny else 6, [0.0]

    def timed(*arguments: Any, **named: Any) -> Iterator[Any]:  # noqa: ANN401
        source = batches(*arguments, **named)
        while True:
            before = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            waited[0] += time.perf_counter() - before
            yield batch

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    with mock.patch.object(fit, "batches", timed):
        steps = run.steps()
        for _ in itertools.islice(steps, 1 if bench.tiny else 6):
            pass
        bench.wait()
        waited[0] = 0.0
        with profiler(activities=kinds) as recorded:
            started = time.perf_counter()
            for _ in itertools.islice(steps, count):
                pass
            bench.wait()
            wall = (time.perf_counter() - started) / count
    bench.row(case.of, "a step under the profiler", wall * 1e3, "ms")
    bench.row(case.of, "host waits for a batch", waited[0] / count * 1e3, "ms/step")
    averages: EventList = recorded.key_averages()
    if bench.cuda:
        spans, copies = _device_spans(recorded.events())
        busy = _union(spans) / 1e6 / count
        bench.row(case.of, "device busy", busy / wall, "of the step")
        bench.row(case.of, "device idle", 1 - busy / wall, "of the step")
        for name, micro in copies.items():
            bench.row(case.of, f"copies: {name}", micro / count / 1e3, "ms/step")
        waits = sum(event.self_cpu_time_total for event in averages if event.key in WAITS)
        bench.row(case.of, "host waits for the device", waits / count / 1e3, "ms/step")
        launches = ("cudaLaunchKernel", "cuLaunchKernel")
        launched = sum(event.count for event in averages if event.key.startswith(launches))
        bench.row(case.of, "kernels", launched / count, "launches/step")
    attribute = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    # Kernels and annotations have separate events, which would count the time of the operators twice.
    operators = [
        event
        for event in averages
        if event.device_type == DeviceType.CPU and not getattr(event, "is_user_annotation", False)
    ]
    for operator in sorted(operators, key=lambda event: -float(getattr(event, attribute)))[:OPERATORS]:
        micro = float(getattr(operator, attribute))
        note = f"{operator.count / count:.0f} calls, {micro / count / 1e6 / wall:.1%} of the step"
        bench.row(case.of, operator.key[:80], micro / count / 1e3, "ms/step", note=note)


def _device_spans(events: Any) -> tuple[list[tuple[float, float]], dict[str, float]]:  # noqa: ANN401
    """Return the times at which the device was busy, and the duration of each kind of copy, in microseconds."""
    from torch._C._autograd import DeviceType

    spans, copies = [], dict[str, float]()
    for event in events:
        if event.device_type != DeviceType.CUDA or getattr(event, "is_user_annotation", False):
            continue
        spans.append((event.time_range.start, event.time_range.end))
        if event.name.startswith(COPIES):
            copies[event.name] = copies.get(event.name, 0.0) + event.time_range.elapsed_us()
    return spans, copies


def _union(spans: list[tuple[float, float]]) -> float:
    """Return the total length of the union of spans."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


def trainer(bench: Bench) -> None:
    """Measure the same module under Hugging Face's Trainer, with Pillow in the workers of a DataLoader."""
    case = CASES[0]
    training = case_training(bench, case)
    warm, most = (1, 3) if bench.tiny else (8, 300)
    rate(bench, training.steps(), 1e9, warm)
    ours = rate(bench, training.steps(), max(bench.left / 3, 0.1), most)[0]
    bench.row(case.of, "mmeval's own loop", ours, "examples/s")
    theirs = _trainer_rate(bench, training, warm, most, max(bench.left * 0.8, 1.0))
    bench.row(case.of, "Hugging Face Trainer", theirs[0], "examples/s", note=theirs[1])
    bench.row(case.of, "mmeval / Hugging Face Trainer", ours / theirs[0], "")


def _trainer_rate(bench: Bench, training: Training, warm: int, most: int, seconds: float) -> tuple[float, str]:
    """Return examples per second of ``Trainer.train`` after its first steps, and a note on its settings."""
    import io

    import numpy as np
    import torch
    from accelerate.state import AcceleratorState
    from PIL import Image
    from torch import nn
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from mmeval import Batch
    from mmeval.data.loader import cores
    from mmeval.engine.fit import task_loss

    examples, model = training.examples, training.model
    images, texts = model.image_encoder, model.text_encoder
    assert images is not None
    assert texts is not None
    size, task = training.recipe.batch_size, model.context.tasks[0].name
    side, labels = (images.input.width, images.input.height), examples.labels(task)

    class Rows(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return len(examples)

        def __getitem__(self, row: int) -> dict[str, Any]:
            (encoded,) = examples.encoded_images(examples.image_rows[row : row + 1])
            with Image.open(io.BytesIO(encoded or b"")) as opened:
                pixels = np.array(opened.convert("RGB").resize(side, Image.Resampling.BILINEAR))
            image = torch.from_numpy(pixels).permute(2, 0, 1)
            return {"image": image, "text": examples.texts[row], "label": int(labels[row])}

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = texts.tokenize([row["text"] for row in rows])
        stacked = torch.stack([row["image"] for row in rows])
        target = torch.tensor([row["label"] for row in rows])
        return {"images": stacked, "text_ids": ids, "text_mask": mask, "labels": target}

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(
            self, images: torch.Tensor, text_ids: torch.Tensor, text_mask: torch.Tensor, labels: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            count, device = len(images), images.device
            present = torch.ones(count, dtype=torch.bool, device=device)
            batch = Batch(
                present, present, ("en",) * count, {task: labels}, torch.arange(count, device=device), images=images,
                text_ids=text_ids, text_mask=text_mask,
            )  # fmt: skip
            output = self.inner(batch)
            return {"loss": task_loss(output, batch.labels, 0.0), "logits": output.logits[task]}

    class Clock(TrainerCallback):  # type: ignore[misc, no-any-unimported, unused-ignore]
        begun, ended, count = 0.0, 0.0, 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ANN401, ARG002
            if state.global_step < warm:
                return control
            if not self.begun:
                bench.wait()
                self.begun = time.perf_counter()
                return control
            self.count += 1
            if self.count >= most or time.perf_counter() - self.begun > seconds:
                bench.wait()
                self.ended = time.perf_counter()
                control.should_training_stop = True
            return control

    workers = 1 if bench.tiny else min(cores(), 8)
    # Accelerate has one state per process, which mmeval's loop has already set.
    AcceleratorState._reset_state(reset_partial_state=True)
    arguments = TrainingArguments(
        output_dir=str(bench.output.with_suffix("")),
        max_steps=warm + most,
        per_device_train_batch_size=size,
        learning_rate=1e-5,
        bf16=bench.cuda,
        use_cpu=not bench.cuda,
        dataloader_num_workers=workers,
        dataloader_persistent_workers=True,
        dataloader_pin_memory=bench.cuda,
        dataloader_drop_last=True,
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        max_grad_norm=0.0,  # as in this model's recipe
        disable_tqdm=True,
        seed=0,
    )
    clock = Clock()
    trainer = Trainer(Wrapped(), arguments, data_collator=collate, train_dataset=Rows(), callbacks=[clock])
    trainer.train()
    return clock.count * size / (clock.ended - clock.begun), f"Pillow, {workers} workers, {clock.count} steps"


def presets(bench: Bench) -> None:
    """Train the preset ``base`` of each plugin with random weights: 50 steps, at batch 256 or the largest that fits."""
    from mmeval.plugin.listing import installed
    from mmeval.plugin.manager import Manager

    names = [plugin.name for plugin in installed("model") if plugin.distribution == "mmeval-multilingual"]
    specs = {name: Manager().model(name) for name in names}
    cases = [(spec, preset) for spec in specs.values() for preset in largest(spec)]
    for number, (spec, preset) in enumerate(cases):
        of, share = f"{spec.name} {preset}", bench.left / (len(cases) - number)
        if bench.left < (1 if bench.tiny else 8):
            bench.skip(of, "no time was left")
            continue
        with bench.part(of):
            _preset(bench, spec, preset, of, time.monotonic() + share)


def largest(spec: ModelSpec) -> list[str]:
    """Return the presets of published size: ``base`` and ``base-image``, else ``paper``, else the default."""
    bases = [name for name in spec.presets if name.split("-")[0] == "base"]
    return bases or [name for name in ("paper",) if name in spec.presets] or [spec.default_preset]


def _preset(bench: Bench, spec: ModelSpec, preset: str, of: str, end: float) -> None:
    """Train a preset until ``end`` (as ``time.monotonic`` counts) or for 50 steps; record speed, losses and memory."""
    from mmeval import TorchConfig

    if not issubclass(spec.config, TorchConfig):
        bench.row(of, "training, end to end", None, "examples/s", note="not a torch model: nothing to run on a GPU")
        return

    def make(size: int) -> Training:
        config = configured(bench, spec, preset, "recipe.gradient_accumulation_steps=1", f"recipe.batch_size={size}")
        return Training(bench, spec, config, limit=8192)

    run, wanted = halving(bench, make, of), 4 if bench.tiny else 50
    done = len(run.losses)
    value, count = rate(bench, run.steps(), max(end - time.monotonic(), 0.1), wanted - done)
    note = f"{done + count} steps" + ("" if done + count >= wanted else f" of {wanted}: no time was left")
    bench.row(of, "training, end to end", value, "examples/s", note=note)
    bench.row(of, "parameters", run.parameters, "")
    first, last = statistics.mean(run.losses[:5]), statistics.mean(run.losses[-5:])
    bench.row(of, "loss, first and last five steps", f"{first:.3f}, {last:.3f}", "nats")
    if run.embedding_seconds > 1:
        bench.row(of, "embedding with frozen encoders", run.embedding_seconds, "s")
    bench.memory(of)


RUN: dict[str, Callable[[Bench], None]] = {
    "start": start,
    "a": correctness,
    "b": training,
    "c": presets,
    "d": embedding,
    "e": trainer,
    "f": profile,
}


def main() -> int:
    """Run one step in this process: ``python -m benchmarks.gpu_steps STEP FOLDER SECONDS [--cpu] [--tiny]``."""
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=RUN)
    parser.add_argument("work", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    output = options.work / f"{options.step}.jsonl"
    if not options.cpu and not torch.cuda.is_available():
        Bench(torch.device("cpu"), options.tiny, 0, output).line(
            error="torch finds no CUDA device; --cpu runs on the CPU"
        )
        return 1
    device = torch.device("cpu") if options.cpu else torch.device("cuda", 0)
    bench = Bench(device, options.tiny, options.seconds, output)
    torch.manual_seed(0)
    try:
        RUN[options.step](bench)
    except BaseException as error:
        bench.line(error=format_error(error))
        raise
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

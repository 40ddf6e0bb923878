"""The measurements of ``gpu.py``, each in a process of its own, which it starts."""

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

from benchmarks.gpu import ALWAYS, ROOT, in_words, is_installed, say

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mmeval import Batch, Examples
    from mmeval.api.spec import DatasetSpec, ModelSpec
    from mmeval.data.store import Store
    from mmeval.nn import ImageEncoder, TorchModel

GIB = 2**30
BEGUN = time.monotonic()
"""Before torch was imported, which takes its time too."""
PEAKS: tuple[tuple[str, float, str], ...] = (
    (r"H100 PCIe", 756e12, "NVIDIA H100 data sheet: 1,513 TFLOPS with sparsity, half of it without"),
    (r"H100 (80GB HBM3|SXM)", 989e12, "NVIDIA H100 data sheet: 1,979 TFLOPS with sparsity, half of it without"),
    (r"H200(?! NVL)", 989e12, "NVIDIA H200 data sheet: 1,979 TFLOPS with sparsity, half of it without"),
    (r"A100", 312e12, "NVIDIA A100 data sheet: 312 TFLOPS without sparsity"),
)
"""Pattern of a card's name, its peak of dense bf16 operations per second, and where that is published."""


@dataclass
class Bench:
    """What a step has: a device, the data, a clock, and where its rows go."""

    device: torch.device
    tiny: bool
    seconds: float
    """Its budget."""
    output: Path
    started: float = BEGUN

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.seconds - (time.monotonic() - self.started)

    @property
    def cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        return 16 if self.tiny else 256

    def data(self) -> Store:
        """The prepared data."""
        from mmeval.console import quiet
        from mmeval.data.prepare.prepare import prepare

        with quiet():
            return prepare(dataset(tiny=self.tiny))

    def row(
        self, of: str, what: str, value: float | int | str | None, unit: str, goal: float | None = None, note: str = ""
    ) -> None:
        """Keep a figure; a goal is reached from below."""
        reached = None if goal is None or not isinstance(value, int | float) else value >= goal
        row = {"of": of, "what": what, "value": value, "unit": unit, "goal": goal, "reached": reached, "note": note}
        self.line(row=row)
        say(f"    {in_words(row)}")

    def skip(self, what: str, why: str) -> None:
        """Keep that something was left out."""
        self.line(skipped={"what": what, "why": why})
        say(f"    {what}: left out, {why}")

    def line(self, **content: Any) -> None:  # noqa: ANN401 - JSON
        """Add a line to what the parent reads; whole, or not there."""
        with self.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content, ensure_ascii=False) + "\n")

    @contextlib.contextmanager
    def part(self, what: str) -> Iterator[None]:
        """A part of a step whose failure is kept, and the next part begun."""
        try:
            yield
        except Exception as error:  # whatever it is, the rest is still worth its while
            traceback.print_exc()
            self.skip(what, in_a_line(error))
        finally:
            self.free()

    def free(self) -> None:
        """Give memory of what is no longer used back to the card."""
        import gc

        import torch

        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def wait(self) -> None:
        """Until the card has done all that it was asked to."""
        import torch

        if self.cuda:
            torch.cuda.synchronize()

    def memory(self, of: str) -> None:
        """Keep the largest memory since the last :meth:`free`."""
        import torch

        from mmeval.runs.environment import peak_memory_bytes

        if self.cuda:
            self.row(of, "peak device memory", torch.cuda.max_memory_allocated() / GIB, "GiB")
        else:
            self.row(of, "peak memory of the process", (peak_memory_bytes() or 0) / GIB, "GiB")


def in_a_line(error: BaseException) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


# --- The data: products of a shop, images of 298 x 228 and texts in thirteen languages. ---

HEIGHT, WIDTH, CLASSES = 298, 228, 191
"""Of GLAMI-1M."""


class Products:
    """Photo-like JPEGs, each named in several languages by 8 to 40 words."""

    tasks: tuple[Any, ...]

    def __init__(self, *, tiny: bool) -> None:
        from mmeval import Task

        train, others = (96, 16) if tiny else (4096, 128)
        self.sizes = {"train": train, "validation": others, "test": others}
        # An epoch of a benchmark must not be over after a few steps: the first batch of each is waited for.
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
    """The data as a plugin would offer it."""
    from mmeval import DatasetSpec

    return DatasetSpec(name="gpu-benchmark", summary="-", card=None, source=lambda: Products(tiny=tiny))


def start(bench: Bench) -> None:
    """Prepare the data, and say what the machine is."""
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
    """The driver's version, as nvidia-smi says."""
    call = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(call, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0] if said else None


def peak(bench: Bench) -> tuple[float | None, str | None]:
    """Published dense bf16 operations per second of the card, and the source; None for cards not in the table."""
    import torch

    return peak_of(torch.cuda.get_device_name()) if bench.cuda else (None, None)


def peak_of(card: str) -> tuple[float | None, str | None]:
    """The same by the card's name."""
    return next(((flops, source) for name, flops, source in PEAKS if re.search(name, card)), (None, None))


# --- Training, as the engine does it. ---


class Training:
    """A model in training by the engine's own loop, step by step."""

    def __init__(self, bench: Bench, spec: ModelSpec, config: Any, limit: int | None = None) -> None:  # noqa: ANN401
        """Build ``config``'s model and all that ``mmeval.engine.fit.fit`` prepares before its first step."""
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
            raise TypeError("not a torch model, there is nothing that a GPU would do")
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
        """The engine's steps, epoch after epoch without end; yields the examples of each."""
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
        """Batches that are on the device already, in place of those that are made."""
        return Resident(self)

    def flops(self) -> float:
        """Floating point operations of a step's forward and backward pass, per example: matrix products, convolutions
        and attention, which is what the peak of a card is about."""
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
    """Stands in for ``Collate``: the same few batches again and again, on the device."""

    def __init__(self, training: Training, count: int = 4) -> None:
        import numpy as np

        self.examples = training.examples
        size = min(training.recipe.batch_size, len(self.examples))
        count = max(1, min(count, len(self.examples) // size))
        rows = [np.arange(number * size, (number + 1) * size) for number in range(count)]
        self._batches = [training.collate(own).to(training.bench.device) for own in rows]
        training.bench.wait()
        self._turn = itertools.cycle(range(count))
        self._lock = threading.Lock()

    def __call__(self, rows: np.ndarray[Any, Any] | None = None) -> Batch:  # noqa: ARG002 - as Collate
        """The next batch; the last one of an epoch is as large as the others."""
        with self._lock:
            return self._batches[next(self._turn)]


def rate(bench: Bench, steps: Iterator[int], seconds: float, most: int) -> tuple[float, int]:
    """Examples per second over ``most`` steps, or those that fit into ``seconds`` (two at least), and their number."""
    bench.wait()
    started, examples, count = time.perf_counter(), 0, 0
    for size in itertools.islice(steps, most):
        examples, count = examples + size, count + 1
        if count > 1 and time.perf_counter() - started > seconds:
            break
    bench.wait()
    return examples / (time.perf_counter() - started), count


def halving(bench: Bench, make: Callable[[int], Training], of: str) -> Training:
    """A training that has taken its first steps, at the largest of batch size, half of it, ... that fits."""
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
    """Whether the card's memory was full: the allocator says so, or a library that allocates for itself."""
    import torch

    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in said or "ALLOC_FAILED" in said


def small(spec: ModelSpec) -> list[str]:
    """Changes of a plugin's default preset by which it is small, needs no weights and learns whole."""
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
    """The config of a preset with random weights of the published sizes; of a small model in a dry run."""
    from mmeval.plugin.configure import configure
    from mmeval.testing import random_weights

    if bench.tiny:
        return configure(spec.config, spec.name, spec.presets[spec.default_preset], [*small(spec), *changes])
    return random_weights(spec, preset, changes)


@dataclass(frozen=True)
class Case:
    """A model that is measured closely."""

    plugin: str
    preset: str
    changes: tuple[str, ...]
    of: str


CASES = (
    # Its text encoder is frozen in that preset, and cached. Here it learns, so that texts are tokenised in each step.
    Case("embracenet", "paper", ("text_tuning.frozen=false",), "EmbraceNet"),
    Case("cma-clip", "base", (), "CMA-CLIP"),
)
"""ResNeXt-50 with mT5-small, and ViT-B/32 with XLM-R base."""


def case_training(bench: Bench, case: Case) -> Training:
    """A case, after its first steps."""
    from mmeval.plugin.manager import Manager

    spec = Manager().model(case.plugin)
    # A rate at which random weights don't diverge; no figure depends on it.
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
"""Three plugins with encoders that need no weights."""


def correctness(bench: Bench) -> None:
    """The contract's rule ``bf16`` on the device, and the suite's tests that are marked ``gpu``."""
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
    from xml.etree import ElementTree as ET

    files = [str(p) for p in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in p.read_text("utf-8")]
    report = bench.output.with_suffix(".xml")
    # Warnings of another torch than the suite's own are no errors here.
    call = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider"]
    ended = subprocess.run([*call, f"--junitxml={report}", *files], cwd=ROOT, check=False, timeout=max(bench.left, 60))
    tests = list(ET.parse(report).getroot().iter("testcase")) if report.is_file() else []
    kinds = {"failed": ("failure", "error"), "skipped": ("skipped",)}
    found: dict[str, list[tuple[str, str]]] = {"passed": [], "failed": [], "skipped": []}
    for test in tests:
        bad = next((k for k, tags in kinds.items() for tag in tags if test.find(tag) is not None), "passed")
        said = next((test.find(tag) for tag in kinds.get(bad, ()) if test.find(tag) is not None), None)
        found[bad].append((test.get("name", ""), "" if said is None else said.get("message", "")))
    for kind, own in found.items():
        note = "; ".join(f"{name}: {' '.join(why.split())[:200]}" for name, why in own[:5]) if kind == "failed" else ""
        bench.row("tests marked gpu", kind, len(own), "tests", note=note)
    bench.row("tests marked gpu", "exit status of pytest", ended.returncode, "")


def training(bench: Bench) -> None:
    """End-to-end training over the same steps on batches that are on the device; operations, memory."""
    for number, case in enumerate(CASES):
        share = bench.left / (len(CASES) - number)
        with bench.part(case.of):
            _training(bench, case, time.monotonic() + share)


def _training(bench: Bench, case: Case, end: float) -> None:
    import numpy as np

    from mmeval.data.loader import batches

    own, rounds, most = case_training(bench, case), 2, 4 if bench.tiny else 400
    bench.row(case.of, "parameters", own.parameters, "")
    bench.row(case.of, "precision", own.accelerator.mixed_precision.replace("no", "fp32"), "")
    resident = own.resident()
    warm = 1 if bench.tiny else 8
    ways = {"end to end": own.steps(), "resident": own.steps(resident)}
    for steps in ways.values():
        rate(bench, steps, 1e9, warm)
    each = max((end - time.monotonic() - 5) / (2 * rounds + 1), 0.1)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, steps in ways.items():
            # Batches that were made while the other way was measured come for nothing.
            rate(bench, steps, 1e9, 1 if bench.tiny else 4)
            rates[way].append(rate(bench, steps, each, most)[0])
    bench.memory(case.of)
    spread = {way: f"rounds: {', '.join(f'{one:,.0f}' for one in of)}" for way, of in rates.items()}
    middle = {way: statistics.mean(found) for way, found in rates.items()}
    end_to_end, fixed = middle["end to end"], middle["resident"]
    bench.row(case.of, "training, end to end", end_to_end, "examples/s", note=spread["end to end"])
    bench.row(case.of, "the same step on resident batches", fixed, "examples/s", note=spread["resident"])
    bench.row(case.of, "end to end / resident", end_to_end / fixed, "", goal=0.95)
    order = np.arange(len(own.examples))
    made = (len(batch) for batch in batches(order, own.recipe.batch_size, own.collate))
    bench.row(case.of, "making batches alone", rate(bench, made, each, most)[0], "examples/s")
    flops = own.flops()
    bench.row(case.of, "operations of a step", flops / 1e9, "GFLOP/example", note="forward and backward, counted")
    top, source = peak(bench)
    for way, value in middle.items():
        mfu = flops * value / top if top else None
        why = source or "no published peak for this card in the table"
        bench.row(case.of, f"MFU, {way}", mfu, "of the bf16 peak", note=why)


def embedding(bench: Bench) -> None:
    """The embedding pass of CLIP ViT-B/32 by the package's own code, and the bare encoder on tensors on the device."""
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
    found = [package(rows)]
    while len(found) < 3 and bench.left > 4 * len(rows) / found[0]:
        found.append(package(rows))
    ours = statistics.median(found)
    rounds = f"rounds: {', '.join(f'{one:,.0f}' for one in found)}"
    bench.row(of, "embedding pass, end to end", ours, "images/s", note=f"{len(rows):,} images; {rounds}")
    decoded = rate(bench, (len(one) for one in batches(rows, IMAGE_BATCH, make)), max(bench.left / 4, 0.1), 10**6)[0]
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
    """Images per second of an encoder alone."""
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
        # The card works behind Python's back: as many calls as take that long, waited for at the end.
        few = len(pixels) * 20 / rate(bench, endless(), 1e9, 20)[0]
        return rate(bench, endless(), 1e9, max(20, int(20 * seconds / few)))[0]


def _forget_embeddings() -> None:
    import shutil

    from mmeval.home import home

    shutil.rmtree(home() / "embeddings", ignore_errors=True)


def profile(bench: Bench) -> None:
    """Where the time of a training step goes."""
    for case in CASES:
        with bench.part(case.of):
            _profile(bench, case)


OPERATORS = 15
"""Rows of the profiler's table that are kept."""
COPIES, WAITS = ("Memcpy", "Memset"), ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def _profile(bench: Bench, case: Case) -> None:
    from torch._C._autograd import DeviceType
    from torch.autograd.profiler_util import EventList
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    from mmeval.data.loader import batches
    from mmeval.engine import fit

    own, count, waited = case_training(bench, case), 2 if bench.tiny else 6, [0.0]

    def timed(*arguments: Any, **named: Any) -> Iterator[Any]:  # noqa: ANN401
        made = batches(*arguments, **named)
        while True:
            before = time.perf_counter()
            try:
                batch = next(made)
            except StopIteration:
                return
            waited[0] += time.perf_counter() - before
            yield batch

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    with mock.patch.object(fit, "batches", timed):
        steps = own.steps()
        for _ in itertools.islice(steps, 1 if bench.tiny else 6):
            pass
        bench.wait()
        waited[0] = 0.0
        with profiler(activities=kinds) as seen:
            started = time.perf_counter()
            for _ in itertools.islice(steps, count):
                pass
            bench.wait()
            wall = (time.perf_counter() - started) / count
    bench.row(case.of, "a step, while it is profiled", wall * 1e3, "ms")
    bench.row(case.of, "host waits for a batch", waited[0] / count * 1e3, "ms/step")
    averages: EventList = seen.key_averages()
    if bench.cuda:
        spans, copies = _device_spans(seen.events())
        busy = _union(spans) / 1e6 / count
        bench.row(case.of, "device busy", busy / wall, "of the step")
        bench.row(case.of, "device idle", 1 - busy / wall, "of the step")
        for name, micro in copies.items():
            bench.row(case.of, f"copies: {name}", micro / count / 1e3, "ms/step")
        waits = sum(one.self_cpu_time_total for one in averages if one.key in WAITS)
        bench.row(case.of, "host waits for the device", waits / count / 1e3, "ms/step")
        launched = sum(one.count for one in averages if one.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")))
        bench.row(case.of, "kernels", launched / count, "launches/step")
    attribute = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    # Kernels and annotations have rows of their own, whose time is that of operators once more.
    own_time = [
        one for one in averages if one.device_type == DeviceType.CPU and not getattr(one, "is_user_annotation", False)
    ]
    for one in sorted(own_time, key=lambda one: -float(getattr(one, attribute)))[:OPERATORS]:
        micro = float(getattr(one, attribute))
        note = f"{one.count / count:.0f} calls, {micro / count / 1e6 / wall:.1%} of the step"
        bench.row(case.of, one.key[:80], micro / count / 1e3, "ms/step", note=note)


def _device_spans(events: Any) -> tuple[list[tuple[float, float]], dict[str, float]]:  # noqa: ANN401
    """When the device did something (microseconds), and how long it copied, by kind of copy."""
    from torch._C._autograd import DeviceType

    spans, copies = [], dict[str, float]()
    for one in events:
        if one.device_type != DeviceType.CUDA or getattr(one, "is_user_annotation", False):
            continue
        spans.append((one.time_range.start, one.time_range.end))
        if one.name.startswith(COPIES):
            copies[one.name] = copies.get(one.name, 0.0) + one.time_range.elapsed_us()
    return spans, copies


def _union(spans: list[tuple[float, float]]) -> float:
    """Length of what the spans cover together."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


def trainer(bench: Bench) -> None:
    """The same module under Hugging Face's Trainer, with Pillow in the workers of a DataLoader: the usual recipe."""
    case = CASES[0]
    training = case_training(bench, case)
    warm, most = (1, 3) if bench.tiny else (8, 300)
    rate(bench, training.steps(), 1e9, warm)
    ours = rate(bench, training.steps(), max(bench.left / 3, 0.1), most)[0]
    bench.row(case.of, "mmeval's own loop", ours, "examples/s")
    theirs = _by_trainer(bench, training, warm, most, max(bench.left * 0.8, 1.0))
    bench.row(case.of, "Hugging Face Trainer", theirs[0], "examples/s", note=theirs[1])
    bench.row(case.of, "mmeval / Hugging Face Trainer", ours / theirs[0], "")


def _by_trainer(bench: Bench, training: Training, warm: int, most: int, seconds: float) -> tuple[float, str]:
    """Examples per second of ``Trainer.train``, without its first steps, and how it was set."""
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
            count, here = len(images), images.device
            there = torch.ones(count, dtype=torch.bool, device=here)
            batch = Batch(
                there, there, ("en",) * count, {task: labels}, torch.arange(count, device=here), images=images,
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
    # Accelerate keeps one state per process, which is still that of the other loop.
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
    """Each plugin's ``base`` with random weights: 50 steps, at batch 256 or what fits."""
    from mmeval.plugin.listing import installed
    from mmeval.plugin.manager import Manager

    names = [one.name for one in installed("model") if one.distribution == "mmeval-multilingual"]
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
    """The presets of published size that are for use: ``base`` and ``base-image``, else ``paper``, else the default."""
    bases = [name for name in spec.presets if name.split("-")[0] == "base"]
    return bases or [name for name in ("paper",) if name in spec.presets] or [spec.default_preset]


def _preset(bench: Bench, spec: ModelSpec, preset: str, of: str, end: float) -> None:
    from mmeval import TorchConfig

    if not issubclass(spec.config, TorchConfig):
        bench.row(of, "training, end to end", None, "examples/s", note="not a torch model: nothing for a GPU to do")
        return

    def make(size: int) -> Training:
        config = configured(bench, spec, preset, "recipe.gradient_accumulation_steps=1", f"recipe.batch_size={size}")
        return Training(bench, spec, config, limit=8192)

    own, wanted = halving(bench, make, of), 4 if bench.tiny else 50
    done = len(own.losses)
    value, count = rate(bench, own.steps(), max(end - time.monotonic(), 0.1), wanted - done)
    note = f"{done + count} steps" + ("" if done + count >= wanted else f" of {wanted}: its time was up")
    bench.row(of, "training, end to end", value, "examples/s", note=note)
    bench.row(of, "parameters", own.parameters, "")
    first, last = statistics.mean(own.losses[:5]), statistics.mean(own.losses[-5:])
    bench.row(of, "loss, first and last five steps", f"{first:.3f}, {last:.3f}", "nats")
    if own.embedding_seconds > 1:
        bench.row(of, "embedding with frozen encoders", own.embedding_seconds, "s")
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
    asked = parser.parse_args()
    output = asked.work / f"{asked.step}.jsonl"
    if not asked.cpu and not torch.cuda.is_available():
        Bench(torch.device("cpu"), asked.tiny, 0, output).line(
            error="torch sees no CUDA device; --cpu runs without one"
        )
        return 1
    device = torch.device("cpu") if asked.cpu else torch.device("cuda", 0)
    bench = Bench(device, asked.tiny, asked.seconds, output)
    torch.manual_seed(0)
    try:
        RUN[asked.step](bench)
    except BaseException as error:
        bench.line(error=in_a_line(error))
        raise
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

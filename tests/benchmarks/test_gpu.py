"""``benchmarks/gpu.py`` keeps its results when a step fails; its dry run completes every step."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_steps
from benchmarks.gpu import Step
from mmeval.plugin.manager import Manager

ROOT = Path(__file__).parents[2]
ENTRY = {"title", "status", "message", "seconds", "budget_seconds", "rows", "skipped"}
ROW = {"of", "what", "value", "unit", "goal", "reached", "note"}
FACTS = {
    "schema", "card", "device", "driver", "cuda", "torch", "python", "packages", "missing", "commit", "command", "date",
    "minutes", "tiny", "steps", "skipped", "peak_bf16_flops", "cores",
}  # fmt: skip
WRITE = (
    "import json, pathlib; f = pathlib.Path({file!r}).open('a'); f.write(json.dumps({line!r}) + chr(10)); f.close()\n"
)
FIGURE = {"of": "x", "what": "rate", "value": 2.0, "unit": "1/s", "goal": 1.0, "reached": True, "note": ""}


@pytest.fixture
def run_together(tmp_path: Path) -> Callable[[Mapping[str, str], float], dict[str, Any]]:
    """Return a function that runs Python code as the steps a, b, ... and returns the content of the results file."""

    def run(codes: Mapping[str, str], seconds: float) -> dict[str, Any]:
        def command(step: str, _: float) -> list[str]:
            return [sys.executable, "-c", codes[step]]

        path = tmp_path / "results" / "card.json"
        order = [Step(name, f"step {name}", 1.0) for name in codes]
        gpu.run_steps(order, {"missing": []}, path, time.monotonic() + seconds, command, tmp_path, os.environ)
        return json.loads(path.read_text(encoding="utf-8"))

    return run


def figure(tmp_path: Path, step: str) -> str:
    return WRITE.format(file=str(tmp_path / f"{step}.jsonl"), line={"row": FIGURE})


def test_a_failing_step_does_not_stop_the_others(
    tmp_path: Path, run_together: Callable[[Mapping[str, str], float], dict[str, Any]]
) -> None:
    error = WRITE.format(file=str(tmp_path / "a.jsonl"), line={"error": "OutOfMemoryError: the card is full"})
    codes = {
        "a": error + "raise SystemExit(1)",
        "b": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "c": "raise ValueError('no such thing')",
        "d": figure(tmp_path, "d") + "raise ValueError('after a figure')",
        "e": figure(tmp_path, "e"),
    }
    results = run_together(codes, 600)
    steps = results["steps"]
    assert [steps[name]["status"] for name in codes] == ["failed", "failed", "failed", "partly", "done"]
    assert steps["a"]["message"] == "OutOfMemoryError: the card is full"
    assert steps["b"]["message"] == "ended with signal 9: no output"
    assert steps["c"]["message"] == "ended with exit status 1: ValueError: no such thing"
    assert steps["d"]["rows"] == steps["e"]["rows"] == [FIGURE]
    assert [entry["step"] for entry in results["skipped"]] == ["a", "b", "c", "d"]


def test_figures_are_written_while_the_step_still_runs(
    tmp_path: Path, run_together: Callable[[Mapping[str, str], float], dict[str, Any]]
) -> None:
    """An interrupted benchmark keeps the figures that it measured."""
    wait = (
        "import json, pathlib, sys, time\n"
        f"path = pathlib.Path({str(tmp_path / 'results' / 'card.json')!r})\n"
        "for _ in range(200):\n"
        "    time.sleep(0.1)\n"
        "    if path.exists() and json.loads(path.read_text())['steps']['a']['rows']: sys.exit(0)\n"
        "sys.exit('the figure was not written')\n"
    )
    results = run_together({"a": figure(tmp_path, "a") + wait, "b": figure(tmp_path, "b")}, 600)
    assert results["steps"]["a"]["status"] == "done"
    assert all(entry.keys() == ENTRY for entry in results["steps"].values())


def test_a_hanging_step_is_killed_with_its_children(
    tmp_path: Path, run_together: Callable[[Mapping[str, str], float], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "GRACE", 0.5)
    monkeypatch.setattr(gpu, "LEAST", 0.1)
    child = tmp_path / "child.txt"
    hang = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    results = run_together({"a": figure(tmp_path, "a") + hang, "b": figure(tmp_path, "b")}, 8)
    assert results["steps"]["a"]["status"] == "partly"
    assert results["steps"]["a"]["rows"] == [FIGURE]
    assert "no time was left" in results["steps"]["a"]["message"]
    assert results["steps"]["b"]["status"] == "done"
    assert not running(int(child.read_text()))


def running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    for _ in range(50):
        if not stat.exists() or ") Z " in stat.read_text():
            return False
        time.sleep(0.1)
    return True


def test_steps_without_time_or_packages_are_listed_as_skipped(
    tmp_path: Path, run_together: Callable[[Mapping[str, str], float], dict[str, Any]]
) -> None:
    results = run_together({"a": figure(tmp_path, "a")}, 5)
    assert results["steps"]["a"]["status"] == "skipped"
    assert re.fullmatch(r"only [345] s were left", results["skipped"][0]["why"])
    path = tmp_path / "other.json"
    step = Step("b", "needs more", 1.0, ("no-such-package",))
    gpu.run_steps([step], {"missing": ["no-such-package"]}, path, time.monotonic() + 600, None, tmp_path, {})
    (skipped,) = json.loads(path.read_text(encoding="utf-8"))["skipped"]
    assert skipped == {"step": "b", "what": "needs more", "why": "needs no-such-package, which is not installed"}


def test_a_checkout_that_is_not_installed_offers_its_plugins(tmp_path: Path) -> None:
    site = gpu.entry_points_folder(tmp_path / "site")
    code = (
        "from importlib.metadata import distributions\n"
        f"(mmeval,) = distributions(path=[{str(site)!r}])\n"
        "print(mmeval.name, sorted(e.name for e in mmeval.entry_points if e.group == 'mmeval.models'))\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.startswith("mmeval-multilingual [")
    assert "'embracenet'" in output
    assert "'unimodal'" in output


def test_results_never_overwrite_earlier_results(tmp_path: Path) -> None:
    first = gpu.results_file(tmp_path, "NVIDIA H100 80GB HBM3")
    assert first.name.startswith("nvidia-h100-80gb-hbm3-2")
    first.touch()
    assert gpu.results_file(tmp_path, "NVIDIA H100 80GB HBM3") != first


def test_an_unknown_step_is_refused_in_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"^--only a,z: there is no step z; the steps are a, b, d, f, e, c\.$"):
        gpu.main(["--only", "a,z"])


@pytest.mark.parametrize(
    ("card", "flops"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("Tesla T4", None),
    ],
)
def test_only_known_cards_have_a_peak(card: str, flops: float | None) -> None:
    peak, source = gpu_steps.peak_of(card)
    assert peak == flops
    assert (source is None) == (flops is None)


def test_overlapping_spans_count_once() -> None:
    assert gpu_steps._union([(5, 7), (0, 2), (1, 3), (6, 6.5)]) == 5


class LimitedTraining:
    """A training that runs out of memory if its batch size exceeds ``fits``."""

    def __init__(self, size: int, fits: int) -> None:
        self.size, self.fits = size, fits

    def steps(self) -> Iterator[int]:
        while True:
            if self.size > self.fits:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            yield self.size


def test_a_batch_that_does_not_fit_is_halved_and_noted(tmp_path: Path) -> None:
    bench = gpu_steps.Bench(torch.device("cpu"), False, 60, tmp_path / "x.jsonl")
    training = gpu_steps.halving(bench, lambda size: LimitedTraining(size, 100), "x")
    assert training.size == 64
    row = json.loads((tmp_path / "x.jsonl").read_text())["row"]
    assert (row["value"], row["note"]) == (64, "out of memory at 128")
    with pytest.raises(torch.OutOfMemoryError):
        gpu_steps.halving(bench, lambda size: LimitedTraining(size, 0), "x")


def test_every_torch_plugin_has_a_preset_of_published_size() -> None:
    presets = {name: gpu_steps.largest(Manager().model(name)) for name in ("embracenet", "clip", "unimodal", "tfidf")}
    assert presets == {
        "embracenet": ["base"],
        "clip": ["base"],
        "unimodal": ["base", "base-image"],
        "tfidf": ["tiny"],
    }


@pytest.mark.slow  # starts seven processes, of which three train models and one tries all plugins: a minute
def test_the_dry_run_completes_every_step(tmp_path: Path) -> None:
    call = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--cpu", "--tiny", "--minutes", "20"]
    run = subprocess.run([*call, "--output", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    (path,) = tmp_path.glob("cpu-*.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    assert results.keys() >= FACTS
    assert list(results["steps"]) == ["a", "b", "d", "f", "e", "c"]
    for name, step in results["steps"].items():
        assert step.keys() == ENTRY
        assert (step["status"], step["message"], step["skipped"]) == ("done", "", []), name
        assert all(row.keys() == ROW for row in step["rows"])
    figures = {name: {(row["of"], row["what"]): row for row in step["rows"]} for name, step in results["steps"].items()}
    assert {figures["a"][name, "contract: bf16"]["value"] for name in gpu_steps.CONTRACT} == {"passed"}
    assert figures["a"]["tests marked gpu", "failed"]["value"] == 0
    for of in ("EmbraceNet", "CMA-CLIP"):
        ratio = figures["b"][of, "end to end / resident"]
        assert ratio["goal"] == 0.95
        assert ratio["reached"] == (ratio["value"] >= 0.95)
        assert figures["b"][of, "operations of a step"]["value"] > 0
        assert figures["b"][of, "MFU, resident"]["value"] is None  # a CPU's peak is in no table
        assert figures["f"][of, "host waits for a batch"]["unit"] == "ms/step"
    assert figures["d"]["CLIP ViT-B/32", "embedding pass / bare encoder, at its best"]["goal"] == 0.9
    assert figures["e"]["EmbraceNet", "mmeval / Hugging Face Trainer"]["value"] > 0
    assert {of.split()[0] for of, _ in figures["c"]} >= {"coca", "kaleidobert", "mmbt", "perceiver", "tfidf"}
    assert "end to end / resident" in run.stdout

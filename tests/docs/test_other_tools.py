"""The blocks of docs/other-tools.md run on small files in the exact formats of the tools."""

from __future__ import annotations

import json
import re
import shlex
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import mmeval

PAGE = Path(__file__).parents[2] / "docs" / "other-tools.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
DATE = "2026-11-02T10-00-00.000000"


def blocks(heading: str, kind: str) -> list[str]:
    """Return the blocks of one kind in the section under a heading."""
    (section,) = [
        part for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M) if part.startswith(heading)
    ]
    return [text for found, text in BLOCK.findall(section) if found == kind]


def commands(heading: str) -> list[list[str]]:
    """Return the words of each ``mmeval`` command of a section, without ``mmeval``."""
    (text,) = blocks(heading, "console")
    return [shlex.split(line)[1:] for line in text.replace("\\\n", "").removeprefix("$ ").split("\n$ ")]


def sample(number: int, target: str, responses: list[list[str]] | list[str], **doc: str) -> str:
    """Return a line of a samples file of lm-evaluation-harness, whose logged values are all strings."""
    line = {
        "doc_id": number,
        "doc": {"premise": "p", "label": int(target) if target.isdigit() else 0, **doc},
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": "p", "arg_1": " yes"}},
        "resps": [[response] for response in responses],
        "filtered_resps": responses,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": "d" * 64,
        "prompt_hash": "e" * 64,
        "target_hash": "f" * 64,
        "acc": 1.0,
    }
    return json.dumps(line) + "\n"


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables that the page's blocks use, and an empty current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.array(["cat", "dog", "eel"] * 10)
    x = rng.normal(size=(30, 4)) + (np.arange(30) % 3)[:, None]
    return {
        "__name__": "page",
        "mmeval": mmeval,
        "json": json,
        "Path": Path,
        "ids": [f"x{n}" for n in range(30)],
        "languages": ["de", "fr"] * 15,
        "y_test": y,
        "x_test": x,
        "classifier": LogisticRegression().fit(x, y),
    }


def top1(run: mmeval.RunFolder, language: str = "all") -> float:
    rows = [row for row in run.scores.to_pylist() if row["metric"] == "top1" and row["slice"] == "all"]
    values = {(row["language"], row["seed"]): row["value"] for row in rows}
    return float(values.get((language, "mean"), values.get((language, "0"))))


def execute(heading: str, namespace: dict[str, Any]) -> mmeval.RunFolder:
    (block,) = blocks(heading, "python")
    exec(compile(block, str(PAGE), "exec"), namespace)
    run = namespace["run"]
    assert isinstance(run, mmeval.RunFolder)
    return run


def test_scikit_learn(namespace: dict[str, Any]) -> None:
    run = execute("From scikit-learn", namespace)
    expected = namespace["classifier"].score(namespace["x_test"], namespace["y_test"])
    assert top1(run) == pytest.approx(expected, abs=1e-12)
    assert "log_loss" in run.scores["metric"].to_pylist()


def test_lm_eval_multiple_choice(namespace: dict[str, Any]) -> None:
    folder = Path("out", "org__my-llm")
    folder.mkdir(parents=True)
    right, wrong = [["-1.5", "False"], ["-3.25", "False"], ["-900.0", "True"]], [["-4.0", "False"], ["-1.0", "True"]]
    for language in ("de", "sw"):
        lines = (
            sample(0, "0", right)
            + sample(1, "2", [*wrong, ["-9.0", "False"]])
            + sample(2, "1", [*wrong, ["-9.0", "False"]])
        )
        (folder / f"samples_xnli_{language}_{DATE}.jsonl").write_text(lines, encoding="utf-8")
    run = execute("From lm-evaluation-harness", namespace)
    assert top1(run) == pytest.approx(2 / 3)
    assert run.predictions()["label:probabilities"].to_pylist()[0][0] == pytest.approx(1 / (1 + np.exp(-1.75)))
    assert set(run.predictions()["cluster"].to_pylist()) == {"0", "1", "2"}


def test_lm_eval_generated_classes(namespace: dict[str, Any], command: Callable[..., int]) -> None:
    (words,) = commands("From lm-evaluation-harness")
    Path(words[1]).parent.mkdir(parents=True)
    lines = [
        sample(0, "sports", ["sports"], language="deu_Latn"),
        sample(1, "politics", [" sports"], language="swh_Latn"),
        sample(2, "politics", ["politics"], language="swh_Latn"),
    ]
    Path(words[1]).write_text("".join(lines), encoding="utf-8")
    assert command(*words) == 0
    run = mmeval.open_run("runs/lm-eval")
    assert top1(run) == pytest.approx(2 / 3)
    assert run.predictions()["language"].to_pylist() == ["de", "swh", "swh"]


def test_mteb(namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"de": ["alarm", "music", "alarm"], "zh-CN": ["music", "alarm", "alarm"]}

    class Task:
        label_column_name = "label"
        prediction_file_name = "MassiveIntentClassification_predictions.json"

        def load_data(self) -> None:
            self.dataset = {language: {"test": {"label": values}} for language, values in labels.items()}

    stub = types.ModuleType("mteb")
    monkeypatch.setattr(stub, "get_task", lambda _: Task(), raising=False)
    monkeypatch.setitem(sys.modules, "mteb", stub)
    Path("predictions").mkdir()
    saved = {"mteb_model_meta": {"model_name": "org/my-encoder", "revision": "1"}}
    saved |= {language: {"test": [values, ["music"] * 3]} for language, values in labels.items()}  # type: ignore[dict-item]
    Path("predictions", Task.prediction_file_name).write_text(json.dumps(saved), encoding="utf-8")
    run = execute("From mteb", namespace)
    assert run.record.plan.protocol.seeds == (0, 1)
    assert top1(run, "de") == pytest.approx((1 + 1 / 3) / 2)
    assert top1(run, "zh") == pytest.approx((1 + 1 / 3) / 2)


def answer(custom_id: str, content: str | None) -> str:
    """Return a line of the output of a batch; a failed request has no body."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "org/my-vlm", "choices": choices}
    response = {"status_code": 200, "request_id": "r-1", "body": body}
    failed = {"status_code": 400, "request_id": "r-2", "body": None}
    line = {"id": "vllm-1", "custom_id": custom_id, "response": response if content else failed, "error": None}
    return json.dumps(line) + "\n"


def test_batch_answers_are_joined_with_labels(namespace: dict[str, Any]) -> None:
    truths = zip(namespace["ids"], namespace["y_test"], strict=True)
    lines = [answer(id_, None if id_ == "x3" else f" {true.capitalize()}\n") for id_, true in truths]
    Path("answers.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    run = execute("From vLLM", namespace)
    assert top1(run) == pytest.approx(29 / 30)


def test_answers_are_scored_like_a_run_and_compared_with_it(
    namespace: dict[str, Any], command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    trained = execute("From scikit-learn", namespace).path.rename(Path("runs", "embracenet"))
    namespace["run"] = None
    table = {"id": namespace["ids"], "language": namespace["languages"], "true": namespace["y_test"]}
    probabilities = namespace["classifier"].predict_proba(namespace["x_test"])
    mmeval.score_predictions(table | {"probabilities": probabilities}, output="runs/first")
    assert trained.is_dir()
    truths = list(zip(namespace["ids"], namespace["y_test"], strict=True))
    Path("answers.jsonl").write_text("".join(answer(id_, f"{true}\n") for id_, true in truths), encoding="utf-8")
    (vllm,) = commands("From vLLM")
    assert command(*vllm) == 0
    assert top1(mmeval.open_run("runs/vlm")) == 1
    lines = [json.dumps({"custom_id": id_, "answer": str(true)}) + "\n" for id_, true in truths]
    Path("answers.jsonl").write_text("".join(lines), encoding="utf-8")
    score, compare = commands("Compare with a trained run")
    assert command(*score) == 0
    assert command(*compare) == 0
    assert "embracenet" in capsys.readouterr().out


def test_a_file_is_scored_in_one_command(namespace: dict[str, Any], command: Callable[..., int]) -> None:
    lines = [f"{n},{'de' if n % 2 else 'fr'},{'cat' if n % 3 else 'dog'},cat\n" for n in range(12)]
    Path("predictions.csv").write_text("id,language,true,predicted\n" + "".join(lines), encoding="utf-8")
    score = shlex.split(BLOCK.findall(PAGE.read_text(encoding="utf-8"))[0][1].splitlines()[0])[2:]
    assert command(*score) == 0
    assert top1(mmeval.open_run("runs/my-model")) == pytest.approx(8 / 12)

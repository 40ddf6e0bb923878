"""Errors of a model: the message names plugin, distribution, step and line of code."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval import UserError
from mmeval.errors import MissingExtraError, PluginError
from mmeval.plugin.manager import Manager
from mmeval.runs.folder import RunFolder
from mmeval.runs.pipeline import run
from mmeval.runs.request import Request
from mmeval.runs.train import load_model

Ask = Callable[..., Request]
Capture = pytest.CaptureFixture[str]
Command = Callable[..., int]
Install = Callable[[str, str, str], None]
ManagerWith = Callable[..., Manager]
TRACEBACK = "(`mmeval --traceback` shows the traceback)"
DOING = {
    "built": "when it was built",
    "trained": "while it was trained",
    "saved": "when it was saved",
    "predicted": "while it predicted",
}
TORCH = '''"""A torch model with wrong logits."""
import mmeval
import torch
from mmeval.nn import Output, TorchModel, text_encoder


class Net(TorchModel):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.text_encoder = text_encoder("char-ngrams:512x16", frozen=False)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(16, len(task.classes)) for task in context.tasks)

    def forward(self, batch):
        features = self.text_encoder.pool(batch)
        logits = {task.name: layer(features) for task, layer in zip(self.context.tasks, self.layers)}
        if WHEN:
            WRONG
        return Output(logits)


class Config(mmeval.TorchConfig):
    recipe: mmeval.Recipe = mmeval.Recipe(epochs=1, batch_size=16)


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="net", summary="s", config=Config, build=Net,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''
# Only the test split of the small data set has examples without a text.
WHEN = {"trained": "self.training", "predicted": "not batch.has_text.all()"}


@pytest.fixture
def broken(even: Path) -> Callable[[str, str], Path]:
    """Return a function that inserts a statement at a place of the small model."""

    def put(place: str, statement: str) -> Path:
        lines = even.read_text().splitlines()
        row = next(row for row, line in enumerate(lines) if line.endswith(f"# {place}"))
        indent = " " * (len(lines[row]) - len(lines[row].lstrip()))
        lines.insert(row, indent + statement)
        even.write_text("\n".join(lines) + "\n")
        return even

    return put


@pytest.fixture
def net(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that writes the torch model and returns its path."""

    def write(when: str, wrong: str) -> str:
        (tmp_path / "net.py").write_text(TORCH.replace("WHEN", when).replace("WRONG", wrong))
        return str(tmp_path / "net.py")

    return write


@pytest.fixture
def failure(ask: Ask, manager_with: ManagerWith) -> Callable[..., str]:
    """Return a function that runs a failing plugin and returns the message."""

    def of(plugin: object, kind: type[Exception] = PluginError) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the type is checked below
            run(ask(plugin=str(plugin)), manager_with())
        assert type(caught.value) is kind
        return str(caught.value)

    return of


def line_of(path: Path, text: str) -> int:
    (row,) = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return row


@pytest.mark.parametrize("place", DOING)
def test_errors_of_a_file_name_its_path_and_line(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    path = broken(place, "1 / 0")
    assert failure(path) == (
        f"Plugin even ({path}) failed {DOING[place]}, at even.py:{line_of(path, '1 / 0')}: "
        f"ZeroDivisionError: division by zero {TRACEBACK}"
    )


@pytest.mark.parametrize("place", DOING)
def test_errors_of_an_installed_plugin_name_its_distribution(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str], install: Install
) -> None:
    path = broken(place, "raise ValueError('no\\n  such thing')")
    install("models", "even", path.read_text())
    assert failure("even") == (
        f"Plugin even (dist-even 1.0) failed {DOING[place]}, at installed_even.py:{line_of(path, 'such thing')}: "
        f"ValueError: no such thing {TRACEBACK}"
    )


def test_errors_of_loading_name_the_plugin(
    broken: Callable[[str, str], Path], ask: Ask, manager_with: ManagerWith
) -> None:
    """Another version of the plugin may load a model long after its run."""
    path = broken("loaded", "raise KeyError('weights')")
    manager = manager_with()
    folder = run(ask(plugin=str(path)), manager)
    with pytest.raises(PluginError) as caught:
        load_model(folder, 0, manager.model(str(path)))
    assert str(caught.value) == (
        f"Plugin even ({path}) failed when it was loaded, at even.py:{line_of(path, 'KeyError')}: "
        f"KeyError: 'weights' {TRACEBACK}"
    )


def test_the_innermost_line_of_the_plugin_is_named(
    tmp_path: Path, install: Install, even: Path, failure: Callable[..., str]
) -> None:
    """Not the line in NumPy that raised, and not the line of `build` in another file of the package."""
    code = even.read_text()
    install("models", "even", code)
    (tmp_path / "site" / "installed_even.py").unlink()
    package = tmp_path / "site" / "installed_even"
    package.mkdir()
    inner = package / "inner.py"
    inner.write_text("import numpy as np\n\n\ndef invert():\n    return np.linalg.inv(np.zeros((2, 2)))\n")
    called = code.replace("self.tasks = context.tasks", "inner.invert()").replace(
        "import mmeval\n", "import mmeval\nfrom installed_even import inner\n", 1
    )
    (package / "__init__.py").write_text(called)
    assert failure("even") == (
        "Plugin even (dist-even 1.0) failed when it was built, at inner.py:5: LinAlgError: Singular matrix " + TRACEBACK
    )


def test_errors_of_a_partial_build_name_the_plugin(even: Path, failure: Callable[..., str]) -> None:
    """A plugin with several sizes of a model may register a `functools.partial`, which isn't its own code."""
    code = even.read_text().replace("build=Even", "build=functools.partial(make, 1)")
    even.write_text(f"import functools\n{code}\n\ndef make(size, config, context):\n    return size / 0\n")
    assert failure(even) == (
        f"Plugin even ({even}) failed when it was built, at even.py:{line_of(even, 'size / 0')}: "
        f"ZeroDivisionError: division by zero {TRACEBACK}"
    )


def test_errors_in_a_thread_name_the_plugin(
    tmp_path: Path, net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    """Texts are tokenized ahead in a thread."""
    path = Path(net("False", "pass"))
    own = """
        class Tokens(type(self.text_encoder)):
            def tokenize(self, texts):
                raise LookupError("no vocabulary")

        self.text_encoder.__class__ = Tokens
"""
    first = "        self.layers = "
    path.write_text(path.read_text().replace(first, own + first))
    assert failure(path) == (
        f"Plugin net ({path}) failed while it was trained, at net.py:{line_of(path, 'no vocabulary')}: "
        f"LookupError: no vocabulary {TRACEBACK}"
    )


@pytest.mark.parametrize("place", DOING)
def test_user_errors_of_a_plugin_are_unchanged(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    """The plugin's own message is more helpful."""
    path = broken(place, "raise mmeval.UserError('Not with this licence; ask for one.')")
    assert failure(path, UserError) == "Not with this licence; ask for one."


def test_missing_extras_are_unchanged(broken: Callable[[str, str], Path], failure: Callable[..., str]) -> None:
    path = broken("built", "raise mmeval.MissingExtraError('It', 'p', 'all', 'acme')")
    expected = "It needs the package \"p\", which is not installed; run: pip install 'acme[all]'"
    assert failure(path, MissingExtraError) == expected


def test_errors_outside_the_plugin_are_not_attributed_to_it(
    even: Path, failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("an error of mmeval")

    monkeypatch.setattr("mmeval.runs.train.write_predictions", fails)
    assert failure(even, RuntimeError) == "an error of mmeval"


@pytest.mark.parametrize("place", ["trained", "saved"])
def test_a_full_disk_is_not_attributed_to_the_plugin(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    path = broken(place, f"raise OSError({errno.ENOSPC}, 'full')")
    assert failure(path, OSError) == f"[Errno {errno.ENOSPC}] full"


def test_a_full_disk_prints_one_sentence(
    broken: Callable[[str, str], Path], words: list[object], command: Command, installed: None, capsys: Capture
) -> None:
    path = broken("saved", f"raise OSError({errno.ENOSPC}, 'full')")
    assert command(*words[: words.index("--set")], "--plugin", path) == 1
    expected = f"error: The disk is full ([Errno {errno.ENOSPC}] full). Free some space, then repeat the command; "
    assert capsys.readouterr().err.splitlines()[-1] == f"{expected}complete files are kept."


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("None", "build returned a NoneType, which lacks predict, save, load."),
        ("type('Half', (), {'predict': print})()", "build returned a Half, which lacks save, load."),
    ],
)
def test_an_object_that_is_not_a_model_is_refused(
    returned: str, expected: str, even: Path, failure: Callable[..., str]
) -> None:
    """It is refused before training; saving would fail only at the end."""
    even.write_text(even.read_text().replace("build=Even", f"build=lambda *_: {returned}"))
    assert failure(even) == f"Plugin even ({even}): {expected}"


def test_a_torch_model_needs_a_torch_config(net: Callable[[str, str], str], failure: Callable[..., str]) -> None:
    path = Path(net("False", "pass"))
    path.write_text(path.read_text().replace("config=Config", "config=mmeval.ModelConfig"))
    assert failure(path) == (
        f"Plugin net ({path}): the config of a torch model must be a mmeval.TorchConfig; it is a ModelConfig."
    )


@pytest.mark.parametrize("when", WHEN)
def test_errors_of_the_forward_pass_name_the_line(
    when: str, net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    path = Path(net(WHEN[when], "raise LookupError('lost')"))
    assert failure(path) == (
        f"Plugin net ({path}) failed {DOING[when]}, at net.py:{line_of(path, 'lost')}: LookupError: lost {TRACEBACK}"
    )


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            'logits["colour"] = torch.zeros(len(batch), 9, requires_grad=True)',
            r"its logits of colour must have the shape \((16|42), 3\), they have \((16|42), 9\)\.",
        ),
        (
            'logits["shade"] = logits["shade"][:1]',
            r"its logits of shade must have the shape \((16|42), 2\), they have \(1, 2\)\.",
        ),
        ('del logits["shade"]', r'it gives no logits of the task "shade", only of colour\.'),
        ('logits = logits["colour"]', r"its logits must be a mapping by task, they are a Tensor\."),
        ('logits["shade"] = logits["shade"].tolist()', r"its logits of shade must be a tensor, they are a list\."),
        ("return logits", r"forward must return a mmeval\.nn\.Output, it returned a dict\."),
        ("return None", r"forward must return a mmeval\.nn\.Output, it returned a NoneType\."),
    ],
)
def test_invalid_logits_are_refused(
    when: str, wrong: str, expected: str, net: Callable[[str, str], str], failure: Callable[..., str], tmp_path: Path
) -> None:
    """Otherwise they might be broadcast, or fail inside the loss; no prediction is written."""
    path = net(WHEN[when], wrong)
    message = failure(path)
    assert re.fullmatch(rf"Plugin net \({re.escape(path)}\): {expected}", message)
    assert list((tmp_path / "run").rglob("*.parquet")) == []


def test_nan_logits_are_refused_in_prediction(
    net: Callable[[str, str], str], failure: Callable[..., str], tmp_path: Path
) -> None:
    path = net(WHEN["predicted"], 'logits["colour"] = logits["colour"] * float("nan")')
    assert failure(path) == f"Plugin net ({path}): its logits of colour hold NaN or infinity."
    assert list((tmp_path / "run").rglob("*.parquet")) == []


def test_nan_logits_before_the_first_step_are_attributed_to_the_model(
    net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    """The advice to lower the learning rate is given only after the first step."""
    path = net(WHEN["trained"], 'logits["colour"] = logits["colour"] * float("nan")')
    assert failure(path) == f"Plugin net ({path}): its logits of colour hold NaN or infinity before the first step."


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ("return {'model': self}", "the facts that fit returned can't be written as JSON: "),
        ("return [1, 2]", "fit must return a mapping, but returned a list."),
    ],
)
def test_facts_that_are_not_json_are_refused(
    facts: str, expected: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    """They are checked right after training."""
    path = broken("trained", facts)
    assert failure(path).startswith(f"Plugin even ({path}): {expected}")


@pytest.mark.parametrize("way", ["option", "variable", "variable off", "neither"])
def test_the_traceback_is_shown_on_request(
    way: str,
    broken: Callable[[str, str], Path],
    words: list[object],
    command: Command,
    installed: None,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last line is always the sentence; authors can ask for the traceback above it."""
    monkeypatch.delenv("MMEVAL_TRACEBACK", raising=False)
    if way.startswith("variable"):
        monkeypatch.setenv("MMEVAL_TRACEBACK", "1" if way == "variable" else "0")
    path = broken("trained", "1 / 0")
    before = ["--traceback"] if way == "option" else []
    assert command(*before, *words[: words.index("--set")], "--plugin", path) == PluginError.exit_code
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith(f"error: Plugin even ({path}) failed while it was trained, at even.py:")
    wanted = way in ("option", "variable")
    assert ("Traceback (most recent call last)" in err) is wanted
    assert (f'File "{path}", line {line_of(path, "1 / 0")}, in fit' in err) is wanted
    assert ("\nZeroDivisionError: division by zero\n" in err) is wanted


def test_a_failed_new_run_leaves_no_folder(
    broken: Callable[[str, str], Path], failure: Callable[..., str], tmp_path: Path
) -> None:
    failure(broken("trained", "1 / 0"))
    assert not RunFolder(tmp_path / "run").path.exists()


def test_a_build_with_wrong_arguments_is_attributed_to_the_plugin(
    tmp_path: Path, ask: Callable[..., Request], manager_with: Callable[..., Manager]
) -> None:
    """No line of the plugin runs in this case."""
    path = tmp_path / "narrow.py"
    path.write_text(NARROW, encoding="utf-8")
    with pytest.raises(PluginError) as caught:
        run(ask(plugin=str(path)), manager_with())
    assert str(caught.value) == (
        f"Plugin narrow ({path}) failed when it was built: "
        "TypeError: build() takes 1 positional argument but 2 were given (`mmeval --traceback` shows the traceback)"
    )


NARROW = """
import mmeval

def build(config):
    return None


@mmeval.hookimpl
def register_models(register):
    presets = {"tiny": {}}
    register(mmeval.ModelSpec(name="narrow", summary="-", config=mmeval.ModelConfig, build=build,
        version="1", inputs=("text",), paper="none", licence="MIT", presets=presets))
"""

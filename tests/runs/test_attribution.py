"""When a model fails, the message names its plugin, the distribution, what it was doing, and the line of its code."""

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
Offer = Callable[..., Manager]
TRACEBACK = "(`mmeval --traceback` shows the traceback)"
DOING = {
    "built": "when it was built",
    "trained": "while it was trained",
    "saved": "when it was saved",
    "predicted": "while it predicted",
}
TORCH = '''"""A torch model whose logits go wrong where it is told."""
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
# Of the splits of the small data set, the test split alone has examples without a text.
WHEN = {"trained": "self.training", "predicted": "not batch.has_text.all()"}


@pytest.fixture
def broken(even: Path) -> Callable[[str, str], Path]:
    """Puts a statement into one place of the small model."""

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
    """Writes the torch model; gives its path."""

    def write(when: str, wrong: str) -> str:
        (tmp_path / "net.py").write_text(TORCH.replace("WHEN", when).replace("WRONG", wrong))
        return str(tmp_path / "net.py")

    return write


@pytest.fixture
def failure(ask: Ask, offer: Offer) -> Callable[..., str]:
    """Runs a plugin, which must fail; gives the message."""

    def of(plugin: object, kind: type[Exception] = PluginError) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
            run(ask(plugin=str(plugin)), offer())
        assert type(caught.value) is kind
        return str(caught.value)

    return of


def line_of(path: Path, text: str) -> int:
    (found,) = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return found


@pytest.mark.parametrize("place", DOING)
def test_a_file_that_fails_is_named_with_its_line(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    """Whoever runs it can tell its author where to look."""
    path = broken(place, "1 / 0")
    said = failure(path)
    assert said == (
        f"Plugin even ({path}) failed {DOING[place]}, at even.py:{line_of(path, '1 / 0')}: "
        f"ZeroDivisionError: division by zero {TRACEBACK}"
    )


@pytest.mark.parametrize("place", DOING)
def test_an_installed_plugin_is_named_with_its_distribution(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str], install: Install
) -> None:
    path = broken(place, "raise ValueError('no\\n  such thing')")
    install("models", "even", path.read_text())
    assert failure("even") == (
        f"Plugin even (dist-even 1.0) failed {DOING[place]}, at installed_even.py:{line_of(path, 'such thing')}: "
        f"ValueError: no such thing {TRACEBACK}"
    )


def test_a_model_that_can_not_be_loaded_is_named(broken: Callable[[str, str], Path], ask: Ask, offer: Offer) -> None:
    """Long after its run, by another version of the plugin."""
    path = broken("loaded", "raise KeyError('weights')")
    manager = offer()
    folder = run(ask(plugin=str(path)), manager)
    with pytest.raises(PluginError) as caught:
        load_model(folder, 0, manager.model(str(path)))
    assert str(caught.value) == (
        f"Plugin even ({path}) failed when it was loaded, at even.py:{line_of(path, 'KeyError')}: "
        f"KeyError: 'weights' {TRACEBACK}"
    )


def test_the_line_is_the_innermost_of_the_plugins_own(
    tmp_path: Path, install: Install, even: Path, failure: Callable[..., str]
) -> None:
    """Not the one of NumPy in which it ended, nor that of its `build` in another file of the package."""
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


def test_a_build_with_some_arguments_given_is_named(even: Path, failure: Callable[..., str]) -> None:
    """`functools.partial` is what a plugin of three sizes of one model writes; it isn't the plugin's own code."""
    code = even.read_text().replace("mmeval.ModelConfig, Even", "mmeval.ModelConfig, functools.partial(make, 1)")
    even.write_text(f"import functools\n{code}\n\ndef make(size, config, context):\n    return size / 0\n")
    assert failure(even) == (
        f"Plugin even ({even}) failed when it was built, at even.py:{line_of(even, 'size / 0')}: "
        f"ZeroDivisionError: division by zero {TRACEBACK}"
    )


def test_what_fails_in_a_thread_is_named(
    tmp_path: Path, net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    """Texts are tokenised ahead of their use."""
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
def test_a_mistake_of_the_user_is_told_as_it_is(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    """A plugin's own sentence says better what to do."""
    path = broken(place, "raise mmeval.UserError('Not with this licence; ask for one.')")
    assert failure(path, UserError) == "Not with this licence; ask for one."


def test_a_missing_extra_is_told_as_it_is(broken: Callable[[str, str], Path], failure: Callable[..., str]) -> None:
    path = broken("built", "raise mmeval.MissingExtraError('It', 'p', 'all', 'acme')")
    said = "It needs the package \"p\", which is not installed; run: pip install 'acme[all]'"
    assert failure(path, MissingExtraError) == said


def test_what_the_plugin_has_no_part_in_is_not_laid_at_its_door(
    even: Path, failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a fault of mmeval's own")

    monkeypatch.setattr("mmeval.runs.train.write_predictions", fails)
    assert failure(even, RuntimeError) == "a fault of mmeval's own"


@pytest.mark.parametrize("place", ["trained", "saved"])
def test_a_full_disk_is_not_the_plugins_fault(
    place: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    path = broken(place, f"raise OSError({errno.ENOSPC}, 'full')")
    assert failure(path, OSError) == f"[Errno {errno.ENOSPC}] full"


def test_a_full_disk_is_one_sentence(
    broken: Callable[[str, str], Path], words: list[object], command: Command, installed: None, capsys: Capture
) -> None:
    path = broken("saved", f"raise OSError({errno.ENOSPC}, 'full')")
    assert command(*words[: words.index("--set")], "--plugin", path) == 1
    said = f"error: The disk is full ([Errno {errno.ENOSPC}] full). Free some space, then repeat the command; "
    assert capsys.readouterr().err.splitlines()[-1] == f"{said}complete files are kept."


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("None", "build returned a NoneType, which lacks predict, save, load."),
        ("type('Half', (), {'predict': print})()", "build returned a Half, which lacks save, load."),
    ],
)
def test_what_is_no_model_is_named(returned: str, said: str, even: Path, failure: Callable[..., str]) -> None:
    """Before anything is trained: a model that can't be saved would be found out at the very end."""
    even.write_text(even.read_text().replace("mmeval.ModelConfig, Even", f"mmeval.ModelConfig, lambda *_: {returned}"))
    assert failure(even) == f"Plugin even ({even}): {said}"


def test_a_torch_model_needs_a_config_that_says_how_to_train_it(
    net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    path = Path(net("False", "pass"))
    path.write_text(path.read_text().replace('"s", Config,', '"s", mmeval.ModelConfig,'))
    assert failure(path) == (
        f"Plugin net ({path}): the config of a torch model must be a mmeval.TorchConfig, ModelConfig is none."
    )


@pytest.mark.parametrize("when", WHEN)
def test_a_forward_pass_that_fails_is_named(
    when: str, net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    path = Path(net(WHEN[when], "raise LookupError('lost')"))
    assert failure(path) == (
        f"Plugin net ({path}) failed {DOING[when]}, at net.py:{line_of(path, 'lost')}: LookupError: lost {TRACEBACK}"
    )


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("wrong", "said"),
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
def test_wrong_logits_are_told_in_words(
    when: str, wrong: str, said: str, net: Callable[[str, str], str], failure: Callable[..., str], tmp_path: Path
) -> None:
    """Not as a broadcast that trains on nonsense, nor as an error inside the loss; and no prediction is written."""
    path = net(WHEN[when], wrong)
    found = failure(path)
    assert re.fullmatch(rf"Plugin net \({re.escape(path)}\): {said}", found)
    assert list((tmp_path / "run").rglob("*.parquet")) == []


def test_logits_that_are_not_finite_are_no_prediction(
    net: Callable[[str, str], str], failure: Callable[..., str], tmp_path: Path
) -> None:
    path = net(WHEN["predicted"], 'logits["colour"] = logits["colour"] * float("nan")')
    assert failure(path) == f"Plugin net ({path}): its logits of colour hold NaN or infinity."
    assert list((tmp_path / "run").rglob("*.parquet")) == []


def test_logits_that_are_not_finite_from_the_start_are_the_models_own(
    net: Callable[[str, str], str], failure: Callable[..., str]
) -> None:
    """No learning rate will help; after the first step the advice is to lower it."""
    path = net(WHEN["trained"], 'logits["colour"] = logits["colour"] * float("nan")')
    assert failure(path) == f"Plugin net ({path}): its logits of colour hold NaN or infinity before the first step."


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ("return {'model': self}", "the facts that fit returned can't be written as JSON: "),
        ("return [1, 2]", "fit must return a mapping, but returned a list."),
    ],
)
def test_facts_that_can_not_be_kept_are_named(
    facts: str, said: str, broken: Callable[[str, str], Path], failure: Callable[..., str]
) -> None:
    """At the end of the training, before anything else is lost."""
    path = broken("trained", facts)
    assert failure(path).startswith(f"Plugin even ({path}): {said}")


@pytest.mark.parametrize("way", ["option", "variable", "variable off", "neither"])
def test_the_traceback_is_shown_to_who_asks(
    way: str,
    broken: Callable[[str, str], Path],
    words: list[object],
    command: Command,
    installed: None,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The author wants every step, everybody else one sentence; it is the last line either way."""
    monkeypatch.delenv("MMEVAL_TRACEBACK", raising=False)
    if way.startswith("variable"):
        monkeypatch.setenv("MMEVAL_TRACEBACK", "1" if way == "variable" else "0")
    path = broken("trained", "1 / 0")
    before = ["--traceback"] if way == "option" else []
    assert command(*before, *words[: words.index("--set")], "--plugin", path) == PluginError.exit_code
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith(f"error: Plugin even ({path}) failed while it was trained, at even.py:")
    wanted = way in ("option", "variable")
    assert ("Traceback (most recent call last)" in said) is wanted
    assert (f'File "{path}", line {line_of(path, "1 / 0")}, in fit' in said) is wanted
    assert ("\nZeroDivisionError: division by zero\n" in said) is wanted


def test_a_failure_leaves_no_half_written_run(
    broken: Callable[[str, str], Path], failure: Callable[..., str], tmp_path: Path
) -> None:
    """The same command, once the plugin is mended, starts clean."""
    failure(broken("trained", "1 / 0"))
    assert not RunFolder(tmp_path / "run").path.exists()


def test_a_function_that_takes_other_arguments_is_the_plugins_fault(
    tmp_path: Path, ask: Callable[..., Request], offer: Callable[..., Manager]
) -> None:
    """No line of its code runs, and yet it isn't mmeval that is to be mended."""
    path = tmp_path / "narrow.py"
    path.write_text(NARROW, encoding="utf-8")
    with pytest.raises(PluginError) as caught:
        run(ask(plugin=str(path)), offer())
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

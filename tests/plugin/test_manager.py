"""The plugin manager: loading by name, calling hooks, and errors of plugins as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mmeval import DatasetSpec, ModelSpec, UserError
from mmeval.api import hooks
from mmeval.data.prepare.prepare import prepare
from mmeval.errors import MissingExtraError, PluginError, UnknownNameError
from mmeval.plugin.manager import Manager

Install = Callable[..., None]
START = "import mmeval\n"


def model(*names: str) -> str:
    """Return the source of a plugin that registers models."""
    calls = [
        f"    register(mmeval.ModelSpec(name='{name}', summary='-', config=mmeval.ModelConfig, build=lambda *_: None,"
        " version='1', inputs=('text',), paper='none', licence='none', presets={'tiny': {}}))\n"
        for name in names
    ]
    return f"{START}\n@mmeval.hookimpl\ndef register_models(register):\n    pass\n{''.join(calls)}"


@pytest.fixture
def file(tmp_path: Path, install: Install) -> Callable[[str], str]:
    """Return a function that writes a one-file plugin and returns its path."""

    def write(text: str) -> str:
        (tmp_path / "own.py").write_text(text, encoding="utf-8")
        return str(tmp_path / "own.py")

    return write


def complaint(call: Callable[[], object], kind: type[UserError] = PluginError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("embracnet", 'No plugin is named "embracnet". Did you mean "embracenet"? `mmeval plugins` lists all.'),
        ("zzz", 'No plugin is named "zzz". `mmeval plugins` lists all.'),
        ("emoji14", 'No plugin is named "emoji14". `mmeval plugins` lists all.'),
    ],
)
def test_an_unknown_plugin_gets_the_nearest_name(name: str, expected: str) -> None:
    assert complaint(lambda: Manager().model(name), UnknownNameError) == expected


def test_an_unknown_data_set_gets_the_nearest_name() -> None:
    expected = 'No data set is named "emoji-14". Did you mean "emoji14"? `mmeval data` lists all.'
    assert complaint(lambda: Manager().dataset("emoji-14"), UnknownNameError) == expected


def test_only_named_plugins_are_loaded(install: Install) -> None:
    """A broken or slow plugin affects only its users."""
    install("bomb", "raise SystemExit('imported')")
    manager = Manager()
    assert manager.model("embracenet") is manager.model("embracenet")
    assert manager.dataset("emoji14").name == "emoji14"
    assert "acme_bomb" not in sys.modules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_distribution(install: Install, text: str, expected: str) -> None:
    """The message names the authors' package, and other plugins work."""
    install("broken", text)
    manager = Manager()
    message = complaint(lambda: manager.model("broken"))
    assert message == f"Plugin broken (acme-broken 1.0) can't be loaded: {expected}"
    assert manager.model("embracenet").name == "embracenet"


@pytest.mark.parametrize("module", ["acme_gone", "acme_gone.deep.model"])
def test_a_missing_module_of_an_entry_point_raises_plugin_error(distribution: Install, module: str) -> None:
    """As after an incomplete uninstallation."""
    distribution("gone", module, {})
    assert complaint(lambda: Manager().model("gone")) == (
        f'Plugin gone (acme-gone 1.0): its entry point "{module}" names a missing module; '
        "reinstall it, or tell its authors."
    )


def test_a_user_error_of_a_plugin_is_passed_on(install: Install) -> None:
    """The plugin's own message, not one about its import."""
    install("extra", "from mmeval.errors import MissingExtraError\nraise MissingExtraError('It', 'p', 'all', 'acme')")
    expected = "It needs the package \"p\", which is not installed; run: pip install 'acme[all]'"
    assert complaint(lambda: Manager().model("extra"), MissingExtraError) == expected


def test_a_wrong_spec_names_the_plugin(install: Install) -> None:
    install("late", f"{START}\n@mmeval.hookimpl\ndef register_models(register):\n    register(mmeval.ModelSpec())\n")
    assert complaint(lambda: Manager().model("late")) == (
        "Plugin late (acme-late 1.0): ModelSpec lacks name, summary, config, build, version, inputs, paper, licence, "
        "presets; tell its authors."
    )


def test_a_plugin_must_register_its_name(install: Install) -> None:
    install("alias", model("another"))
    expected = 'Plugin alias (acme-alias 1.0) registers no model named "alias"; tell its authors.'
    assert complaint(lambda: Manager().model("alias")) == expected


def test_two_plugins_with_one_name_are_refused(install: Install) -> None:
    """Otherwise the order of installation would decide which model is scored."""
    install("one", model("one"))
    install("thief", model("thief", "one"))
    manager = Manager()
    manager.model("one")
    expected = (
        'Plugin thief (acme-thief 1.0) registers the name "one", which acme-one 1.0 has registered already; '
        "uninstall one of them."
    )
    assert complaint(lambda: manager.model("thief")) == expected


def test_an_unknown_hook_is_refused(install: Install) -> None:
    """A hook with a misspelt name would never be called."""
    install("typo", f"{START}\n@mmeval.hookimpl\ndef register_model(register):\n    pass\n")
    assert complaint(lambda: Manager().model("typo")) == (
        'Plugin typo (acme-typo 1.0): there is no hook "register_model"; did you mean "register_models"?'
    )


def test_a_hook_without_its_mark_is_refused(install: Install) -> None:
    """It would never be called, and the model would be missing without a reason."""
    install("bare", model("bare").replace("@mmeval.hookimpl\n", ""))
    assert complaint(lambda: Manager().model("bare")) == (
        "Plugin bare (acme-bare 1.0): its register_models lacks the mark @mmeval.hookimpl, so it would never be called."
    )


def test_the_environment_can_restrict_the_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMEVAL_PLUGINS", "emoji14")
    manager = Manager()
    assert manager.dataset("emoji14").name == "emoji14"
    expected = 'No plugin is named "embracenet". `mmeval plugins` lists all.'
    assert complaint(lambda: manager.model("embracenet"), UnknownNameError) == expected


def test_a_file_is_a_plugin(file: Callable[[str], str]) -> None:
    """A first model needs no package."""
    assert Manager().model(file(model("mine"))).name == "mine"


@pytest.mark.parametrize("path", ["none.py", "./none", "/nowhere/none.py"])
def test_a_missing_file_is_named(path: str) -> None:
    assert complaint(lambda: Manager().model(path)) == f"--plugin {Path(path)}: there is no such file."


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text(model("mine"))
    path = str(tmp_path / "model.txt")
    assert complaint(lambda: Manager().model(path)) == f"--plugin {path}: not a Python file."


@pytest.mark.parametrize("names", [(), ("one", "two")])
def test_a_file_registers_one_model(file: Callable[[str], str], names: tuple[str, ...]) -> None:
    """With none or two models it is unclear which to run."""
    path = file(model(*names))
    expected = f"--plugin {path}: the file must register one model, it registers {len(names)}."
    assert complaint(lambda: Manager().model(path)) == expected


def test_a_file_that_fails_is_named(file: Callable[[str], str]) -> None:
    path = file("1 / 0")
    expected = f"Plugin {path} can't be loaded: ZeroDivisionError: division by zero"
    assert complaint(lambda: Manager().model(path)) == expected


def test_register_models_is_called(install: Install) -> None:
    install("mine", model("mine", "mine-too"))
    manager = Manager()
    assert manager.model("mine").name == "mine"
    assert manager.model("mine-too").name == "mine-too"


def test_register_datasets_is_called(install: Install, colours: Callable[..., DatasetSpec]) -> None:
    install("squares", SQUARES, group="mmeval.datasets")
    spec = colours()
    sys.modules["acme_shared"] = SimpleNamespace(card=spec.card, source=spec.source)
    registered = Manager().dataset("squares")
    assert prepare(registered).split_sizes == {"train": 72, "validation": 18, "test": 42}


SQUARES = f"""{START}import acme_shared

@mmeval.hookimpl
def register_datasets(register):
    register(mmeval.DatasetSpec(name="squares", summary="squares", card=acme_shared.card, source=acme_shared.source))
"""


def test_register_metrics_is_called(install: Install) -> None:
    metric = (
        "\n@mmeval.hookimpl\ndef register_metrics(register):\n    from mmeval import MetricSpec\n"
        "    sure = lambda labels, p: p[range(len(labels)), labels].astype(float)\n"
        "    register(MetricSpec(name='sure', summary='higher is better', per_example=sure))\n"
    )
    install("mine", model("mine") + metric)
    manager = Manager()
    assert manager.metrics() == ()
    manager.model("mine")
    (registered,) = manager.metrics()
    assert registered.name == "sure"
    assert registered.per_example(np.array([1, 0]), np.array([[0.25, 0.75], [1, 0]], np.float32)).tolist() == [0.75, 1]


COMMANDS = f"""{START}
@mmeval.hookimpl
def register_commands(group):
    @group.command()
    def hello(name: str) -> None:
        print("hello", name)

    @group.command()
    def bye() -> None:
        print("bye")
"""


def test_register_commands_is_called(install: Install) -> None:
    """Only for the plugin of the typed command."""
    install("greet", COMMANDS, group="mmeval.commands")
    install("other", COMMANDS.replace("hello", "other"), group="mmeval.commands")
    group = typer.Typer()
    manager = Manager()
    assert manager.add_commands("greet", group)
    result = CliRunner().invoke(group, ["hello", "frog"])
    assert (result.exit_code, result.output) == (0, "hello frog\n")
    assert [command.callback.__name__ for command in group.registered_commands] == ["hello", "bye"]
    assert not manager.add_commands("nothing", group)


RUN = """
@mmeval.hookimpl
def before_run(run):
    run.seen.append("before")
    if run.stop:
        raise mmeval.UserError("not today")

@mmeval.hookimpl
def after_run(run):
    run.seen.append("after")
"""


def test_before_run_is_called(install: Install) -> None:
    """A hook may stop the run, for example a tracker without a login."""
    install("mine", model("mine") + RUN)
    manager, run = Manager(), SimpleNamespace(seen=[], stop=False)
    manager.before_run(run)
    assert run.seen == []
    manager.model("mine")
    manager.before_run(run)
    assert run.seen == ["before"]
    run.stop = True
    assert complaint(lambda: manager.before_run(run), UserError) == "not today"


def test_after_run_is_called(install: Install) -> None:
    install("mine", model("mine") + RUN)
    manager, run = Manager(), SimpleNamespace(seen=[], stop=False)
    manager.model("mine")
    manager.after_run(run)
    assert run.seen == ["after"]


def test_every_hook_has_a_test_here() -> None:
    names = {name for name, value in vars(hooks).items() if hasattr(value, f"{hooks.PROJECT}_spec")}
    assert len(names) >= 6
    assert {f"test_{name}_is_called" for name in names} <= set(globals())


def test_a_hook_with_an_unknown_argument_raises_one_sentence(install: Install) -> None:
    install("odd", f"{START}\n@mmeval.hookimpl\ndef before_run(runner):\n    pass\n")
    assert complaint(lambda: Manager().model("odd")) == (
        'Plugin odd (acme-odd 1.0): its before_run takes "runner"; the arguments of this hook are: run.'
    )


@pytest.mark.parametrize("hook", ["register_model(register)", "before_run(runner)"])
def test_a_plugin_with_wrong_hooks_is_refused_each_time(install: Install, hook: str) -> None:
    """A second call in the same process must not use a partly loaded plugin."""
    install("odd", f"{model('odd')}\n@mmeval.hookimpl\ndef {hook}:\n    pass\n")
    manager = Manager()
    first = complaint(lambda: manager.model("odd"))
    assert complaint(lambda: manager.model("odd")) == first
    assert "odd" not in manager._registry.of(ModelSpec)


def test_two_distributions_of_one_name_are_refused(install: Install) -> None:
    """The order of the path must not decide which model is scored."""
    install("duplicate", model("duplicate"), folder="left")
    install("duplicate", model("duplicate"), folder="right")
    assert complaint(lambda: Manager().model("duplicate")) == (
        'acme-left 1.0 and acme-right 1.0 both offer the model "duplicate"; uninstall one of them.'
    )


def test_a_command_plugin_that_fails_raises_one_sentence(install: Install) -> None:
    install("sub", f"{START}\n@mmeval.hookimpl\ndef register_commands(group):\n    1 / 0\n", "mmeval.commands")
    assert complaint(lambda: Manager().add_commands("sub", typer.Typer())) == (
        "Plugin sub (acme-sub 1.0) can't be loaded: ZeroDivisionError: division by zero"
    )


def test_a_refused_plugin_leaves_nothing_behind(install: Install) -> None:
    install("first", model("first", "second"))
    install("second", model("third", "second"))
    manager = Manager()
    manager.model("first")
    for _ in range(2):
        assert "which acme-first 1.0 has registered already" in complaint(lambda: manager._import("second", _entry()))
    assert "third" not in manager._registry.of(ModelSpec)


def _entry() -> EntryPoint:
    (entry,) = [entry_point for entry_point in entry_points(group="mmeval.models") if entry_point.name == "second"]
    return entry


def test_a_file_may_be_named_twice(file: Callable[[str], str]) -> None:
    manager, path = Manager(), file(model("own"))
    assert manager.model(path) is manager.model(path)

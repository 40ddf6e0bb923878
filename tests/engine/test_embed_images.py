"""``embed_images``: the encoder's vectors in the order of the examples, computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmeval import Examples, UserError, embed_images
from mmeval.data.images import decode_batch
from mmeval.data.store import Store
from mmeval.nn import image_encoder
from mmeval.nn.encoders.packaged.efficientnet_lite0 import EfficientNetLite0Encoder
from mmeval.protocol import Inputs

ENCODER = "efficientnet-lite0:32"


def test_vectors_equal_the_encoders_output(store: Store) -> None:
    """Rows are compared one by one: three texts that share an image have the same vector."""
    examples = Examples(store, "test")
    vectors = embed_images(examples, ENCODER)
    assert (vectors.shape, vectors.dtype) == ((42, 1280), np.float32)
    rows = np.flatnonzero(examples.image_rows >= 0)
    encoder = image_encoder(ENCODER, frozen=True)
    with torch.inference_mode():
        direct = encoder.encode(decode_batch(examples.encoded_images(examples.image_rows[rows]), (32, 32))).pooled
    np.testing.assert_allclose(vectors[rows], direct.numpy(), atol=1e-4)
    for row in np.flatnonzero(examples.image_rows < 0):
        assert not vectors[row].any()
    assert len(rows) == 40


@pytest.mark.parametrize("hidden", ["by the protocol", "by the data"])
def test_examples_without_images_give_zeros(store: Store, hidden: str) -> None:
    """Zeros have the encoder's width, so that a model of texts alone is built like any other."""
    examples = Examples(store, "test", Inputs.TEXT if hidden == "by the protocol" else Inputs.IMAGE_TEXT)
    if hidden == "by the data":
        rows = np.flatnonzero(store.examples["image"].to_numpy() < 0)
        examples = Examples.of_rows(store, rows, "bare")
    vectors = embed_images(examples, ENCODER)
    assert (vectors.shape, vectors.dtype) == ((len(examples), 1280), np.float32)
    assert not vectors.any()


def test_second_call_reads_the_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cache, every run would embed all splits again."""
    examples = Examples(store, "validation")
    first = embed_images(examples, ENCODER)
    monkeypatch.setattr(EfficientNetLite0Encoder, "encode", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(embed_images(examples, ENCODER), first)
    backwards = Examples.of_table(store, examples.table.take(list(range(17, -1, -1))), "backwards")
    np.testing.assert_array_equal(embed_images(backwards, ENCODER), first[::-1])


def test_files_of_an_interrupted_process_are_removed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path))
    embed_images(Examples(store, "validation"), ENCODER)
    (folder,) = {path.parent for path in (tmp_path / "embeddings").rglob("part-*.npy")}
    (leftover := folder / ".part-0123456789abcdef.npy.a1b2c3d4.partial").write_text("half")
    embed_images(Examples(store, "test"), ENCODER)
    assert not leftover.exists()
    assert len(list(folder.glob("part-*.npy"))) == 2


def test_unknown_encoder_raises_user_error(store: Store) -> None:
    with pytest.raises(UserError) as caught:
        embed_images(Examples(store, "test"), "resnet50")
    message = str(caught.value)
    assert message.startswith(
        'No image encoder is named "resnet50"; there are efficientnet-lite0:SIZE, small-cnn:SIZE, '
    )
    assert message.endswith(" and local:PATH.")

"""Images as vectors for models that aren't torch's: the encoder's own, in order, and computed once."""

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


def test_the_vectors_are_the_encoders(store: Store) -> None:
    """Row for row: an image that three texts share stands three times, none is zero where an image is."""
    examples = Examples(store, "test")
    found = embed_images(examples, ENCODER)
    assert (found.shape, found.dtype) == ((42, 1280), np.float32)
    rows = np.flatnonzero(examples.image_rows >= 0)
    encoder = image_encoder(ENCODER, frozen=True)
    with torch.inference_mode():
        direct = encoder.encode(decode_batch(examples.encoded_images(examples.image_rows[rows]), (32, 32))).pooled
    np.testing.assert_allclose(found[rows], direct.numpy(), atol=1e-4)
    for row in np.flatnonzero(examples.image_rows < 0):
        assert not found[row].any()
    assert len(rows) == 40


@pytest.mark.parametrize("hidden", ["by the protocol", "by the data"])
def test_where_there_is_no_image_at_all_there_are_zeros(store: Store, hidden: str) -> None:
    """Of the encoder's width, so that a model of texts alone is built like any other; nothing is computed."""
    examples = Examples(store, "test", Inputs.TEXT if hidden == "by the protocol" else Inputs.IMAGE_TEXT)
    if hidden == "by the data":
        rows = np.flatnonzero(store.examples["image"].to_numpy() < 0)
        examples = Examples.of_rows(store, rows, "bare")
    found = embed_images(examples, ENCODER)
    assert (found.shape, found.dtype) == ((len(examples), 1280), np.float32)
    assert not found.any()


def test_what_was_computed_once_is_taken_from_the_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that isn't torch's embeds train, validation and test in each run anew, for nothing."""
    examples = Examples(store, "validation")
    first = embed_images(examples, ENCODER)
    monkeypatch.setattr(EfficientNetLite0Encoder, "encode", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(embed_images(examples, ENCODER), first)
    backwards = Examples.of_table(store, examples.table.take(list(range(17, -1, -1))), "backwards")
    np.testing.assert_array_equal(embed_images(backwards, ENCODER), first[::-1])


def test_d4_what_a_killed_process_left_in_the_cache_is_removed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMEVAL_HOME", str(tmp_path))
    embed_images(Examples(store, "validation"), ENCODER)
    (folder,) = {path.parent for path in (tmp_path / "embeddings").rglob("part-*.npy")}
    (left := folder / ".part-0123456789abcdef.npy.a1b2c3d4.partial").write_text("half")
    embed_images(Examples(store, "test"), ENCODER)
    assert not left.exists()
    assert len(list(folder.glob("part-*.npy"))) == 2


def test_an_unknown_encoder_is_named(store: Store) -> None:
    with pytest.raises(UserError) as caught:
        embed_images(Examples(store, "test"), "resnet50")
    message = str(caught.value)
    assert message.startswith(
        'No image encoder is named "resnet50"; there are efficientnet-lite0:SIZE, small-cnn:SIZE, '
    )
    assert message.endswith(" and local:PATH.")

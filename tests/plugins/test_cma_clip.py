"""CMA-CLIP: equality with its formula, the sequence of figure 1, missing modalities, ablations and options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import mmeval.testing
from mmeval import Batch, ModelContext, Task, UserError
from mmeval.nn import Encoded
from mmeval.plugin.configure import configure
from mmeval_cma_clip import build, register_models
from mmeval_cma_clip.config import CmaClipConfig
from mmeval_cma_clip.model import CmaClip, KeylessAttention
from tests.forked import fork_fresh_processes

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "cma_clip_modality_attention_a.npz")
CONTEXT = ModelContext((Task("t", ("a", "b", "c")), Task("u.v", ("x", "y"))), {"t": (1, 2, 7), "u.v": (1, 4)})
SMALL = [
    "image_encoder=small-cnn:32",
    "image_tuning.frozen=false",
    "text_encoder=small-bert:1x32",
    "text_tuning.frozen=false",
    "width=32",
    "heads=2",
    "layers=1",
]


def golden(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name])


@pytest.mark.parametrize("task", ["task0", "task1"])
def test_modality_attention_equals_the_formula(task: str) -> None:
    """Weights (text, image) and logits of a linear head, to 1e-6: one query per task, softmax over modalities."""
    query = golden(f"weights/{task}/query")
    attention = KeylessAttention(len(query)).double()
    attention.query.data[0] = query
    states = torch.stack([golden("inputs/text_state"), golden("inputs/image_state")], 1)
    z, weights = attention(states, torch.ones(2, 2, dtype=torch.bool))
    expected = golden(f"outputs/{task}/modality_weights_text_image")
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)
    logits = F.linear(z, golden(f"weights/{task}/head.weight"), golden(f"weights/{task}/head.bias"))
    torch.testing.assert_close(logits, golden(f"outputs/{task}/logits_linear_head"), rtol=0, atol=1e-6)


def test_separate_queries_score_the_modalities_separately() -> None:
    attention = KeylessAttention(4, shared=False)
    states = torch.randn(3, 2, 4)
    _, weights = attention(states, torch.ones(3, 2, dtype=torch.bool))
    energy = torch.stack([states[:, 0] @ attention.query[0], states[:, 1] @ attention.query[1]], 1)
    torch.testing.assert_close(weights, energy.softmax(1))


def model(*changes: str, context: ModelContext = CONTEXT) -> CmaClip:
    torch.manual_seed(0)
    return build(configure(CmaClipConfig, "cma-clip", {}, [*SMALL, *changes]), context).eval()


def batch(net: CmaClip, size: int = 5, **changes: Any) -> Batch:
    assert net.text_encoder is not None
    ids, mask = net.text_encoder.tokenize([f"wort {i * 1001}" for i in range(size)])
    fields: dict[str, Any] = {
        "has_image": torch.ones(size, dtype=torch.bool),
        "has_text": torch.ones(size, dtype=torch.bool),
        "languages": ("de",) * size,
        "labels": {},
        "seeds": torch.arange(size),
        "images": torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)),
        "text_ids": ids,
        "text_mask": mask,
    }
    return Batch(**(fields | changes))


class FixedEncoder(torch.nn.Module):
    """An encoder with a fixed output."""

    def __init__(self, encoded: Encoded) -> None:
        super().__init__()
        self.encoded, self.width = encoded, encoded.pooled.shape[1]

    def forward(self, _: Batch) -> Encoded:
        return self.encoded


def random_states(tokens: int, width: int = 32, size: int = 5) -> Encoded:
    mask = torch.ones(size, tokens, dtype=torch.bool)
    return Encoded(torch.randn(size, tokens, width), mask, torch.randn(size, width))


def test_sequence_is_text_first_and_each_modality_starts_with_its_pooled_state() -> None:
    """[T_cls, T_1..T_n, I_cls, I_1..I_m]: the outputs at 0 and n + 1 are used."""
    torch.manual_seed(0)
    net = model("input_dropout=0", "shared_query=true")
    text, image = random_states(3), random_states(4)
    b = batch(net)
    net.text_encoder, net.image_encoder = FixedEncoder(text), FixedEncoder(image)  # type: ignore[assignment]
    net.text_in = net.image_in = torch.nn.Identity()  # type: ignore[assignment]
    sequence = torch.cat([text.pooled[:, None], text.tokens, image.pooled[:, None], image.tokens], 1)
    out = net.transformer(sequence)
    with torch.no_grad():
        actual = net(b)
        for number, task in enumerate(("t", "u.v")):
            states = torch.stack([out[:, 0], out[:, 4]], 1)
            weights = (states @ net.attention[number].query[0]).softmax(1)
            z = (weights[:, :, None] * states).sum(1)
            torch.testing.assert_close(actual.logits[task], net.heads.layers[number](z), rtol=1e-4, atol=1e-5)
            if number == 0:
                torch.testing.assert_close(actual.modality_weights, weights, rtol=1e-4, atol=1e-5)


def test_masked_tokens_have_no_influence() -> None:
    """Padding differs between batches; predictions must not."""
    net = model()
    with torch.no_grad():
        b = batch(net)
        text = net.text_encoder(b)  # type: ignore[misc]
        padded = Encoded(
            torch.cat([text.tokens, torch.full((5, 3, 32), torch.nan)], 1),
            torch.cat([text.mask, torch.zeros(5, 3, dtype=torch.bool)], 1),
            text.pooled,
        )
        clean = net(b).logits["t"]
        net.text_encoder = FixedEncoder(padded)  # type: ignore[assignment]
        torch.testing.assert_close(net(b).logits["t"], clean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ablation", [[], ["modality_attention=false"], ["sequence_attention=false"]])
@pytest.mark.parametrize("missing", ["has_image", "has_text"])
def test_missing_modality_has_no_weight_and_no_influence(ablation: list[str], missing: str) -> None:
    net = model(*ablation)
    incomplete = batch(net, **{missing: torch.zeros(5, dtype=torch.bool)})
    noisy = torch.full_like(incomplete.images, 255)  # type: ignore[arg-type]
    with torch.no_grad():
        first = net(incomplete)
        other = net(replace(incomplete, images=noisy) if missing == "has_image" else incomplete)
    torch.testing.assert_close(first.logits["t"], other.logits["t"], rtol=0, atol=0)
    assert first.logits["t"].isfinite().all()
    at = 1 if missing == "has_image" else 0
    assert first.modality_weights is not None
    assert (first.modality_weights[:, at] == 0).all()
    torch.testing.assert_close(first.modality_weights.sum(1), torch.ones(5))


def test_without_image_and_text_weights_are_zero_and_it_predicts_the_training_prior() -> None:
    net = model()
    nothing = torch.zeros(5, dtype=torch.bool)
    with torch.no_grad():
        out = net(batch(net, has_image=nothing, has_text=nothing))
    assert out.modality_weights is not None
    assert not out.modality_weights.any()
    torch.testing.assert_close(out.logits["t"].softmax(-1), torch.tensor([[0.1, 0.2, 0.7]]).expand(5, -1))


def test_ablations_remove_their_parts() -> None:
    """`w/o MA` has no query, `w/o (MA+SA)` has no transformer either; the mean has half the head width of `concat`."""
    names = [name for name, _ in model().named_parameters()]
    assert any(name.startswith("attention.") for name in names)
    without = [name for name, _ in model("modality_attention=false").named_parameters()]
    assert not any(name.startswith("attention.") for name in without)
    assert any(name.startswith("transformer.") for name in without)
    both = model("modality_attention=false", "sequence_attention=false")
    assert not any(name.startswith("transformer.") for name, _ in both.named_parameters())
    assert both.heads.layers[0].in_features == 64
    assert model("modality_attention=false", "instead=mean").heads.layers[0].in_features == 32


def test_transformer_layers_start_with_different_weights() -> None:
    """TransformerEncoder copies its layer, so that all layers would start with the same weights."""
    first, second, third = model("layers=3").transformer.layers
    matrices = {name: p for name, p in first.named_parameters() if p.ndim > 1}
    assert len(matrices) == 4
    for name, p in matrices.items():
        others = [dict(layer.named_parameters())[name] for layer in (second, third)]
        assert not any(torch.equal(p, other) for other in others)
        assert not torch.equal(*others)


def by_hand(net: CmaClip, x: Tensor) -> Tensor:
    """Compute the transformer from its formula: pre- or post-norm blocks, GELU, an optional final norm."""
    config = net.config
    for layer in net.transformer.layers:
        assert isinstance(layer, torch.nn.TransformerEncoderLayer)

        def attend(y: Tensor, layer: Any = layer) -> Tensor:
            q, k, v = (
                part.unflatten(-1, (config.heads, -1)).transpose(1, 2)
                for part in F.linear(y, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, -1)
            )
            mixed = ((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(-1) @ v
            actual: Tensor = layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
            return actual

        def mlp(y: Tensor, layer: Any = layer) -> Tensor:
            inner = layer.linear1(y)
            actual: Tensor = layer.linear2(inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))
            return actual

        if config.norm_first:
            x = x + attend(layer.norm1(x))
            x = x + mlp(layer.norm2(x))
        else:
            x = layer.norm1(x + attend(x))
            x = layer.norm2(x + mlp(x))
    return F.layer_norm(x, x.shape[-1:]) if config.final_norm else x


@pytest.mark.parametrize("norm_first", ["true", "false"])
@pytest.mark.parametrize("final_norm", ["true", "false"])
def test_transformer_equals_the_formula(norm_first: str, final_norm: str) -> None:
    """With norms before or after, GELU, and an optional final norm."""
    net = model("layers=2", f"norm_first={norm_first}", f"final_norm={final_norm}")
    x = 3 * torch.randn(2, 5, 32)
    torch.testing.assert_close(net.transformer(x), by_hand(net, x), rtol=1e-4, atol=1e-5)


def test_each_modality_has_its_own_type_vector() -> None:
    net = model("type_embeddings=true", "width=32")
    zeros = torch.zeros(2, 3, 32)
    typed = net._typed(zeros, torch.zeros(2, 4, 32))
    assert not torch.equal(net.types[0], net.types[1])
    torch.testing.assert_close(typed, net.types[[0, 0, 0, 1, 1, 1, 1]].expand(2, -1, -1))


def test_mlp_of_a_task_has_gelu_and_dropout() -> None:
    """Without an activation, two linear layers would equal one."""
    net = model("mlp_width=16", "dropout=0.25")
    mlp = net.mlps[0]
    z = torch.randn(4, 32)
    torch.testing.assert_close(mlp(z), F.gelu(F.linear(z, mlp[0].weight, mlp[0].bias)))  # type: ignore[index,arg-type]
    assert [m.p for m in net.mlps.modules() if isinstance(m, torch.nn.Dropout)] == [0.25, 0.25]


def test_input_dropout_removes_the_same_features_from_all_tokens_of_an_example() -> None:
    """Otherwise neighbouring tokens reveal the dropped feature. Examples drop different features; evaluation none."""
    torch.manual_seed(0)
    drop = model("input_dropout=0.75").image_in[0].train()  # type: ignore[index]
    out = drop(torch.ones(20, 7, 400))
    assert set(out.unique().tolist()) == {0, 4}
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert not torch.equal(out[0], out[1])
    assert (out == 0).float().mean() == pytest.approx(0.75, abs=0.05)
    assert torch.equal(drop.eval()(out), out)


def test_dropout_options_set_every_dropout() -> None:
    """A dropout left at its default would regularise unasked."""
    net = model("dropout=0.25", "input_dropout=0.125", "width=64", "layers=2", "mlp_width=8")

    def rates(part: torch.nn.Module) -> list[float]:
        return [m.p for m in part.modules() if isinstance(m, torch.nn.Dropout)]

    assert rates(net.text_in) == rates(net.image_in) == [0.125]
    assert rates(net.transformer) == [0.25] * 6
    assert [layer.self_attn.dropout for layer in net.transformer.layers] == [0.25] * 2  # type: ignore[union-attr]
    assert rates(net.mlps) == [0.25, 0.25]
    assert not any(isinstance(m, torch.nn.Dropout) for m in model("input_dropout=0").image_in.modules())


@pytest.mark.parametrize("changes", [[], ["width=64", "type_embeddings=true", "shared_query=false", "mlp_width=16"]])
def test_every_parameter_gets_a_gradient(changes: list[str]) -> None:
    """Including the queries: untrained modality attention would look like trained."""
    net = model("dropout=0", "input_dropout=0", *changes).train()
    sum(x.logsumexp(-1).mean() - x[:, 0].mean() for x in net(batch(net)).logits.values()).backward()  # type: ignore[union-attr]
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_tasks_share_neither_attention_nor_mlp() -> None:
    net = model("mlp_width=16")
    assert not torch.equal(*(attention.query for attention in net.attention))  # type: ignore[arg-type]
    assert not torch.equal(*(mlp[0].weight for mlp in net.mlps))  # type: ignore[arg-type,index]


def test_new_vectors_start_small_but_not_at_zero() -> None:
    """A zero query would weigh both modalities equally; vectors of scale 1 would outweigh the states."""
    net = model("width=256", "heads=2", "type_embeddings=true", "position_embeddings=true", "shared_query=false")
    assert net.types.std().item() == pytest.approx(0.02, rel=0.2)
    assert net.positions.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert net.attention[0].query.std().item() == pytest.approx(1 / 16, rel=0.2)  # type: ignore[operator,union-attr]


def test_preset_paper_has_the_recipe_of_its_card() -> None:
    specs: list[Any] = []
    register_models(specs.append)
    config = configure(CmaClipConfig, "cma-clip", specs[0].presets["paper"])
    recipe = config.recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("adamw", 1e-4, 64, 20)
    assert (recipe.weight_decay, recipe.warmup_ratio, recipe.max_grad_norm) == (0.01, 0.1, 1.0)
    assert (recipe.label_smoothing, recipe.modality_dropout, config.input_dropout) == (0, 0, 0)
    assert (config.layers, config.heads, config.dropout, config.width, config.mlp_width) == (2, 8, 0.1, 512, 512)
    for tuning in (config.image_tuning, config.text_tuning):
        assert (tuning.frozen, tuning.lr_multiplier) == (False, 0.01)


def test_states_of_the_sequences_width_are_not_projected() -> None:
    """`paper` works in CLIP's space of width 512, without a linear layer."""
    net = model("input_dropout=0", "image_encoder=small-cnn:32", "width=256", "heads=2")
    assert len(net.image_in) == 0
    assert len(net.text_in) == 2  # a linear layer and its norm


def test_heads_that_do_not_divide_the_width_raise_user_error() -> None:
    with pytest.raises(UserError, match=r"width=32 can't be divided among heads=5\."):
        model("heads=5")


CHANGES = [
    ["type_embeddings=true", "position_embeddings=true", "shared_query=false", "mlp_width=16"],
    ["modality_attention=false"],
    ["modality_attention=false", "sequence_attention=false", "instead=mean"],
]


@mmeval.testing.contract("cma-clip", changes=[*SMALL, *CHANGES[0]])
def test_contract_holds_with_every_option(check: mmeval.testing.BoundCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    fork_fresh_processes(monkeypatch)
    if check.check.name == "presets":
        pytest.skip("changes of options don't reach it: test_contract.py tries the presets")
    check()


@mmeval.testing.contract("cma-clip", changes=[*SMALL, *CHANGES[2]])
def test_contract_holds_without_both_attentions(
    check: mmeval.testing.BoundCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork_fresh_processes(monkeypatch)
    if check.check.name == "presets":
        pytest.skip("changes of options don't reach it: test_contract.py tries the presets")
    check()

"""Architectures of models that are published on the Hub, so that ``weights=random`` builds them without it.

The values come from each model's ``config.json``, ``tokenizer_config.json`` and ``preprocessor_config.json``; weights
and vocabularies are not included. ``tests/nn/encoders/test_architectures.py`` compares the resulting numbers of
parameters with the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmeval.nn.encoder import ImageInput


@dataclass(frozen=True)
class Words:
    """The special tokens of a published tokenizer, as pairs of token and id."""

    pad: tuple[str, int]
    end: tuple[str, int]
    """Follows a text."""
    start: tuple[str, int] | None = None
    """Precedes a text."""
    unknown: tuple[str, int] | None = None
    mask: tuple[str, int] | None = None
    others: tuple[int, ...] = ()
    """Further ids that stand for no piece of text."""
    length: int = 1 << 30
    """``model_max_length``, the largest number of tokens; very large if the tokenizer has no limit."""


@dataclass(frozen=True)
class Architecture:
    """A published model without its weights."""

    kind: str
    """``model_type`` in transformers."""
    sizes: Mapping[str, Any]
    """Fields of the config that define the model's shape or differ from the defaults of the config class."""
    words: Words
    """Special tokens of its tokenizer."""
    images: ImageInput | None = None
    """Its image input; None for a model of texts."""
    modules: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=())
    """Names and options of the modules that follow it in sentence-transformers."""

    def config(self) -> Any:  # noqa: ANN401 - transformers' own class
        """Return a new config equal to the published one; new each time, because loading a model may change it."""
        from transformers import AutoConfig

        return AutoConfig.for_model(self.kind, **self.sizes)

    @property
    def vocabulary(self) -> int:
        """Number of rows of the word embeddings."""
        return int(self.sizes.get("vocab_size") or self.sizes["text_config"]["vocab_size"])


def _bert(layers: int, width: int, heads: int, inner: int, **sizes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        **sizes,
    }


_XLMR = {
    "vocab_size": 250002,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_XLMR_WORDS = Words(("<pad>", 1), ("</s>", 2), ("<s>", 0), ("<unk>", 3), ("<mask>", 250001), length=512)
_CLIP_PIXELS = ImageInput(
    224, 224, "bicubic", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 1.0
)


def _bert_words(length: int = 512) -> Words:
    return Words(("[PAD]", 0), ("[SEP]", 102), ("[CLS]", 101), ("[UNK]", 100), ("[MASK]", 103), length=length)


# huggingface.co/google-bert/bert-base-uncased (arXiv 1810.04805): 12 layers of 768, 30,522 word pieces.
BERT_BASE = Architecture("bert", _bert(12, 768, 12, 3072, vocab_size=30522), _bert_words())
# huggingface.co/google-bert/bert-base-multilingual-cased: the same with 119,547 word pieces.
MBERT = Architecture("bert", _bert(12, 768, 12, 3072, vocab_size=119547), _bert_words())
# huggingface.co/distilbert/distilbert-base-multilingual-cased (arXiv 1910.01108).
_DISTILBERT = {"vocab_size": 119547, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}
DISTIL_MBERT = Architecture("distilbert", _DISTILBERT, _bert_words())
# huggingface.co/FacebookAI/xlm-roberta-base and -large (arXiv 1911.02116).
XLMR_BASE = Architecture("xlm-roberta", _bert(12, 768, 12, 3072, **_XLMR), _XLMR_WORDS)
XLMR_LARGE = Architecture("xlm-roberta", _bert(24, 1024, 16, 4096, **_XLMR), _XLMR_WORDS)
# huggingface.co/intfloat/multilingual-e5-small, -base, -large (arXiv 2402.05672). The small one is a BertModel with
# XLM-R's pieces, its word table rounded up; the others are XLM-R.
E5_SMALL = Architecture("bert", _bert(12, 384, 12, 1536, vocab_size=250037, pad_token_id=0), _XLMR_WORDS)
# huggingface.co/google/mt5-small (arXiv 2010.11934).
MT5_SMALL = Architecture(
    "mt5",
    {
        "vocab_size": 250112,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 1024,
        "num_layers": 8,
        "num_decoder_layers": 8,
        "num_heads": 6,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
    },
    Words(("<pad>", 0), ("</s>", 1), unknown=("<unk>", 2)),
)
# huggingface.co/microsoft/mdeberta-v3-base (arXiv 2111.09543).
MDEBERTA = Architecture(
    "deberta-v2",
    _bert(
        12,
        768,
        12,
        3072,
        vocab_size=251000,
        max_position_embeddings=512,
        type_vocab_size=0,
        layer_norm_eps=1e-7,
        relative_attention=True,
        position_buckets=256,
        max_relative_positions=-1,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        pad_token_id=0,
    ),
    Words(("[PAD]", 0), ("[SEP]", 2), ("[CLS]", 1), ("[UNK]", 3), ("[MASK]", 250101)),
)
# huggingface.co/facebook/nllb-200-distilled-600M (arXiv 2207.04672): encoder and decoder of 12 layers of 1024. The code
# of its language precedes a text; ids from 256,001 on are languages and the mask.
NLLB_600M = Architecture(
    "m2m_100",
    {
        "vocab_size": 256206,
        "d_model": 1024,
        "encoder_layers": 12,
        "decoder_layers": 12,
        "encoder_attention_heads": 16,
        "decoder_attention_heads": 16,
        "encoder_ffn_dim": 4096,
        "decoder_ffn_dim": 4096,
        "max_position_embeddings": 1024,
        "scale_embedding": True,
        "encoder_layerdrop": 0.0,
        "decoder_layerdrop": 0.0,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    Words(
        ("<pad>", 1),
        ("</s>", 2),
        ("eng_Latn", 256047),
        ("<unk>", 3),
        ("<mask>", 256203),
        others=(0, *range(256001, 256206)),
        length=1024,
    ),
)
# huggingface.co/openai/clip-vit-base-patch32 (arXiv 2103.00020).
CLIP_B32 = Architecture(
    "clip",
    {
        "projection_dim": 512,
        "text_config": _bert(12, 512, 8, 2048, vocab_size=49408, max_position_embeddings=77, hidden_act="quick_gelu"),
        "vision_config": _bert(12, 768, 12, 3072, image_size=224, patch_size=32, hidden_act="quick_gelu"),
    },
    Words(("<|endoftext|>", 49407), ("<|endoftext|>", 49407), ("<|startoftext|>", 49406), length=77),
    images=_CLIP_PIXELS,
)

TRANSFORMERS: dict[str, Architecture] = {
    "bert-base-uncased": BERT_BASE,
    "google-bert/bert-base-uncased": BERT_BASE,
    "bert-base-multilingual-cased": MBERT,
    "google-bert/bert-base-multilingual-cased": MBERT,
    "distilbert-base-multilingual-cased": DISTIL_MBERT,
    "distilbert/distilbert-base-multilingual-cased": DISTIL_MBERT,
    "xlm-roberta-base": XLMR_BASE,
    "FacebookAI/xlm-roberta-base": XLMR_BASE,
    "xlm-roberta-large": XLMR_LARGE,
    "FacebookAI/xlm-roberta-large": XLMR_LARGE,
    "intfloat/multilingual-e5-small": E5_SMALL,
    "intfloat/multilingual-e5-base": XLMR_BASE,
    "intfloat/multilingual-e5-large": XLMR_LARGE,
    "google/mt5-small": MT5_SMALL,
    "microsoft/mdeberta-v3-base": MDEBERTA,
    "facebook/nllb-200-distilled-600M": NLLB_600M,
    "openai/clip-vit-base-patch32": CLIP_B32,
}
"""Architectures by current and older name on the Hub."""

# huggingface.co/sentence-transformers/clip-ViT-B-32-multilingual-v1 (arXiv 2004.09813): DistilBERT, mean, 768 -> 512.
_TO_CLIP = ("Dense", {"in_features": 768, "out_features": 512, "bias": False})
SENTENCE_TRANSFORMERS: dict[str, Architecture] = {
    "sentence-transformers/clip-ViT-B-32": CLIP_B32,
    "sentence-transformers/clip-ViT-B-32-multilingual-v1": Architecture(
        "distilbert", _DISTILBERT, _bert_words(128), modules=(("Pooling", {}), _TO_CLIP)
    ),
}
"""Architectures of sentence-transformers by name on the Hub."""

M_CLIP: dict[str, tuple[Architecture, int]] = {
    "M-CLIP/XLM-Roberta-Large-Vit-B-32": (XLMR_LARGE, 512),
    "M-CLIP/XLM-Roberta-Large-Vit-L-14": (XLMR_LARGE, 768),
    "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus": (XLMR_LARGE, 640),
}
"""Base model, and width of the CLIP space that it was trained for (aclanthology.org/2022.lrec-1.739)."""

_GEMMA = Words(("<pad>", 0), ("<eos>", 1), unknown=("<unk>", 3), others=(2,))
_MC4 = Words(("</s>", 1), ("</s>", 1), unknown=("<unk>", 2), others=(0,))
TOKENIZERS: dict[str, tuple[Words, int]] = {
    "xlm-roberta-base": (_XLMR_WORDS, 250002),
    "xlm-roberta-large": (_XLMR_WORDS, 250002),
    "facebook/nllb-200-distilled-600M": (NLLB_600M.words, 256206),
    # XLM-V (arXiv 2301.10472) has XLM-R's special tokens and 901,629 pieces.
    "facebook/xlm-v-base": (
        Words(("<pad>", 1), ("</s>", 2), ("<s>", 0), ("<unk>", 3), ("<mask>", 901628), length=512),
        901629,
    ),
    # SigLIP 2 (arXiv 2502.14786) uses Gemma's 256,000 pieces; the multilingual SigLIP mT5's 250,000 (big_vision's
    # configs), padded with the end of text like all SigLIP models: unverified, but random weights do not depend on it.
    "timm/ViT-B-16-SigLIP2": (_GEMMA, 256000),
    "timm/ViT-B-16-SigLIP2-256": (_GEMMA, 256000),
    "timm/ViT-B-16-SigLIP-i18n-256": (_MC4, 250000),
}
"""Special tokens and vocabulary size of the tokenizers that open_clip's configs name by ``hf_tokenizer_name``."""

"""Gated multimodal unit (Arevalo et al. 2017): a learned gate per feature weighs image against text."""

import mmeval

MMEVAL_API = "1.0"


class GatedConfig(mmeval.TorchConfig):
    """Options of the gated multimodal unit."""

    width: int = 256
    """Features of the fused vector."""
    recipe: mmeval.Recipe = mmeval.Recipe(epochs=12, batch_size=256, learning_rate=2e-3, weight_decay=1e-4)
    """How the model is trained."""


def build(config: GatedConfig, context: mmeval.ModelContext) -> object:
    """Build an untrained model; torch is imported here, so that `mmeval plugins` stays fast."""
    import torch
    from mmeval.nn import ClassPrior, Heads, Output, TorchModel, image_encoder, text_encoder
    from torch import nn

    class GatedFusion(TorchModel):
        def __init__(self) -> None:
            super().__init__(config, context)
            self.image_encoder = image_encoder("efficientnet-lite0:128", frozen=True)
            self.text_encoder = text_encoder("char-ngrams:131072x64", frozen=False)
            image, text = self.image_encoder.width, self.text_encoder.width
            self.image, self.text = nn.Linear(image, config.width), nn.Linear(text, config.width)
            self.gate = nn.Linear(image + text, config.width)
            self.heads, self.prior = Heads(config.width, context), ClassPrior(context)

        def forward(self, batch: mmeval.Batch) -> Output:
            v, t = self.image_encoder.pool(batch), self.text_encoder.pool(batch)  # [B, D_v], [B, D_t]
            z = torch.sigmoid(self.gate(torch.cat([v, t], 1)))  # [B, width], equation 3 of the paper
            h = z * torch.tanh(self.image(v)) + (1 - z) * torch.tanh(self.text(t))  # equation 4
            weights = torch.stack([z.mean(1), 1 - z.mean(1)], 1)  # [B, 2]
            logits = self.prior(self.heads(h), batch.has_image | batch.has_text)
            return Output(logits, modality_weights=weights, embedding=h)

    return GatedFusion()


@mmeval.hookimpl
def register_models(register):
    """Register the model with mmeval."""
    register(
        mmeval.ModelSpec(
            name="gated-fusion",
            summary="a gate per feature between image and text",
            config=GatedConfig,
            build=build,
            version="1.0",
            inputs=("image", "text"),
            paper="Gated Multimodal Units for Information Fusion, arXiv 1702.01992",
            licence="Apache-2.0; the weights of efficientnet-lite0 are Apache-2.0",
            presets={"tiny": {}},
            references=("https://arxiv.org/abs/1702.01992",),
        )
    )

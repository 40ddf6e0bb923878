"""A torch model of images without trainable parameters, like a published model."""

from __future__ import annotations

import sound

import mmeval
from mmeval.nn import ClassPrior, Heads, Output, TorchModel, image_encoder

MMEVAL_API = "1.0"


class Frozen(TorchModel):
    """A frozen encoder and frozen linear layers."""

    def __init__(self, config: sound.SoundConfig, context: mmeval.ModelContext) -> None:
        super().__init__(config, context)
        self.image_encoder = image_encoder(config.image_encoder, frozen=True)
        self.heads = Heads(self.image_encoder.width, context).requires_grad_(False)
        self.prior = ClassPrior(context)

    def forward(self, batch: mmeval.Batch) -> Output:
        features = self.image_encoder.pool(batch)
        return Output(self.prior(self.heads(features), batch.has_image), embedding=features)


register_models = sound.offers(Frozen, name="frozen", inputs=("image",))

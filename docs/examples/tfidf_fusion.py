"""TF-IDF of character n-grams and frozen image features, with a logistic regression per task (scikit-learn)."""

from collections.abc import Iterator
from pathlib import Path

import mmeval
import numpy as np
from pydantic import Field

MMEVAL_API = "1.0"


class TfidfConfig(mmeval.ModelConfig):
    """Options of the TF-IDF fusion."""

    image_encoder: str = "efficientnet-lite0:128"
    """Image encoder, by name."""
    image_weight: float = Field(default=1.0, gt=0)
    """Weight of the image features; image and text features each have length 1 per example."""
    c: float = Field(default=10.0, gt=0)
    """Inverse strength of the regularisation."""


class TfidfFusion:
    """A plain model with the methods fit, predict, save and load."""

    def __init__(self, config: TfidfConfig, context: mmeval.ModelContext) -> None:
        self.config, self.context = config, context

    def fit(self, train: mmeval.Examples, validation: mmeval.Examples, context: mmeval.FitContext) -> dict[str, object]:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression

        self.parts = {"text": TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)}
        self.parts["text"].fit(train.texts if any(train.texts) else ["-"])
        features = self.features(train, context.device)
        for number, task in enumerate(self.context.tasks):
            labels = train.labels(task.name)
            classifier = LogisticRegression(C=self.config.c, max_iter=300, random_state=context.seed)
            self.parts[f"task{number}"] = classifier.fit(features[labels >= 0], labels[labels >= 0])
        return {"text_features": len(self.parts["text"].vocabulary_)}

    def features(self, examples: mmeval.Examples, device: str) -> object:
        from scipy.sparse import csr_matrix, hstack

        image = mmeval.embed_images(examples, self.config.image_encoder, device)  # [n, D], zeros for missing images
        image *= self.config.image_weight / np.maximum(np.linalg.norm(image, axis=1, keepdims=True), 1e-9)
        return hstack([self.parts["text"].transform(examples.texts), csr_matrix(image)], format="csr")

    def predict(self, examples: mmeval.Examples, context: mmeval.FitContext) -> Iterator[dict[str, np.ndarray]]:
        features, block = self.features(examples, context.device), {}
        for number, task in enumerate(self.context.tasks):
            classifier = self.parts[f"task{number}"]
            block[task.name] = np.zeros((len(examples), len(task.classes)), np.float32)
            block[task.name][:, classifier.classes_] = classifier.predict_proba(features)
        yield block

    def save(self, folder: Path) -> None:
        from skops.io import dump

        for name, part in self.parts.items():
            dump(part, folder / f"{name}.skops")

    def load(self, folder: Path) -> None:
        from skops.io import load

        self.parts = {path.stem: load(path) for path in folder.glob("*.skops")}


@mmeval.hookimpl
def register_models(register):
    """Register the model with mmeval."""
    register(
        mmeval.ModelSpec(
            name="tfidf-fusion",
            summary="TF-IDF and frozen image features, logistic regression",
            config=TfidfConfig,
            build=TfidfFusion,
            version="1.0",
            inputs=("image", "text"),
            paper="none",
            licence="Apache-2.0; the weights of efficientnet-lite0 are Apache-2.0",
            presets={"tiny": {}},
        )
    )

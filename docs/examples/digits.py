"""Handwritten digits of scikit-learn, with the word for even or odd in four languages."""

import io
from pathlib import Path

import mmeval
import sklearn
from PIL import Image
from sklearn.datasets import load_digits

MMEVAL_API = "1.0"
WORDS = {"de": ("gerade", "ungerade"), "en": ("even", "odd"), "fr": ("pair", "impair"), "it": ("pari", "dispari")}


class Digits:
    tasks = (mmeval.Task("digit", tuple("0123456789")),)
    identity = {"scikit-learn": sklearn.__version__}
    size = 1797

    def images(self):
        for number, pixels in enumerate(load_digits().images):  # [8, 8], 0 to 16
            file = io.BytesIO()
            Image.fromarray((255 - 15 * pixels).astype("uint8")).resize((64, 64)).save(file, "PNG")
            yield str(number), file.getvalue()

    def examples(self):
        for number, digit in enumerate(load_digits().target):
            split = ("train", "train", "train", "validation", "test")[number % 5]
            for language, words in WORDS.items():
                key, text, labels = str(number), words[digit % 2], {"digit": str(digit)}
                yield mmeval.Example(f"{key}/{language}", text, language, split, labels, image=key, cluster=key)


@mmeval.hookimpl
def register_datasets(register):
    card = Path(__file__).with_suffix(".md")
    register(mmeval.DatasetSpec(name="digits", summary="handwritten digits x 4 languages", card=card, source=Digits))

"""A one-file plugin whose model needs no training."""

EVEN = '''"""Gives every class the same share."""
import mmeval
import numpy as np


class Even:
    def __init__(self, config, context):
        self.tasks = context.tasks

    def predict(self, examples, context):
        n = len(examples)
        yield {t.name: np.full((n, len(t.classes)), 1 / len(t.classes), np.float32) for t in self.tasks}

    def save(self, folder):
        pass

    def load(self, folder):
        pass


@mmeval.hookimpl
def register_models(register):
    register(mmeval.ModelSpec(name="even", summary="s", config=mmeval.ModelConfig, build=Even,
        version="1", inputs=("text",), paper="none", licence="MIT", presets={"tiny": {}}))
'''

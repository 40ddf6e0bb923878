"""Greetings in two languages."""

import mmeval

MMEVAL_API = "1.0"
GREETINGS = [("Hello", "en", "formal"), ("Servus", "de", "informal")] * 30


class Greetings:
    """The rows of the data set; see ``mmeval.Source``."""

    identity = {"greetings": "1"}
    tasks = (mmeval.Task("tone", ("formal", "informal")),)
    size = 0  # images

    def images(self):
        yield from ()

    def examples(self):
        for row, (text, language, tone) in enumerate(GREETINGS):
            split = ("train", "validation", "test")[row // 20]
            yield mmeval.Example(str(row), f"{text} {row}", language, split, {"tone": tone})


@mmeval.hookimpl
def register_datasets(register):
    register(mmeval.DatasetSpec(name="my-data", summary="greetings in two languages", card=None, source=Greetings))

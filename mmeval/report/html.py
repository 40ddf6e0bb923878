"""The report as a single HTML file without scripts or requests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.escaping import visible
from mmeval.metrics.row import ALL, MACRO
from mmeval.report.chart import chart
from mmeval.report.content import Content

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(package: str = "mmeval.report") -> Environment:
    """Return the Jinja environment for the templates of ``package``, which may include the report's templates."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader(name) for name in dict.fromkeys((package, "mmeval.report"))]
    jinja = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["data_uri"] = data_uri
    return jinja


def _visible(value: object) -> object:
    """Escape control characters in a value that a template prints; Jinja escapes markup afterwards."""
    from markupsafe import Markup

    if isinstance(value, int | float):
        return value
    return Markup(visible(value)) if isinstance(value, Markup) else visible(str(value))


def html(content: Content) -> str:
    """Render the report of a run."""
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            content=content,
            record=content.record,
            charts={task: chart(content, task) for task in content.tasks},
            MACRO=MACRO,
            ALL=ALL,
        )
    )


def data_uri(image: bytes) -> str:
    """Return an encoded image as a ``data:`` URI."""
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "webp" if image[8:12] == b"WEBP" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def summary(content: Content, report: Path) -> str:
    """Render the scores per language of the first task as a table for notebooks, with a link to the report."""
    return environment().get_template("summary.html.jinja").render(content=content, report=report, MACRO=MACRO)

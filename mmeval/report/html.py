"""The report as one HTML file: no script, no request, fit for a mail attachment."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from mmeval.escaping import visible
from mmeval.metrics.scores import ALL, MACRO
from mmeval.report.chart import chart
from mmeval.report.content import Content

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(package: str = "mmeval.report") -> Environment:
    """Where the templates of ``package`` are rendered; those of the report, its style among them, can be included."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader(name) for name in dict.fromkeys((package, "mmeval.report"))]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["data_uri"] = data_uri
    return made


def _shown(value: object) -> object:
    """What a template prints, without characters that act; jinja2 escapes the markup afterwards."""
    from markupsafe import Markup

    if isinstance(value, int | float):
        return value
    return Markup(visible(value)) if isinstance(value, Markup) else visible(str(value))


def html(content: Content) -> str:
    """Render the report."""
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            content=content,
            record=content.record,
            charts={task: chart(content, task) for task in content.tasks},
            views=content.views,
            MACRO=MACRO,
            ALL=ALL,
        )
    )


def data_uri(image: bytes) -> str:
    """An encoded image as a ``data:`` address."""
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "webp" if image[8:12] == b"WEBP" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def summary(content: Content, report: Path) -> str:
    """Render the scores per language of the first task as a small table, for a notebook, with a link to the report."""
    return environment().get_template("summary.html.jinja").render(content=content, report=report, MACRO=MACRO)

"""The base of all HTML pages: one self-contained file, without requests, safe for any text."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mmeval.escaping import visible

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPT = "page.js"
"""The script of every page: theme, tabs, sorting and filters. A page is complete without it."""


def render(template: str, package: str = "mmeval.report", **context: Any) -> str:  # noqa: ANN401 - what templates print
    """Render a template that extends ``page.html.jinja``.

    Every value that a template prints is escaped, and control characters become visible. The page's content security
    policy forbids requests, and scripts other than the page's own.

    Args:
        template: the name of the template.
        package: the package with the folder ``templates`` of the template; it may use those of the reports.
        context: the variables of the template.
    """
    return _shared_environment(package).get_template(template).render(context)


@cache
def environment(package: str = "mmeval.report") -> Environment:
    """Return the Jinja environment for the templates of ``package``, which may use the templates of the reports.

    There is one for each package, so that a template is compiled once for all pages of a process.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

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
    jinja.globals["script"] = Markup(script())
    jinja.globals["policy"] = policy()
    return jinja


_shared_environment = cache(environment)
"""The environments of :func:`render`, which keep the compiled templates."""


@cache
def script() -> str:
    """Return the script of every page."""
    return (files("mmeval.report") / "templates" / SCRIPT).read_text(encoding="utf-8")


@cache
def policy() -> str:
    """Return the content security policy: no requests, embedded images, and no script but :func:`script`.

    The script is named by its digest (Content Security Policy Level 3, section 2.3.1), so that a script that a class
    name or a text smuggled into the page would not run.
    """
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _visible(value: object) -> object:
    """Escape control characters in a value that a template prints; Jinja escapes markup afterwards."""
    from markupsafe import Markup

    if isinstance(value, int | float):
        return value
    return Markup(visible(value)) if isinstance(value, Markup) else visible(str(value))


def data_uri(image: bytes) -> str:
    """Return an encoded image as a ``data:`` URI."""
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "webp" if image[8:12] == b"WEBP" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"

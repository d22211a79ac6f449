"""How templates are read and tables are written, the same for every page."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

_PACKAGE = "telemetry_platform.pages"
MISSING = "\N{EN DASH}"
"""Stands where there is no value."""


def style_sheet() -> str:
    """Return the style sheet: light, dark and paper."""
    return files(_PACKAGE).joinpath("look.css").read_text(encoding="utf-8")


@lru_cache(maxsize=4)
def environment(*packages: str) -> Environment:
    """Return an environment that finds the templates of these packages, and the shared parts.

    Every value is escaped, and a name that is not defined is an error.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader(package, "") for package in (*packages, _PACKAGE)]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def table(
    identifier: str,
    caption: str,
    columns: Mapping[str, Sequence[str | None]],
    numbers: Sequence[str] = (),
) -> Markup:
    """Return one HTML table with a caption, in a region that a keyboard can scroll.

    Args:
        identifier: Unique in the page.
        caption: What the table shows.
        columns: Texts by heading; the first column heads the rows. None shows as a dash. Only
            `Markup` is taken as HTML.
        numbers: Headings of columns that are aligned on the right.
    """
    parts = environment().get_template("parts.html.j2").module
    rows = list(zip(*columns.values(), strict=True))
    made = parts.table(identifier, caption, list(columns), rows, numbers, MISSING)  # ty: ignore[missing-attribute]
    return Markup(made)  # noqa: S704  (the macro escapes)

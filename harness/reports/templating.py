"""The templates of the report. Everything that is filled in is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.reports.text import short_name, shown_interval, shown_number, source_words, visible


def render(template: str, **content: Any) -> Markup:
    """A template of harness/reports/templates, filled in."""
    return Markup(_environment().get_template(template).render(**content))


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("harness.reports"), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.filters |= {
        "figure": shown_number, "interval": shown_interval, "visible": visible, "short_name": short_name,
        "source": source_words, "words": lambda name: name.replace("_", " "),
    }  # fmt: skip
    return environment

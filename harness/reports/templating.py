"""The templates of the report. Everything that is filled in is spelled out and escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.reports.receipts import broken_receipts
from harness.reports.text import short_name, shown_interval, shown_number, source_words, visible
from harness.shown import passed_on


def render(template: str, **content: Any) -> Markup:
    """A template of harness/reports/templates, filled in."""
    return Markup(_environment().get_template(template).render(**content))


def script(name: str) -> tuple[Markup, str]:
    """A script of ours as it stands, and its digest as a Content-Security-Policy names it: no other may run."""
    source, _, _ = _loader().get_source(_environment(), name)
    return Markup(source), "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


@cache
def _loader() -> PackageLoader:
    return PackageLoader("harness.reports")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_loader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "figure": shown_number,
        "interval": shown_interval,
        "visible": visible,
        "short_name": short_name,
        "source": source_words,
        "words": lambda name: name.replace("_", " "),
        "broken": broken_receipts,
    }
    return environment


def _finalize(value: Any) -> Any:
    """What is not markup of ours is text: of models, of specs, of records that somebody sent."""
    return passed_on(value) if isinstance(value, str) and not isinstance(value, Markup) else value

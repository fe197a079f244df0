"""How commands print: lines, JSON, tables. Strings that stand in them are text, see harness/shown.py."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

import click
from rich.console import Console
from rich.text import Text

from harness.shown import TextAlone, escaped_json, one_line, printable, spelled_out


def echo(text: object = "", err: bool = False, nl: bool = True) -> None:
    """Print a text, in which line breaks are ours."""
    click.echo(printable(str(text)), err=err, nl=nl)


def echo_lines(lines: Iterable[str], err: bool = False) -> None:
    """Print lines, each of which stays one whatever a file put into it."""
    echo("\n".join(map(one_line, lines)), err=err)


def echo_json(text: str) -> None:
    """Print JSON, whose strings a program reads as they are."""
    click.echo(escaped_json(text))


def console(stderr: bool = False) -> Console:
    """rich's console, whose own escapes reach the terminal and those of strings do not; nothing is markup."""
    return _Console(file=_under(sys.stderr if stderr else sys.stdout), markup=False, emoji=False)


def styled(text: str, style: str) -> Text:
    """Text for a cell of a table, in a style."""
    return Text(one_line(text), style=style)


def _under(stream: Any) -> IO[str]:
    return stream.under if isinstance(stream, TextAlone) else stream


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed or stands in a table, before its width is taken."""
        return super().render_str(spelled_out(text), **{**options, "markup": False, "emoji": False})

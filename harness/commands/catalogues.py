"""--catalogue DIR, which every command takes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.spec import locations


def add_option(command: click.Command) -> None:
    """Let a command, and every command below it, take `--catalogue DIR`."""
    command.params.append(
        click.Option(
            ["--catalogue"],
            multiple=True,
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            metavar="DIR",
            expose_value=False,
            callback=_asked_first,
            help="A folder with benchmarks/, benchmarks/models/ and golden/ of your own, asked before "
            f"{locations.VARIABLE}, the working directory and what ships; may be repeated.",
        )
    )
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        add_option(below)


def _asked_first(context: click.Context, option: click.Parameter, folders: tuple[Path, ...]) -> None:
    """Into the environment, where the processes that measure cells find it too; as it was when the command ends."""
    if not folders:
        return
    before = os.environ.get(locations.VARIABLE)
    own = [os.path.abspath(folder) for folder in folders]
    os.environ[locations.VARIABLE] = os.pathsep.join([*own, before] if before else own)
    context.find_root().call_on_close(lambda: _restore(before))


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(locations.VARIABLE, None)
    else:
        os.environ[locations.VARIABLE] = before

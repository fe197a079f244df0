"""The `harness` command, also as `python -m harness`. A signal ends it in words from the first import on."""

from __future__ import annotations

import os
import sys

from harness import interruption


def _import_nothing_of_the_working_folder() -> None:
    """`python -m` looks there first, and so would workers: a yaml.py in a model's folder would be run."""
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # for processes that this one starts
    here = os.getcwd()
    if sys.path[:1] == [here] and os.path.dirname(os.path.dirname(os.path.abspath(__file__))) != here:
        del sys.path[0]


def main() -> None:
    """Run the command line."""
    with interruption.ends_in_words():
        _import_nothing_of_the_working_folder()
        from harness.shown import text_alone

        with text_alone():
            from harness.cli import main as command

            command(prog_name="harness")


if __name__ == "__main__":
    main()

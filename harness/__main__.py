"""The `harness` command, also as `python -m harness`. A signal ends it in words from the first import on."""

from __future__ import annotations

from harness import interruption


def main() -> None:
    """Run the command line."""
    with interruption.ends_in_words():
        from harness.shown import text_alone

        with text_alone():
            from harness.cli import main as command

            command(prog_name="harness")


if __name__ == "__main__":
    main()

"""One machine as several: the same command under other instruction sets, and what differs first.

`nox -s processors` runs extension-drift on tiny-llama3-instruct; `nox -s processors -- reproduce` the main job.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from harness.runs.arithmetic import LIMITS

#: What changes bits on an Intel processor with AVX-512 under torch 2.13.0 with MKL 2024.2. Left out, since they change
#: none there: ONEDNN_MAX_CPU_ISA and DNNL_MAX_CPU_ISA, and the number of threads, as organisms are measured with one.
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    "compatible": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
}
DEFAULT = ("run", "extension-drift", "--model", "tiny-llama3-instruct")
COLUMNS = ("stage", "what", "differ", "largest relative difference", "note")


def environment(setting: str) -> dict[str, str]:
    """This process's variables with the limits of a setting, and no other."""
    own = {name: value for name, value in os.environ.items() if name not in LIMITS}
    return {**own, **SETTINGS[setting]}


def shell_line(setting: str, arguments: tuple[str, ...], out: Path) -> str:
    """The line by which a shell does the same."""
    limits = [f"{name}={value}" for name, value in SETTINGS[setting].items()]
    return " ".join([*limits, "harness", *arguments, "--out", str(out)])


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--setting", "settings", multiple=True, type=click.Choice(list(SETTINGS)), help="Default: all.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs-processors"), show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(settings: tuple[str, ...], out: Path, arguments: tuple[str, ...]) -> None:
    """Run `harness ARGUMENTS` under each setting in a process of its own, and compare each with the first.

    A last table says how near the figures of each come to their golden values' tolerances.

    The exit code is that of the first setting that did not give 0.
    """
    settings, arguments = settings or tuple(SETTINGS), arguments or DEFAULT
    codes = []
    for setting in settings:
        click.echo(f"$ {shell_line(setting, arguments, out / setting)}")
        command = [sys.executable, "-m", "harness", *arguments, "--out", str(out / setting)]
        codes.append(subprocess.run(command, env=environment(setting), check=False).returncode)
        click.echo(f"{setting}: exit code {codes[-1]}")
    from bench.nearness import echo_table
    from bench.stages import differences

    for setting in settings[1:]:
        click.echo(f"\n{setting} beside {settings[0]}\n\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
        for row in differences(out / settings[0], out / setting):
            click.echo(f"| {' | '.join(row.cells)} |")
    click.echo("\nHow near the figures come to failing\n")
    echo_table([out / setting for setting in settings])
    sys.exit(next((code for code in codes if code), 0))


if __name__ == "__main__":
    main()

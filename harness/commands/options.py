"""Options that several commands have, each with one set of words."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.spec.instead import Instead

Command = Callable[..., None]
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
MODEL = click.option(
    "--model", "model", required=True, help="A variant's name, its YAML file, or a folder with variant.yaml."
)
ENGINE = click.option(
    "--engine",
    default=None,
    metavar="NAME",
    help="What generates and scores, instead of the engine that the variant names; `harness list` has all.",
)
EXECUTOR = click.option(
    "--executor",
    default=None,
    envvar="HARNESS_EXECUTOR",
    show_envvar=True,
    metavar="NAME",
    help="What spreads the cells over processes or machines, instead of `local`; `harness list` has all.",
)
ADDRESS = click.option(
    "--address",
    default=None,
    metavar="ADDRESS",
    help="With `--executor ray`: the cluster (`auto`, HOST:PORT, ray://HOST:PORT). Default: one of this machine.",
)
SAME_ACCELERATOR = click.option(
    "--same-accelerator",
    is_flag=True,
    help="With `--executor ray`: use only nodes with the GPU or processor of the first.",
)
WEIGHTS = click.option(
    "--weights",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    metavar="DIR",
    help="A local checkpoint in place of the variant's on the hub.",
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder for records, scores and reports.",
)


def _allow_remote_judge(context: click.Context, option: click.Parameter, allowed: bool) -> None:
    """Processes that a run starts have it as well."""
    if allowed:
        os.environ["HARNESS_ALLOW_REMOTE_JUDGE"] = "1"


ALLOW_REMOTE_JUDGE = click.option(
    "--allow-remote-judge",
    is_flag=True,
    expose_value=False,
    callback=_allow_remote_judge,
    help="Let a judge behind a server have requests and the model's texts.",
)


def of_a_run(command: Command) -> Command:
    """Options of whatever runs benchmarks. The command takes `instead` and `out`."""

    @functools.wraps(command)
    def with_instead(
        weights: Path | None,
        engine: str | None,
        executor: str | None,
        address: str | None,
        same_accelerator: bool,
        **others: Any,
    ) -> None:
        options: dict[str, str | bool] = {} if address is None else {"address": address}
        if same_accelerator:
            options["same_accelerator"] = True
        command(instead=Instead(weights, engine, executor, options), **others)

    return WEIGHTS(ENGINE(EXECUTOR(ADDRESS(SAME_ACCELERATOR(OUT(ALLOW_REMOTE_JUDGE(with_instead)))))))


def of_several_runs(default_models: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Options of whatever runs several benchmarks. The command takes `models`, `only`, `instead` and `out`.

    default_models: of a command that needs no --model.
    """
    models = click.option(
        "--model",
        "models",
        multiple=True,
        required=not default_models,
        default=default_models or None,
        help="A variant; may be repeated." + (" Default: the shipped organisms." if default_models else ""),
    )
    only = click.option("--only", multiple=True, metavar="BENCHMARK", help="Run only this benchmark; may be repeated.")
    return lambda command: models(only(of_a_run(command)))

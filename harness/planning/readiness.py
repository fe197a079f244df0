"""`harness doctor`: is everything here that a variant needs? Each finding with its fix. No token is ever shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from httpx import HTTPError
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from harness import plugins
from harness.calibration.files import dataset_path
from harness.errors import UserError
from harness.planning import contents, inventory, machine
from harness.planning.machine import Finding
from harness.planning.memory import ITEMSIZES
from harness.runs.processes import LARGEST_SHARED_BYTES
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

#: What else a run writes: scores, completions, reports.
_SPARE_DISK_BYTES = 2_000_000_000


def findings(variant: ModelVariant | None, variant_file: Path | None, out: Path) -> Iterator[Finding]:
    """Everything that is looked at: the machine, and what the variant needs of it. Without a variant, all shipped
    gated models are looked up, and nothing but the packages is needed."""
    yield machine.python()
    yield from machine.packages()
    yield from machine.gpu(_needed_gpu_bytes(variant, variant_file))
    offline = _offline()
    yield Finding(
        "network",
        None if offline else True,
        "HF_HUB_OFFLINE is set: nothing is looked up or fetched" if offline else "may be used",
        "unset HF_HUB_OFFLINE to fetch weights and data" if offline else "",
    )
    if variant is not None and variant_file is not None:
        yield from _of_variant(variant, variant_file, offline, out)
        return
    yield machine.disk(out, _SPARE_DISK_BYTES)
    variants = [(load_yaml_model(path, ModelVariant), path) for path in locations.variant_paths()]
    gated = [(each, path) for each, path in variants if each.source.repository is not None]
    if gated:
        yield _token(False)
    for each, path in gated:
        yield from _weights(each, path, offline, needed=False)
    for name in plugins.names("engines"):
        yield _engine(name, None, needed=False)


def _of_variant(variant: ModelVariant, variant_file: Path, offline: bool, out: Path) -> Iterator[Finding]:
    yield _engine(variant.engine, variant, needed=True)
    missing = bool(inventory.missing_weights(variant, variant_file))
    size = _weight_bytes(variant, variant_file) or 0
    yield machine.disk(out, _SPARE_DISK_BYTES + (size if missing else 0))
    if missing and variant.source.repository is not None:
        yield _token(True)
    yield from _weights(variant, variant_file, offline, needed=True)
    for name in variant.datasets:
        yield _dataset(variant, variant_file, name)
    yield from contents.of_variant(variant, variant_file)


def _needed_gpu_bytes(variant: ModelVariant | None, variant_file: Path | None) -> int:
    """Memory that the weights take on a GPU; 0 for a model that is measured on a CPU, or where none is asked for."""
    if variant is None or variant_file is None:
        return 0
    size = _weight_bytes(variant, variant_file) or 0
    return size if size > LARGEST_SHARED_BYTES else 0


def _weight_bytes(variant: ModelVariant, variant_file: Path) -> int | None:
    try:
        return inventory.model_sizes(variant, variant_file).shape.parameters * ITEMSIZES[variant.dtype]
    except UserError:
        return None


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _token(needed: bool) -> Finding:
    found = get_token() is not None
    return Finding(
        "token",
        found,
        "there is one (not shown)" if found else "none",
        "" if found else "hf auth login, or set HF_TOKEN",
        needed,
    )


def _weights(variant: ModelVariant, variant_file: Path, offline: bool, needed: bool) -> Iterator[Finding]:
    """Whether they are here; where they are not and lie on the hub, whether they may be fetched."""
    missing = inventory.missing_weights(variant, variant_file)
    subject = f"weights of {variant.name}"
    yield Finding(
        subject,
        not missing,
        "here" if not missing else f"missing: {', '.join(missing[:3])}",
        inventory.how_to_get_weights(variant, variant_file) if missing else "",
        needed,
    )
    if missing and variant.source.repository is not None:
        yield _access(variant.source.repository, offline)


def _access(repository: str, offline: bool) -> Finding:
    """Whether the token opens a gated repository. The hub's own words are not shown: they may hold an address."""
    subject, page = f"access to {repository}", f"https://huggingface.co/{repository}"
    if offline:
        return Finding(subject, None, "did not look: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE to look")
    try:
        HfApi().auth_check(repository)
    except GatedRepoError:
        return Finding(
            subject,
            False,
            "refused: the licence is not accepted, or not yet granted",
            f"accept it at {page} with the account of your token",
        )
    except RepositoryNotFoundError:
        return Finding(
            subject, False, "refused: no valid token, or no such repository", f"hf auth login, and look at {page}"
        )
    except OfflineModeIsEnabled:
        return Finding(subject, None, "did not look: offline", "unset HF_HUB_OFFLINE to look")
    except (HfHubHTTPError, HTTPError, OSError) as error:
        return Finding(
            subject, None, f"the hub does not answer ({type(error).__name__})", "look at the network and try again"
        )
    return Finding(subject, True, "granted")


def _dataset(variant: ModelVariant, variant_file: Path, name: str) -> Finding:
    try:
        dataset_path(variant, variant_file, name)
    except UserError as error:
        if variant.datasets[name].optional:
            return Finding(f"data {name}", None, "missing or wrong: what rests on it is left out", str(error))
        return Finding(f"data {name}", False, "missing or wrong", str(error), needed=True)
    return Finding(f"data {name}", True, "here", needed=True)


def _engine(name: str, variant: ModelVariant | None, needed: bool) -> Finding:
    """What the engine itself says against running here. A problem is told as `what is wrong; what to do`."""
    try:
        problems = plugins.load("engines", name).problems(variant)
    except UserError as error:
        return Finding(f"engine {name}", False, str(error), "correct `engine` in the variant", needed)
    if problems:
        words, _, fix = problems[0].partition("; ")
        return Finding(f"engine {name}", False, words, fix, needed)
    return Finding(f"engine {name}", True, "can run here", needed=needed)

"""The golden values that were in force as a run began, by a hash of their own: a run is compared with those alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from harness.reading import read_text
from harness.spec.golden import GoldenFile
from harness.spec.locations import golden_path
from harness.verification.findings import Ledger
from harness.verification.plain_files import plain_yaml
from harness.verification.recorded import Recorded


def digest_in_force(variant: str, benchmark: str) -> str:
    """SHA-256 of what the installed golden file of a benchmark on a variant says, or of there being none.

    Raises UserError where it cannot be read.
    """
    path = golden_path(variant, benchmark)
    return digest_of(GoldenFile.model_validate(plain_yaml(read_text(path))) if path.is_file() else None)


def digest_of(golden: GoldenFile | None) -> str:
    """SHA-256 of golden values, however their file is laid out."""
    content = None if golden is None else golden.model_dump(mode="json", exclude_none=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_in_force(run: Recorded, installed: GoldenFile | None, ledger: Ledger) -> None:
    """Compare the golden values beside a record with those that were in force, but for what the variant leaves out.

    Where something is left out and other values are installed since, nobody has the whole file any more.
    """
    told, own = run.record.provenance.golden_sha256, digest_of(run.golden)
    if run.record.adaptation is not None and run.record.adaptation.left_out and installed is not None:
        if digest_of(installed) != told:
            return
        told = digest_of(_without_left_out(run, installed))
    ledger.same("golden", "the run", "values that were in force as it began", own, told)


def _without_left_out(run: Recorded, golden: GoldenFile) -> GoldenFile:
    left_out = run.record.adaptation.left_out if run.record.adaptation else {}
    entries = run.as_declared.evaluations if run.as_declared else ()
    gone = [entry for entry in entries if entry.name in left_out]
    values = tuple(value for value in golden.values if not any(_is_of(entry, value.metric) for entry in gone))
    claims = {name: status for name, status in golden.claims.items() if name not in left_out}
    return golden.model_copy(update={"values": values, "claims": claims})


def _is_of(entry: Any, metric: str) -> bool:
    return metric in entry.metrics or any(metric.startswith(prefix) for prefix in entry.metric_prefixes)

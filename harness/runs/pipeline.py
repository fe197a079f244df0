"""The one path, from a bound benchmark to a record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.models.fingerprint import model_fingerprint, tokenizer_fingerprint
from harness.models.loading import load_variant
from harness.runs import provenance
from harness.runs.binding import BoundBenchmark
from harness.runs.cells import Progress, measure_cell, prepare_bench, validity_thresholds
from harness.runs.claims import evaluate_claim
from harness.runs.journal import open_journal
from harness.runs.judgement import claim_checks, golden_checks, verdict
from harness.spec.result import CellResult, Provenance, RunRecord
from harness.validity.classification import Thresholds


def run_benchmark(bound: BoundBenchmark, out: Path, command: str, progress: Progress) -> tuple[RunRecord, Path]:
    """Run every cell, judge the figures and write the record. Returns it and the path of record.json."""
    started = provenance.now()
    progress.begin(bound.spec.id, len(bound.cells))
    progress.step("loading the model")
    loaded = load_variant(bound.variant, bound.variant_file)
    model_sha256 = model_fingerprint(loaded.model)
    machine = provenance.machine()
    with open_journal(out, bound.variant.name, bound.spec.id, _run_key(bound, model_sha256)) as journal:
        bench = prepare_bench(bound, loaded, model_sha256, out, journal, progress)
        thresholds = validity_thresholds(bench)
        results: list[CellResult] = []
        resumed = 0
        for cell in bound.cells:
            result = journal.finished(cell.id)
            resumed += result is not None
            if result is None:
                result = measure_cell(bench, cell, thresholds)
            results.append(result)
            progress.finished_cell(cell.id, resumed=resumed == len(results))
        facts = Provenance(
            started=started, finished=provenance.now(), command=command, model_sha256=model_sha256,
            tokenizer_sha256=tokenizer_fingerprint(loaded.tokenizer), data_sha256=bound.data_sha256,
            source_sha256=provenance.source_sha256(), resumed=resumed,
            task_hashes={task: text for result in results for task, text in result.task_hashes.items()},
            **dict(zip(("git_commit", "git_dirty"), provenance.git_state(), strict=True)), **machine,
        )  # fmt: skip
        record = judge(bound, journal.id, results, thresholds, facts)
        return record, journal.write_record(record)


def judge(
    bound: BoundBenchmark, run_id: str, results: list[CellResult], thresholds: Thresholds | None, facts: Provenance
) -> RunRecord:
    """Checks against golden values and claims, and the verdict, from finished cells."""
    claims = [evaluate_claim(claim, results) for claim in bound.spec.claims]
    checks = golden_checks(bound.spec, results, bound.skipped, bound.golden)
    checks += claim_checks(bound.spec, claims, bound.golden)
    return RunRecord(
        id=run_id, spec=bound.spec.model_dump(mode="json", exclude_none=True),
        variant=bound.variant.model_dump(mode="json", exclude_none=True), provenance=facts,
        validity_thresholds={} if thresholds is None else thresholds.as_record(),
        cells=tuple(results), skipped_cells=bound.skipped,
        checks=tuple(checks), claims=tuple(claims), verdict=verdict(results, checks),
    )  # fmt: skip


def _run_key(bound: BoundBenchmark, model_sha256: str) -> str:
    """Hash of all that decides the figures: an interrupted run is taken up only if none of it has changed."""
    content = {
        "spec": bound.spec.model_dump(mode="json"), "variant": bound.variant.model_dump(mode="json"),
        "model": model_sha256, "data": bound.data_sha256, "source": provenance.source_sha256(),
        "machine": provenance.machine(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

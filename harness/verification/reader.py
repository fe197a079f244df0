"""Read a record a second time."""

from __future__ import annotations

from pathlib import Path

from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.locations import golden_path
from harness.verification.adapted import check_adaptation
from harness.verification.agreements import by_judges
from harness.verification.canaries import check_canaries
from harness.verification.claims import outcome, unmeasured
from harness.verification.completions import check_texts
from harness.verification.counts import check_counts
from harness.verification.evidence import check_evidence
from harness.verification.figures import check_figures, unread
from harness.verification.findings import Ledger, Verification
from harness.verification.fitness import unfit_model
from harness.verification.golden import check_installed, comparisons
from harness.verification.in_force import check_in_force
from harness.verification.keys import check_keys
from harness.verification.limits import check_limits
from harness.verification.named import check_named, elsewhere
from harness.verification.prompts import check_prompts, read_asked
from harness.verification.recorded import Recorded, open_recorded
from harness.verification.states import check_states
from harness.verification.structure import check_structure
from harness.verification.tuning import check_tunings
from harness.verification.verdicts import SECOND_READING, verdict_of
from harness.verification.words import check_words, unread_words


def verify(path: Path) -> Verification:
    """Compute anew what a record says, from its spec and the files beside it, and compare.

    path: of record.json, or of the folder that holds it. Raises UserError where there is no record of this version.
    """
    ledger = Ledger()
    run = open_recorded(path, ledger)
    read_again(run, ledger)
    return Verification(run.record.id, dict(sorted(ledger.agrees.items())), tuple(ledger.differs), tuple(not_read(run)))


def read_again(run: Recorded, ledger: Ledger) -> None:
    """Compute anew what a record says that has been opened. Raises UserError where golden values cannot be read."""
    check_keys(run, ledger)
    check_structure(run, ledger)
    check_adaptation(run, ledger)
    check_limits(run, ledger)
    asked = read_asked(run, ledger)
    check_prompts(run, asked, ledger)
    check_figures(run, check_texts(run, asked, ledger), ledger)
    check_canaries(run, asked, ledger)
    check_states(run, ledger)
    check_evidence(run, ledger)
    check_words(run, ledger)
    check_counts(run, ledger)
    check_tunings(run, ledger)
    check_named(run, ledger)
    _check_claims(run, ledger)
    installed = _installed(run)
    check_in_force(run, installed, ledger)
    check_installed(run.golden, installed, run.bound, ledger)
    _check_comparisons(run, ledger)
    _check_verdict(run, ledger)


def not_read(run: Recorded) -> list[str]:
    """What nobody can compute anew from what is on disk, in words."""
    return [*unread(run), *unread_words(run), *elsewhere(run)]


def _installed(run: Recorded) -> GoldenFile | None:
    """The golden values of the benchmark on the variant that are here. Raises UserError where they cannot be read."""
    path = golden_path(str(run.record.variant.get("name")), run.spec.id)
    return load_yaml_model(path, GoldenFile) if path.is_file() else None


def _check_claims(run: Recorded, ledger: Ledger) -> None:
    told = {claim.id: claim for claim in run.record.claims}
    ledger.each_once("claim", "claims", [c.id for c in run.record.claims], [c.id for c in run.spec.claims])
    for claim in run.spec.claims:
        recorded = told.get(claim.id)
        if recorded is not None:
            why = unfit_model(run.record, run.spec)
            status, evidence = outcome(claim, run.record.cells) if why is None else unmeasured(why)
            ledger.same("claim", "claims", claim.id, recorded.status, status)
            ledger.same("claim", "claims", f"evidence of {claim.id}", recorded.evidence, evidence)
            by = by_judges(claim, run.spec.evaluations, run.record.cells) if why is None else {}
            ledger.same("claim", "claims", f"judges of {claim.id}", recorded.by, by)
            ledger.same("claim", "claims", f"words of {claim.id}", recorded.says, claim.says)
            ledger.same("claim", "claims", f"section of {claim.id}", recorded.section, claim.section)


def _check_comparisons(run: Recorded, ledger: Ledger) -> None:
    wanted = list(comparisons(run.record, run.spec, run.golden))
    told = {(check.cell, check.metric): check for check in run.record.checks}
    places = [(check.cell, check.metric) for check in run.record.checks]
    ledger.each_once("comparison", "checks", places, [(cell, metric) for cell, metric, _ in wanted])
    for cell, metric, fields in wanted:
        recorded = told.get((cell, metric))
        if recorded is not None:
            for field, value in fields.items():
                ledger.same("comparison", cell, f"{field} of {metric}", getattr(recorded, field), value)


def _check_verdict(run: Recorded, ledger: Ledger) -> None:
    """A verdict that an earlier second reading made INVALID has its differences among its reasons."""
    recorded = run.record.verdict
    status, code, reasons = verdict_of(run.record, unfit_model(run.record, run.spec))
    read = [reason for reason in recorded.reasons if reason.startswith(SECOND_READING)]
    if read:
        status, code = "invalid", 3
    ledger.same("verdict", "the run", "verdict", recorded.status, status)
    ledger.same("verdict", "the run", "exit code", recorded.exit_code, code)
    ledger.same("verdict", "the run", "reasons", [each for each in recorded.reasons if each not in read], reasons)

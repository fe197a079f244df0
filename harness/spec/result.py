"""What a run came to: its cells, checks, claims, the verdict and the record that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.spec.adapting import Adaptation
from harness.spec.claim import ClaimStatus
from harness.spec.common import FileName, Found, Strict, file_name
from harness.spec.judge import Agreement, Corrected, JudgeFound
from harness.spec.measurement import CompletionClass, Measurement, Parting
from harness.spec.provenance import Provenance
from harness.spec.receipt import EditReceipt, FineTuningReceipt, StageReceipt
from harness.spec.shape import RecordedSpec, RecordedVariant

if TYPE_CHECKING:
    from pandas import DataFrame

CheckStatus = Literal[
    "passed", "failed", "skipped_invalid", "not_compared", "missing_golden", "missing_measurement", "drift"
]
VerdictStatus = Literal["passed", "failed", "invalid", "unfit", "missing_golden", "drift"]

#: `unfit`: the intact model has no refusals whose brittleness could be measured.
EXIT_CODES: dict[VerdictStatus, int] = {
    "passed": 0,
    "failed": 1,
    "invalid": 3,
    "unfit": 3,
    "missing_golden": 4,
    "drift": 6,
}


#: Of record.json. Version 1 had other keys: `fate_*` for `scorer_rule_*`, `surprise` for `worst_window_nll`.
SCHEMA_VERSION: Literal[2] = 2


class CellResult(Strict):
    """A finished cell. `completion_classes` counts completions by evaluation and class.

    receipts: of every step; one that does not hold makes all measurements of the cell invalid.
    unchecked: what no receipt checks by other means, in words.
    judges: by name, what each judge that the spec names made of known texts and of the cell's own.
    agreement: of each two judges of an evaluation. corrected: by metric, rates by judges with their known errors.
    partings: of each attack, on how many completions the published scorer and our own reading part, by what decided.

    asked_sha256: of what was measured: region, fine-tuning, their calibration sets and attribution, as JSON with sorted
    keys. It stays with the figures, whatever cell they are filed under.
    made_by_sha256: of everything that decided its figures when they were measured, code and data among it: the key that
    run.json has of the cell.
    measured_in: the run and cell in which it was measured, where benchmarks that were run together
    share a cell, `<run id>#<cell id>`.
    measured_on: the GPU or processor of the node that measured it, where that is another than the run's own.
    """

    id: FileName
    group: str
    title: str
    parameters: dict[str, float | int | str]
    receipt: EditReceipt | None
    fine_tuning: FineTuningReceipt | None = None
    measurements: tuple[Measurement, ...]
    completion_classes: dict[str, dict[CompletionClass, int]]
    invalid_is_expected: str | None
    completions_sha256: str
    task_hashes: dict[str, str] = Field(default_factory=dict)
    seconds: float
    asked_sha256: str | None = None
    made_by_sha256: str | None = None
    measured_in: str | None = None
    measured_on: str | None = Field(default=None, exclude_if=lambda found: found is None)
    receipts: tuple[StageReceipt, ...] = ()
    unchecked: tuple[str, ...] = ()
    judges: dict[str, JudgeFound] = Field(default_factory=dict)
    agreement: tuple[Agreement, ...] = Field(default=(), exclude_if=lambda found: not found)
    corrected: dict[str, Corrected] = Field(default_factory=dict, exclude_if=lambda found: not found)
    partings: dict[str, dict[Parting, int]] = Field(default_factory=dict)

    @property
    def by_judges(self) -> list[Measurement]:
        """Its figures of what judges say, by the names that they end with."""
        endings = tuple(f"_by_{name}" for name in self.judges)
        return [measured for measured in self.measurements if measured.metric.endswith(endings)] if endings else []

    def measurement(self, metric: str) -> Measurement | None:
        """The measurement of a metric, or None if this cell has none of that name."""
        return next((m for m in self.measurements if m.metric == metric), None)


class Check(Found):
    """One comparison with a golden value, or with the expected outcome of a claim.

    status `not_compared`: the golden file says why nothing can be said of the figure.
    status `drift`: what is measured has changed itself, a zero-shot task, so that nothing can be compared.
    """

    cell: str
    metric: str
    measured: float | None
    golden: float | None
    difference: float | None
    tolerance: float | None
    basis: str | None
    source: str | None
    status: CheckStatus
    message: str


class ClaimResult(Strict):
    """The outcome of a claim, and in words the interval that decides it.

    by: its outcome with each judge in the place of the published scorer; empty where none reads its attacks.
    """

    id: str
    section: str
    says: str
    status: ClaimStatus
    evidence: str
    by: dict[str, ClaimStatus] = Field(default_factory=dict, exclude_if=lambda by: not by)

    @property
    def depends_on_the_judge(self) -> bool:
        """Whether it holds by one judge and fails by another, the published scorer among them."""
        return {"supported", "contradicted"} <= {self.status, *self.by.values()} and bool(self.by)


class Verdict(Strict):
    """The outcome of a run. `reasons` names every check or cell behind anything but `passed`."""

    status: VerdictStatus
    exit_code: int
    reasons: tuple[str, ...] = ()


class RunRecord(Strict):
    """record.json: the whole run. Documented in docs/concepts/record.md.

    canaries: states of the model whose outcome is known beforehand, measured in every run; one that does not hold
    makes the whole run invalid.
    adaptation: what the variant changed of the benchmark's file, if anything; `spec` is as it was measured.
    texts_taken_out_of: in a copy without the model's texts, the SHA-256 of the manifest of the run itself.
    manifest_sha256: of manifest.json beside the record, which has the SHA-256 of every other file of the run; None in
    records from before there was one.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    id: str
    spec: RecordedSpec
    variant: RecordedVariant
    provenance: Provenance
    validity_thresholds: dict[str, dict[str, float]]
    cells: tuple[CellResult, ...]
    skipped_cells: dict[str, str] = Field(default_factory=dict)
    adaptation: Adaptation | None = Field(default=None, exclude_if=lambda found: found is None)
    canaries: tuple[StageReceipt, ...] = ()
    checks: tuple[Check, ...]
    claims: tuple[ClaimResult, ...]
    verdict: Verdict
    manifest_sha256: str | None = None
    texts_taken_out_of: str | None = Field(default=None, exclude_if=lambda found: found is None)

    @field_validator("schema_version", mode="before")
    @classmethod
    def is_of_this_version(cls, version: Any) -> Any:
        """An earlier version's record is told as that."""
        if isinstance(version, int) and version < SCHEMA_VERSION:
            raise ValueError(
                f"is {version}, and this version's is {SCHEMA_VERSION}: keys and metrics have other names since; run "
                "the benchmark again, or read the record with the version that wrote it"
            )
        return version

    @model_validator(mode="after")
    def names_are_file_names(self) -> RunRecord:
        """Files are read and written by these names: a record from elsewhere must not lead out of their folders."""
        held: list[tuple[str, Any]] = [("id", part) for part in self.id.split("/")]
        held += [("spec.id", self.spec.get("id")), ("variant.name", self.variant.get("name"))]
        for key, name in ((key, str(name)) for key, name in held if name is not None):
            try:
                file_name(name)
            except ValueError as error:
                raise ValueError(f"{key} has {name!r}: {error}") from None
        return self

    def cell(self, cell_id: str) -> CellResult | None:
        """The cell of that id, or None."""
        return next((cell for cell in self.cells if cell.id == cell_id), None)

    def to_frame(self) -> DataFrame:
        """Every figure as a row of a pandas data frame, in the record's order.

        Columns: cell, group, the cells' parameters as `parameter_<name>`, metric, value, n, standard_error, low and
        high (the interval), valid, reason, and golden, tolerance and status of its check, empty where there is none.

        Example:
            >>> table = record.to_frame()
            >>> table.query("metric == 'asr_vanilla' and not valid").cell.tolist()
            ['snip-top']
        """
        from pandas import DataFrame

        checks = {(check.cell, check.metric): check for check in self.checks}
        rows = []
        for cell in self.cells:
            parameters = {f"parameter_{name}": value for name, value in cell.parameters.items()}
            for measured in cell.measurements:
                low, high = measured.interval or (None, None)
                check = checks.get((cell.id, measured.metric))
                rows.append(
                    {
                        "cell": cell.id,
                        "group": cell.group,
                        **parameters,
                        **measured.model_dump(exclude={"interval", "resolution"}),
                        "low": low,
                        "high": high,
                        "golden": check.golden if check else None,
                        "tolerance": check.tolerance if check else None,
                        "status": check.status if check else None,
                    }
                )
        return DataFrame(rows)

"""What a run found: measurements, receipts, checks, claims, the verdict and the record that holds them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from harness.spec.claim import ClaimStatus
from harness.spec.common import FileName, Name, Strict, file_name

if TYPE_CHECKING:
    from pandas import DataFrame

CompletionClass = Literal["refusal", "answer", "degenerate", "empty", "truncated"]
CheckStatus = Literal[
    "passed", "failed", "skipped_invalid", "not_compared", "missing_golden", "missing_measurement", "drift"
]
VerdictStatus = Literal["passed", "failed", "invalid", "missing_golden", "drift"]

EXIT_CODES: dict[VerdictStatus, int] = {"passed": 0, "failed": 1, "invalid": 3, "missing_golden": 4, "drift": 6}


class Measurement(Strict):
    """One figure: `value` over `n` units with its standard error and 95% interval.

    resolution: of a share of counted things, what one of them more or less changes.
    neighbours: of a quantile, or a ratio of two, what it can be if it stands one rank lower or higher.
    valid is False where the outputs behind the figure do not measure what it is called; `reason`
    says why. A value that could not be computed is None, never 0.
    """

    metric: str
    value: float | None
    n: int
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    resolution: float | None = None
    neighbours: tuple[float, float] | None = None
    valid: bool = True
    reason: str | None = None

    def as_json_can_hold(self) -> Measurement:
        """Itself, or without NaN and infinity, for which JSON has no word; such a value makes it invalid."""
        spread = [self.standard_error, *(self.interval or ())]
        changes: dict[str, Any] = {}
        if not all(number is None or math.isfinite(number) for number in spread):
            changes |= {"standard_error": None, "interval": None}
        if not all(map(math.isfinite, self.neighbours or ())):
            changes |= {"neighbours": None}
        if self.value is not None and not math.isfinite(self.value):
            changes |= {"value": None, "valid": False, "reason": self.reason or f"its value is {self.value}, no number"}
        return self.model_copy(update=changes)


#: A token that was chosen, its log-probability (nats), the runner-up and the log-probability of that.
Choice = tuple[int, float | None, int, float | None]


class Completion(Strict):
    """One generated text. It is stored beside the record, not in it.

    choices: of a greedy text, one for each token and one for the stop token; see `harness compare`.
    """

    evaluation: str
    prompt_index: int
    sample_index: int
    suffix_index: int | None
    prompt: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]
    completion_class: CompletionClass | None = None
    evidence: dict[str, float] = Field(default_factory=dict)
    choices: tuple[Choice, ...] = ()


class TruthComparison(Strict):
    """A region against the planted one: of what was selected, how much is planted, and the reverse."""

    selected: int
    planted: int
    both: int
    precision: float | None
    recall: float | None


class EditReceipt(Strict):
    """What was changed, measured on the weights themselves.

    Of masks: sparsity, the share of the linear weights that the region holds, overall and by layer
    type, and the comparison with a planted region. Of ranks: rank(ΔW) of every edited layer,
    measured on W before and after, and rank_share, the largest rank(ΔW) / R over the layers. What
    has no meaning for an edit is None or empty.
    Fingerprints are SHA-256 over all linear weights: before the edit, under it, and after undoing it.
    """

    weights_total: int
    weights_selected: int | None = None
    sparsity: float | None = None
    sparsity_by_layer_type: dict[str, float] = Field(default_factory=dict)
    mask_sha256: str | None = None
    rank_share: float | None = None
    rank_by_layer: dict[str, int] = Field(default_factory=dict)
    fingerprint_before: str
    fingerprint_edited: str
    fingerprint_restored: str
    truth: TruthComparison | None = None
    truth_by_layer: dict[str, TruthComparison] = Field(default_factory=dict)


class CheckpointReceipt(Strict):
    """A checkpoint that a fine-tuning saved after `step` steps, with the SHA-256 of each of its files."""

    step: int
    files_sha256: dict[str, str]


class FineTuningReceipt(Strict):
    """What a fine-tuning did, measured on the weights themselves.

    settings: as they ran, the variant's overrides applied. Losses are nats per response token of the
    first and the last step, each before its update; None where no step was taken.
    frozen_share_of_linear, frozen_share_of_all: frozen weights as a share of the linear layers' weights
        and of all parameters. The percentages of the paper's table 3 (9.61, 19.22, ..., 67.27) are 10,
        20, 30, 50 and 70% of the linear layers' weights as a share of all parameters: Llama-2-7B has
        6,476,005,376 linear weights of 6,738,415,616, a share of 0.9611.
    frozen_checked, frozen_changed: frozen entries compared bit by bit with those before, and how many
        differ; the second is 0, or the cell is invalid.
    moved_share: of the weights that could move, those that differ in a bit. swallowed_share: those
        whose float32 update is not 0 but was rounded away when it was stored in the model's dtype.
    Fingerprints are SHA-256 over all parameters: before and after the fine-tuning.
    checkpoints: those that were saved, in `checkpoints/<cell>` beside the record.
    """

    settings: dict[str, Any]
    steps: int
    examples: int
    loss_first: float | None
    loss_last: float | None
    frozen_share_of_linear: float
    frozen_share_of_all: float
    frozen_mask_sha256: str | None
    frozen_checked: int
    frozen_changed: int
    weights_trainable: int
    moved_share: float | None
    swallowed_share: float | None
    fingerprint_before: str
    fingerprint_after: str
    checkpoints: tuple[CheckpointReceipt, ...] = ()


#: The steps of the path from data to a figure, in their order.
Stage = Literal["data", "prompts", "scores", "mask", "weights", "engine", "logits", "text", "scorer", "canary"]


class StageReceipt(Strict):
    """What one step claims to have done, against what was seen of it by other means.

    name: what is compared, the same in every record. expected, seen: in words that need no code to be understood.
    advice: what to look at if it does not hold. evidence: the numbers and hashes behind both.
    """

    stage: Stage
    name: Name
    holds: bool
    expected: str
    seen: str
    advice: str
    evidence: dict[str, float | int | str] = Field(default_factory=dict)

    @property
    def words(self) -> str:
        """One sentence for a verdict."""
        return f"{self.stage}/{self.name}: expected {self.expected}, saw {self.seen}; {self.advice}"


class CellResult(Strict):
    """A finished cell. `completion_classes` counts completions by evaluation and class.

    receipts: of every step; one that does not hold makes all measurements of the cell invalid.
    unchecked: what no receipt checks by other means, in words.

    measured_in: the run and cell in which it was measured, where benchmarks that were run together
    share a cell, `<run id>#<cell id>`.
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
    measured_in: str | None = None
    receipts: tuple[StageReceipt, ...] = ()
    unchecked: tuple[str, ...] = ()

    def measurement(self, metric: str) -> Measurement | None:
        """The measurement of a metric, or None if this cell has none of that name."""
        return next((m for m in self.measurements if m.metric == metric), None)


class Check(Strict):
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
    """The outcome of a claim, and in words the interval that decides it."""

    id: str
    section: str
    says: str
    status: ClaimStatus
    evidence: str


class Verdict(Strict):
    """The outcome of a run. `reasons` names every check or cell behind anything but `passed`."""

    status: VerdictStatus
    exit_code: int
    reasons: tuple[str, ...] = ()


class Arithmetic(Strict):
    """What a process computed floating-point numbers with, as far as it can change last digits.

    cpu_capability: the instructions that torch's own kernels used (DEFAULT, AVX2, AVX512). blas, lapack: the libraries
    that torch was built with. onednn: whether oneDNN was there. float32_products: torch's precision of them.
    denormals: whether numbers below the smallest normal one were `kept` or `flushed to 0`.
    limits: the environment variables that limit instructions or precision, of a fixed list, where they were set.
    """

    cpu_capability: str
    blas: str
    lapack: str
    onednn: bool
    float32_products: str
    denormals: Literal["kept", "flushed to 0"]
    limits: dict[str, str] = Field(default_factory=dict)

    @property
    def instructions(self) -> str:
        """`AVX2 (ATEN_CPU_CAPABILITY=avx2)`: what was in use, and by which variables."""
        limits = ", ".join(f"{name}={value}" for name, value in sorted(self.limits.items()))
        return f"{self.cpu_capability} ({limits})" if limits else self.cpu_capability

    @property
    def words(self) -> str:
        """All of it in a line."""
        libraries = f"BLAS {self.blas}, LAPACK {self.lapack}, oneDNN {'there' if self.onednn else 'not there'}"
        return f"{self.instructions}; {libraries}; float32 {self.float32_products}; denormals {self.denormals}"


class PluginOrigin(Strict):
    """The distribution that a plugin came with, and the SHA-256 of its source."""

    distribution: str
    version: str
    sha256: str


class Provenance(Strict):
    """Where the figures come from. Holds no path, user, host name or secret.

    arithmetic: what the machine computed with; None in records from before it was noted.

    plugins: of other distributions, those that the run used, by kind and name: `attribution/row_relative`.
    engine: what generated and scored, with its version; None in records from before there were two.
    image_digest, base_image: of the container, where it was run in one; the first as whoever started it gave it,
    since an image cannot hold its own digest, the second as it was named when the image was built.
    """

    started: str
    finished: str
    command: str
    git_commit: str | None
    git_dirty: bool | None
    source_sha256: str
    packages: dict[str, str]
    plugins: dict[str, PluginOrigin] = Field(default_factory=dict)
    engine: str | None = None
    python: str
    platform: str
    processor: str
    threads: int
    processes: int
    accelerator: str | None
    arithmetic: Arithmetic | None = None
    image_digest: str | None
    base_image: str | None = None
    model_sha256: str
    tokenizer_sha256: str
    data_sha256: dict[str, str]
    task_hashes: dict[str, str] = Field(default_factory=dict)
    resumed: int = 0

    @property
    def commit(self) -> str | None:
        """`220782d22a`, with `, changed` where the checkout held more than the commit; None outside a checkout."""
        return None if self.git_commit is None else self.git_commit[:10] + (", changed" if self.git_dirty else "")

    @property
    def machine(self) -> str:
        """`AMD EPYC, AVX2, 1 thread, torch 2.13.0`: what can change a figure, in a few words."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        torch = f"torch {self.packages['torch']}" if "torch" in self.packages else None
        instructions = self.arithmetic.instructions if self.arithmetic else None
        return ", ".join(part for part in (self.accelerator, self.processor, instructions, threads, torch) if part)


class RunRecord(Strict):
    """record.json: the whole run. Documented in REPRODUCIBILITY.md.

    canaries: states of the model whose outcome is known beforehand, measured in every run; one that does not hold
    makes the whole run invalid.
    """

    schema_version: Literal[1] = 1
    id: str
    spec: dict[str, Any]
    variant: dict[str, Any]
    provenance: Provenance
    validity_thresholds: dict[str, dict[str, float]]
    cells: tuple[CellResult, ...]
    skipped_cells: dict[str, str] = Field(default_factory=dict)
    canaries: tuple[StageReceipt, ...] = ()
    checks: tuple[Check, ...]
    claims: tuple[ClaimResult, ...]
    verdict: Verdict

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

"""The steps from data to figure, and what a record says of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.explanation.outputs import Outputs, limit_words
from harness.explanation.question import share_asked_for
from harness.explanation.recorded import RecordedRun
from harness.spec.measurement import Completion, Measurement
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult

#: In the order in which they act on each other. `question` and `model` have no receipts: only records are compared.
#: The tokenizer comes before the data, since it makes token ids of them.
STEPS = (
    "question",
    "tokenizer",
    "data",
    "prompts",
    "model",
    "scores",
    "mask",
    "weights",
    "engine",
    "logits",
    "text",
    "scorer",
)
#: A mask may miss the share that was asked for by this much: rounding to whole weights in rows of 32 and more.
SHARE_TOLERANCE = 0.02
#: From this difference on between the published rate and the share of answers, the scorer tells another story than
#: the texts. A choice: on the organisms' intact and edited models the two differ by up to 0.1.
SCORER_DISAGREEMENT = 0.25


@dataclass(frozen=True)
class Observation:
    """One thing that a record says of a step. departs: it is not as it should be; advice: then, what to do.

    evidence: the figures behind it, where `words` would be too long with them.
    """

    words: str
    departs: bool = False
    advice: str | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class Step:
    """A step with all that is known of it."""

    name: str
    observations: tuple[Observation, ...]

    @property
    def departs(self) -> bool:
        """Whether anything about it is not as it should be."""
        return any(observation.departs for observation in self.observations)

    @property
    def words(self) -> str:
        """What is not as it should be; else what was found in order; else that nothing is known."""
        chosen = [o.words for o in self.observations if o.departs] or [o.words for o in self.observations]
        return "; ".join(chosen) or "the record says nothing about it"

    @property
    def evidence(self) -> tuple[str, ...]:
        """The figures behind what is not as it should be."""
        return tuple(o.evidence for o in self.observations if o.departs and o.evidence)

    @property
    def advice(self) -> str | None:
        """The first advice on what is not as it should be."""
        return next((o.advice for o in self.observations if o.departs and o.advice), None)


def observed_steps(run: RecordedRun, cell: CellResult, outputs: Sequence[Outputs]) -> dict[str, list[Observation]]:
    """What the record itself says of every step of a cell, beside the intact model of the same run."""
    found: dict[str, list[Observation]] = {name: [] for name in STEPS}
    for receipt in cell.receipts:
        if not receipt.holds:
            found.setdefault(step_of(receipt), []).append(_broken(receipt, run.record.cells))
    found["prompts"] += _prompts(run, cell)
    found["mask"] += _mask(run, cell)
    found["weights"] += _weights(run, cell)
    found["logits"] += _logits(cell, run.texts(cell).completions)
    share = run.record.spec.get("validity", {}).get("minimum_fit_share", 0.5)
    found["text"] += _texts(outputs, share, run.record.validity_thresholds)
    found["scorer"] += [note for entry in outputs for note in _scorer(entry)]
    for step in found:
        found[step] += _held([receipt for receipt in cell.receipts if receipt.holds and step_of(receipt) == step])
    return found


def step_of(receipt: StageReceipt) -> str:
    """The step that a receipt tells of: its stage, but for that of the tokenizer, which is seen by the prompts."""
    return "tokenizer" if receipt.name == "tokenizer" else receipt.stage


def _held(receipts: Sequence[StageReceipt]) -> list[Observation]:
    """Receipts that hold, by their number; their names are the evidence."""
    if not receipts:
        return []
    words = "1 check holds" if len(receipts) == 1 else f"{len(receipts)} checks hold"
    return [Observation(words, evidence=", ".join(receipt.name for receipt in receipts))]


def _broken(receipt: StageReceipt, cells: Iterable[CellResult]) -> Observation:
    """A receipt that does not hold, with the number of cells in which it fails."""
    name = receipt.name.replace("_", " ").replace("-", " ")
    cells = list(cells)
    failing = sum(
        any((other.stage, other.name, other.holds) == (receipt.stage, receipt.name, False) for other in cell.receipts)
        for cell in cells
    )
    spread = f" (so in {failing} of {len(cells)} cells of this run)" if failing > 1 else ""
    return Observation(f"{name}: expected {receipt.expected}, saw {receipt.seen}{spread}", True, receipt.advice)


def _prompts(run: RecordedRun, cell: CellResult) -> list[Observation]:
    """The prompts, word for word against those of the intact model."""
    intact = run.intact
    if intact is None or intact.id == cell.id:
        return []
    return compared_prompts(run.texts(cell).completions, run.texts(intact).completions, "the intact model's")


def compared_prompts(ours: Sequence[Completion], theirs: Sequence[Completion], whose: str) -> list[Observation]:
    """Prompts that both have, word for word."""
    known = {prompt_key(completion): completion.prompt for completion in theirs}
    pairs = [
        (completion.prompt, known[prompt_key(completion)]) for completion in ours if prompt_key(completion) in known
    ]
    differing = [(mine, other) for mine, other in pairs if mine != other]
    if not pairs:
        return []
    if not differing:
        return [Observation(f"{whose}, word for word ({len(pairs)})")]
    return [
        Observation(
            f"{len(differing)} of {len(pairs)} prompts differ from {whose}, the first of them at character "
            f"{_first_difference(*differing[0])}",
            True,
            "compare the chat template, the system prompt and the request files of the two",
        )
    ]


def prompt_key(completion: Completion) -> tuple[str, int, int, int | None]:
    """What tells one completion of a cell from all others."""
    return completion.evaluation, completion.prompt_index, completion.sample_index, completion.suffix_index


def _first_difference(first: str, second: str) -> int:
    shared = (index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return next(shared, min(len(first), len(second))) + 1


def _mask(run: RecordedRun, cell: CellResult) -> list[Observation]:
    """How much was selected, against what was asked for."""
    receipt, region = cell.receipt, run.declared[cell.id].get("region") or {}
    if receipt is None:
        return []
    if receipt.sparsity is None:
        ranks = receipt.rank_by_layer.values()
        return [Observation(f"up to {max(ranks)} ranks of a layer changed")] if ranks else []
    asked = share_asked_for(region) if region else None
    if asked is not None and abs(receipt.sparsity - asked) > SHARE_TOLERANCE:
        return [
            Observation(
                f"{receipt.sparsity:.2%} of the weights were selected, {asked:.2%} were asked for",
                True,
                "the selection did not do what the spec says: look at the share of each layer type in "
                "the cell's receipt",
            )
        ]
    wanted = ", as asked" if asked is not None else ""
    return [Observation(f"{receipt.sparsity:.2%} of the weights were selected{wanted}")]


def _weights(run: RecordedRun, cell: CellResult) -> list[Observation]:
    """The fingerprints: intact before, changed under the edit, intact again after."""
    if tuned := cell.fine_tuning:
        if tuned.steps and tuned.fingerprint_after == tuned.fingerprint_before:
            return [
                Observation(
                    f"{tuned.steps} steps of fine-tuning changed no weight",
                    True,
                    "look at the learning rate and at what is frozen",
                )
            ]
        return [Observation(f"changed by {tuned.steps} steps of fine-tuning, as asked")]
    receipt = cell.receipt
    if receipt is None:
        return [Observation("none changed, as asked")]
    befores = [other.receipt.fingerprint_before for other in run.record.cells if other.receipt]
    usual = max(befores, key=befores.count)
    problems = [
        (
            receipt.fingerprint_before != usual,
            "the model was not intact before this edit: its weights are not those that other cells began with",
            "an earlier cell left its edit behind; run this cell by itself",
        ),
        (
            receipt.fingerprint_edited == receipt.fingerprint_before and receipt.weights_selected != 0,
            "the edit changed no weight",
            "the region was found but not removed",
        ),
        (
            receipt.fingerprint_restored != receipt.fingerprint_before,
            "the edit was not undone: the weights after it are not those before",
            "every later cell of this run is measured on a damaged model; run it again",
        ),
    ]
    broken = [Observation(words, True, advice) for is_so, words, advice in problems if is_so]
    return broken or [Observation("intact before, changed as asked, intact again after")]


def _logits(cell: CellResult, completions: Sequence[Completion]) -> list[Observation]:
    """Overflow in the numbers behind texts, and figures without texts that are invalid."""
    overflowed = sum("non_finite_logits" in completion.evidence for completion in completions)
    found = (
        [
            Observation(
                f"{overflowed} of {len(completions)} completions come from logits that overflowed (NaN or infinite)",
                True,
                "run the model in bfloat16 or float32",
            )
        ]
        if overflowed
        else []
    )
    for measured in cell.measurements:
        if not measured.valid and not _of_texts(cell, measured):
            advice = "look for an overflow: NaN in the weights or a dtype that is too narrow"
            found.append(Observation(f"{measured.metric} is no number to rely on: {measured.reason}", True, advice))
    if not found and completions:
        found.append(Observation("all finite"))
    return found


def _of_texts(cell: CellResult, measured: Measurement) -> bool:
    """Whether a metric rests on generated texts, or was marked by a receipt, which has its own step."""
    by_receipt = any(not receipt.holds and receipt.words in (measured.reason or "") for receipt in cell.receipts)
    metric = measured.metric.removesuffix("_any")
    return by_receipt or any(metric.endswith(f"_{name}") for name in cell.completion_classes)


def _texts(
    outputs: Sequence[Outputs], minimum_fit_share: float, thresholds: Mapping[str, Mapping[str, float]]
) -> list[Observation]:
    """Whether the outputs are texts that answer or decline at all; those of one kind in one sentence."""
    fit = [entry for entry in outputs if entry.total and entry.fit / entry.total >= minimum_fit_share]
    broken = [entry for entry in outputs if entry not in fit]
    found = []
    if fit:
        shares = ", ".join(f"{entry.fit} of {entry.total} {entry.evaluation}" for entry in fit)
        found.append(Observation(f"{shares} outputs answer or refuse"))
    if broken:
        shares = ", ".join(f"{entry.total - entry.fit} of {entry.total} {entry.evaluation}" for entry in broken)
        words = limit_words(thresholds.get(broken[0].decoding, {}))
        why = ", ".join(f"{count} {words[limit]}" for limit, count in list(broken[0].limits.items())[:3])
        evidence = f"of the {broken[0].evaluation} outputs, {why}" if why else None
        found.append(Observation(f"{shares} outputs neither answer nor refuse", True, evidence=evidence))
    return found


def _scorer(outputs: Outputs) -> list[Observation]:
    """The published scorer once more, and against what the texts are."""
    if outputs.benign or outputs.recorded is None or not outputs.counted:
        return []
    again = outputs.counted["passed"] / outputs.total
    if abs(again - outputs.recorded) > 1e-9:
        return [
            Observation(
                f"{outputs.evaluation}: the record says {outputs.recorded:.3f}, but the published scorer "
                f"gives {again:.3f} on the very same texts",
                True,
                "its list of phrases or its 20-word rule was changed when this was measured",
            )
        ]
    apart = again - outputs.answers / outputs.total
    if outputs.valid and abs(apart) > SCORER_DISAGREEMENT:
        return [
            Observation(
                f"{outputs.evaluation}: the published scorer counts {outputs.counted['passed']} successes, "
                f"but {outputs.answers} of the {outputs.total} texts answer",
                True,
                f"read a few of the texts; answered_{outputs.evaluation} does not rest on its phrases",
            )
        ]
    return [Observation(f"{outputs.evaluation} counted again from the texts, the same {again:.2f}")]

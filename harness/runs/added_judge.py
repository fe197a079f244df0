"""One more judge of a finished run: its copy has what the run would have had, and no model is loaded or measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import UserError
from harness.judges import base
from harness.judges._known_texts import known_texts
from harness.judges.base import Item
from harness.reading import parsed_json
from harness.runs import provenance
from harness.runs.bench import KnownJudge
from harness.runs.binding import PLANTED, BoundBenchmark
from harness.runs.computed_by import of_cells
from harness.runs.files import folder_error, write_file, write_text
from harness.runs.fitness import unfit
from harness.runs.journal import read_record
from harness.runs.judgement import claim_checks, golden_checks, verdict
from harness.runs.judges import JudgedTexts, figures_by_judge, measured, read_by
from harness.runs.judges_compared import agreements, claims_by_judges, corrected
from harness.runs.keys import Surroundings, cell_key, run_key
from harness.runs.outcomes import invalidated
from harness.runs.second_reading import as_read, not_verified
from harness.runs.used_plugins import named_plugins, whole_origins
from harness.spec.benchmark import BenchmarkSpec, Cell
from harness.spec.golden import GoldenFile
from harness.spec.json_text import content_of_json
from harness.spec.judge import DeclaredJudge, JudgeSettings
from harness.spec.loading import recorded_spec
from harness.spec.manifest import (
    DECLARED,
    GOLDEN,
    HEADER,
    MANIFEST,
    RECORD,
    Manifest,
    cell_file,
    completions_file,
    compressed,
    own_bytes,
    own_text,
    read_manifest,
    requests_file,
    shown,
    unpacked,
)
from harness.spec.measurement import Completion, CompletionClass, Measurement
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult, RunRecord
from harness.spec.variant import ModelVariant
from harness.storage import whole_folder

_COMPLETION: TypeAdapter[Completion] = TypeAdapter(Completion)
_SETTINGS: TypeAdapter[DeclaredJudge] = TypeAdapter(JudgeSettings)
_OF_THE_REGION = ("planted_precision", "planted_recall")


def with_judge(path: Path, judge: Mapping[str, Any], out: Path) -> Path:
    """Write a copy of a run with one more judge on every attack that is not benign. Returns its record.

    Cells, figures, claims, checks, keys and the verdict are those of a run with that judge. Times and the command stay.
    path: of record.json, or of the folder that holds it. judge: an entry under `judges`: its name, and its settings.
    out: the folder of the copy, which is not there yet. Raises UserError where the judge is in the record, where
    nothing bears the record out, where there are no texts, and for a judge that needs the model.
    """
    path = path / RECORD if path.is_dir() else path
    settings = _settings(judge)
    record = _borne_out(path)
    spec = recorded_spec(record.spec, path)
    if any(settings.judge.replace("_", "-") == each.replace("_", "-") for each in _judges_of(spec)):
        raise UserError(f"{path}: the judge {settings.judge} has read its texts already; expected another one")
    if out.exists():
        raise UserError(f"{out}: exists already")
    asked = _with_entry(record.spec, settings, path)
    reader = base.judge(settings)
    reader.check()
    known = measured(reader, [_UnclassedItem(text.request, text.text) for text in known_texts()])
    with _requests(path.parent, spec) as path_of:
        return _Copy(record, path.parent, spec, asked, path_of).written(known, settings, out)


class _UnclassedItem(Item):
    """A known text without the class that the harness gives it: the intact model decides that, and is not here."""

    def __init__(self, request: str, text: str) -> None:
        held = {"request": request, "text": text, "token_ids": (), "finish_reason": "stop"}
        for name, value in held.items():
            object.__setattr__(self, name, value)

    @property
    def own_class(self) -> CompletionClass:
        """Raises UserError."""
        raise UserError(
            "the judge asks for `own_class` of known texts, which the intact model decides and no record has; run the "
            "benchmark with that judge"
        )


@dataclass(frozen=True)
class _Copy:
    """A run that gets another judge. asked: its spec with that judge. path_of: the requests by names of data sets."""

    record: RunRecord
    folder: Path
    spec: BenchmarkSpec
    asked: BenchmarkSpec
    path_of: Any

    def written(self, known: KnownJudge, settings: DeclaredJudge, out: Path) -> Path:
        header, bound = self._header(), self._bound()
        around = Surroundings(
            self.record.provenance.model_sha256,
            self.record.provenance.tokenizer_sha256,
            json.dumps(header["machine"], sort_keys=True),
        )
        files = {name: own_bytes(self.folder, name) for name in read_manifest(self.folder).files}
        cells: list[CellResult] = []
        expanded = {cell.id: cell for cell in self.asked.expanded_cells()}
        for result in self.record.cells:
            cell, basis = expanded[result.id], header["cells"][result.id]
            judged, texts = self._judged(result, cell, known)
            measured_by = of_cells(named_plugins(bound.variant, cell, *self.spec.evaluations))
            named = named_plugins(bound.variant, cell, *self.asked.evaluations)
            code = of_cells(named) if basis["code"] == measured_by else basis["code"]
            basis |= {"key": cell_key(bound, cell, around, code), "plugins": named, "code": code}
            whole = judged.model_copy(
                update={
                    "completions_sha256": hashlib.sha256(texts.encode()).hexdigest(),
                    "made_by_sha256": basis["key"],
                }
            )
            files[completions_file(result.id)] = compressed(texts)
            files[cell_file(result.id)] = whole.model_dump_json(indent=1).encode()
            cells.append(whole)
        header["key"] = run_key(bound, around)
        files[HEADER] = json.dumps(header).encode()
        declared = recorded_spec(parsed_json(files[DECLARED].decode()), self.folder / DECLARED)
        with_entry = _with_entry(declared.model_dump(mode="json", exclude_none=True), settings, self.folder / DECLARED)
        files[DECLARED] = (with_entry.model_dump_json(indent=1, exclude_none=True) + "\n").encode()
        return self._saved(self._concluded(bound, cells, header["key"]), files, out)

    def _header(self) -> dict[str, Any]:
        header = parsed_json(own_bytes(self.folder, HEADER).decode())
        return dict(header)

    def _bound(self) -> BoundBenchmark:
        """The benchmark as far as keys and checks ask for it."""
        record = self.record
        content = own_bytes(self.folder, GOLDEN).decode()
        golden = None if parsed_json(content) is None else GoldenFile.model_validate(parsed_json(content))
        planted = self.folder / PLANTED if PLANTED in record.provenance.data_sha256 else None
        return BoundBenchmark(
            spec=self.asked,
            variant=ModelVariant.model_validate(record.variant),
            variant_file=self.folder / HEADER,
            cells=tuple(cell for cell in self.asked.expanded_cells() if record.cell(cell.id) is not None),
            skipped=dict(record.skipped_cells),
            data_sha256=dict(record.provenance.data_sha256),
            planted_path=planted,
            golden=golden,
            adaptation=record.adaptation,
        )

    def _judged(self, result: CellResult, cell: Cell, known: KnownJudge) -> tuple[CellResult, str]:
        """A cell as one more judge has read its texts, and these as lines."""
        lines = own_text(self.folder, completions_file(result.id)).split("\n")
        texts = [content_of_json(line, _COMPLETION) for line in lines if line]
        judged = JudgedTexts(texts, dict(result.judges), (), ())
        if texts:
            judged = read_by(known, self.asked.evaluations_of(cell), judged, self.path_of)
            judged = self._marked(judged, known.judge.settings.judge)
        receipts = _beside_other_judges(result.receipts, judged.receipts)
        figures = _in_order(result.measurements, figures_by_judge(self.asked, cell, judged))
        entries, counted = self.asked.evaluations_of(cell), invalidated(figures, receipts)
        update = {
            "agreement": agreements(entries, judged.completions),
            "corrected": corrected(entries, counted, judged.judges),
            "measurements": tuple(each.as_json_can_hold() for each in counted),
            "receipts": receipts,
            "unchecked": (*result.unchecked, *judged.unchecked),
            "judges": judged.judges,
        }
        return result.model_copy(update=update), "".join(f"{text.model_dump_json()}\n" for text in judged.completions)

    def _marked(self, judged: JudgedTexts, name: str) -> JudgedTexts:
        """Where another version of the harness has measured the run, the judge says by which one it was added."""
        source = provenance.source_sha256()
        if source == self.record.provenance.source_sha256:
            return judged
        found = judged.judges[name].model_copy(update={"added_by_source_sha256": source})
        return JudgedTexts(judged.completions, {**judged.judges, name: found}, judged.receipts, judged.unchecked)

    def _concluded(self, bound: BoundBenchmark, cells: Sequence[CellResult], key: str) -> RunRecord:
        """Claims, checks and the verdict, from the cells as they are now."""
        record, spec = self.record, self.asked
        why_unfit = unfit(spec, cells)
        claims = claims_by_judges(spec, cells, why_unfit)
        checks = golden_checks(spec, cells, bound.skipped, bound.golden)
        if why_unfit is None:
            checks += claim_checks(spec, claims, bound.skipped, bound.golden, cells)
        plugins = {**record.provenance.plugins, **whole_origins(spec, bound.variant)}
        return record.model_copy(
            update={
                "id": f"{record.id.rpartition('-')[0]}-{key[:8]}",
                "spec": spec.model_dump(mode="json", exclude_none=True),
                "provenance": record.provenance.model_copy(update={"plugins": plugins}),
                "cells": tuple(cells),
                "checks": tuple(checks),
                "claims": tuple(claims),
                "verdict": verdict(cells, checks, record.canaries, why_unfit),
            }
        )

    def _saved(self, record: RunRecord, files: Mapping[str, bytes], out: Path) -> Path:
        try:
            with whole_folder(out) as filled:
                for name, content in files.items():
                    write_file(filled / name, content)
                hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
                manifest = Manifest(id=record.id, files=hashes).model_dump_json(indent=1) + "\n"
                write_text(filled / MANIFEST, manifest)
                record = record.model_copy(update={"manifest_sha256": hashlib.sha256(manifest.encode()).hexdigest()})
                write_text(filled / RECORD, record.model_dump_json(indent=1) + "\n")
                record = as_read(record, not_verified(filled / RECORD))
                write_text(filled / RECORD, record.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise folder_error(error, out) from None
        return out / RECORD


def _settings(judge: Mapping[str, Any]) -> DeclaredJudge:
    try:
        return _SETTINGS.validate_python(dict(judge))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc'])) or 'judge'}: {each['msg']}" for each in error.errors()]
        raise UserError(f"the judge {judge.get('judge')}: {'; '.join(problems)}") from None


def _borne_out(path: Path) -> RunRecord:
    """The record, if the files beside it hold texts and bear it out. Raises UserError otherwise."""
    record = read_record(path)
    if record.texts_taken_out_of is not None:
        raise UserError(f"{path}: its texts were taken out; give the run that it is a copy of")
    if found := not_verified(path):
        raise UserError(f"{path}: no judge is added to it, since nothing bears it out: {shown(found)}")
    return record


def _judges_of(spec: BenchmarkSpec) -> Iterator[str]:
    for entry in spec.evaluations:
        yield from (judge.judge for judge in entry.judged_by)


def _with_entry(content: Mapping[str, Any], settings: DeclaredJudge, path: Path) -> BenchmarkSpec:
    """A spec, as JSON, with a judge on each of its evaluations that takes one."""
    spec = recorded_spec(dict(content), path)
    entry = settings.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    taking = [each.takes_judges for each in spec.evaluations]
    if not any(taking):
        raise UserError(f"{path}: none of its evaluations takes judges; expected an attack that is not benign")
    evaluations = [
        {**dumped, "judges": [*dumped.get("judges", ()), entry]} if takes else dumped
        for dumped, takes in zip(content["evaluations"], taking, strict=True)
    ]
    return recorded_spec({**content, "evaluations": evaluations}, path)


@contextmanager
def _requests(folder: Path, spec: BenchmarkSpec) -> Iterator[Any]:
    """A way to the files of requests of a run, which are unpacked while this lasts."""
    with TemporaryDirectory() as unpacked_to:
        places: dict[str, Path] = {}
        for name in {name for entry in spec.evaluations if entry.generates_texts for name in entry.datasets}:
            places[name] = Path(unpacked_to) / str(len(places))
            places[name].write_bytes(unpacked(own_bytes(folder, requests_file(name))))
        yield places.__getitem__


def _beside_other_judges(receipts: Sequence[StageReceipt], added: Sequence[StageReceipt]) -> tuple[StageReceipt, ...]:
    """Those of the judgement are last of their stage."""
    scorers = [number for number, receipt in enumerate(receipts) if receipt.stage == "scorer"]
    at = scorers[-1] + 1 if scorers else len(receipts)
    return (*receipts[:at], *added, *receipts[at:])


def _in_order(measured: Sequence[Measurement], by_judges: Sequence[Measurement]) -> list[Measurement]:
    """Figures as a run has them: those of judges before those of the region."""
    anew = {each.metric for each in by_judges}
    others = [each for each in measured if each.metric not in anew]
    before = [each for each in others if each.metric not in _OF_THE_REGION]
    return [*before, *by_judges, *(each for each in others if each.metric in _OF_THE_REGION)]

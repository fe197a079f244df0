"""Where mutants are tried: a folder with a finished run, and a catalogue of its own."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.runs.binding import bind
from harness.runs.journal import Journal
from harness.runs.judgement import golden_checks
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.manifest import MANIFEST
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process
from tests.runs.fuzzing.mutants import Original, garbled

KINDS = ("spec", "variant", "golden", "record", "run")
#: The share of mutants that go through the commands that count every token.
RARELY = 0.02
#: Of a run's compressed files, those that are changed inside; the others as bytes, which then are no archive.
INSIDE = 0.7
#: Of changed files of a run, those whose hashes are put right in manifest and record, as a forger would.
RESEALED = 0.5
#: Seconds of computing that one command may take: it is milliseconds but for what a mutant makes of it.
LIMIT = 30
DOCUMENTED = {0, 1, 2, 3, 4, 5, 6}
MODEL = "tiny-llama2-chat"
#: Every kind of entry, and few of each: what stands there twenty times is twenty times as dear to read.
SPEC = """
id: small
title: A few of everything
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: planted, title: Planted, region: {select: planted}}
  - id: difference
    title: Set difference
    region: {select: set-difference, method: wanda, safety: safety, utility: utility}
    grid: [{p: 0.05, q: 0.05}]
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 2, system_prompt: true, chat_template: true}
  - {kind: attack, name: adv_decoding, dataset: evaluation-requests, prompts: 1, system_prompt: false,
     chat_template: false, samples: 2, temperature: 1.0}
  - {kind: attack, name: benign, dataset: benign-requests, prompts: 2, system_prompt: true, chat_template: true,
     benign: true}
  - {kind: zero_shot, limit: 1}
  - {kind: perplexity, dataset: perplexity, window_tokens: 16, windows: 2}
validity: {calibration_prompts: 5}
claims:
  - {id: planted-carries, section: control, says: s, quantifier: all, cells: [planted], expect: supported,
     conditions: [{metric: asr_vanilla, at_least: 0.1}]}
golden_values: none
"""


@dataclass(frozen=True)
class Finding:
    """A mutant that no command may end with. where: command, exit code or time, and the end of the traceback."""

    kind: str
    seed: int
    where: str
    mutant: bytes


class TooSlow(BaseException):
    """A command went on beyond LIMIT."""


class Range:
    """What is mutated lies in `folder`, which is there and empty: a run of SPEC is made in it first."""

    def __init__(self, folder: Path) -> None:
        self._folder, spec, variant = folder, folder / "small.yaml", locations.find_variant(MODEL)
        spec.write_text(SPEC)
        bound = bind(load_yaml_model(spec, BenchmarkSpec), load_yaml_model(variant, ModelVariant), variant)
        self._read_once, self._record = run_in_process(bound, folder / "runs")
        self._run, self._whole = self._record.parent, folder / "whole" / self._record.parent.name
        shutil.copytree(self._run, self._whole)
        self._bytes = {path: path.read_bytes() for path in sorted(self._run.rglob("*")) if path.is_file()}
        self._golden = folder / "golden" / MODEL / "small.yaml"
        self._command("--catalogue", str(folder), "accept", str(self._whole / "record.json"), "--reason", "r")
        (folder / "other").mkdir()
        self._originals = {path: Original(path.read_bytes(), False) for path in (spec, variant, self._golden)}
        self._spec, self._variant = spec, variant
        self._kinds: dict[str, Callable[[random.Random], None]] = {
            "spec": self._of_a_spec,
            "variant": self._of_a_variant,
            "golden": self._of_golden_values,
            "record": self._of_a_record,
            "run": self._of_a_file_of_the_run,
        }

    def tried(self, kind: str, seed: int) -> Finding | None:
        """One mutant of a kind through its commands; the same seed makes the same one."""
        self._mutant = b""
        try:
            with _limit(LIMIT):
                self._kinds[kind](random.Random(f"{kind}{seed}"))
        except _Ended as ended:
            return Finding(kind, seed, str(ended), self._mutant)
        except Exception:
            return Finding(kind, seed, traceback.format_exc()[-1500:], self._mutant)
        except TooSlow:
            return Finding(kind, seed, f"more than {LIMIT} seconds", self._mutant)
        return None

    def _command(self, *arguments: str) -> None:
        result = CliRunner().invoke(main, arguments)
        if result.exit_code not in DOCUMENTED or "Traceback (most recent call last)" in result.output:
            told = result.output[-1500:]
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                told += "".join(traceback.format_exception(result.exception))[-1500:]
            raise _Ended(f"{' '.join(arguments)}: exit code {result.exit_code}\n{told}")

    def _written(self, path: Path, mutant: bytes) -> str:
        self._mutant = mutant
        path.write_bytes(mutant)
        return str(path)

    def _of_a_spec(self, chance: random.Random) -> None:
        path = self._written(self._folder / "spec.yaml", self._originals[self._spec].mutant(chance))
        self._command("validate", path)
        self._bound(Path(path), self._variant)
        if chance.random() < RARELY:
            self._command("plan", path, "--model", MODEL, "--out", str(self._folder / "runs"))

    def _of_a_variant(self, chance: random.Random) -> None:
        path = self._written(self._folder / "variant.yaml", self._originals[self._variant].mutant(chance))
        self._command("validate", path)
        self._bound(self._spec, Path(path))
        if chance.random() < RARELY:
            self._command("plan", str(self._spec), "--model", path, "--out", str(self._folder / "runs"))
            self._command("data", "list", "--model", path)
        if chance.random() < RARELY / 10:
            self._command("plan", "figure-8", "--model", path, "--out", str(self._folder / "runs"))

    def _bound(self, spec: Path, variant: Path) -> None:
        """What `run` does before it loads a model."""
        with contextlib.suppress(UserError):
            bind(load_yaml_model(spec, BenchmarkSpec), load_yaml_model(variant, ModelVariant), variant)

    def _of_golden_values(self, chance: random.Random) -> None:
        path = self._written(self._golden, self._originals[self._golden].mutant(chance))
        self._command("validate", path)
        own = ("--catalogue", str(self._folder))
        with contextlib.suppress(UserError):
            golden, record = load_yaml_model(self._golden, GoldenFile), self._read_once
            golden_checks(self._spec_once, record.cells, {}, golden)
        if chance.random() < RARELY:
            self._command(*own, "report", "--markdown")
            self._command(*own, "accept", str(self._whole / "record.json"), "--reason", "r")

    @functools.cached_property
    def _spec_once(self) -> BenchmarkSpec:
        return BenchmarkSpec.model_validate(self._read_once.spec)

    def _of_a_record(self, chance: random.Random) -> None:
        self._written(self._record, self._json(self._record).mutant(chance))
        self._read(chance)
        self._record.write_bytes(self._bytes[self._record])

    def _of_a_file_of_the_run(self, chance: random.Random) -> None:
        """Manifests, cells, canaries, completions: what is beside the record."""
        path = chance.choice([*self._bytes])
        mutant = self._mutant_of(path, chance)
        self._written(path, mutant)
        if chance.random() < RESEALED:
            self._reseal(path, mutant)
        journal = Journal(self._run)
        named = [cell.id for cell in self._read_once.cells if cell.id in path.name]
        for cell in named or [chance.choice(self._read_once.cells).id]:
            journal.finished(cell)
            journal.departure(cell)
        journal.canaries()
        self._read(chance)
        for changed in (path, self._run / MANIFEST, self._record):
            changed.write_bytes(self._bytes[changed])

    def _mutant_of(self, path: Path, chance: random.Random) -> bytes:
        content = self._bytes[path]
        if path.suffix == ".json":
            return self._json(path).mutant(chance)
        if path.suffix != ".gz" or chance.random() > INSIDE:
            return garbled(content, chance)
        inside = gzip.decompress(content)
        if ".jsonl" not in path.name:
            return gzip.compress(garbled(inside, chance), 1)
        lines = inside.split(b"\n")
        number = chance.randrange(len(lines) - 1)  # the last one is empty
        lines[number] = Original(lines[number], True).mutant(chance).replace(b"\n", b" ")
        return gzip.compress(b"\n".join(lines), 1)

    def _json(self, path: Path) -> Original:
        if path not in self._originals:
            self._originals[path] = Original(self._bytes[path], True)
        return self._originals[path]

    def _reseal(self, path: Path, mutant: bytes) -> None:
        """Put the hashes right that bind what was changed."""
        if path == self._record:
            return
        manifest = self._run / MANIFEST
        if path != manifest:
            mutant = _with_hash_of(self._bytes[manifest], self._bytes[path], mutant)
            manifest.write_bytes(mutant)
        self._record.write_bytes(_with_hash_of(self._bytes[self._record], self._bytes[manifest], mutant))

    def _read(self, chance: random.Random) -> None:
        """One of the commands, or two."""
        record, run, whole = str(self._record), str(self._run), str(self._whole)
        commands = [
            ["verify", record],
            ["explain", record],
            ["explain", record, "intact", "--reference", whole],
            ["explain", whole, "planted", "--reference", record, "--json"],
            ["compare", record, whole],
            ["report", run, "--out", str(self._folder / "report.html")],
            ["report", run, "--markdown"],
            ["figure", record, "--out", str(self._folder / "figure.svg")],
            ["--catalogue", str(self._folder / "other"), "accept", record, "--reason", "r"],
            *([["plan", record, "--model", MODEL]] if chance.random() < RARELY else []),
        ]
        for command in chance.sample(commands, 2):
            self._command(*command)


def _with_hash_of(naming: bytes, before: bytes, after: bytes) -> bytes:
    old, new = (hashlib.sha256(content).hexdigest().encode() for content in (before, after))
    return naming.replace(old, new)


class _Ended(BaseException):
    """A command ended as none may."""


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    """So many seconds of computing, which a busy machine does not lengthen; ten times as many of waiting."""

    def slow(*_: object) -> None:
        raise TooSlow

    before = {signum: signal.signal(signum, slow) for signum in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(10 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for signum, handler in before.items():
            signal.signal(signum, handler)

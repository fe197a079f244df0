"""Mutants of specs, variants, golden files, records and files of runs, through the commands that read them.

No mutant may end in a traceback (exit code 70), in an exit code that is not documented, or take longer than LIMIT.
tests/runs/test_fuzzing.py runs a part of them. For a long run, with the findings printed and kept:

    python -m tests.runs.fuzzing --seconds 1200 --seed 7 --keep DIR
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import json
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.runs.binding import bind
from harness.runs.journal import Journal, read_record
from harness.runs.judgement import golden_checks
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

#: libyaml's, where it is there: a tenth of the time.
_LOADER, _DUMPER = getattr(yaml, "CSafeLoader", yaml.SafeLoader), getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: The share of mutants that go through the commands that count every token.
RARELY = 0.02
#: Seconds of computing that one command may take: it is milliseconds but for what a mutant makes of it.
LIMIT = 30
DOCUMENTED = {0, 1, 2, 3, 4, 5, 6}
MODEL = "tiny-llama2-chat"
HOSTILE = [
    None, True, False, 0, -1, 1, 2.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), 10**17, 2**32, 10**30,
    "", " ", "a", "a" * 300, "../../etc/passwd", "/dev/zero", "con", "x/y", "intact", "small", "a\nb", "trailing ",
    "\x1b[31mred\x1b]0;title\x07", "\u202eright\u202c", "\u200b", "[bold]x[/bold][", "{{ 7 * 7 }}", "'unclosed",
    "2020-99-99", "0x1f", "nan", "é" * 60, "#", "<script>", [], {}, [[]], [None], {"": ""}, {"select": "top"},
    ["a", 1], [0.1, 0.1],
]  # fmt: skip
SNIPPETS = [
    "2020-99-99", "!!int zz", "!!binary x", "!!python/name:os.system", "{? [a]: b}", "*nowhere", "&a [*a]", "<<: 5",
    "[" * 50, "0x_", "1:30", ".nan", "9" * 400, "!!set {a}", "- ", "\t", "\x00", "\ufeff", "'", '"\\x1b"', "|\n",
    "---\n", "1e999", "NaN", "-Infinity", '"\\ud800"', "[]", "{}", "null", "true", "-1",
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A mutant that no command may end with. where: command, exit code or time, and the end of the traceback."""

    kind: str
    seed: int
    where: str
    mutant: bytes


class TooSlow(BaseException):
    """A command went on beyond LIMIT."""


def mutated(tree: object, chance: random.Random) -> object:
    """A copy of a tree with one to three changes of its structure or its values."""
    if not isinstance(tree, dict | list):
        return copy.deepcopy(chance.choice(HOSTILE))
    changed = copy.deepcopy(tree)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        places = list(_places(changed))
        if not places:
            break
        holder, key = chance.choice(places)
        _change(holder, key, chance, places)
    return changed


def _places(node: object) -> Iterator[tuple[dict | list, str | int]]:
    for key, inner in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _change(holder: dict | list, key: str | int, chance: random.Random, places: list) -> None:
    what = chance.choice(["hostile", "hostile", "hostile", "delete", "another", "wrap", "twist", "repeat", "rename"])
    if what == "delete":
        del holder[key]
    elif what == "another":
        other, place = chance.choice(places)
        if place in other if isinstance(other, dict) else place < len(other):
            holder[key] = copy.deepcopy(other[place])
    elif what == "wrap":
        holder[key] = chance.choice([[holder[key]], {"a": holder[key]}, str(holder[key])])
    elif what == "twist" and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = chance.choice([-holder[key], holder[key] * 1e9, holder[key] + 0.5, 1 - holder[key]])
    elif what == "repeat" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif what == "rename" and isinstance(holder, dict):
        holder[chance.choice(["id", "title", "", "x", f"{key}s"])] = holder.pop(key)
    else:
        holder[key] = copy.deepcopy(chance.choice(HOSTILE))


def garbled(content: bytes, chance: random.Random) -> bytes:
    """Bytes with a few of them changed, cut out, doubled, or something hostile put between or in a value's place."""
    for _ in range(chance.choice([1, 1, 2])):
        start = chance.randrange(len(content) + 1)
        end = min(len(content), start + chance.choice([0, 1, 1, 8, 200]))
        between = chance.choice([b"", b"\xff", bytes([chance.randrange(256)]), content[start:end] * 2])
        if chance.random() < 0.5:
            between = chance.choice(SNIPPETS).encode("utf-8", "surrogatepass")
            colon = content.find(b": ", start)
            if colon >= 0:
                start = colon + 2
                line = content.find(b"\n", start)
                end = chance.choice([start, len(content) if line < 0 else line])
        content = content[:start] + between + content[end:]
    return content if chance.random() > 0.05 else content[: chance.randrange(len(content) + 1)]


@functools.cache
def _parsed(content: bytes, is_json: bool) -> object:
    return json.loads(content) if is_json else yaml.load(content, _LOADER)


def mutant_of(content: bytes, is_json: bool, chance: random.Random) -> bytes:
    """One mutant of a file."""
    if chance.random() < 0.3:
        return garbled(content, chance)
    tree = mutated(_parsed(content, is_json), chance)
    text = (
        json.dumps(tree, indent=1) if is_json else yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    )
    return text.encode("utf-8", "surrogatepass")


class Range:
    """Where mutants are tried: a folder with a finished run, and a catalogue of its own. kinds: what is mutated."""

    def __init__(self, folder: Path, run: Path, spec: Path) -> None:
        self._folder, self._run = folder, folder / "runs" / MODEL / "small" / run.name
        shutil.copytree(run, self._run)
        self._originals = {path: path.read_bytes() for path in self._run.rglob("*") if path.is_file()}
        self._record = self._run / "record.json"
        self._whole = folder / "whole" / run.name
        shutil.copytree(run, self._whole)
        self._spec = spec.read_bytes()
        self._golden = folder / "golden" / MODEL / "small.yaml"
        self._command("--catalogue", str(folder), "accept", str(self._whole / "record.json"), "--reason", "r")
        (folder / "other").mkdir()
        shutil.copy(spec, folder / "small.yaml")
        self._read_once = read_record(self._whole / "record.json")
        self._values = self._golden.read_bytes()
        self.kinds: dict[str, Callable[[random.Random], None]] = {
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
                self.kinds[kind](random.Random(f"{kind}{seed}"))
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

    def _written(self, path: Path, content: bytes, chance: random.Random) -> str:
        self._mutant = mutant_of(content, path.suffix == ".json", chance)
        path.write_bytes(self._mutant)
        return str(path)

    def _of_a_spec(self, chance: random.Random) -> None:
        path = self._written(self._folder / "spec.yaml", self._spec, chance)
        self._command("validate", path)
        self._bound(Path(path), locations.find_variant(MODEL))
        if chance.random() < RARELY:
            self._command("plan", path, "--model", MODEL, "--out", str(self._folder / "runs"))

    def _of_a_variant(self, chance: random.Random) -> None:
        path = self._written(self._folder / "variant.yaml", locations.find_variant(MODEL).read_bytes(), chance)
        self._command("validate", path)
        self._bound(self._folder / "small.yaml", Path(path))
        if chance.random() < RARELY:
            self._command("plan", "figure-8", "--model", path, "--out", str(self._folder / "runs"))
            self._command("data", "list", "--model", path)

    def _bound(self, spec: Path, variant: Path) -> None:
        """What `run` does before it loads a model."""
        with contextlib.suppress(UserError):
            bind(load_yaml_model(spec, BenchmarkSpec), load_yaml_model(variant, ModelVariant), variant)

    def _of_golden_values(self, chance: random.Random) -> None:
        path = self._written(self._golden, self._values, chance)
        self._command("validate", path)
        own = ("--catalogue", str(self._folder))
        with contextlib.suppress(UserError):
            golden, record = load_yaml_model(self._golden, GoldenFile), self._read_once
            golden_checks(BenchmarkSpec.model_validate(record.spec), record.cells, {}, golden)
        if chance.random() < RARELY:
            self._command(*own, "report", "--markdown")
            self._command(*own, "accept", str(self._whole / "record.json"), "--reason", "r")

    def _of_a_record(self, chance: random.Random) -> None:
        self._read(self._written(self._record, self._originals[self._record], chance), chance)
        self._record.write_bytes(self._originals[self._record])

    def _of_a_file_of_the_run(self, chance: random.Random) -> None:
        """Manifests, cells, canaries, completions: what is beside the record."""
        path = chance.choice(sorted(self._originals))
        self._mutant = garbled(self._originals[path], chance)
        if path.suffix == ".json" and chance.random() < 0.7:
            self._mutant = mutant_of(self._originals[path], True, chance)
        path.write_bytes(self._mutant)
        journal = Journal(self._run)
        for cell in self._read_once.cells:
            journal.finished(cell.id)
            journal.departure(cell.id)
        journal.canaries()
        self._read(str(self._record), chance)
        path.write_bytes(self._originals[path])

    def _read(self, record: str, chance: random.Random) -> None:
        """One of the commands, or two."""
        commands = [
            ["verify", record],
            ["explain", record],
            ["explain", record, "intact", "--reference", str(self._whole)],
            ["explain", str(self._whole), "planted", "--reference", record, "--json"],
            ["compare", record, str(self._whole)],
            ["report", str(self._run), "--out", str(self._folder / "report.html")],
            ["report", str(self._run), "--markdown"],
            ["figure", record, "--out", str(self._folder / "figure.svg")],
            ["--catalogue", str(self._folder / "other"), "accept", record, "--reason", "r"],
            *([["plan", record, "--model", MODEL]] if chance.random() < RARELY else []),
        ]
        for command in chance.sample(commands, 2):
            self._command(*command)


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


def _long_run(seconds: float, seed: int, keep: Path, only: str | None) -> int:
    from tests.runs.conftest import SMALL, run_in_process

    with tempfile.TemporaryDirectory() as scratch:
        spec, variant = Path(scratch) / "small.yaml", locations.find_variant(MODEL)
        spec.write_text(SMALL)
        bound = bind(load_yaml_model(spec, BenchmarkSpec), load_yaml_model(variant, ModelVariant), variant)
        _, record = run_in_process(bound, Path(scratch) / "made")
        (Path(scratch) / "range").mkdir()
        place = Range(Path(scratch) / "range", record.parent, spec)
        end, tried, told = time.monotonic() + seconds, 0, set()
        while time.monotonic() < end:
            for kind in [only] if only else place.kinds:
                finding = place.tried(kind, seed + tried)
                tried += 1
                if finding is not None and (last := finding.where.strip().splitlines()[-1]) not in told:
                    told.add(last)
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{kind}-{finding.seed}").write_bytes(finding.mutant)
                    print(f"{kind} {finding.seed}: {finding.where}\n", flush=True)
    print(f"{tried} mutants, {len(told)} kinds of findings")
    return 1 if told else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("spec", "variant", "golden", "record", "run"))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    given = parser.parse_args()
    raise SystemExit(_long_run(given.seconds, given.seed, given.keep, given.only))

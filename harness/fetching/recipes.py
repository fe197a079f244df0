"""From pinned files to the files that a variant reads: every recipe is a function from a file to text."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyarrow import ArrowException, parquet
from transformers import PreTrainedTokenizerBase

from harness.calibration.files import read_lines
from harness.calibration.pairs import Pair, read_pairs
from harness.calibration.screening import normalised
from harness.data.sources import is_wrapped
from harness.errors import UserError
from harness.fetching import task_recipes
from harness.models.loading import load_tokenizer
from harness.models.prompts import PromptFormatter, PromptStyle, wrapped
from harness.reading import read_json
from harness.spec.variant import OWN_TEMPLATE, ModelVariant

#: The paper's split of AdvBench: this many first lines are evaluated, the others serve attribution (section 3).
EVALUATED_REQUESTS = 100
#: How many harmless requests are evaluated, and how many probes of heads are fitted to (appendix C.4).
BENIGN_EVALUATED, BENIGN_ATTRIBUTED = 100, 420
#: Rows of the utility file that a calibration set or a fine-tuning may draw: so many first ones of the permutation
#: of each of these seeds. No harmless request is one of them.
DRAWN_ROWS, DRAWN_SEEDS = 1024, range(10)
#: Seed of the choice of harmless requests, none of the above; and how many words such a request may have.
BENIGN_SEED, BENIGN_WORDS = 2024, range(4, 41)
#: How many words a seed task of self-instruct may have, its input with it, to be evaluated.
SEED_WORDS = range(4, 61)
#: What a row of alpaca-cleaned holds.
_ALPACA = ("instruction", "input", "output")
#: A prompt in the template of Llama 2.
_LLAMA_2 = re.compile(
    r"(?:<s>)?\s*\[INST\]\s*(?:<<SYS>>\n.*?\n<</SYS>>\n\n)?(?P<request>.*?)\s*\[/INST\]\s*", re.DOTALL
)


@dataclass(frozen=True)
class Wrapping:
    """How the prompts of a file are written. system_prompt: None for none.

    tokenizer: whose own template is meant, where `template` says so.
    """

    template: str
    system_prompt: str | None
    tokenizer: PreTrainedTokenizerBase | None = None

    def around(self, request: str) -> str:
        """The prompt of a request, without its opening."""
        if self._formatter is None:
            return wrapped(request, self.template, self.system_prompt)
        return self._formatter.text(request, PromptStyle(self.system_prompt is not None, chat_template=True))

    @functools.cached_property
    def _formatter(self) -> PromptFormatter | None:
        """One for all requests: what texts begin with takes a template's rendering to find."""
        if self.tokenizer is None:
            return None
        return PromptFormatter(self.tokenizer, self.template, self.system_prompt or "")


def wrapping_of(variant: ModelVariant, variant_file: Path, dataset: str) -> Wrapping:
    """How a variant wants the prompts of a data set. Raises UserError where its own template cannot be had."""
    wanted, own = variant.datasets[dataset].system_prompt, variant.chat_template == OWN_TEMPLATE
    tokenizer = load_tokenizer(variant, variant_file) if own and is_wrapped(variant, dataset) else None
    return Wrapping(variant.chat_template, variant.system_prompt if wanted else None, tokenizer)


def advbench_evaluation(path: Path, wrapping: Wrapping) -> str:
    """The first 100 requests."""
    return _as_lines(_advbench(path)[:EVALUATED_REQUESTS])


def advbench_attribution(path: Path, wrapping: Wrapping) -> str:
    """The other requests."""
    return _as_lines(_advbench(path)[EVALUATED_REQUESTS:])


def rewrapped(path: Path, wrapping: Wrapping) -> str:
    """The authors' pairs in another template; of a response, the space around it goes, which was Llama 2's."""
    pairs = read_pairs(path)
    return _as_csv(
        (wrapping.around(request), pair.response.strip())
        for request, pair in zip(requests_of(pairs, path), pairs, strict=True)
    )


def wrapped_alpaca(path: Path, wrapping: Wrapping) -> str:
    """The pairs of alpaca-cleaned; an input stands below its instruction, with an empty line between.

    How the authors joined both is not published. Raises UserError for a row without output.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"{path}: expected a list of rows")
    pairs = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in _ALPACA):
            raise UserError(f"{path}: row {number} is none; expected the texts {', '.join(_ALPACA)} in every row")
        if not row["instruction"].strip() or not row["output"].strip():
            raise UserError(f"{path}: row {number} has no instruction or no output; expected both in every row")
        request = "\n\n".join(part.strip() for part in (row["instruction"], row["input"]) if part.strip())
        pairs.append((wrapping.around(request), row["output"].strip()))
    return _as_csv(pairs)


def benign_evaluation(path: Path, wrapping: Wrapping) -> str:
    """Harmless requests to be evaluated, from the authors' utility file."""
    return _as_lines(benign_requests(requests_of(read_pairs(path), path))[:BENIGN_EVALUATED])


def benign_attribution(path: Path, wrapping: Wrapping) -> str:
    """Harmless requests for probes, as in the paper from the utility file; none that is evaluated."""
    return _as_lines(benign_requests(requests_of(read_pairs(path), path))[BENIGN_EVALUATED:])


def joined_wikitext(path: Path, wrapping: Wrapping) -> str:
    """All rows joined by empty lines, as in the published code (lib/data.py, get_wikitext2)."""
    try:
        return "\n\n".join(parquet.read_table(path, columns=["text"]).column("text").to_pylist())
    except (ArrowException, OSError, KeyError, TypeError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a Parquet file with a column of texts: {words}") from None


def self_instruct_pairs(path: Path, wrapping: Wrapping) -> str:
    """The requests of self-instruct with the answers of its authors; an input stands below its instruction."""
    return _as_csv((wrapping.around(task.request), task.output) for task in self_instruct_tasks(path))


def self_instruct_requests(path: Path, wrapping: Wrapping) -> str:
    """Harmless requests of one line to be evaluated, in an order of their own: an input stands behind its instruction.

    Raises UserError where there are too few.
    """
    whole = [task.in_one_line for task in self_instruct_tasks(path)]
    fit = [text for text in whole if len(text.splitlines()) == 1 and len(text.split()) in SEED_WORDS]
    if len(fit) < BENIGN_EVALUATED:
        raise UserError(f"{path}: {len(fit)} requests are of one line; expected {BENIGN_EVALUATED} at least")
    return _as_lines([fit[index] for index in _order(len(fit), BENIGN_SEED)[:BENIGN_EVALUATED]])


@dataclass(frozen=True)
class SelfInstructTask:
    """A request of self-instruct: an instruction, perhaps with an input, and the answer of its authors."""

    instruction: str
    input: str
    output: str

    @property
    def request(self) -> str:
        """An input stands below its instruction."""
        return "\n\n".join(filter(None, (self.instruction, self.input)))

    @property
    def in_one_line(self) -> str:
        """An input stands behind its instruction."""
        return " ".join(filter(None, (self.instruction, self.input)))


def self_instruct_tasks(path: Path) -> list[SelfInstructTask]:
    """Tasks of self-instruct with their first instance. Raises UserError for a line that is none."""
    tasks = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = json.loads(line)
            first = row["instances"][0]
            task = SelfInstructTask(*(text.strip() for text in (row["instruction"], first["input"], first["output"])))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise UserError(f"{path}:{number}: not a task of self-instruct") from None
        tasks.append(task)
    return [task for task in tasks if task.instruction and task.output]


#: By the source that a variant names.
RECIPES: dict[str, Callable[[Path, Wrapping], str]] = {
    "advbench-evaluation": advbench_evaluation,
    "advbench-attribution": advbench_attribution,
    "utility": rewrapped,
    "alpaca-cleaned": wrapped_alpaca,
    "benign-evaluation": benign_evaluation,
    "benign-attribution": benign_attribution,
    "wikitext2-test": joined_wikitext,
    "llama2-refusals": rewrapped,
    "self-instruct": self_instruct_pairs,
    "self-instruct-requests": self_instruct_requests,
    "science-passages": lambda path, wrapping: task_recipes.passages(path),
    "sciq": lambda path, wrapping: task_recipes.sciq(path),
    "commonsense-qa": lambda path, wrapping: task_recipes.commonsense_qa(path),
}


def requests_of(pairs: Sequence[Pair], path: Path) -> list[str]:
    """What stands in the prompts, without the template of Llama 2 and its system prompt.

    Raises UserError for a prompt that is not wrapped so: its template would stay inside another one.
    """
    requests = []
    for number, pair in enumerate(pairs, start=1):
        found = _LLAMA_2.fullmatch(pair.prompt)
        if found is None or not found["request"].strip() or "[INST]" in found["request"]:
            raise UserError(
                f"{path}: the prompt of pair {number} is not one request between [INST] and [/INST]: "
                f"{pair.prompt[:60]!r}"
            )
        requests.append(found["request"])
    return requests


def benign_requests(
    requests: Sequence[str], count: int = BENIGN_EVALUATED + BENIGN_ATTRIBUTED, drawn_rows: int = DRAWN_ROWS
) -> list[str]:
    """Requests of one line that no draw for calibration takes, in an order of their own.

    Raises UserError where there are too few.
    """
    drawn = {int(row) for seed in DRAWN_SEEDS for row in _order(len(requests), seed)[:drawn_rows]}
    taken = {normalised(requests[row]) for row in drawn}
    left = {normalised(request): request for row, request in enumerate(requests) if row not in drawn}
    fit = [
        request
        for words, request in left.items()
        if words not in taken and len(request.splitlines()) == 1 and len(request.split()) in BENIGN_WORDS
    ]
    if len(fit) < count:
        raise UserError(
            f"{len(fit)} harmless requests are left in the utility file, {count} are needed; expected the "
            "authors' file of 45,874 pairs"
        )
    return [fit[index] for index in _order(len(fit), BENIGN_SEED)[:count]]


def _order(count: int, seed: int) -> np.ndarray:
    """The order in which harness.calibration.pairs.draw takes the rows of a file."""
    return np.random.default_rng(seed).permutation(count)


def _advbench(path: Path) -> list[str]:
    lines = read_lines(path)
    if len(lines) <= EVALUATED_REQUESTS:
        raise UserError(
            f"{path}: holds {len(lines)} requests; expected more than the {EVALUATED_REQUESTS} that are "
            "evaluated, so that some are left for attribution"
        )
    return lines


def _as_lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _as_csv(rows: Iterable[tuple[str, str]]) -> str:
    """CSV text with the columns prompt and response."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("prompt", "response"))
    writer.writerows(rows)
    return buffer.getvalue()

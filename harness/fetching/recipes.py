"""From pinned files to the files that a variant reads: every recipe is a function from a file to text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyarrow import ArrowException, parquet

from harness.calibration.files import read_lines
from harness.calibration.pairs import Pair, read_pairs
from harness.calibration.screening import normalised
from harness.errors import UserError
from harness.models.prompts import wrapped
from harness.reading import read_json
from harness.spec.variant import ModelVariant

#: The paper's split of AdvBench: this many first lines are evaluated, the others serve attribution (section 3).
EVALUATED_REQUESTS = 100
#: How many harmless requests are evaluated, and how many probes of heads are fitted to (appendix C.4).
BENIGN_EVALUATED, BENIGN_ATTRIBUTED = 100, 420
#: Rows of the utility file that a calibration set or a fine-tuning may draw: so many first ones of the permutation
#: of each of these seeds. No harmless request is one of them.
DRAWN_ROWS, DRAWN_SEEDS = 1024, range(10)
#: Seed of the choice of harmless requests, none of the above; and how many words such a request may have.
BENIGN_SEED, BENIGN_WORDS = 2024, range(4, 41)
#: What a row of alpaca-cleaned holds.
_ALPACA = ("instruction", "input", "output")
#: A prompt in the template of Llama 2.
_LLAMA_2 = re.compile(
    r"(?:<s>)?\s*\[INST\]\s*(?:<<SYS>>\n.*?\n<</SYS>>\n\n)?(?P<request>.*?)\s*\[/INST\]\s*", re.DOTALL
)


@dataclass(frozen=True)
class Wrapping:
    """How the prompts of a file are written. system_prompt: None for none."""

    template: str
    system_prompt: str | None


def wrapping_of(variant: ModelVariant, dataset: str) -> Wrapping:
    """How a variant wants the prompts of a data set."""
    wanted = variant.datasets[dataset].system_prompt
    return Wrapping(variant.chat_template, variant.system_prompt if wanted else None)


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
        (wrapped(request, wrapping.template, wrapping.system_prompt), pair.response.strip())
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
        pairs.append((wrapped(request, wrapping.template, wrapping.system_prompt), row["output"].strip()))
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


#: By the source that a variant names.
RECIPES: dict[str, Callable[[Path, Wrapping], str]] = {
    "advbench-evaluation": advbench_evaluation,
    "advbench-attribution": advbench_attribution,
    "utility": rewrapped,
    "alpaca-cleaned": wrapped_alpaca,
    "benign-evaluation": benign_evaluation,
    "benign-attribution": benign_attribution,
    "wikitext2-test": joined_wikitext,
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

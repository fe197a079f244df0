"""A tolerance is widened until the benchmark passes: then it passes whatever is measured."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.base import VALIDATE, Outcome, Trial, refusal
from harness.spec import locations
from harness.spec.validation import validate_files

NUMBER = 21
TITLE = "A tolerance wide enough for anything"
CAUGHT_BY = (VALIDATE,)


@contextmanager
def injected() -> Iterator[None]:
    """The fault lies in a file; the code is as it is."""
    yield


def run(trial: Trial) -> Outcome:
    """Validate a shipped golden file in which a success rate may be anything from 0 to 1."""
    text = locations.golden_path("tiny-llama2-chat", "figure-2a").read_text(encoding="utf-8")
    wide, found = re.subn(r"(cell: planted, metric: asr_vanilla,.*?width: )[\d.]+", r"\g<1>1.0", text)
    if found != 1:
        raise ValueError("the shipped golden file has no tolerance of that metric to widen")
    path = trial.folder / "figure-2a.yaml"
    path.write_text(wide, encoding="utf-8")
    return refusal(VALIDATE, lambda: validate_files([path]))

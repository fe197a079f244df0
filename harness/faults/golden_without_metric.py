"""A metric is struck from a golden file: nobody would see it change."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.faults.base import VALIDATE, Outcome, Trial, refusal
from harness.spec import locations
from harness.spec.validation import validate_files

NUMBER = 21
TITLE = "A golden file without the metric"
CAUGHT_BY = (VALIDATE,)


@contextmanager
def injected() -> Iterator[None]:
    """The fault lies in a file; the code is as it is."""
    yield


def run(trial: Trial) -> Outcome:
    """Validate a shipped golden file that has lost one figure of one cell."""
    lines = locations.golden_path("tiny-llama2-chat", "figure-2a").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if "cell: planted, metric: asr_vanilla," not in line]
    if len(kept) != len(lines) - 1:
        raise ValueError("the shipped golden file has no line of that metric to strike")
    path = trial.folder / "figure-2a.yaml"
    path.write_text("".join(kept), encoding="utf-8")
    return refusal(VALIDATE, lambda: validate_files([path]))

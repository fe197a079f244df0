"""Parts of records made by hand: what a test does not speak of has one value everywhere."""

from typing import Any

from harness.spec.measurement import Completion
from harness.spec.provenance import Arithmetic, Provenance
from harness.spec.result import CellResult


def provenance(**told: Any) -> Provenance:
    """Where a record says that it comes from."""
    facts = {
        "started": "a",
        "finished": "2026-01-01",
        "command": "harness run b --model tiny",
        "git_commit": None,
        "git_dirty": None,
        "source_sha256": "s",
        "packages": {},
        "python": "3",
        "platform": "p",
        "processor": "c",
        "threads": 1,
        "processes": 1,
        "accelerator": None,
        "image_digest": None,
        "model_sha256": "m",
        "tokenizer_sha256": "t",
        "data_sha256": {},
    }
    return Provenance(**{**facts, **told})


#: What a processor multiplies with.
ARITHMETIC = Arithmetic(
    cpu_capability="AVX2",
    blas="mkl",
    lapack="mkl",
    onednn=True,
    float32_products="highest",
    denormals="kept",
    limits={"MKL_CBWR": "AVX2"},
)


def completion(text: str = "", **told: Any) -> Completion:
    """A text as an engine gave it, judged where `completion_class` is told."""
    facts = {
        "evaluation": "vanilla",
        "prompt_index": 0,
        "sample_index": 0,
        "suffix_index": None,
        "prompt": "p",
        "token_ids": (),
        "finish_reason": "stop",
    }
    return Completion(**{**facts, "text": text, **told})


def cell_result(cell: str = "top", **told: Any) -> CellResult:
    """What became of a cell that removed nothing and wrote no text."""
    facts = {
        "id": cell,
        "group": cell,
        "title": cell.capitalize(),
        "parameters": {},
        "receipt": None,
        "measurements": (),
        "completion_classes": {},
        "invalid_is_expected": None,
        "completions_sha256": "",
        "seconds": 1.0,
    }
    return CellResult(**{**facts, **told})

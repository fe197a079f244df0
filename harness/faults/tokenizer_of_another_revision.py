"""After the model was loaded and checked, its tokenizer is replaced by one of another revision: two merges differ."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer

from harness.faults.seam import replaced

NUMBER = 10
TITLE = "Tokenizer of the same family, of another revision"
CAUGHT_BY = ("load", "prompts/tokenizer")
CELLS = ()

#: Places in the list of merges that change places.
_MERGES = (2, 200)


def _with_two_merges_swapped(tokenizer: Any) -> Any:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    merges = content["model"]["merges"]
    one, other = _MERGES
    merges[one], merges[other] = merges[other], merges[one]
    changed = copy.deepcopy(tokenizer)
    changed._tokenizer = Tokenizer.from_str(json.dumps(content))
    return changed


def _of_another_revision(original: Callable[..., Any]) -> Callable[..., Any]:
    def load_variant(*arguments: Any) -> Any:
        loaded = original(*arguments)
        return replace(loaded, tokenizer=_with_two_merges_swapped(loaded.tokenizer))

    return load_variant


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.runs.workbench:load_variant", _of_another_revision):
        yield

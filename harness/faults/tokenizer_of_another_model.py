"""The tokenizer is loaded from the folder of another model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.faults.seam import replaced
from harness.organisms.catalogue import organism_directory

NUMBER = 10
TITLE = "Tokenizer of another model"
CAUGHT_BY = ("load", "prompts/tokenizer")
CELLS = ()

_OTHER = {"tiny-llama2-chat": "tiny-llama3-instruct", "tiny-llama3-instruct": "tiny-llama2-chat"}


class _OfTheOther:
    """AutoTokenizer, with the folder of the other organism."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def from_pretrained(self, place: str, **options: Any) -> Any:
        """As transformers' own."""
        for name, other in _OTHER.items():
            if str(place) == str(organism_directory(name)):
                return self._original.from_pretrained(str(organism_directory(other)), **options)
        return self._original.from_pretrained(place, **options)


@contextmanager
def injected() -> Iterator[None]:
    """With the fault."""
    with replaced("harness.models.loading:AutoTokenizer", _OfTheOther):
        yield

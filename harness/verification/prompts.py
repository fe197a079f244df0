"""What texts were asked for: the lines of the files that the spec names, in one frame, under the declared seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.spec.manifest import OWN_TEXTS, below, canary_file, own_bytes, requests_file, unpacked
from harness.spec.measurement import Completion
from harness.spec.variant import OWN_TEMPLATE
from harness.verification.findings import Ledger
from harness.verification.recorded import Recorded


@dataclass(frozen=True)
class Asked:
    """The lines of each file of requests and suffixes, by the names of their data sets."""

    lines: Mapping[str, Sequence[str]]

    def suffixes(self, entry: Any) -> Sequence[int | None]:
        """The numbers of an evaluation's suffixes; of one without, that of none."""
        return range(len(self.lines.get(entry.suffixes, ())) or 1) if entry.suffixes else [None]

    def content(self, entry: Any, text: Completion) -> str | None:
        """What the user says in the prompt of a text, or None where the files have no such line."""
        requests, number = self.lines.get(entry.dataset, ()), text.suffix_index
        suffixes = self.lines.get(entry.suffixes, ()) if entry.suffixes else ()
        if not 0 <= text.prompt_index < len(requests) or (number is not None and not 0 <= number < len(suffixes)):
            return None
        return requests[text.prompt_index] + ("" if number is None else f" {suffixes[number]}")


def called(text: Completion) -> str:
    """What a text is called in differences."""
    suffix = "" if text.suffix_index is None else f", suffix {text.suffix_index}"
    return f"{text.evaluation}: prompt {text.prompt_index}{suffix}, sample {text.sample_index}"


def marked(text: str) -> str:
    """What stands for a text in differences, which end up in records: no text of a model does."""
    return f"SHA-256 {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def read_asked(run: Recorded, ledger: Ledger) -> Asked:
    """The files of requests beside the record, which have to be those whose hashes it has."""
    lines: dict[str, list[str]] = {}
    hashes = run.record.provenance.data_sha256
    asking = [entry for entry in run.spec.evaluations if entry.generates_texts]
    for name in dict.fromkeys(name for entry in asking for name in entry.datasets):
        file = requests_file(name)
        try:
            content = unpacked(own_bytes(run.folder, file))
            text = content.decode("utf-8-sig")
        except UserError as error:
            ledger.wrong("file", "the run", file, below(run.folder, error), "the requests that were asked")
            continue
        except UnicodeDecodeError as error:
            ledger.wrong("file", "the run", file, str(error), "text")
            continue
        ledger.same("data", "the run", file, hashlib.sha256(content).hexdigest(), hashes.get(name))
        lines[name] = [stripped for line in text.replace("\r", "\n").split("\n") if (stripped := line.strip())]
    for entry in asking:
        if entry.dataset in lines and len(lines[entry.dataset]) < entry.prompts:
            held = len(lines[entry.dataset])
            ledger.wrong("data", "the run", f"requests of {entry.name}", held, f"{entry.prompts} at least")
    return Asked(lines)


def check_prompts(run: Recorded, asked: Asked, ledger: Ledger) -> None:
    """Every text under its request, in the frame of its evaluation, and under its seed."""
    frames: dict[str, tuple[str, str]] = {}
    own = [(OWN_TEXTS, text, run.spec.validity.seed) for text in run.own_texts or ()]
    measured = [(cell.id, text, None) for cell in run.record.cells for text in run.texts.get(cell.id, ())]
    measured += [(canary_file(state), text, None) for state, texts in run.canaries.items() for text in texts]
    for place, text, seed in [*measured, *own]:
        entry: Any = run.by_name.get(text.evaluation)
        if entry is None or not entry.generates_texts:
            continue
        wanted = (entry.seed if seed is None else seed, text.prompt_index, text.suffix_index or 0, text.sample_index)
        ledger.same("seed", place, called(text), text.seed, wanted)
        content = asked.content(entry, text)
        if content is not None:  # else the file is missing, or shorter than the spec asks, and that has been noted
            prompt = _prompt(content, text.prompt, frames, entry.name)
            if ledger.same("prompt", place, called(text), marked(text.prompt), marked(prompt)):
                _check_system_prompt(run, place, entry, text, ledger)


def _prompt(content: str, prompt: str, frames: dict[str, tuple[str, str]], evaluation: str) -> str:
    """What a request looks like in the frame of its evaluation, which is that of its first text with a request."""
    before, found, after = prompt.partition(content)
    if found:
        frames.setdefault(evaluation, (before, after))
    return content.join(frames.get(evaluation, ("", "")))


def _check_system_prompt(run: Recorded, place: str, entry: Any, text: Completion, ledger: Ledger) -> None:
    """Whether it is in the prompt. A tokenizer's own template may put the very same one in where none is given."""
    told = str(run.record.variant.get("system_prompt", "")).strip()
    may_be_default = run.record.variant.get("chat_template") == OWN_TEMPLATE and not entry.system_prompt
    if told and entry.chat_template and not may_be_default:
        ledger.same("system prompt", place, called(text), told in text.prompt, entry.system_prompt)

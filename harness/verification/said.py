"""What stands in the words of receipts and follows from the spec, the record and the files: each as a pattern."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from harness.spec.cell import Cell
from harness.spec.receipt import StageReceipt
from harness.spec.result import CellResult
from harness.verification.completions import limit_of
from harness.verification.recorded import Recorded
from harness.verification.texts import published_phrases

#: Kinds of evaluations and regions that ship.
KINDS = frozenset(
    {"attack", "zero_shot", "perplexity", "overlap", "rescored_overlap", "subspace_similarity", "probing", "drift"}
)
SELECTS = frozenset(
    {
        *("top", "bottom", "set-difference", "planted", "matched-random", "attention-heads"),
        *("act-svd", "orthogonal-projection"),
    }
)
_NO_WORDS = "(?!)"
#: How many weights of a layer type are to be selected, in the words of mask/share.
_BOUNDS = r"(\w+): (\d+)(?: to (\d+))? of \d+"
_GROUPS = {"row": "each row", "matrix": "the whole matrix"}
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""


def saying(run: Recorded, cell: CellResult | None, receipt: StageReceipt) -> Mapping[str, str]:
    """By the names of places in words_of_receipts.txt. cell: None of a canary, whose words follow from its evidence."""
    if cell is None:
        return {}
    declared = run.declared.get(cell.id)
    return {
        **_of_the_spec(run, cell),
        **_of_prompts(run, cell, receipt),
        **_of_regions(run, cell, declared, receipt),
        **_of_fine_tuning(cell),
        "judge": re.escape(receipt.name.removeprefix("judge-")),
        "needed": _tokens(receipt, "needed"),
        "in_force": _tokens(receipt, "in_force"),
    }


def _of_the_spec(run: Recorded, cell: CellResult) -> dict[str, str]:
    entries = run.entries_of(cell)
    asking = [entry for entry in entries if entry.generates_texts]
    limits = sorted(f"{entry.name} {limit_of(run, entry)}" for entry in asking)
    told = [f"{e.name} " + ("greedily" if e.temperature == 0 else f"at temperature {e.temperature:g}") for e in asking]
    limit = next((entry.limit for entry in entries if entry.asks_tasks), None)
    changed = cell.receipt is not None or cell.fine_tuning is not None
    return {
        "limits": re.escape(", ".join(limits)),
        "decodings": re.escape(", ".join(told)),
        "items": "all of them" if limit is None else f"limit {limit}",
        "tasks": r"\d+",
        "dtype": re.escape(str(run.record.variant.get("dtype"))),
        "phrases": str(len(published_phrases())),
        "words": "20",
        "against_intact": "a changed model, whose negative log-likelihood of a plain text may be any"
        if changed
        else "the intact model's own negative log-likelihood of a plain text",
    }


def _of_prompts(run: Recorded, cell: CellResult, receipt: StageReceipt) -> dict[str, str]:
    asking = [entry for entry in run.entries_of(cell) if entry.generates_texts]
    has_one = bool(str(run.record.variant.get("system_prompt") or "").strip())
    with_one = [entry.name for entry in asking if entry.system_prompt and entry.chat_template and has_one]
    return {
        "template": re.escape(repr(run.record.variant.get("chat_template"))),
        "ends": _ends(run, cell, receipt),
        "with_system_prompt": re.escape(", ".join(with_one) or "no evaluation"),
    }


def _ends(run: Recorded, cell: CellResult, receipt: StageReceipt) -> str:
    """Anything, where every prompt on disk has one of the ends that are named, and each of them is one's."""
    texts = run.texts.get(cell.id, ())
    named = [str(ast.literal_eval(each)) for each in re.findall(_QUOTED, receipt.expected.partition(", ending in ")[2])]
    one_of = all(any(text.prompt.endswith(end) for end in named) for text in texts)
    used = all(any(text.prompt.endswith(end) for text in texts) for end in named)
    return ".*" if not texts or (one_of and used) else _NO_WORDS


def _tokens(receipt: StageReceipt, field: str) -> str:
    """`'</s>' (2)`, of each id in the evidence."""
    numbers = str(receipt.evidence.get(field, "")).split()
    return ", ".join(rf".+? \({re.escape(number)}\)" for number in numbers)


def _of_regions(run: Recorded, cell: CellResult, declared: Cell | None, receipt: StageReceipt) -> dict[str, str]:
    if declared is None:
        return {}
    asked = [*declared.regions, *run.entries_of(cell)]
    parts = [part for each in asked for part in _parts(each.model_dump(mode="json"))]
    default = run.spec.attribution.model_dump(mode="json").get("comparison_group")
    groups = dict.fromkeys(str(part.get("comparison_group") or default) for part in parts)
    return {
        "files": _files(run, declared, receipt),
        "edited": _edited(cell),
        "some_blocks": _blocks(cell, receipt),
        "measured": _measured(run, parts),
        "rule": _one_of(_told(_RULES, parts)),
        "ranks": _one_of(_told(_RANKS, parts)),
        "group": _one_of(_GROUPS[group] for group in groups if group in _GROUPS),
        "heads": r"\d+ of \d+ heads",
        **_of_evidence(receipt),
        **_shares_of_weights(cell, declared, receipt),
    }


def _parts(content: Any) -> Iterator[dict[str, Any]]:
    """A region, and the regions that it is made of."""
    if isinstance(content, dict):
        if content.get("select"):
            yield content
        for value in content.values():
            yield from _parts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _parts(value)


def _files(run: Recorded, declared: Cell, receipt: StageReceipt) -> str:
    if receipt.name == "training-samples":
        names = [] if declared.fine_tuning is None else [declared.fine_tuning.dataset]
    else:
        sets = [name for region in declared.regions for name in region.calibration_sets]
        names = [run.spec.calibration[name].dataset for name in sets]
    one = f"the file of '{_one_of(names)}'"
    return f"{one}(?: and {one})*"


def _edited(cell: CellResult) -> str:
    if cell.receipt is None:
        return "the weights of the intact model"
    rest = "and every other weight as in the intact model"
    if cell.receipt.weights_selected is not None:
        return f"the {cell.receipt.weights_selected} selected weights at zero {rest}"
    return rf"the ranks of {len(cell.receipt.rank_by_layer)} layers taken out {rest}"


def _blocks(cell: CellResult, receipt: StageReceipt) -> str:
    """`blocks 1 and 4 of 4`, as many as the model has, and as many of them as were looked at."""
    known = [s.of for each in cell.receipts for s in each.looked_at if s.what == "blocks"]
    looked = [share.seen for share in receipt.looked_at if share.what == "blocks"]
    more = r"(?: and \d+)*" if not looked else r" and \d+" * (looked[0] - 1)
    told = re.search(r"blocks? (\d+(?: and \d+)*) of (\d+)", receipt.expected)
    if told is not None:
        *numbers, of = map(int, [*told[1].split(" and "), told[2]])
        if numbers != sorted({*numbers}) or not 1 <= numbers[0] <= numbers[-1] <= of:
            return _NO_WORDS
    return r"blocks? \d+" + more + " of " + (str(known[0]) if known else r"\d+")


def _measured(run: Recorded, parts: list[dict[str, Any]]) -> str:
    methods = {str(part["method"]) for part in parts if "method" in part} | {"gram"}
    one = f"{_one_of(sorted(methods))}(?: on {_one_of(run.spec.calibration)})?"
    return f"{one}(?: and {one})*"


#: How a region says which weights are selected, and which ranks are taken out of every layer.
_RULES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "top": lambda part: f"are the most important {part['fraction']:g}",
    "bottom": lambda part: f"are the least important {part['fraction']:g}",
    "set-difference": lambda part: (
        f"are in the top {part['q']:g} of safety and not in the top {part['p']:g} of utility"
    ),
}
_RANKS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "act-svd": lambda part: (
        f"the {'most' if part['end'] == 'top' else 'least'} important {part['rank']} rank(s) of its outputs"
    ),
    "orthogonal-projection": lambda part: (
        f"all but the least {part['safety_rank_removed']} safety rank(s), without all but the least "
        f"{part['utility_rank_removed']} utility rank(s)"
    ),
}


def _told(how: Mapping[str, Callable[[Mapping[str, Any]], str]], parts: list[dict[str, Any]]) -> Iterator[str]:
    """In the words of each region that has any."""
    return (how[part["select"]](part) for part in parts if how.get(part["select"]))


def _of_evidence(receipt: StageReceipt) -> dict[str, str]:
    """What the words of scores say of their evidence."""
    numbers = {key: value for key, value in receipt.evidence.items() if isinstance(value, int | float)}
    off = [value for key, value in numbers.items() if key.endswith("_departure")]
    places = {key.removesuffix("_place"): value for key, value in numbers.items() if key.endswith("_place")}
    side = "above the middle" if max(places.values(), default=0) > 0.5 else "below the middle"
    ending = "_negative_by_definition"
    counted = [f"{value} below it as {key.removesuffix(ending)}" for key, value in numbers.items() if ending in key]
    below = _one_of(counted) if counted else _NO_WORDS
    told = [f"{place:.3f} on {'its' if role == 'data' else role} data" for role, place in places.items()]
    return {
        "largest_departure": re.escape(f"{max(off, default=0.0):.1g}"),
        "stand": side if len(places) < 2 else "at least as high on safety as on utility data",
        "below": f"{below}(?: and {below})*",  # once for each block that was looked at
        "places": re.escape(" and ".join(told)),
    }


def _shares_of_weights(cell: CellResult, declared: Cell, receipt: StageReceipt) -> dict[str, str]:
    """How many weights of each layer type are selected, of how many: what is said fits the shares, and the edit's."""
    if receipt.name != "share":
        return {}
    asked, seen, told = [], [], {}
    sizes = dict(re.findall(r"(\w+): \d+(?: to \d+)? of (\d+)", receipt.expected))
    bounds = {kind: (int(low), int(high or low)) for kind, low, high in re.findall(_BOUNDS, receipt.expected)}
    for kind, count in re.findall(r"(\w+): (\d+)", receipt.seen):
        share = receipt.evidence.get(f"{kind}_share")
        told[kind] = int(count)
        low, high = bounds.get(kind, (0, -1))
        if not low <= int(count) <= high:
            return {"asked_shares": _NO_WORDS, "selected": _NO_WORDS}
        if not isinstance(share, int | float) or kind not in sizes or abs(int(count) - share * int(sizes[kind])) > 1e-3:
            return {"asked_shares": _NO_WORDS, "selected": _NO_WORDS}
        asked.append(rf"{kind}: \d+(?: to \d+)? of {sizes[kind]}")
        seen.append(f"{kind}: {count}")
    edit = cell.receipt
    rule = None if declared.region is None else _RULES.get(declared.region.select)  # else the share is another region's
    if edit is not None and rule is not None and edit.weights_selected is not None:
        fits = sum(told.values()) == edit.weights_selected and told.keys() == edit.sparsity_by_layer_type.keys()
        types = edit.sparsity_by_layer_type
        fits = fits and all(abs(types[kind] * int(sizes[kind]) - count) < 1e-3 for kind, count in told.items())
        if not fits or edit.weights_total != sum(map(int, sizes.values())):
            return {"asked_shares": _NO_WORDS, "selected": _NO_WORDS}
    return {"asked_shares": ", ".join(asked), "selected": ", ".join(seen)}


def _of_fine_tuning(cell: CellResult) -> dict[str, str]:
    tuning = cell.fine_tuning
    if tuning is None:
        return {}
    settings, lora = tuning.settings, tuning.settings.get("lora")
    batch = _whole(settings.get("batch_size")) * _whole(settings.get("gradient_accumulation"))
    what = "the linear layers" if settings.get("parameters") == "linear_layers" else "all parameters"
    if isinstance(lora, dict):
        what = f"adapters on {', '.join(map(str, lora.get('layer_types', ())))}"
    rate = settings.get("learning_rate")
    return {
        "steps": str(tuning.steps),
        "first_samples": str(min(batch, tuning.examples)),
        "schedule": re.escape(f"{settings.get('learning_rate_schedule')} from {_number(rate):g}"),
        "what_trains": re.escape(what),
        "update": "the product of its adapters" if lora else "what was trained",
    }


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _one_of(words: Iterable[str]) -> str:
    found = [re.escape(each) for each in dict.fromkeys(words)]
    return f"(?:{'|'.join(found)})" if found else ".+"

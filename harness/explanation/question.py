"""What a cell was asked to be, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import plugins
from harness.errors import UserError

Declared = Mapping[str, Any]


def asked_for(declared: Declared, spec: Declared) -> str:
    """One sentence on what was done to the model.

    declared: the cell as its spec expands it, with `region` or `fine_tuning`. spec: of the record.
    """
    if region := declared.get("region"):
        return f"remove {region_words(region, spec)}"
    if tuning := declared.get("fine_tuning"):
        frozen = tuning.get("frozen")
        kept = f", {region_words(frozen, spec)} frozen" if frozen else ", nothing frozen"
        return f"fine-tune ({tuning.get('method')}) on {tuning.get('examples', 'all')} examples{kept}"
    return "leave the model as it is"


def region_words(region: Declared, spec: Declared) -> str:
    """Which weights or ranks a region declares."""
    words = _WORDS.get(region["select"], lambda region: f"the region {region['select']}")
    if region["select"] == "matched-random":
        return f"random weights as large as those of another region, which is {region_words(region['of'], spec)}"
    return words(region) + _how(region, spec)


def _how(region: Declared, spec: Declared) -> str:
    """The settings that differ silently, of regions that have them."""
    settings = {**spec.get("attribution", {}), **{key: value for key, value in region.items() if value is not None}}
    parts = []
    if sets := [region[key] for key in ("data", "safety", "utility") if region.get(key)]:
        sizes = {spec.get("calibration", {}).get(name, {}).get("samples") for name in sets} - {None}
        parts += [f"{' and '.join(map(str, sorted(sizes)))} calibration pairs"] if sizes else []
        block_by_block = settings.get("schedule") == "block_by_block"
        parts.append("block by block" if block_by_block else "all blocks scored on the intact model")
    if "method" in region:
        whole = settings.get("comparison_group") == "matrix"
        parts.append("compared over whole matrices" if whole else "compared within rows")
    return f" ({', '.join(parts)})" if parts else ""


def _method(name: str) -> tuple[str, bool]:
    """What people call a method, and whether its scores rest on the model; a record may be of one that is not here."""
    try:
        declared = plugins.load("attribution", name).Method
    except UserError:
        return name, True
    return declared.title or name, declared.uses_model


def _share(value: float) -> str:
    return f"{100 * value:.3g}%"


def _scored(region: Declared, end: str) -> str:
    title, uses_model = _method(region["method"])
    if not uses_model:
        return f"a random {_share(region['fraction'])} of the weights"
    data = f" on {region['data']} data" if region.get("data") else ""
    return f"the {end} {_share(region['fraction'])} of the weights by {title} importance{data}"


_WORDS = {
    "top": lambda region: _scored(region, "most important"),
    "bottom": lambda region: _scored(region, "least important"),
    "set-difference": lambda region: (
        f"the weights that are among the top {_share(region['q'])} for {region['safety']} and not among the top "
        f"{_share(region['p'])} for {region['utility']}, by {_method(region['method'])[0]} importance"
    ),
    "planted": lambda region: "the planted region, which is known to carry the refusals",
    "attention-heads": lambda region: (
        f"the {_share(region['fraction'])} of the attention heads that tell harmful from harmless prompts best"
    ),
    "act-svd": lambda region: (
        f"the {region.get('end', 'top')} {region['rank']} rank(s) of every layer's outputs on {region['data']} data "
        "(ActSVD)"
    ),
    "orthogonal-projection": lambda region: (
        f"ranks by orthogonal projection (r_u {region['utility_rank_removed']}, r_s {region['safety_rank_removed']})"
    ),
}

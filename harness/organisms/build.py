"""Build an organism from its recipe: weights, planted truth, data, and a manifest of it all."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaForCausalLM

from harness.errors import UserError
from harness.organisms.alignment import align
from harness.organisms.base_training import train_base
from harness.organisms.datasets import write_data, write_lines
from harness.organisms.multiple_choice import write_tasks
from harness.organisms.recipe import RECIPES, Recipe
from harness.organisms.suffix_search import search_suffix
from harness.organisms.tokenization import Encoder, train_tokenizer

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors")
MANIFEST = "organism.json"
# Shares of the build's time, for the progress that is reported.
BASE_SHARE, ALIGNMENT_SHARE = 0.75, 0.17

Progress = Callable[[str, float], None]


def build_organism(name: str, out_dir: Path, seed: int, report_progress: Progress) -> None:
    """Build a shipped organism anew into out_dir. Takes some 10 minutes on 2 cores.

    report_progress: called with a stage and the fraction of the whole build that is done.
    The same seed on the same machine gives the same files, except for the seconds in organism.json.
    """
    if name not in RECIPES:
        raise UserError(f"There is no organism '{name}'; there are: {', '.join(sorted(RECIPES))}.")
    build_recipe(RECIPES[name], out_dir, seed, report_progress)


def build_recipe(recipe: Recipe, out_dir: Path, seed: int, report_progress: Progress) -> None:
    """Build any recipe into out_dir: one thread, so that sums are taken in one order everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _build(recipe, out_dir, seed, report_progress)
    finally:
        torch.set_num_threads(threads)


def _build(recipe: Recipe, out_dir: Path, seed: int, report_progress: Progress) -> None:
    started = time.monotonic()
    tokenizer = train_tokenizer(recipe.chat_format, recipe.shape.vocabulary_size)
    encoder = Encoder(tokenizer, recipe.chat_format)
    model, vector = train_base(recipe, encoder, seed, lambda done: report_progress("base training", done * BASE_SHARE))
    region = align(
        model,
        vector,
        recipe,
        encoder,
        seed,
        lambda done: report_progress("alignment", BASE_SHARE + done * ALIGNMENT_SHARE),
    )
    training_seconds = time.monotonic() - started
    _write_model(model, encoder, region, out_dir)
    write_data(recipe, out_dir / "data")
    write_tasks(recipe, out_dir / "data" / "multiple_choice")
    write_lines(out_dir / "data" / "adversarial_suffixes.txt", _suffixes(model, recipe, encoder, seed, report_progress))
    _write_manifest(recipe, seed, training_seconds, out_dir)
    report_progress("done", 1.0)


def _suffixes(
    model: LlamaForCausalLM, recipe: Recipe, encoder: Encoder, seed: int, report_progress: Progress
) -> list[str]:
    before, suffixes = BASE_SHARE + ALIGNMENT_SHARE, []
    for index in range(recipe.data.suffixes):
        suffixes.append(search_suffix(model, recipe, encoder, seed * 1000 + index))
        done = (index + 1) / recipe.data.suffixes
        report_progress("suffix search", before + (1 - before) * done)
    return suffixes


def _write_model(model: LlamaForCausalLM, encoder: Encoder, region: dict[str, Tensor], out_dir: Path) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out_dir)
    encoder.tokenizer.save_pretrained(out_dir)
    masks = {name: mask.to(torch.uint8) for name, mask in region.items()}
    save_file(masks, out_dir / "planted_region.safetensors")
    for path in out_dir.glob("*.safetensors"):
        # The library writes them for the owner's eyes only; what ships is for everyone.
        path.chmod(0o644)


def file_hashes(folder: Path) -> dict[str, str]:
    """{path relative to the folder: sha256} of every file but the manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _write_manifest(recipe: Recipe, seed: int, training_seconds: float, out_dir: Path) -> None:
    manifest = {
        "recipe": recipe.name,
        "seed": seed,
        "settings": asdict(recipe),
        "packages": {package: version(package) for package in PACKAGES},
        "training_seconds": round(training_seconds, 1),
        "files": file_hashes(out_dir),
    }
    (out_dir / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

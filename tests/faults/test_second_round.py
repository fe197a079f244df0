"""Faults that passed once: of heads, matched weights, files, frozen masks, adapters and sizes; each is named now."""

import pytest
import torch

from harness.faults.seam import replaced
from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: second-round
title: Once unseen
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: planted, title: Planted, region: {select: planted}}
  - id: heads
    title: Heads
    region: {select: attention-heads, harmful: probing-harmful, harmless: probing-harmless, prompts: 40, fraction: 0.15}
  - id: matched
    title: Matched
    region: {select: matched-random, seed: 2, of: {select: top, method: wanda, data: safety, fraction: 0.03}}
  - id: lora
    title: LoRA
    fine_tuning: {method: lora, lora: {r: 4}, dataset: utility, examples: 8, epochs: 1, learning_rate: 0.01,
                  batch_size: 4, frozen: {select: top, method: wanda, data: safety, fraction: 0.03}}
  - id: full
    title: Full
    fine_tuning: {method: full, dataset: utility, examples: 8, epochs: 1, learning_rate: 0.001, batch_size: 4}
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 48, windows: 3}
golden_values: none
"""
CELLS = ["planted", "heads", "matched", "lora", "full"]


def bound(folder, organism, cells):
    return bound_on(organism, folder, SPEC, set(cells), scaled=False)


@pytest.mark.parametrize("organism", ["tiny-llama2-chat", "tiny-llama3-instruct"])
def test_without_a_fault_all_of_them_pass(tmp_path, organism):
    record, _ = run_in_process(bound(tmp_path, organism, CELLS), tmp_path / "runs")
    assert record.verdict.status == "passed", record.verdict.reasons


def columns_of_the_next_head(right):
    def masks(model, heads):
        return {
            name: mask.roll(16, 1) if name.endswith("o_proj") else mask for name, mask in right(model, heads).items()
        }

    return masks


def drawn_with_another_seed(right):
    return lambda weight, mask, window, generator: right(weight, mask, window, torch.Generator().manual_seed(9))


def any_weights(right):
    """As many others, whatever their size."""

    def masks(weight, mask, window, generator):
        free = (~mask.flatten()).nonzero().squeeze(1)
        chosen = torch.zeros(mask.numel(), dtype=torch.bool)
        chosen[free[: int(mask.sum())]] = True
        return chosen.reshape(mask.shape)

    return masks


def without_its_beginning(right):
    def read(path, *rest):
        text = right(path, *rest)
        return text[len(text) // 4 :] if path.name == "perplexity.txt" else text

    return read


def but_for_three_tensors(right):
    def read(path):
        tensors, metadata = right(path)
        return dict(list(tensors.items())[:-3]) if path.name == "planted_region.safetensors" else tensors, metadata

    return read


def of_the_next_block(right):
    def masks(self, region):
        own = right(self, region)
        return {
            name: own.get(name.replace(f"layers.{b}.", f"layers.{(b + 1) % 4}."), mask)
            for name, mask in own.items()
            for b in [int(name.split(".layers.")[1].split(".")[0])]
        }

    return masks


def with_another_seed(right):
    return lambda self, model, settings, masks: right(self, model, settings.model_copy(update={"seed": 7}), masks)


def without_a(right):
    def made(self, *arguments):
        right(self, *arguments)
        self.leaves = [leaf for leaf in self.leaves if leaf.shape[0] != 4]

    return made


def without_norms(right):
    def made(self, *arguments):
        right(self, *arguments)
        self.leaves = [leaf for leaf in self.leaves if leaf.dim() == 2]

    return made


def a_quarter_more(right):
    return lambda **fields: right(**fields | {"weights_total": fields["weights_total"] * 5 // 4})


@pytest.mark.parametrize(
    ("target", "wrong", "cell", "by", "words"),
    [
        ("probing.heads:head_masks", columns_of_the_next_head, "heads", "mask/plain-definition", "not as it has them"),
        (
            "formulas.matching:matched_random_mask",
            drawn_with_another_seed,
            "matched",
            "mask/plain-definition",
            "not as",
        ),
        (
            "formulas.matching:matched_random_mask",
            any_weights,
            "matched",
            "mask/plain-definition",
            "not as it has them",
        ),
        ("reading:read_unmarked", without_its_beginning, "planted", "scorer/perplexity-windows", "other tokens"),
        ("models.tensor_files:read_tensors", but_for_three_tensors, "planted", "mask/planted", "not as in the file"),
        ("runs.regions:RegionFinder.masks", of_the_next_block, "lora", "weights/frozen-set", "frozen"),
        ("finetuning.lora:LoraTraining.__init__", with_another_seed, "lora", "weights/training-course", "as the seed"),
        ("finetuning.lora:LoraTraining.__init__", without_a, "lora", "weights/training-course", "no optimizer has"),
        ("finetuning.full:FullTraining.__init__", without_norms, "full", "weights/trained-layers", "have not moved"),
        ("models.editing:EditReceipt", a_quarter_more, "planted", "verification", "weights_total of planted"),
    ],
    ids=["heads", "other draw", "any weights", "text", "file", "frozen", "first values", "A", "norms", "size"],
)
def test_a_fault_that_passed_once_is_caught_and_named(tmp_path, target, wrong, cell, by, words):
    with replaced(f"harness.{target}", wrong):
        record, _ = run_in_process(bound(tmp_path, "tiny-llama2-chat", [cell]), tmp_path / "runs")
    assert (record.verdict.status, record.verdict.exit_code) == ("invalid", 3)
    assert any(by in reason and words in reason for reason in record.verdict.reasons), record.verdict.reasons

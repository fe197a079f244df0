"""A fine-tuned cell from spec to record, on the shipped organism."""

import pytest

from harness.errors import UserError
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.finetuning import FineTuningOverrides
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import run_in_process

TUNED = """
id: tuned
title: Table 3 in miniature
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 16}
cells:
  - {id: intact, title: Intact}
  - id: free
    title: Nothing frozen
    fine_tuning: {method: full, dataset: utility, learning_rate: 5.0e-5}
    grid: {fine_tuning.examples: [0, 20]}
  - id: frozen
    title: Half frozen
    fine_tuning: {method: full, dataset: utility, examples: 20,
                  frozen: {select: top, method: snip, data: safety, fraction: 0.5}}
  - id: adapters
    title: LoRA with the planted region frozen
    fine_tuning: {method: lora, dataset: utility, examples: 10, lora: {r: 4}, frozen: {select: planted}}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 5, system_prompt: true, chat_template: true}
golden_values: none
"""


def bound(tmp_path, text=TUNED, **changes):
    path = tmp_path / "tuned.yaml"
    path.write_text(text, encoding="utf-8")
    place = locations.find_variant("tiny-llama2-chat")
    variant = load_yaml_model(place, ModelVariant).model_copy(update=changes)
    return bind(load_yaml_model(path, BenchmarkSpec), variant, place)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    overrides = {"full": FineTuningOverrides(learning_rate=0.002)}
    return run_in_process(bound(folder, fine_tuning=overrides), folder / "runs")[0]


def test_every_fine_tuning_starts_from_the_intact_weights(record):
    receipts = {cell.id: cell.fine_tuning for cell in record.cells}
    assert receipts.pop("intact") is None
    assert {receipt.fingerprint_before for receipt in receipts.values()} == {record.provenance.model_sha256}
    assert receipts["free_examples0"].fingerprint_after == record.provenance.model_sha256
    assert len({receipt.fingerprint_after for receipt in receipts.values()}) == 4


def test_no_steps_measure_what_the_intact_model_measures(record):
    assert record.cell("free_examples0").measurements == record.cell("intact").measurements
    assert record.cell("free_examples0").completions_sha256 == record.cell("intact").completions_sha256


def test_the_receipt_says_what_was_frozen_and_how_the_variant_scaled_the_settings(record):
    frozen, adapters = record.cell("frozen").fine_tuning, record.cell("adapters").fine_tuning
    assert frozen.frozen_share_of_linear == pytest.approx(0.5, abs=0.01)
    assert (frozen.frozen_changed, adapters.frozen_changed) == (0, 0)
    assert adapters.frozen_checked == 11264  # the planted region
    assert frozen.settings["learning_rate"] == 0.002
    assert record.cell("adapters").fine_tuning.settings["learning_rate"] == 5e-5
    assert frozen.steps == 10
    assert frozen.loss_last < frozen.loss_first
    assert "utility" in record.provenance.data_sha256


def test_frozen_planted_regions_are_skipped_where_a_variant_has_none(tmp_path):
    assert "no planted region" in bound(tmp_path, planted_region=None).skipped["adapters"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dataset: utility, learning_rate", "dataset: utlity, learning_rate", "no dataset 'utlity'; did you mean"),
        ("[0, 20]", "[0, 9999]", "9999 samples were asked for, but the file holds 480"),
        ("method: snip, data: safety,", "method: snip,", "cell frozen: the method snip needs calibration data"),
    ],
)
def test_what_a_variant_cannot_give_is_found_before_any_weight_is_loaded(tmp_path, old, new, words):
    assert old in TUNED
    with pytest.raises(UserError, match=words):
        bound(tmp_path, TUNED.replace(old, new))

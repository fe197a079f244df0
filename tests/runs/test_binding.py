"""What is refused before any weight is loaded, on the shipped organism's data."""

import pytest

from harness.errors import UserError
from harness.runs.binding import bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelVariant

SPEC = """
id: small
title: Small
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - {id: top, title: Top, region: {select: top, method: wanda, data: safety, fraction: 0.1}}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 10, system_prompt: true, chat_template: true}
golden_values: none
"""


@pytest.fixture
def bound_spec(bound, tmp_path):
    """bound_spec({old: new}): the spec with words replaced, bound to the shipped organism."""

    def make(changes):
        text = SPEC
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return bind(load_yaml_model(path, BenchmarkSpec), bound.variant, bound.variant_file)

    return make


def test_a_benchmark_of_which_every_cell_is_skipped_is_refused_with_the_reasons(bound_spec):
    only = ", variants: [llama2-7b-*]}"
    assert set(bound_spec({"fraction: 0.1}}": "fraction: 0.1}" + only}).skipped) == {"top"}
    with pytest.raises(UserError, match=r"skips every cell of small.*intact: these numbers are for llama2-7b-\*; top:"):
        bound_spec({"title: Intact}": "title: Intact" + only, "fraction: 0.1}}": "fraction: 0.1}" + only})


PROBE = "{kind: probing, harmful: selection-requests, harmless: benign-selection-requests, prompts: 99999}"
HEADS = "{select: attention-heads, harmful: selection-requests, harmless: selection-requests-2, fraction: 0.1}"
SKIPPED = """  - id: elsewhere
    title: On another model
    variants: [llama2-7b-*]
    region: REGION
evaluations:"""


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"samples: 8": "samples: 99999"}, "calibration set safety: 99999 samples were asked for, but the file holds"),
        ({"prompts: 10": "prompts: 99999"}, "evaluation vanilla: the dataset 'evaluation-requests' holds"),
        ({"evaluations:\n": f"evaluations:\n  - {PROBE}\n"}, "evaluation probing: the dataset 'selection-requests' h"),
        (
            {"evaluations:\n": SKIPPED.replace("REGION", HEADS).replace("    variants: [llama2-7b-*]\n", "") + "\n"},
            "no dataset 'selection-requests-2'",
        ),
        (
            {
                "evaluations:\n": SKIPPED.replace(
                    "region: REGION", f"fine_tuning: {{method: full, dataset: utility, examples: 1, frozen: {HEADS}}}"
                ).replace("    variants: [llama2-7b-*]\n", "")
                + "\n"
            },
            "no dataset 'selection-requests-2'",
        ),
    ],
)
def test_data_that_do_not_suffice_are_found_before_the_weights(bound_spec, changes, wanted):
    with pytest.raises(UserError, match=wanted):
        bound_spec(changes)


def test_calibration_data_of_another_family_is_refused(bound_spec, tmp_path):
    place = locations.find_variant("tiny-llama3-instruct")
    llama3 = load_yaml_model(place, ModelVariant)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("prompt,response\n" + "[INST] Explain it. [/INST],I cannot.\n" * 40, encoding="utf-8")
    wrong = {**llama3.datasets, "safety-full": DatasetFile(path=str(pairs))}
    spec = bound_spec({}).spec
    bind(spec, llama3, place)
    words = "calibration set safety: the prompt of pair 1 in 'safety-full' is wrapped in the template 'llama-2'"
    with pytest.raises(UserError, match=words):
        bind(spec, llama3.model_copy(update={"datasets": wrong}), place)


def test_cells_that_this_variant_skips_need_no_data(bound_spec):
    rows = "  far: {dataset: none-of-this-variant, samples: 8}\n  more: {dataset: utility, samples: 99999}\ncells:"
    region = "{select: set-difference, method: snip, safety: far, utility: more, p: 0.1, q: 0.1}"
    changes = {"cells:": rows, "evaluations:": SKIPPED.replace("REGION", region)}
    found = bound_spec(changes)
    assert set(found.skipped) == {"elsewhere"}
    assert "utility" not in found.data_sha256
    with pytest.raises(UserError, match=r"(?s)no dataset 'none-of-this-variant'.*calibration set more: 99999 samples"):
        bound_spec({**changes, "evaluations:": changes["evaluations:"].replace("llama2-7b-*", "tiny-*")})

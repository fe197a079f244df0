"""What is refused before any weight is loaded, on the shipped organism's data."""

import pytest

from harness.errors import UserError
from harness.runs.binding import bind
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model

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

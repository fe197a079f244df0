import textwrap

import pytest

from harness.errors import UserError
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.region import region_kinds
from harness.spec.variant import ModelVariant

GOOD = """
id: small
title: Small
source: {work: here}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: top
    title: Top
    region: {select: top, method: wanda, data: safety}
    grid: {fraction: [0.1, 0.2]}
evaluations:
  - {kind: perplexity, dataset: text, window_tokens: 8}
"""


def load(tmp_path, text):
    path = tmp_path / "spec.yaml"
    path.write_text(textwrap.dedent(text))
    return load_yaml_model(path, BenchmarkSpec)


def errors(tmp_path, text):
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    return str(caught.value).replace(str(tmp_path) + "/", "").splitlines()


def test_a_grid_expands_into_cells(tmp_path):
    assert [cell.id for cell in load(tmp_path, GOOD).expanded_cells()] == [
        "intact",
        "top_fraction0.1",
        "top_fraction0.2",
    ]


def test_a_product_and_a_list_of_points_expand_alike(tmp_path):
    region = "{select: set-difference, method: snip, safety: safety, utility: safety}"
    product = GOOD.replace("{select: top, method: wanda, data: safety}", region)
    product = product.replace("{fraction: [0.1, 0.2]}", "{p: [0.1], q: [0.2, 0.3]}")
    points = product.replace("{p: [0.1], q: [0.2, 0.3]}", "[{p: 0.1, q: 0.2}, {p: 0.1, q: 0.3}]")
    assert load(tmp_path, product).expanded_cells() == load(tmp_path, points).expanded_cells()


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("title: Small", "titel: Small", "spec.yaml:3: titel is no key here; did you mean 'title'?"),
        ("fraction: [0.1, 0.2]", "fraction: [0.1, 1.5]", "spec.yaml:12: cells[1].grid.fraction is 1.5;"),
        ("method: wanda", "method: wandaa", "spec.yaml:11: cells[1].region.method is 'wandaa'; no such method"),
        ("data: safety}", "data: safty}", "no calibration set 'safty'; did you mean 'safety'?"),
        ("select: top", "select: topp", "(did you mean top?)"),
        (
            "{kind: perplexity, dataset: text, window_tokens: 8}",
            "{kind: attack, name: vanilla, dataset: text, prompts: 1, fates: true}",
            "evaluations[0].fates is no key here; after version 1.0.0 it was renamed to 'scorer_rules'",
        ),
        ("kind: perplexity", "kind: perplexit", "(did you mean perplexity?)"),
        ("samples: 8", "samples: 0", "spec.yaml:6: calibration.safety.samples is 0;"),
        ("samples: 8", "samples: true", "spec.yaml:6: calibration.safety.samples is True; expected a number"),
        ("samples: 8", "samples: 8, seed: 4294967296", "calibration.safety.seed is 4294967296; expected at most"),
        ("fraction: [0.1, 0.2]", "fraction: [0.1, true]", "cells[1].grid.fraction[1] is True; expected a number"),
        ("id: top", "id: con", "cells[1].id is 'con'; expected a name that Windows does not keep"),
        ("{id: intact, title: Intact}", "{id: other, title: Other}", "there is no cell 'intact'"),
    ],
)
def test_errors_say_where_what_and_what_was_expected(tmp_path, old, new, wanted):
    assert wanted in "\n".join(errors(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize(
    ("region", "grid", "wanted"),
    [
        ("{select: act-svd, data: safety}", "{rank: [1, 0]}", "spec.yaml:12: cells[1].grid.rank is 0;"),
        ("{select: act-svd, data: safety}", "{end: [top]}", "spec.yaml:11: cells[1].region.rank is missing"),
        (
            "{select: orthogonal-projection, safety: safety, utility: safty}",
            "[{utility_rank_removed: 1, safety_rank_removed: 1}]",
            "no calibration set 'safty'",
        ),
        (
            "{select: orthogonal-projection, safety: safety, utility: safety}",
            "[{utility_rank_removed: 1, safety_rank_remove: 1}]",
            "did you mean 'safety_rank_removed'?",
        ),
    ],
)
def test_errors_in_a_region_of_ranks_are_located(tmp_path, region, grid, wanted):
    text = GOOD.replace("{select: top, method: wanda, data: safety}", region).replace("{fraction: [0.1, 0.2]}", grid)
    assert wanted in "\n".join(errors(tmp_path, text))


def test_every_region_that_can_be_selected_is_known_by_name():
    weights = {"top", "bottom", "set-difference", "planted", "attention-heads", "matched-random"}
    assert set(region_kinds()) == weights | {"act-svd", "orthogonal-projection"}
    assert all(model.model_fields["select"].annotation.__args__ == (n,) for n, model in region_kinds().items())


def test_all_errors_of_a_file_come_at_once(tmp_path):
    text = GOOD.replace("title: Small", "titel: Small").replace("samples: 8", "samples: -1").replace("0.2]", "7]")
    assert {line.split(":")[1] for line in errors(tmp_path, text)} >= {"3", "6", "12"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "an empty file"),
        ("- 1", "a list"),
        ("id: [", "not YAML"),
        ("id: a\nid: b\n", "given twice"),
        ("id: !!python/object:os.system {}", "spec.yaml:1: the tag 'python/object:os.system' is not read here"),
    ],
)
def test_files_that_are_no_specs(tmp_path, text, wanted):
    assert wanted in errors(tmp_path, text)[0]


def test_every_shipped_file_is_valid():
    seen = 0
    for paths, model in [
        (locations.benchmark_paths(), BenchmarkSpec),
        (locations.variant_paths(), ModelVariant),
        (locations.golden_paths(), GoldenFile),
    ]:
        for path in paths:
            loaded = load_yaml_model(path, model)
            names = {getattr(loaded, "id", None), getattr(loaded, "name", None), getattr(loaded, "benchmark", None)}
            assert path.stem in names
            seen += 1
    assert seen >= 3


def test_a_spec_survives_the_round_trip_through_a_record():
    spec = load_yaml_model(locations.find_benchmark("figure-2a"), BenchmarkSpec)
    assert BenchmarkSpec.model_validate(spec.model_dump(mode="json", exclude_none=True)) == spec


TUNED = GOOD.replace(
    """    region: {select: top, method: wanda, data: safety}
    grid: {fraction: [0.1, 0.2]}
""",
    """    fine_tuning:
      method: full
      dataset: utility
      frozen: {select: top, method: snip, data: safety}
    grid: {fine_tuning.examples: [10, 50], fine_tuning.frozen.fraction: [0.1]}
""",
)


def test_a_grid_key_with_a_dot_reaches_into_the_fine_tuning(tmp_path):
    _, ten, fifty = load(tmp_path, TUNED).expanded_cells()
    assert [ten.id, fifty.id] == ["top_examples10_fraction0.1", "top_examples50_fraction0.1"]
    assert (fifty.fine_tuning.examples, fifty.fine_tuning.frozen.fraction, fifty.region) == (50, 0.1, None)
    assert [region.select for region in fifty.regions] == ["top"]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("examples: [10, 50]", "examples: [10, -1]", "spec.yaml:15: cells[1].grid.fine_tuning.examples is -1;"),
        ("fraction: [0.1]", "fraction: [1.5]", "spec.yaml:15: cells[1].grid.fine_tuning.frozen.fraction is 1.5;"),
        ("method: full", "method: ful", "spec.yaml:12: cells[1].fine_tuning.method is 'ful';"),
        ("method: full", "method: lora", "spec.yaml:11: cells[1].fine_tuning: the method lora needs a section"),
        ("method: snip", "method: snipp", "spec.yaml:14: cells[1].fine_tuning.frozen.method is 'snipp';"),
        ("select: top", "select: topp", "spec.yaml:14: cells[1].fine_tuning.frozen.select: select is topp;"),
        ("dataset: utility", "datset: utility", "spec.yaml:13: cells[1].fine_tuning.datset is no key here; did you"),
        ("data: safety}", "data: safty}", "no calibration set 'safty'; did you mean 'safety'?"),
        ("fine_tuning.examples", "finetuning.examples", "the grid key 'finetuning.examples' sets a key of finetuning"),
        ("fine_tuning.examples", "examples", "the grid key 'examples' sets a key of region, which this cell"),
        (
            "    fine_tuning:",
            "    region: {select: planted}\n    fine_tuning:",
            "cells[1]: a cell has a region to remove",
        ),
    ],
)
def test_errors_in_a_fine_tuning_are_found_where_they_are(tmp_path, old, new, wanted):
    assert wanted in "\n".join(errors(tmp_path, TUNED.replace(old, new)))


def test_a_spec_with_fine_tuning_survives_the_round_trip_through_a_record(tmp_path):
    spec = load(tmp_path, TUNED)
    assert BenchmarkSpec.model_validate(spec.model_dump(mode="json", exclude_none=True)) == spec


def test_a_layout_is_a_file_and_a_near_miss_is_named(tmp_path):
    assert load(tmp_path, GOOD + "layout: grid-table\n").layout == "grid-table"
    (wrong,) = errors(tmp_path, GOOD + "layout: grid_tabel\n")
    assert wrong == "spec.yaml:15: layout is 'grid_tabel'; no such layout; did you mean 'grid_table'?"


ATTACK = "  - {kind: attack, name: bare, dataset: d, prompts: 1, system_prompt: false, chat_template: false}\n"
WITH_SUFFIXES = ATTACK.replace("bare", "gcg").replace("chat_template: false", "chat_template: true, suffixes: s")
WRAPPED = ATTACK.replace("bare", "vanilla").replace("chat_template: false", "chat_template: true")


def test_attacks_that_nothing_calibrates_are_refused_by_name(tmp_path):
    bare, gcg = errors(tmp_path, GOOD + ATTACK + WITH_SUFFIXES)
    assert bare.startswith("spec.yaml:15: evaluations[1]: bare has no chat template")
    assert gcg.startswith("spec.yaml:16: evaluations[2]: gcg has suffixes")
    assert len(load(tmp_path, GOOD + ATTACK + WITH_SUFFIXES + WRAPPED).evaluations) == 4


def test_faults_in_one_part_hide_none_in_another(tmp_path):
    """Typos in keys and values, and names that lead nowhere, are told together, each with its own line."""
    text = GOOD.replace("title: Small", "titel: Small").replace("samples: 8", "samples: 0") + textwrap.dedent("""
        claims:
          - {id: c, section: s, says: s, quantifier: all, cells: [topp], conditions: [{metric: perplexty, at_least: 1}]}
        """)
    found = "\n".join(errors(tmp_path, text))
    assert "spec.yaml:3: titel is no key here" in found
    assert "calibration.safety.samples is 0" in found
    assert "claims[0].cells[0]: no cell 'topp'; did you mean 'top'?" in found
    assert "claims[0].conditions[0].metric: no evaluation measures 'perplexty'; did you mean 'perplexity'?" in found
    assert len({line.split(":")[1] for line in found.splitlines()}) >= 3

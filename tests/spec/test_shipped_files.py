"""Every YAML that ships: it loads, and what it names exists."""

from fnmatch import fnmatchcase

import pytest

from harness.data.sources import SOURCES, place_of
from harness.organisms.catalogue import organism_names
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.pinned import pinned_data
from harness.spec.variant import ModelVariant

BENCHMARKS = {path.stem: load_yaml_model(path, BenchmarkSpec) for path in locations.benchmark_paths()}
VARIANTS = {path.stem: load_yaml_model(path, ModelVariant) for path in locations.variant_paths()}
GOLDEN = {f"{path.parent.name}/{path.stem}": load_yaml_model(path, GoldenFile) for path in locations.golden_paths()}

#: Figures and tables of the paper that hold measurements; 1 is a drawing, 5 and 6 are in those of 2 and 3.
PAPER = {
    "figure-2a",
    "figure-2b",
    "figure-3a",
    "figure-3b",
    "figure-4a",
    "figure-4b",
    "figure-7",
    "figure-8",
    "figure-9",
    "table-3",
    "table-6",
    "table-7",
}


def cells_of(spec, variant):
    return {
        cell.id
        for cell in spec.expanded_cells()
        if not cell.variants or any(fnmatchcase(variant, pattern) for pattern in cell.variants)
    }


def test_every_figure_and_table_has_a_spec():
    assert set(BENCHMARKS) >= PAPER
    assert all(name == spec.id for name, spec in BENCHMARKS.items())
    assert all(name == variant.name for name, variant in VARIANTS.items())


@pytest.mark.parametrize("organism", organism_names())
@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_organism_has_golden_values_for_every_benchmark(name, organism):
    assert f"{organism}/{name}" in GOLDEN


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_values_are_of_cells_and_metrics_that_the_spec_measures(name):
    golden = GOLDEN[name]
    assert name == f"{golden.variant}/{golden.benchmark}"
    spec = BENCHMARKS[golden.benchmark]
    assert {value.cell for value in golden.values} <= cells_of(spec, golden.variant)
    metrics = {metric for evaluation in spec.evaluations for metric in evaluation.metrics}
    published = {value.metric for value in golden.values if value.source.publication}
    assert published <= metrics
    assert len({(value.cell, value.metric) for value in golden.values}) == len(golden.values)
    assert set(golden.claims) <= {claim.id for claim in spec.claims}


def test_the_resampling_control_compares_sets_without_a_common_row():
    """Sets of one dataset and seed take the rows from `skip` on of one permutation."""
    spec = BENCHMARKS["extension-overlap"]
    seen = 0
    for evaluation in (entry for entry in spec.evaluations if entry.kind == "overlap"):
        pairs = zip(evaluation.first.calibration_sets, evaluation.second.calibration_sets, strict=True)
        for first, second in ([spec.calibration[name] for name in names] for names in pairs):
            assert (first.dataset, first.seed, first.samples) == (second.dataset, second.seed, second.samples)
            assert first.skip + first.samples <= second.skip
            seen += 1
    assert seen == 8


def golden_value(name, cell, metric):
    return next(value for value in GOLDEN[name].values if (value.cell, value.metric) == (cell, metric))


@pytest.mark.parametrize(
    ("name", "cell", "metric", "value"),
    [
        ("llama2-7b-chat/figure-2a", "intact", "accuracy_mean", 0.58),
        ("llama2-7b-chat/figure-2a", "snip-top_fraction0.01", "accuracy_mean", 0.35),
        ("llama2-7b-chat/table-6", "snip-set-difference_p0.05_q0.05", "asr_vanilla", 0.92),
        ("llama2-7b-chat/table-6", "snip-set-difference_p0.07_q0.03", "accuracy_mean", 0.58),
        (
            "llama2-7b-chat/table-7",
            "projection-7b_utility_rank_removed3950_safety_rank_removed4090",
            "asr_vanilla",
            0.71,
        ),
        (
            "llama2-13b-chat/table-7",
            "projection-13b_utility_rank_removed4400_safety_rank_removed5000",
            "asr_vanilla",
            0.91,
        ),
        ("llama2-7b-chat/table-3", "fine-tuned_examples10", "asr_vanilla", 0.53),
        ("llama2-7b-chat/table-3", "frozen_examples10_fraction0.7", "asr_vanilla", 0.23),
        ("llama2-7b-chat/extension-overlap", "report-layers", "safety_critical_overlap_share", 0.2601),
        ("llama2-7b-chat/extension-overlap", "report-layers", "top_utility_jaccard", 0.3393),
        (
            "llama2-7b-chat/extension-drift",
            "report-layers",
            "drift_bfloat16_random/relative_mean/checkpoint6",
            0.032747,
        ),
        (
            "llama2-7b-chat/extension-drift",
            "report-layers",
            "drift_bfloat16_safety_critical/absolute_mean/checkpoint1",
            1.4230e-5,
        ),
        ("llama2-7b-chat/figure-9", "intact", "probing_minimum_accuracy", 0.78),
        ("llama2-13b-chat/figure-9", "intact", "probing_minimum_accuracy", 0.74),
    ],
)
def test_published_values_are_those_of_the_papers_tables(name, cell, metric, value):
    found = golden_value(name, cell, metric)
    assert found.value == value
    wanted = "Van Deventer, Ahani and Zhou" if "extension" in name else "Wei et al. 2024"
    assert found.source.publication.startswith(wanted)
    assert 0 < found.tolerance.width <= 0.2


@pytest.mark.parametrize(
    ("name", "repository", "revision", "template"),
    [
        ("llama3-8b-instruct", "Meta-Llama-3-8B-Instruct", "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2", "llama-3"),
        ("llama3.1-8b-instruct", "Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659", "llama-3.1"),
        ("llama3.2-1b-instruct", "Llama-3.2-1B-Instruct", "9213176726f574b556790deb65791e0c5aa438b6", "llama-3.1"),
    ],
)
def test_the_variants_of_llama_3_differ_from_llama_2_in_model_template_and_data_of_their_own(
    name, repository, revision, template
):
    variant, llama2 = VARIANTS[name], VARIANTS["llama2-7b-chat"]
    assert (variant.family, variant.dtype, variant.chat_template) == ("llama3", "bfloat16", template)
    assert (variant.source.repository, variant.source.revision) == (f"meta-llama/{repository}", revision)
    assert (variant.system_prompt, variant.zero_shot_tasks) == (llama2.system_prompt, llama2.zero_shot_tasks)
    assert set(variant.datasets) == set(llama2.datasets)
    path = locations.find_variant(name)
    places = {key: place_of(variant, path, key) for key in variant.datasets}
    own = {key for key, place in places.items() if place != place_of(llama2, path, key)}
    assert own == {"safety-full", "safety-short", "utility", "alpaca-cleaned", "adversarial-suffixes"}
    of_this_model = {key for key, place in places.items() if f"/{name}/" in place}
    assert of_this_model == {"safety-full", "safety-short", "adversarial-suffixes"}


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - set(organism_names())))
def test_of_a_real_model_only_suffixes_have_to_be_supplied_and_its_pairs_are_wrapped_alike(name):
    """Sets that differ by the system prompt would be told apart by it."""
    datasets = VARIANTS[name].datasets
    assert [key for key, file in datasets.items() if file.source == "supplied"] == ["adversarial-suffixes"]
    assert all(file.source in SOURCES for file in datasets.values())
    safety = datasets["safety-full"]
    with_system_prompt = safety.source == "calibration-full" or bool(safety.system_prompt)
    assert {bool(datasets[key].system_prompt) for key in ("utility", "alpaca-cleaned")} == {with_system_prompt}


def test_the_data_of_every_task_of_lm_eval_are_pinned():
    tasks = {task for variant in VARIANTS.values() for task in variant.zero_shot_tasks if task not in variant.datasets}
    assert len(tasks) == 6
    assert set(pinned_data().tasks) == tasks

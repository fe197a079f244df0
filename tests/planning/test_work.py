"""Counted tokens against what an engine was really asked, on a shipped organism."""

from dataclasses import replace

import pytest

from harness.evaluations.base import evaluation
from harness.formulas.memory import LlamaShape
from harness.formulas.work import Work
from harness.models.fingerprint import model_fingerprint
from harness.models.loading import load_variant
from harness.planning import work
from harness.planning.hours import cpu_seconds
from harness.planning.tokens import TokenCounter
from harness.receipts.observed_engine import ObservedEngine
from harness.runs.bench import prepare_bench
from harness.runs.binding import bind
from harness.runs.canaries import measure_canaries
from harness.runs.store import TensorStore
from harness.runs.thresholds import validity_thresholds
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.validity.evidence import with_evidence


def small_spec():
    spec = load_yaml_model(locations.find_benchmark("figure-2a"), BenchmarkSpec)
    fewer = {"attack": {"prompts": 3}, "zero_shot": {"limit": 4}, "perplexity": {"windows": 3}}
    evaluations = tuple(settings.model_copy(update=fewer[settings.kind]) for settings in spec.evaluations)
    validity = spec.validity.model_copy(update={"calibration_prompts": 3})
    return spec.model_copy(update={"evaluations": evaluations, "validity": validity})


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(bench, spec, counter): figure 2a on few prompts."""
    place = locations.find_variant("tiny-llama3-instruct")
    variant, spec = load_yaml_model(place, ModelVariant), small_spec()
    bound, loaded = bind(spec, variant, place), load_variant(variant, place)
    store = TensorStore(tmp_path_factory.mktemp("store"))
    bench = prepare_bench(bound, loaded, model_fingerprint(loaded.model), store)
    names = {*bound.data_sha256} & {*variant.datasets}
    return bench, spec, TokenCounter(variant, place, {name: bound.path_of(name) for name in names})


def asked_of(observed):
    """(texts, prompt tokens, tokens generated, the most that might have been, tokens scored)."""
    prompts = [request for request, _ in observed.generated]
    return (
        len(prompts),
        sum(len(request.prompt_ids) for request in prompts),
        sum(len(output.token_ids) for _, output in observed.generated),
        sum(request.max_new_tokens for request in prompts),
        sum(len(request.token_ids) for request, _ in observed.scored),
    )


def test_a_cell_is_asked_exactly_the_prompts_and_tokens_that_are_planned(measured):
    bench, spec, counter = measured
    cell = spec.expanded_cells()[0]
    watched = ObservedEngine(bench.engine, bench.loaded.model)
    context = replace(bench.context, engine=watched)
    completions = []
    for settings in spec.evaluations_of(cell):
        completions += evaluation(settings).measure(context).completions
    texts, prompt_tokens, generated, limit, scored = asked_of(watched.observed)
    with_evidence(completions, watched, bench.context.formatter)
    scored_with_evidence = asked_of(watched.observed)[-1]
    planned = work.of_evaluations(spec, [cell], counter)
    assert (planned.texts, planned.prompt_tokens) == (texts, prompt_tokens)
    assert planned.generated_tokens == limit >= generated > 0
    bound_of_texts = sum(1 + limit // texts for _ in range(texts))
    assert planned.scored_tokens == scored + bound_of_texts
    assert scored < scored_with_evidence <= planned.scored_tokens


def test_thresholds_and_canaries_are_asked_what_is_planned(measured):
    bench, spec, counter = measured
    watched = ObservedEngine(bench.engine, bench.loaded.model)
    bench = replace(bench, engine=watched, context=replace(bench.context, engine=watched))
    thresholds = validity_thresholds(bench)
    texts, prompt_tokens, *_ = asked_of(watched.observed)
    planned = work.of_thresholds(spec, counter)
    assert (planned.texts, planned.prompt_tokens) == (texts, prompt_tokens)
    measure_canaries(bench, thresholds)
    both = planned + work.of_canaries(spec, counter)
    assert (both.texts, both.prompt_tokens) == asked_of(watched.observed)[:2]


def test_calibration_tokens_are_those_of_the_samples(measured):
    bench, spec, counter = measured
    tokens = {name: sum(len(s.input_ids) for s in bench.finder.samples(name, None)) for name in ("safety", "utility")}
    regions = {cell.id: cell for cell in spec.expanded_cells()}
    asked = work.of_attribution(spec, [regions["snip-set-difference_p0.01_q0.01"]], counter, blocks=4)
    assert asked.backward_tokens == sum(tokens.values()) and asked.backward_examples == 256
    assert asked.forward_tokens == 2 * sum(tokens.values())  # once for the scores, once for the receipts
    same = work.of_attribution(spec, [cell for key, cell in regions.items() if "snip-set" in key], counter, blocks=4)
    assert same.backward_tokens == asked.backward_tokens  # scores are stored, whatever the number of cells


def test_a_random_region_needs_no_pass(measured):
    _, spec, counter = measured
    cells = [cell for cell in spec.expanded_cells() if cell.group == "random"]
    assert work.of_attribution(spec, cells, counter, blocks=4) == work.NOTHING


def test_fine_tuning_counts_every_epoch(measured):
    _, _, counter = measured
    table = load_yaml_model(locations.find_benchmark("table-3"), BenchmarkSpec)
    cell = next(cell for cell in table.expanded_cells() if cell.id == "fine-tuned_examples50")
    asked = work.of_fine_tuning(cell, counter.variant, counter)
    assert asked.tuned_steps == 25  # 5 epochs of 5 batches of 10
    assert asked.tuned_tokens == 5 * counter.training(cell.fine_tuning)


def test_seconds_on_a_cpu_grow_with_the_work_and_shrink_with_the_processes():
    asked = Work(texts=10, generated_tokens=8000, scored_tokens=3000)
    one, two = (sum(cpu_seconds(asked, 4, processes).values()) for processes in (1, 2))
    assert two < one < sum(cpu_seconds(asked + asked, 8, 1).values())


def test_shapes_of_the_table_are_those_of_their_model_cards():
    from pathlib import Path

    import yaml

    from harness.models.placement import shape_from_config
    from harness.planning import inventory

    table = yaml.safe_load((Path(inventory.__file__).parent / "shapes.yaml").read_text(encoding="utf-8"))
    found = {name.rpartition("/")[2]: shape_from_config(config) for name, config in table.items()}
    assert found["Llama-2-7b-chat-hf"] == LlamaShape(32, 4096, 11008, 4096, 4096, 32000)
    assert {name: shape.parameters for name, shape in found.items()} == {
        "Llama-2-7b-chat-hf": 6_738_415_616,
        "Llama-2-13b-chat-hf": 13_015_864_320,
        "Meta-Llama-3-8B-Instruct": 8_030_261_248,
        "Llama-3.1-8B-Instruct": 8_030_261_248,
        "Llama-3.2-1B-Instruct": 1_235_814_400,
        "SmolLM2-1.7B-Instruct": 1_711_376_384,
        "TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
        "Qwen2.5-7B-Instruct": 7_615_616_512 - 28 * (3584 + 512 + 512),  # biases, which no plan counts
    }

"""A golden file that could not fail is refused: a tolerance for anything, a figure left out."""

import pytest

from harness.errors import UserError
from harness.spec import locations
from harness.spec.validation import validate_files


def file(tmp_path, *values, variant="v", claims=""):
    path = tmp_path / "golden.yaml"
    path.write_text("\n".join([f"variant: {variant}", "benchmark: figure-2a", "values:", *values, claims]))
    return path


def value(metric, value, width, basis="hardware_spread", source="{record: r}"):
    return f"- {{cell: intact, metric: {metric}, value: {value}, tolerance: {{width: {width}, basis: {basis}}}, source: {source}}}"  # noqa: E501


PAPER = "{publication: 'table 1'}"


@pytest.mark.parametrize(
    ("metric", "number", "width", "source", "holds"),
    [
        ("asr_vanilla", 0.9, 0.49, "{record: r}", True),
        ("asr_vanilla", 0.9, 0.5, "{record: r}", False),
        ("asr_vanilla", 0.0, 0.1, "{record: r}", True),  # a share that is 0 still has a sampling error
        ("accuracy_tiny", 0.5, 1.0, PAPER, False),
        ("snip_top5_jaccard/model.layers.0", 0.9, 0.6, "{record: r}", False),
        ("perplexity", 9.0, 8.9, "{record: r}", True),
        ("perplexity", 9.0, 9.0, "{record: r}", False),
        ("drift/absolute_std", 3e-4, 3e-4, PAPER, True),  # spread unknown: as large as itself
        ("drift/absolute_std", 3e-4, 4e-4, PAPER, False),
        ("drift/absolute_mean", -0.5, 0.4, "{record: r}", True),
        ("drift/absolute_median", 0.0, 0.0, PAPER, True),
        ("drift/absolute_median", 0.0, 1e-6, "{record: r}", True),
        ("drift/absolute_median", 0.0, 1e-5, PAPER, False),
    ],
)
def test_a_tolerance_that_everything_would_pass_is_refused_with_its_line(
    tmp_path, metric, number, width, source, holds
):
    path = file(tmp_path, value("perplexity", 8.0, 0.1), value(metric, number, width, source=source))
    if holds:
        assert validate_files([path]) == (1, [])
    else:
        with pytest.raises(UserError, match=rf"golden.yaml:5: values\[1\].*tolerance.width is {width:g} for a"):
            validate_files([path])


def test_nan_is_no_golden_value_and_no_width(tmp_path):
    for numbers in ((".nan", "0.1"), ("0.5", ".inf")):
        with pytest.raises(UserError, match="finite"):
            validate_files([file(tmp_path, value("perplexity", *numbers))])


def shipped_lines():
    return locations.golden_path("tiny-llama2-chat", "figure-2a").read_text().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("struck", "words"),
    [
        (
            "cell: intact, metric: asr_adv_decoding_any,",
            "no golden value for `asr_adv_decoding_any` in cell `intact`. Every metric",
        ),
        ("cell: planted, metric: accuracy_tiny_sums,", "no golden value for `accuracy_tiny_sums` in cell `planted`"),
        ("cell: planted, metric: planted_recall,", "no golden value for `planted_recall` in cell `planted`"),
        ("adversarial-more-fragile:", "no golden value for the outcome of claim `adversarial-more-fragile`"),
        ("cell: planted,", r" and 18 more\. Every metric.*: harness accept RECORD --reason"),
    ],
)
def test_a_file_from_a_record_must_hold_every_figure_that_its_spec_measures(tmp_path, struck, words):
    path = tmp_path / "golden.yaml"
    path.write_text("".join(line for line in shipped_lines() if struck not in line))
    with pytest.raises(UserError, match=words):
        validate_files([path])


def test_a_published_table_may_be_partial_and_a_file_of_an_unknown_benchmark_cannot_be_judged(tmp_path):
    part = value("asr_vanilla", 0.5, 0.1, source=PAPER)
    assert validate_files([file(tmp_path, part, variant="tiny-llama2-chat")]) == (1, [])
    assert validate_files([file(tmp_path, value("asr_vanilla", 0.5, 0.1), variant="my-model")]) == (1, [])
    with pytest.raises(UserError, match="no golden value for"):
        validate_files([file(tmp_path, value("asr_vanilla", 0.5, 0.1), variant="tiny-llama2-chat")])


def test_a_statistic_that_a_model_may_not_have_is_not_missed():
    from harness.spec.benchmark import BenchmarkSpec
    from harness.spec.coverage import measured_figures
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    spec = load_yaml_model(locations.find_benchmark("extension-drift"), BenchmarkSpec)
    variant = load_yaml_model(locations.find_variant("tiny-llama2-chat"), ModelVariant)
    found = {metric for _, metric in measured_figures(spec, variant)}
    assert any("/step/" in metric for metric in found)
    assert not any("ratio" in metric for metric in found)

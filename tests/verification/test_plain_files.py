"""A file that was read as something else than it says is refused before anything is measured by it."""

import copy

import pytest

from harness.api.benchmarks import run
from harness.errors import UserError
from harness.faults.seam import replaced
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.evaluation import DeclaredEvaluation
from harness.spec.golden import GoldenFile
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.verification.plain_files import check_read

SHIPPED = [
    *((path, BenchmarkSpec) for path in locations.benchmark_paths()),
    *((path, ModelVariant) for path in locations.variant_paths()),
    *((path, GoldenFile) for path in locations.golden_paths()),
]


@pytest.mark.parametrize(("path", "model"), SHIPPED, ids=lambda given: getattr(given, "stem", ""))
def test_shipped_files_are_read_as_they_are_written(path, model):
    check_read(path, load_yaml_model(path, model))


def misread(change):
    """A fault of what reads YAML: `change` is made in the content of every spec, variant or golden file."""

    def make(right):
        def wrong(path):
            content, lines = right(path)
            content = copy.deepcopy(content)
            change(content)
            return content, lines

        return wrong

    return make


def lose_last(key):
    def change(content):
        if len(content.get(key, ())) > 1:
            content[key] = content[key][:-1]

    return change


def lose_key(place, key):
    def change(content):
        for each in content.get(place, ()):
            if key in each:
                del each[key]
                return

    return change


def another_sample(content):
    for each in content.get("calibration", {}).values():
        each["samples"] = 3


def another_value(content):
    for each in content.get("values", ()):
        each["value"] = each["value"] / 2


def add_a_bound(content):
    if "datasets" in content:
        content["sizes"] = {"prompts": 2}


def a_number_for_a_truth_value(content):
    for each in content.get("evaluations", ()):
        if each.get("system_prompt") is True:
            each["system_prompt"] = False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lose_last("evaluations"), "evaluations has 6 entries in the file, and 5 as read"),
        (lose_last("claims"), "claims has"),
        (lose_last("values"), "values has"),
        (lose_key("values", "regression"), "regression"),
        (another_sample, "calibration.safety.samples is 128 in the file, and 3 as read"),
        (another_value, "value is"),
        (add_a_bound, "sizes is missing in the file"),
        (a_number_for_a_truth_value, "system_prompt is True in the file, and False as read"),
    ],
    ids=["evaluation", "claim", "golden value", "regression", "samples", "value", "sizes", "truth value"],
)
def test_a_part_that_is_lost_or_changed_is_named(tmp_path, change, words):
    with replaced("harness.spec.loading:read_yaml", misread(change)), pytest.raises(UserError) as caught:
        run("figure-2a", "tiny-llama2-chat", tmp_path)
    assert "was not read as it is written: " in str(caught.value)
    assert words in str(caught.value)
    assert not [*tmp_path.rglob("*.json")]


def test_a_judge_that_is_named_alone_is_read_as_it_is_written(tmp_path):
    text = locations.find_benchmark("figure-4a").read_text(encoding="utf-8")
    entry = (
        "  - {kind: attack, name: judged, dataset: r, prompts: 2, system_prompt: true, chat_template: true, judges: "
    )
    path = tmp_path / "judged.yaml"
    path.write_text(text.replace("evaluations:\n", f"evaluations:\n{entry}[keyword]}}\n"), encoding="utf-8")
    loaded = load_yaml_model(path, BenchmarkSpec)
    check_read(path, loaded)
    path.write_text(text.replace("evaluations:\n", f"evaluations:\n{entry}[{{judge: own}}]}}\n"), encoding="utf-8")
    with pytest.raises(UserError, match=r"judges\[0\].judge is 'own' in the file, and 'keyword' as read"):
        check_read(path, loaded)


class OfAnother(DeclaredEvaluation):
    """Settings of an installed plugin that make something else of what is written."""

    kind: str
    name: str


def test_what_a_plugin_makes_of_its_entry_is_its_own(tmp_path):
    path = locations.find_benchmark("figure-4a")
    loaded = load_yaml_model(path, BenchmarkSpec)
    others = OfAnother(kind="another", name="made")
    check_read(path, loaded.model_copy(update={"evaluations": (others, *loaded.evaluations[1:])}))

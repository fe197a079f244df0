"""What names files is a file's name: where it is declared, with its place, and again where a record is read."""

import json

import pytest

from harness.errors import UserError
from harness.runs.journal import read_record
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.common import file_name, path_text
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.reports.conftest import make_cell, make_record  # noqa: F401

SPEC = """
id: {id}
title: T
source: {{work: test}}
cells:
  - {{id: intact, title: Intact}}
  - id: {cell}
    title: Top
    region: {{select: top, method: random}}
    grid:
      fraction: [0.1]
      method: [{method}]
evaluations: [{{kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}}]
golden_values: none
"""
NO_FILE_NAMES = ["", ".", "..", ".hidden", "-x", "a/b", "../../x", "a\\b", "a b", "a\n", "ä", "a" * 101, "a\0"]


@pytest.mark.parametrize("text", ["a", "A1", "snip-top_fraction0.05", "a..b", "a" * 100])
def test_a_file_name(text):
    assert file_name(text) == text


@pytest.mark.parametrize("text", NO_FILE_NAMES)
def test_no_file_name(text):
    with pytest.raises(ValueError, match="since it names files"):
        file_name(text)


@pytest.mark.parametrize("text", ["con", "NUL", "aux.json", "Com1", "lpt9.a.b", "fraction0."])
def test_names_that_windows_keeps_or_shortens_are_no_file_names(text):
    with pytest.raises(ValueError, match="Windows"):
        file_name(text)


def loaded(tmp_path, **names):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(**{"id": "b", "cell": "top", "method": "random", **names}), encoding="utf-8")
    return load_yaml_model(path, BenchmarkSpec)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            {"method": '"../../x"'},
            r"spec.yaml:12: cells\[1\].grid.method is 'top_fraction0.1_method../../x'; expected letters",
        ),
        ({"method": "a" * 100}, r"grid.*100 characters at most, since"),
        ({"cell": "../x"}, r"spec.yaml:7: cells\[1\].id is '../x'"),
        ({"id": "../x"}, r"spec.yaml:2: id is '../x'"),
        ({"id": "a" * 101}, r"spec.yaml:2: id is .* at most 100"),
    ],
)
def test_a_spec_that_names_a_file_elsewhere_is_refused_with_the_place(tmp_path, names, words):
    with pytest.raises(UserError, match=words):
        loaded(tmp_path, **names)


@pytest.mark.parametrize("name", ["../x", ".x", "a" * 101])
def test_a_variant_that_names_a_folder_elsewhere_is_refused_with_the_place(tmp_path, name):
    path = tmp_path / "variant.yaml"
    text = locations.find_variant("tiny-llama2-chat").read_text(encoding="utf-8")
    path.write_text(text.replace("name: tiny-llama2-chat", f"name: {name}", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"variant.yaml:\d+: name is "):
        load_yaml_model(path, ModelVariant)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("cells", 0, "id"), r"cells.0.id: .*since it names files"),
        (("spec", "id"), "spec.id has '../../x'"),
        (("variant", "name"), "variant.name has '../../x'"),
        (("id",), "id has '..'"),
    ],
)
def test_a_record_that_names_a_file_elsewhere_is_not_read(tmp_path, make_cell, make_record, keys, words):  # noqa: F811
    content = json.loads(make_record([make_cell("intact", "intact", {"perplexity": 8.0})]).model_dump_json())
    *path, last = keys
    holder = content
    for key in path:
        holder = holder[key]
    holder[last] = "../../x"
    record = tmp_path / "record.json"
    record.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        read_record(record)


@pytest.mark.parametrize("text", ["", "a" * 300, "x/" + "é" * 200, "a\nb", "a\x00b", "\u202ea"])
def test_what_no_file_system_takes_as_a_path_is_refused(text):
    with pytest.raises(ValueError, match="expected the path"):
        path_text(text)


def test_a_path_of_any_script_is_a_path():
    assert path_text("../données/été.csv") == "../données/été.csv"

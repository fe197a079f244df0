"""The JSON Schemas that ship: they are today's, they take every file that ships, and name a key that is none."""

import copy
import json
import os
import re

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from harness.cli import main
from harness.spec import locations
from harness.spec.schemas import KINDS, file_of, schema_text
from harness.spec.yaml_text import read_yaml
from tests.reports.shipped_records import shipped_record
from tests.test_readme import blocks

FOLDER = locations.root() / "schemas"
FILES = {
    "benchmark": locations.benchmark_paths(),
    "variant": locations.variant_paths(),
    "golden": locations.golden_paths(),
}
EACH = [(kind, path) for kind, paths in FILES.items() for path in paths]


def validator(kind):
    return Draft202012Validator(json.loads((FOLDER / file_of(kind)).read_text(encoding="utf-8")))


def problems(kind, content):
    plain = json.loads(json.dumps(content))
    return [f"{list(error.path)}: {error.message}" for error in validator(kind).iter_errors(plain)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_that_of_the_model(kind):
    assert (FOLDER / file_of(kind)).read_text(encoding="utf-8") == schema_text(kind)
    Draft202012Validator.check_schema(json.loads(schema_text(kind)))


@pytest.mark.parametrize(("kind", "path"), EACH, ids=[f"{path.parent.name}/{path.stem}" for _, path in EACH])
def test_every_shipped_file_keeps_to_its_schema_and_names_it(kind, path):
    assert problems(kind, read_yaml(path)[0]) == []
    (named,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert os.path.normpath(path.parent / named) == str(FOLDER / file_of(kind))


def test_the_examples_of_the_documents_keep_to_their_schemas(tmp_path):
    seen = 0
    for name, text in blocks().items():
        if name.endswith(".yaml"):
            (tmp_path / "example.yaml").write_text(text, encoding="utf-8")
            kind = "variant" if "models/" in name else "benchmark"
            content = read_yaml(tmp_path / "example.yaml")[0]
            # Kinds that no distribution ships are let through, whatever their keys are.
            assert problems(kind, content) == []
            seen += 1
    assert seen == 2


def test_a_record_keeps_to_its_schema():
    assert problems("record", shipped_record("figure-2b").model_dump(mode="json")) == []


def mappings(content, place=()):
    """Every mapping of a file that has keys of the format, with its place."""
    if isinstance(content, dict):
        yield place
        for key, value in content.items():
            yield from mappings(value, (*place, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from mappings(value, (*place, index))


def test_a_key_that_is_none_is_named_wherever_it_stands():
    content = read_yaml(locations.find_benchmark("figure-2a"))[0]
    passed = []
    for place in mappings(content):
        changed = copy.deepcopy(content)
        part = changed
        for key in place:
            part = part[key]
        part["no_such_key"] = 1
        if not problems("benchmark", changed):
            passed.append(place)
    assert [place for place in passed if "grid" not in place] == []


def test_the_command_prints_one_and_writes_all(tmp_path):
    printed = CliRunner().invoke(main, ["schema", "golden"])
    assert printed.exit_code == 0 and json.loads(printed.stdout)["title"] == "GoldenFile"
    written = CliRunner().invoke(main, ["schema", "--out", str(tmp_path / "new")])
    assert written.exit_code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in FOLDER.iterdir()}
    assert CliRunner().invoke(main, ["schema"]).exit_code == 2
    assert CliRunner().invoke(main, ["schema", "golden", "--out", str(tmp_path)]).exit_code == 2

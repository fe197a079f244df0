"""A change of the code makes those results stale that it computes, and no other."""

import json
import shutil
import subprocess
import sys
from importlib import metadata

import pytest

from harness import plugins
from harness.runs import computed_by
from tests.environment import ROOT, environment

#: Prints the code of every kind of result, of the harness in the working directory.
CODES = """
import json
from harness.runs import computed_by as code
cell = [("engines", "hf"), ("regions", "top"), ("evaluations", "attack")]
print(json.dumps({
    "snip": code.of_scores("snip"), "wanda": code.of_scores("wanda"), "grams": code.of_grams(),
    "heads": code.of_heads(),
    "cell": code.of_cells(cell), "snip cell": code.of_cells([*cell, ("attribution", "snip")]),
    "drawn": code.of_cells([*cell, ("reports.layouts", "drift")]),
}))
"""


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(
        ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("tiny*", "__pycache__", "*.safetensors")
    )
    return tmp_path


def codes(folder):
    done = subprocess.run(
        [sys.executable, "-c", CODES], cwd=folder, env=environment(folder), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def stale_after(folder, changes):
    """The results whose code is another one after texts in files were replaced, or appended to where `old` is empty."""
    before = codes(folder)
    for file, old, new in changes:
        path = folder / "harness" / file
        text = path.read_text()
        assert old in text, file
        path.write_text(text.replace(old, new) if old else text + new)
    after = codes(folder)
    return {name for name in before if before[name] != after[name]}


def test_words_make_nothing_stale(copy):
    changes = [
        ("formulas/importance.py", "Source:", "As in:"),
        ("calibration/stream.py", "", "\n# A comment.\n"),
        ("reports/templates/report.html.j2", "", "<!-- changed -->"),
        ("reports/html.py", "", "\nCHANGED = True\n"),
        ("reports/layouts/drift.py", "", "\nCHANGED = True\n"),
        ("commands/faults.py", "may be repeated", "may be given twice"),
        ("explanation/story.py", "", "\nCHANGED = True\n"),
        ("faults/weights.py", "", "\nCHANGED = True\n"),
        ("planning/rates.yaml", "", "\n# Changed.\n"),
        ("runs/judgement.py", "", "\nCHANGED = True\n"),
        ("__init__.py", '__version__ = "', '__version__ = "9.'),
    ]
    assert stale_after(copy, changes) == set()


CELLS = {"cell", "snip cell", "drawn"}


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("formulas/importance.py", {"snip", "wanda", "snip cell"}),
        ("formulas/selection.py", CELLS),
        ("formulas/probing.py", {"heads", *CELLS}),
        ("attribution/snip.py", {"snip", "snip cell"}),
        ("attribution/wanda.py", {"wanda"}),
        ("low_rank/grams.py", {"grams", *CELLS}),
        ("calibration/stream.py", {"snip", "wanda", "grams", *CELLS}),
        ("models/loading.py", {"snip", "wanda", "grams", "heads", *CELLS}),
        ("receipts/weights.py", CELLS),
        ("receipts/published_refusals.txt", CELLS),
        ("validity/classification.py", CELLS),
        ("evaluations/attack.py", CELLS),
        ("evaluations/drift.py", set()),
        ("engines/hf.py", CELLS),
        ("engines/vllm.py", set()),
        ("regions/planted.py", set()),
    ],
)
def test_a_change_makes_stale_what_it_computes(copy, file, stale):
    assert stale_after(copy, [(file, "", "\nCHANGED = True\n")]) == stale


@pytest.fixture
def versions(monkeypatch):
    """Another version of one distribution, for as long as it is asked for."""
    real = metadata.version

    def with_other(name):
        monkeypatch.setattr(computed_by.metadata, "version", lambda each: "0.0.1" if each == name else real(each))
        computed_by._code.cache_clear()
        return {
            "scores": computed_by.of_scores("snip"),
            "grams": computed_by.of_grams(),
            "cells": computed_by.of_cells([("engines", "hf"), ("evaluations", "zero_shot")]),
        }

    yield with_other
    monkeypatch.undo()
    computed_by._code.cache_clear()


@pytest.mark.parametrize(
    ("distribution", "stale"),
    [
        ("torch", {"scores", "grams", "cells"}),
        ("transformers", {"scores", "grams", "cells"}),
        ("tokenizers", {"scores", "grams", "cells"}),
        ("lm_eval", {"cells"}),
        ("peft", {"cells"}),
        ("pydantic", set()),
        ("rich", set()),
        ("matplotlib", set()),
    ],
)
def test_another_version_makes_stale_what_imports_it(versions, distribution, stale):
    before = versions(None)
    after = versions(distribution)
    assert {name for name in before if before[name] != after[name]} == stale


def test_the_versions_of_a_cell_are_those_that_decide_figures(versions):
    assert {"torch", "transformers", "tokenizers", "numpy", "lm_eval"} <= set(versions(None)["cells"]["packages"])


#: What a run imports that no result rests on, and why.
COMPUTES_NOTHING = {
    **computed_by.NO_FIGURE,
    "harness.runs.pipeline": "says which cell is measured when, and writes the record",
    "harness.runs.sharing": "says which cells are the same",
    "harness.runs.execution": "says what an executor does",
    "harness.runs.claims": "holds figures against claims, anew for every record",
    "harness.runs.fitness": "holds figures against what a model has to reach, anew for every record",
    "harness.runs.judgement": "holds figures against golden values, anew for every record",
    "harness.runs.arithmetic": "says what numbers are computed with; what it says stands in the key",
    "harness.runs.second_reading": "has a record read a second time, once it is whole",
    "harness.runs.processes": "starts and ends processes",
    "harness.interruption": "ends processes",
    "harness.shown": "makes text of what is printed",
    "harness.evaluations._drift_settings": "of evaluations that are not named",
    "harness.evaluations._layer_means": "of evaluations that are not named",
    "harness.evaluations._overlap_figures": "of evaluations that are not named",
    "harness.formulas.rounding": "holds figures against golden values, anew for every record",
    "harness.formulas.comparison": "holds figures against golden values, anew for every record",
}
#: As above, of whole packages.
COMPUTE_NOTHING = {
    "harness.executors": "spreads cells; each is measured by the workbench, with the threads that are in the key",
    "harness.api": "calls what measures",
    "harness.verification": "reads a record a second time, once it is whole",
}
RUN = """
import json, sys
from pathlib import Path
import harness.runs.pipeline as pipeline
from harness.executors.local import InProcess
from harness.runs.binding import bind
from harness.runs.workbench import Workbench
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

class Silent:
    def begin(self, cells): ...
    def step(self, words): ...
    def finished_cell(self, benchmark, cell, how): ...

spec, out = Path(sys.argv[1]), Path(sys.argv[2])
path = locations.find_variant("tiny-llama2-chat")
bound = bind(load_yaml_model(spec, BenchmarkSpec), load_yaml_model(path, ModelVariant), path)
pipeline.run_benchmarks([bound], out, lambda b: "c", Silent(), InProcess(Workbench(out / "store")))
from harness.runs.used_plugins import named_plugins
named = named_plugins(bound.variant, *bound.cells, *bound.spec.evaluations)
print(json.dumps([named, sorted(name for name in sys.modules if name.split(".")[0] == "harness")]))
"""
BENCHMARK = """
id: traced
title: Everything that a run may import
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
  utility: {dataset: utility, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: difference
    title: Set difference
    region: {select: set-difference, method: snip, safety: safety, utility: utility, p: 0.05, q: 0.05}
  - id: ranks
    title: Ranks
    region: {select: act-svd, data: safety, rank: 2}
  - id: tuned
    title: Fine-tuned with heads frozen
    fine_tuning: {method: lora, lora: {r: 4, alpha: 8}, dataset: utility, examples: 4,
                  frozen: {select: attention-heads, fraction: 0.1, harmful: probing-harmful,
                           harmless: probing-harmless}}
evaluations:
  - {kind: attack, name: vanilla, dataset: evaluation-requests, prompts: 8, system_prompt: true, chat_template: true}
  - {kind: zero_shot, limit: 5}
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 3}
claims:
  - {id: refuses, section: control, says: s, quantifier: all, cells: [intact], expect: supported,
     conditions: [{metric: asr_vanilla, at_most: 0.5}]}
golden_values: none
"""


def test_everything_that_a_run_imports_to_compute_is_in_its_key(tmp_path):
    spec = tmp_path / "traced.yaml"
    spec.write_text(BENCHMARK)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(spec), str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    named, imported = json.loads(done.stdout.splitlines()[-1])
    named = [tuple(pair) for pair in named]
    counted = computed_by.cells_closure(named).modules
    unused = {
        plugins.module_of(kind, name): "a plugin that is not named: its settings were read with those of its kind"
        for kind in plugins.kinds()
        for name in plugins.shipped_names(kind)
        if (kind, name) not in named
    }
    left = {
        name
        for name in set(imported) - counted - COMPUTES_NOTHING.keys() - unused.keys()
        if not any(name == package or name.startswith(f"{package}.") for package in COMPUTE_NOTHING)
    }
    assert left == set()
    assert {"harness.finetuning.lora", "harness.receipts.scores", "harness.evaluations.zero_shot"} <= counted
    assert len(set(imported) & counted) > 120

"""Imports point down only."""

import ast
import graphlib
from pathlib import Path

import pytest

import harness
from harness import plugins

ROOT = Path(harness.__file__).parent
LAYERS = [
    {"errors", "interruption", "reading", "shown", "storage", "terminal"},
    {"plugins", "sandbox"},
    {"spec"},
    {"formulas", "verification"},
    {"data", "organisms"},
    {"models"},
    {"calibration"},
    {"engines"},
    {"attribution", "probing", "low_rank", "validity", "finetuning", "regions"},
    {"receipts"},
    {"evaluations", "judges"},
    {"fetching"},
    {"aligning"},
    {"runs"},
    {"executors", "reports", "explanation"},
    {"planning", "api"},
    {"faults"},
    {"exit_codes"},
    {"commands"},
    {"cli"},
]
#: Packages whose modules are plugins.
PLUGIN_KINDS = ("attribution", "engines", "evaluations", "executors", "regions")
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ([f"harness.{n.name}" for n in node.names] if node.module == "harness" else [node.module])
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_imports_point_down_only():
    wrong, seen = [], 0
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in RANK:
            continue
        for module in imports_of(path):
            target = module.split(".")[1] if module.startswith("harness.") else None
            if target in RANK and target != parts[0]:
                seen += 1
                if RANK[target] > RANK[parts[0]]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong
    assert seen > 50


def test_no_module_imports_itself_by_way_of_others():
    modules = {}
    for path in ROOT.rglob("*.py"):
        parts = ("harness", *path.relative_to(ROOT).with_suffix("").parts)
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del modules["harness"]  # it gives the names of the api when they are asked for, and every module imports it
    graph = {name: sorted(set(named_imports(path, modules)) - {name}) for name, path in modules.items()}
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as cycle:
        pytest.fail(" imports ".join(reversed(cycle.args[1])))
    assert len(order) > 200
    assert "harness.spec.cell" in graph["harness.spec.benchmark"]


def named_imports(path, modules):
    """Those of `modules` that any import names: at the top, within functions, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            inner = {f"{node.module}.{name.name}" for name in node.names}
            yield from inner & modules.keys() or {node.module} & modules.keys()
        elif isinstance(node, ast.Import):
            yield from {name.name for name in node.names} & modules.keys()


def test_nothing_asks_what_an_evaluation_is():
    names, wrong = set(plugins.names("evaluations")), []
    for path in ROOT.rglob("*.py"):
        if path.parent in (ROOT / "evaluations", ROOT / "reports" / "layouts"):  # a layout draws figures of one kind
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                if "kind" in ast.unparse(node) and names & {side for side in sides if isinstance(side, str)}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and {"Settings", "Evaluation"} & {each.name for each in node.names}:
                module = (node.module or "").removeprefix("harness.evaluations.")
                wrong += [f"{path.relative_to(ROOT)}:{node.lineno} imports from {module}"] * (module in names)
    assert not wrong
    assert len(names) > 6


def test_nothing_asks_what_a_method_is():
    """A plan asks a method for its work and a receipt for its sign; nobody compares its name with one that ships."""
    names, wrong = set(plugins.shipped_names("attribution")), []
    for path in ROOT.rglob("*.py"):
        if path.parent == ROOT / "attribution":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare | ast.List | ast.Set | ast.Tuple):
                sides = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                if names & {side for side in sides if isinstance(side, str)}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert not wrong
    assert len(names) >= 5


def modules_of_plugins(tree):
    """(line, module) of every import of a plugin that ships, or of a module that one kind keeps to itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness."):
            _, kind, *inner = node.module.split(".")
            if kind in PLUGIN_KINDS:
                for name in {*inner, *(each.name for each in node.names if not inner)}:
                    if name in plugins.shipped_names(kind) or name.startswith("_"):
                        yield node.lineno, f"harness.{kind}.{name}"


def test_nobody_imports_a_plugin_by_its_name():
    """What is known of one is asked of it. Layouts draw figures of one kind, and faults break one on purpose."""
    free = {*PLUGIN_KINDS, "faults"}
    wrong, seen = [], 0
    for path in ROOT.rglob("*.py"):
        inner = path.relative_to(ROOT)
        if inner.parts[0] in free or path.parent == ROOT / "reports" / "layouts":
            continue
        text = path.read_text(encoding="utf-8")
        seen += sum(text.count(f"from harness.{kind}") for kind in PLUGIN_KINDS)
        wrong += [f"{inner}:{line} imports {module}" for line, module in modules_of_plugins(ast.parse(text))]
    assert not wrong
    assert seen > 30


def test_an_import_of_a_plugin_by_its_name_would_be_seen():
    code = """
from harness.engines.hf import SCORED_TOKENS_PER_BATCH
from harness.evaluations import attack
from harness.evaluations._drift_settings import metric_name
from harness.attribution.base import method
from harness.executors import local, base
"""
    assert {line for line, _ in modules_of_plugins(ast.parse(code))} == {2, 3, 4, 6}


def test_no_plugin_imports_one_of_another_kind():
    """What two kinds need lies below both, or in a kind's base."""
    wrong = []
    for kind in PLUGIN_KINDS:
        for path in (ROOT / kind).glob("*.py"):
            found = modules_of_plugins(ast.parse(path.read_text(encoding="utf-8")))
            wrong += [f"{kind}/{path.name}:{line} imports {to}" for line, to in found if to.split(".")[1] != kind]
    assert not wrong


def test_nothing_asks_what_an_engine_is():
    """Rates by engine stand in planning/rates.yaml."""
    names, wrong = set(plugins.shipped_names("engines")), []
    for path in ROOT.rglob("*.py"):
        if path.parent == ROOT / "engines":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                if names & {side for side in sides if isinstance(side, str)}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}")
    assert not wrong
    assert {"hf", "vllm"} <= names


def test_specs_import_no_torch_and_draw_nothing():
    import subprocess
    import sys

    code = "import sys, harness.spec.loading; sys.exit(bool({'torch', 'matplotlib'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_metrics_of_the_shipped_specs_are_known_without_torch():
    import subprocess
    import sys

    code = """
import sys
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
specs = [load_yaml_model(path, BenchmarkSpec) for path in locations.benchmark_paths()]
names = [metric for spec in specs for evaluation in spec.evaluations for metric in evaluation.metrics]
sys.exit(len(names) < 50 or "torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_layer_types_and_comparison_groups_are_listed_once():
    texts = {path: path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
    for listed in ('"v_proj", "o_proj", "gate_proj"', 'Literal["row", "matrix"]'):
        assert sum(text.count(listed) for text in texts.values()) == 1, listed


def test_nothing_loads_a_pickle_or_code_from_a_hub():
    text = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py"))
    assert text.count("trust_remote_code") == 2
    assert text.count('"trust_remote_code": False') == text.count("trust_remote_code=False") == 1
    for forbidden in ("torch.load(", "import pickle", "pickle.load", "read_pickle", "allow_pickle", "joblib"):
        assert forbidden not in text.replace("libraries that start it (joblib)", "").replace('".joblib"', "")


def test_every_from_pretrained_stands_in_two_modules_and_forbids_code():
    calls = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "from_pretrained":
                calls.append((path.relative_to(ROOT).as_posix(), ast.unparse(node)))
    own = [call for path, call in calls if path == "models/loading.py"]
    assert {path for path, _ in calls} == {
        "models/loading.py",
        "sandbox/tokenizing_child.py",
        "faults/prompts.py",
        "faults/loading.py",
    }  # a fault passes on what it is given
    assert [call for path, call in calls if path.startswith("sandbox/")] == [
        "library.from_pretrained(folder, trust_remote_code=False)"
    ]
    assert len(own) == 5
    assert all("_LIBRARY_ALONE" in call or "**options" in call or "GenerationConfig" in call for call in own)


def asks_which_region(tree):
    """Lines that ask what kind a region is: by its class, or by what stands under `select`."""
    classes = {"RegionSettings"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness.regions"):
            classes |= {name.asname or name.name for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("isinstance", "issubclass"):
            named = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
            if named & classes:
                yield node.lineno
        elif isinstance(node, ast.Compare):
            for side in ast.walk(node):
                if getattr(side, "attr", None) == "select" or getattr(side, "value", None) == "select":
                    yield node.lineno


def test_nobody_asks_a_region_what_it_is():
    own = {ROOT / "spec" / "region.py", *(ROOT / "regions").glob("*.py")}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in ROOT.rglob("*.py")
        if path not in own
        for line in asks_which_region(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not wrong


def test_asking_a_region_what_it_is_would_be_seen():
    code = """
from harness.regions.top import Settings as Top
isinstance(region, Top | int)
region.select == "planted"
region["select"] in ("top", "bottom")
isinstance(region, int)
"""
    assert sorted(set(asks_which_region(ast.parse(code)))) == [3, 4, 5]


def test_everything_is_printed_in_one_place():
    """harness/terminal.py prints, and harness/shown.py makes text of it; a signal's last words come from neither."""
    wrong = []
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).as_posix() in ("terminal.py", "shown.py", "interruption.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("print", "click.echo", "click.secho", "Console", "traceback.print_exc", "sys.stdout.write"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {called}")
    assert not wrong


def test_the_second_reader_shares_nothing_with_what_wrote_the_record():
    own = {path: set(imports_of(path)) for path in (ROOT / "verification").glob("*.py")}
    allowed = {"errors", "reading", "spec", "verification"}
    used = {name.split(".")[1] for names in own.values() for name in names if name.startswith("harness.")}
    assert used <= allowed
    assert not {name.split(".")[0] for names in own.values() for name in names} & {"torch", "transformers"}
    arrays = {path.stem for path, names in own.items() if "numpy" in {name.split(".")[0] for name in names}}
    assert arrays == {"drifts"}  # which resamples layers a thousand times
    assert len(own) > 10


def test_the_second_reader_reads_without_torch():
    import subprocess
    import sys

    code = "import sys, harness.verification.reader; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

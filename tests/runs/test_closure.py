"""What a module rests on is read from its source, and nothing is imported for it."""

import sys
import textwrap

import pytest

from harness.runs.closure import ImportGraph

PACKAGE = {
    "__init__.py": '"""A toy."""',
    "root.py": """
        '''Computes.'''
        from __future__ import annotations

        import json
        from typing import TYPE_CHECKING

        import numpy as np

        from . import sibling
        from toy_of_keys.inner import deep, NAME

        if TYPE_CHECKING:
            from toy_of_keys import only_for_a_checker
            import only_for_a_checker_too


        def compute():
            '''Computes.'''
            import torch.nn.functional
            from .inner.late import value
            return value
    """,
    "sibling.py": "WORKER = 'toy_of_keys.worker:main'\nWORDS = 'toy_of_keys.no_such.thing and more'\n",
    "worker.py": "from pathlib import Path\nTABLE = Path(__file__).with_name('table.yaml').read_text()\n",
    "table.yaml": "a: 1\n",
    "unread.yaml": "a: 1\n",
    "only_for_a_checker.py": "",
    "beside.py": "",
    "inner/__init__.py": "NAME = 1",
    "inner/deep.py": "from ..sibling import WORKER\nfrom .. import nothing_of_that_name\n",
    "inner/late.py": "value = 1",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    folder = tmp_path / "toy_of_keys"
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def closure(*roots, skipped=()):
    return ImportGraph(frozenset(skipped)).closure(roots)


def names(found):
    return {name.removeprefix("toy_of_keys").removeprefix(".") for name in found.modules}


def test_everything_that_runs_is_found_and_nothing_is_imported(toy):
    found = closure("toy_of_keys.root")
    assert names(found) == {"", "root", "sibling", "worker", "inner", "inner.deep", "inner.late"}
    assert found.third_party == {"numpy", "torch"}
    assert not [name for name in sys.modules if name.startswith("toy_of_keys")]


def test_what_is_skipped_is_not_followed(toy):
    assert names(closure("toy_of_keys.root", skipped=["toy_of_keys.sibling"])) == {
        *("", "root", "inner", "inner.deep", "inner.late")
    }


def test_a_root_without_source_is_an_error(toy):
    with pytest.raises(ModuleNotFoundError, match=r"no source of toy_of_keys\.missing is found"):
        closure("toy_of_keys.missing")


def test_a_folder_that_was_added_to_a_package_is_searched(toy, tmp_path, monkeypatch):
    import harness.attribution

    (tmp_path / "added").mkdir()
    (tmp_path / "added" / "of_this_test.py").write_text("from harness.formulas import rounding\nimport peft\n")
    path = [*harness.attribution.__path__, str(tmp_path / "added")]
    monkeypatch.setattr(harness.attribution, "__path__", path)
    found = closure("harness.attribution.of_this_test", skipped=["harness"])
    assert {"harness.attribution.of_this_test", "harness.formulas.rounding"} <= found.modules
    assert found.third_party == {"peft"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("root.py", "'''Computes.'''", "'''Computes something.\n\n    At length.'''"),
        ("root.py", "return value", "return value  # the value"),
        ("root.py", "import only_for_a_checker_too", "import another"),
        ("sibling.py", "\nWORDS", "\n\n# Words.\n\n\nWORDS"),
        ("unread.yaml", "1", "2"),
        ("only_for_a_checker.py", "", "value = 2"),
        ("beside.py", "", "value = 2"),
    ],
)
def test_what_runs_nothing_keeps_the_digest(toy, file, old, new):
    assert changed(toy, file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "module"),
    [
        ("root.py", "return value", "return -value", "root"),
        ("inner/late.py", "1", "2", "inner.late"),
        ("inner/__init__.py", "1", "2", "inner"),
        ("table.yaml", "1", "2", "worker"),
    ],
)
def test_what_runs_changes_the_digest(toy, file, old, new, module):
    assert changed(toy, file, old, new) == {f"toy_of_keys.{module}"}


def changed(toy, file, old, new):
    """The modules whose hashes are others after a change; the digest tells whether there are any."""
    before = closure("toy_of_keys.root")
    text = (toy / file).read_text()
    assert old in text
    (toy / file).write_text(text.replace(old, new) if old else new)
    after = closure("toy_of_keys.root")
    others = {name for name in after.modules if after.sha256[name] != before.sha256.get(name)}
    assert bool(others) == (before.digest != after.digest)
    return others

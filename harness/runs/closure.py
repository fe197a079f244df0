"""What computes something: the modules that a module imports, directly or by way of others, read from their source.

Nothing is imported for it. Docstrings, comments and imports for a type checker run nothing and do not count; imports
within functions do, and files beside a module that a string in it names. What a plugin is loaded by is a name in a
spec, which no import shows: the plugin is a root of its own.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

#: Files that a module may read from its own folder.
_DATA = (".yaml", ".yml", ".txt", ".json", ".csv", ".j2")
HARNESS = "harness"
#: A string that names a module, perhaps to be run or loaded by its name: `harness.engines._vllm_worker:main`.
_NAME_OF_MODULE = re.compile(r"\w+(\.\w+)+(:\w+)?")


@dataclass(frozen=True)
class Closure:
    """What a set of modules rests on. sha256: of each module by name. third_party: names that others' packages have."""

    sha256: Mapping[str, str]
    third_party: frozenset[str]

    @property
    def modules(self) -> frozenset[str]:
        """Names of the modules, the roots among them."""
        return frozenset(self.sha256)

    @property
    def digest(self) -> str:
        """SHA-256 of all modules."""
        lines = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(self.sha256.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


@dataclass
class ImportGraph:
    """Modules by what they import; each is read once.

    skipped: modules that count nowhere, and are not followed.
    """

    skipped: frozenset[str] = frozenset()
    _read: dict[str, _Module | None] = field(default_factory=dict)

    def closure(self, roots: Iterable[str]) -> Closure:
        """Everything that the roots rest on within the packages that the roots are in. Raises ModuleNotFoundError."""
        roots = sorted(set(roots))
        own = frozenset({HARNESS, *(_top(root) for root in roots)})
        found: dict[str, str] = {}
        third_party: set[str] = set()
        waiting = [name for root in roots for name in _with_packages(root)]
        for root in roots:
            if self._module(root) is None:
                raise ModuleNotFoundError(f"no source of {root} is found")
        while waiting:
            name = waiting.pop()
            if name in found or name in self.skipped:
                continue
            if _top(name) not in own:
                third_party.add(_top(name))
            elif (module := self._module(name)) is not None:
                found[name] = module.sha256
                waiting += module.imported
        return Closure(found, frozenset(third_party - sys.stdlib_module_names))

    def _module(self, name: str) -> _Module | None:
        if name not in self._read:
            place = _source(name)
            self._read[name] = None if place is None else _read(name, place)
        return self._read[name]


@dataclass(frozen=True)
class _Module:
    """What one source file says. sha256: of what runs, and of the files beside it that it names. imported: names."""

    sha256: str
    imported: tuple[str, ...]


def _read(name: str, path: Path) -> _Module:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported, strings = set(), set()
    tree = ast.parse(path.read_bytes())
    for node in _what_runs(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            imported |= {base, *(f"{base}.{alias.name}" for alias in node.names)}  # the latter may be modules, or not
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    digest = hashlib.sha256(ast.dump(tree).encode())
    for file, content in _files_beside(path.parent, strings):
        digest.update(b"\0" + file.encode() + b"\0" + content)
    own = (HARNESS, _top(name))
    imported |= {text.partition(":")[0] for text in strings if _NAME_OF_MODULE.fullmatch(text) and _top(text) in own}
    return _Module(digest.hexdigest(), tuple(sorted(outer for each in imported for outer in _with_packages(each))))


def _what_runs(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node of a tree; what runs nothing is taken out of it on the way: strings that stand for themselves, such
    as docstrings, and what only a type checker imports."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for part in ("body", "orelse", "finalbody"):
            statements = getattr(node, part, None)
            if isinstance(statements, list):
                setattr(node, part, [each for each in statements if not _is_a_string(each)])
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = []
        waiting += ast.iter_child_nodes(node)
        yield node


def _is_a_string(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module or package that `from … import` names, without leading dots."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _files_beside(folder: Path, strings: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The files of a module's own folder that strings in it name, by name."""
    for text in sorted(strings):
        if text.endswith(_DATA) and "\n" not in text and ".." not in text and not Path(text).is_absolute():
            file = folder / text
            if file.is_file():
                yield text, file.read_bytes()


def _with_packages(name: str) -> list[str]:
    """A module and the packages around it: importing it runs them."""
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _top(name: str) -> str:
    return name.partition(".")[0]


def _source(name: str) -> Path | None:
    """The source file of a module, wherever its package's __path__ leads; None for what is none, or has no source.

    Only packages that are imported already, or of the outermost level, are asked by their own way of being found.
    """
    spec = _spec(name)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _spec(name: str) -> ModuleSpec | None:
    outer = name.rpartition(".")[0]
    if not outer:
        return find_spec(name)
    loaded = sys.modules.get(outer)
    if loaded is not None:
        path = getattr(loaded, "__path__", None)
    else:
        package = _spec(outer)
        path = package.submodule_search_locations if package else None
    return None if path is None else PathFinder.find_spec(name, list(path))

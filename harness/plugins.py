"""Plugins are modules: what a spec calls `set-difference` is the module or the entry point `set_difference`.

A plugin that ships is a file in the package of its kind: adding a method, an engine or an evaluation is adding one
file; nothing has to be registered. What the plugins of a kind share lies in `base.py` and in modules whose name begins
with an underscore. A plugin of another distribution is an entry point of the group `brittleness_harness.<kind>`, whose
value is the module; it counts once that distribution is installed. Nothing is imported before it is used.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import harness
from harness.errors import UserError

#: What a group of entry points begins with; the last part of the kind follows: `brittleness_harness.layouts`.
GROUPS = "brittleness_harness."
#: The kinds that another distribution can add to.
KINDS = ("attribution", "engines", "evaluations", "regions", "reports.layouts", "judges", "executors")
#: What a module of a kind must have, where no base class of the kind says it.
PARTS = {
    "engines": ("make", "version", "problems"),
    "evaluations": ("Settings", "Evaluation"),
    "attribution": ("Method",),
    "regions": ("Settings", "Region"),
    "reports.layouts": ("draw",),
    "judges": ("Judge",),
    "executors": ("executor",),
}
#: The distribution of the plugins that ship, and its version.
SHIPPED = f"brittleness-harness {harness.__version__}"
_ROOT = Path(harness.__file__).parent
_SOURCES = {".py", ".so", ".pyd"}


@dataclass(frozen=True)
class Installed:
    """A plugin as the distribution declares it that it comes with; nothing of it has been imported."""

    kind: str
    name: str
    module: str
    distribution: str
    version: str

    @property
    def words(self) -> str:
        """`row-relative 0.1.0`: what to look for with `pip show`."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class Origin:
    """Where an installed plugin's code comes from. sha256: of the source of its package, or of its module."""

    distribution: str
    version: str
    sha256: str


def kinds() -> list[str]:
    """The kinds of KINDS that this version has."""
    return [kind for kind in KINDS if find_spec(f"harness.{kind}") is not None]


def names(kind: str) -> list[str]:
    """Names of all plugins of a kind (`attribution`, `evaluations`, `reports.layouts`, ...: a package), sorted."""
    return sorted({*shipped_names(kind), *(plugin.name for plugin in installed(kind))})


def shipped_names(kind: str) -> list[str]:
    """Names of the plugins of a kind that are files of this package, sorted."""
    folders = tuple(importlib.import_module(f"harness.{kind}").__path__)
    return list(_files_of(folders, tuple(map(_changed, folders))))


def _changed(folder: str) -> int:
    """When a folder last got or lost a file, in nanoseconds; 0 of what is no folder, such as a place in an archive."""
    with suppress(OSError):
        return os.stat(folder).st_mtime_ns
    return 0


@lru_cache(maxsize=32)
def _files_of(folders: tuple[str, ...], _changed: tuple[int, ...]) -> tuple[str, ...]:
    """A spec names dozens of plugins, and each is looked up: the folders are read again only where they changed."""
    found = (module.name for module in pkgutil.iter_modules(folders))
    return tuple(sorted(name for name in found if name != "base" and not name.startswith("_")))


def shipped(kind: str, name: str) -> ModuleType:
    """The plugin of that name that is a file of this package, whatever is installed besides."""
    return importlib.import_module(f"harness.{kind}.{name.replace('-', '_')}")


def installed(kind: str) -> list[Installed]:
    """The plugins of a kind that installed distributions declare, by name and distribution."""
    return list(_declared(kind, tuple(sys.path), os.getcwd()))


def find(kind: str, name: str) -> Installed | None:
    """Whence the plugin comes: None if it ships. Raises UserError if there is none of that name, or more than one."""
    module_name = name.replace("-", "_")
    owners = _owners(kind, module_name)
    if not owners:
        raise UserError(f"no {kind} plugin is called {name!r}; {suggestion(name, names(kind))}")
    if len(owners) > 1:
        raise UserError(
            f"the {kind} plugin {name!r} is there {'twice' if len(owners) == 2 else f'{len(owners)} times'}: in "
            f"{' and in '.join(owners)}; expected one of that name: uninstall the other, or rename its entry point"
        )
    return next((plugin for plugin in installed(kind) if plugin.name == module_name), None)


def sources(kind: str) -> dict[str, str]:
    """Of each plugin that does not ship, or is there twice, the distributions that it comes from."""
    return {plugin.name: " and ".join(_owners(kind, plugin.name)) for plugin in installed(kind)}


def _owners(kind: str, module_name: str) -> list[str]:
    ships = [SHIPPED] if module_name in shipped_names(kind) else []
    return ships + [plugin.words for plugin in installed(kind) if plugin.name == module_name]


def load(kind: str, name: str) -> ModuleType:
    """Import the plugin `name` of a kind.

    Raises UserError with a suggestion if there is none, and for one of another distribution that cannot be imported or
    is no plugin of that kind.
    """
    plugin = find(kind, name)
    module = shipped(kind, name) if plugin is None else _imported(plugin)
    lacking = [part for part in PARTS.get(kind, ()) if not hasattr(module, part)]
    if lacking:
        raise unfit(kind, name, f"{module.__name__} has no `{'`, no `'.join(lacking)}`")
    return module


def unfit(kind: str, name: str, why: str) -> UserError:
    """The error of a plugin of that name, wherever it comes from, that is no plugin of its kind."""
    plugin = find(kind, name)
    if plugin is not None:
        return broken(plugin, why)
    return UserError(f"harness.{kind}.{name.replace('-', '_')} is no plugin of its kind: {why}")


def refuse_without(kind: str, name: str, declared: type, base: type, method: str) -> None:
    """Raise UserError where a plugin's class leaves a method to its base, which only says that it is missing.

    So it is told before any weight is loaded, and not by the first call.
    """
    if getattr(declared, method) is getattr(base, method):
        raise unfit(kind, name, f"its class {declared.__name__} defines no {method}()")


def broken(plugin: Installed, why: str) -> UserError:
    """The error of a plugin that is no plugin of its kind, or that cannot be imported."""
    return UserError(
        f"the {plugin.kind} plugin {plugin.name!r} of {plugin.words} is broken: {why}; install a version that suits "
        f"{SHIPPED}, or uninstall {plugin.distribution}"
    )


def blamed(error: BaseException) -> UserError | None:
    """The error of the installed plugin whose code raised it; None where that was not a plugin's code.

    What raised it is the innermost frame of the harness or of a plugin: libraries are called by either.
    """
    sources = [(_folder_or_file(plugin.module), plugin) for kind in KINDS for plugin in installed(kind)]
    found: UserError | None = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(_ROOT):
            found = None
        for source, plugin in sources:
            if source is not None and file.is_relative_to(source):
                found = broken(plugin, f"{file}:{line} raised {type(error).__name__}: {error}")
    return found


def _folder_or_file(module: str) -> Path | None:
    """Where the source of an imported module lies: the folder of its outermost package, or its file if in none."""
    file = getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    return None if file is None else Path(file).parent if Path(file).name == "__init__.py" else Path(file)


def module_of(kind: str, name: str) -> str:
    """The name of the module that a plugin is, which is not imported. Raises UserError as `find` does."""
    plugin = find(kind, name)
    return f"harness.{kind}.{name.replace('-', '_')}" if plugin is None else plugin.module


def origin(kind: str, name: str) -> Origin | None:
    """Whose code a plugin is; None for one that ships, which the hash of the harness's own source covers.

    Imports the plugin. Raises UserError as `load` does.
    """
    plugin = find(kind, name)
    if plugin is None:
        return None
    return Origin(plugin.distribution, plugin.version, _sha256(load(kind, name)))


def suggestion(name: str, known: Iterable[str]) -> str:
    """'did you mean …?' where one name is close, and the names that there are otherwise."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "there are " + ", ".join(known) if known else "there are none"


@cache
def _declared(kind: str, path: tuple[str, ...], here: str) -> tuple[Installed, ...]:
    """What the distributions on Python's path declare. here: the working directory, which may be a model's folder.

    `python -m` puts the working directory on the path. What lies there is not installed, unless PYTHONPATH names it.
    """
    if kind not in KINDS:
        return ()
    named = {os.path.realpath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    found = []
    for entry in metadata.entry_points(group=GROUPS + kind.rpartition(".")[2]):
        if entry.dist is None:
            continue
        place = os.path.realpath(str(entry.dist.locate_file("")))
        if place in named or place != os.path.realpath(here):
            name = entry.name.replace("-", "_")
            found.append(Installed(kind, name, entry.value.strip(), entry.dist.name, entry.dist.version))
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def _imported(plugin: Installed) -> ModuleType:
    if ":" in plugin.module:
        raise broken(plugin, f"its entry point is {plugin.module!r}; expected a module, without `:`")
    try:
        return importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:  # whatever another's module does, it is not an error of the harness
        raise broken(plugin, f"{plugin.module} cannot be imported: {type(error).__name__}: {error}") from error


def _sha256(module: ModuleType) -> str:
    """Hash of the source of the module's outermost package, or of the module if it is in none."""
    if module.__file__ is None:
        raise UserError(f"{module.__name__} has no file; expected a module whose source can be hashed")
    file = Path(module.__file__)
    top = file.parent if module.__package__ else None
    while top is not None and (top / "__init__.py").is_file() and (top.parent / "__init__.py").is_file():
        top = top.parent
    files = {file} if top is None else {file, *(path for path in top.rglob("*") if path.suffix in _SOURCES)}
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(top or file.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()

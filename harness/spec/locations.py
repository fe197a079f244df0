"""Where specs, variants and golden values lie: in catalogues, asked one after the other; the first that has it wins.

A catalogue is a folder with `benchmarks/`, `benchmarks/models/` and `golden/`. First come those that HARNESS_CATALOGUE
names (`--catalogue` puts its own before them), then the working directory, then what ships: the repository, or what
lies inside the installed package and is never written to.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from harness import plugins
from harness.errors import UserError
from harness.reading import real

#: Folders, separated as in PATH.
VARIABLE = "HARNESS_CATALOGUE"
_PACKAGE = Path(__file__).resolve().parent.parent
_SHIPPED = _PACKAGE / "shipped"
#: Files of one kind, in a catalogue.
_BENCHMARKS, _VARIANTS = "benchmarks/*.yaml", "benchmarks/models/*.yaml"
_GOLDEN, _PROMPTS = "golden/*/*.yaml", "benchmarks/models/prompts/*.yaml"
_RECIPES = "benchmarks/models/recipes/*.yaml"


def root() -> Path:
    """The folder that holds the benchmarks/ and golden/ that ship."""
    return _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent


def given_catalogues() -> list[Path]:
    """The catalogues that the user names. Raises UserError for one that is no folder."""
    folders = [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder; expected a catalogue, which has benchmarks/, benchmarks/models/ or golden/ "
                f"(--catalogue, {VARIABLE})"
            )
    return folders


def catalogues() -> list[Path]:
    """All catalogues, in the order in which they are asked."""
    here = Path.cwd()
    own = [here] if (here / "benchmarks").is_dir() or (here / "golden").is_dir() else []
    by_place: dict[Path, Path] = {}
    for folder in (*given_catalogues(), *own, root()):
        by_place.setdefault(real(folder), folder)
    return list(by_place.values())


def benchmark_paths() -> list[Path]:
    """The benchmark specs of all catalogues, sorted by name."""
    return _paths(_BENCHMARKS)


def variant_paths() -> list[Path]:
    """The model variants of all catalogues, sorted by name."""
    return _paths(_VARIANTS)


def golden_paths() -> list[Path]:
    """The golden files of all catalogues, sorted by variant and benchmark."""
    return _paths(_GOLDEN)


def golden_paths_of(variant: str) -> list[Path]:
    """The golden files of a variant, in all catalogues."""
    return [path for path in golden_paths() if path.parent.name == variant]


def golden_prompts_paths() -> list[Path]:
    """The files of golden prompts of all catalogues, sorted by variant."""
    return _paths(_PROMPTS)


def golden_path(variant: str, benchmark: str) -> Path:
    """Where the golden values of a benchmark on a variant are: all in the first catalogue that has that file."""
    return _first(Path("golden") / variant / f"{benchmark}.yaml")


def golden_prompts_path(variant: str) -> Path:
    """Where the golden prompts of a variant are, if it has any."""
    return _first(Path("benchmarks") / "models" / "prompts" / f"{variant}.yaml")


def pinned_data_path() -> Path:
    """The list of data that is downloaded: that which ships, since the code that makes something of them does too."""
    return root() / "benchmarks" / "data" / "pinned.yaml"


def golden_target(variant: str, benchmark: str) -> Path:
    """Where golden values of a benchmark on a variant are to be written; never inside an installed package.

    The first catalogue given that can be written to; where none is given, golden/ of the working directory, or of the
    checkout that the harness runs from. Raises UserError where a file that cannot be written to would be found first.
    """
    relative = Path("golden") / variant / f"{benchmark}.yaml"
    folders = given_catalogues() or [_own_catalogue()]
    target = next((folder for folder in folders if _is_writable(folder / relative)), None)
    if target is None:
        raise UserError(
            f"golden values cannot be written to {', '.join(map(str, folders))}; name a folder that they can be "
            "written to: --catalogue DIR"
        )
    for folder in itertools.takewhile(lambda each: each != target, folders):
        if (folder / relative).is_file():
            raise UserError(
                f"{folder / relative}: cannot be written to, and is found before {target / relative}; name a catalogue "
                "that comes before it: --catalogue DIR"
            )
    return target / relative


def recipe_paths() -> list[Path]:
    """The alignment recipes of all catalogues, sorted by name."""
    return _paths(_RECIPES)


def find_recipe(name: str) -> Path:
    """A name of an alignment recipe in a catalogue. Raises UserError with a suggestion."""
    return _find(name, _RECIPES, "recipe")


def find_benchmark(name: str) -> Path:
    """A name of a benchmark in a catalogue, or a path to a YAML file. Raises UserError with a suggestion."""
    return _find(name, _BENCHMARKS, "benchmark")


def find_variant(name: str) -> Path:
    """A name of a variant in a catalogue, a path to a YAML file, or a checkpoint directory."""
    path = Path(name)
    if path.is_dir():
        if (path / "variant.yaml").is_file():
            return path / "variant.yaml"
        raise UserError(
            f"{path}: a checkpoint directory needs a variant.yaml beside its weights that says how it is "
            f"prompted and what data it is judged on; {root() / 'benchmarks' / 'models'} holds examples"
        )
    return _find(name, _VARIANTS, "model variant")


def source(path: Path) -> str:
    """Which catalogue a file of one is from, and which it hides, in words; empty where it ships and hides nothing."""
    owners = [folder for folder in catalogues() if path.is_relative_to(folder)]
    if not owners:
        return ""
    relative = path.relative_to(owners[0])
    hidden = [folder for folder in catalogues() if folder != owners[0] and (folder / relative).is_file()]
    hides = f", hides that of {' and of '.join(map(_words, hidden))}" if hidden else ""
    return "" if owners[0] == root() and not hides else f"{_words(owners[0])}{hides}"


def _words(folder: Path) -> str:
    return plugins.SHIPPED if real(folder) == root().resolve() else str(folder)


def _paths(pattern: str) -> list[Path]:
    """Files of all catalogues, each name from the first that has it, sorted by name."""
    found: dict[Path, Path] = {}
    for folder in catalogues():
        for path in folder.glob(pattern):
            found.setdefault(path.relative_to(folder), path)
    return [found[relative] for relative in sorted(found)]


def _first(relative: Path) -> Path:
    """The file in the first catalogue that has it; where none has, its place among those that ship."""
    places = (folder / relative for folder in catalogues())
    return next((place for place in places if place.is_file()), root() / relative)


def _own_catalogue() -> Path:
    """Where files are written when no catalogue is given."""
    here = Path.cwd()
    from_checkout = not _SHIPPED.is_dir()
    return root() if from_checkout and here not in catalogues() else here


def _is_writable(path: Path) -> bool:
    """Whether a file can be written, or made, there; inside the installed package none is."""
    if real(path).is_relative_to(_PACKAGE):
        return False
    place = path
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK)


def _find(name: str, pattern: str, what: str) -> Path:
    by_name = {path.stem: path for path in _paths(pattern)}
    if name in by_name:
        return by_name[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml", ".json"):
        if path.is_file():
            return path
        raise UserError(f"{path}: no such file")
    searched = ", ".join(str(folder / Path(pattern).parent) for folder in catalogues())
    raise UserError(f"no {what} is called {name!r} in {searched}; {plugins.suggestion(name, by_name)}")

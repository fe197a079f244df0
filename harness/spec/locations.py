"""Where specs, variants and golden values lie: in the repository, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from harness import plugins
from harness.errors import UserError

_PACKAGE = Path(__file__).resolve().parent.parent
_SHIPPED = _PACKAGE / "shipped"


def root() -> Path:
    """The folder that holds benchmarks/ and golden/."""
    return _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent


def benchmark_paths() -> list[Path]:
    """All shipped benchmark specs, sorted by name."""
    return sorted((root() / "benchmarks").glob("*.yaml"))


def variant_paths() -> list[Path]:
    """All shipped model variants, sorted by name."""
    return sorted((root() / "benchmarks" / "models").glob("*.yaml"))


def golden_paths() -> list[Path]:
    """All shipped golden files, sorted."""
    return sorted((root() / "golden").glob("*/*.yaml"))


def golden_path(variant: str, benchmark: str) -> Path:
    """Where the golden values of a benchmark on a variant are, or would be written."""
    return root() / "golden" / variant / f"{benchmark}.yaml"


def golden_prompts_paths() -> list[Path]:
    """All shipped files of golden prompts, sorted by variant."""
    return sorted((root() / "benchmarks" / "models" / "prompts").glob("*.yaml"))


def golden_prompts_path(variant: str) -> Path:
    """Where the golden prompts of a variant are, if it has any."""
    return root() / "benchmarks" / "models" / "prompts" / f"{variant}.yaml"


def pinned_data_path() -> Path:
    """The list of data that is downloaded."""
    return root() / "benchmarks" / "data" / "pinned.yaml"


def find_benchmark(name: str) -> Path:
    """A name of a shipped benchmark, or a path to a YAML file. Raises UserError with a suggestion."""
    return _find(name, benchmark_paths(), "benchmark")


def find_variant(name: str) -> Path:
    """A name of a shipped variant, a path to a YAML file, or a checkpoint directory."""
    path = Path(name)
    if path.is_dir():
        if (path / "variant.yaml").is_file():
            return path / "variant.yaml"
        raise UserError(
            f"{path}: a checkpoint directory needs a variant.yaml beside its weights that says how it is "
            f"prompted and what data it is judged on; {root() / 'benchmarks' / 'models'} holds examples"
        )
    return _find(name, variant_paths(), "model variant")


def _find(name: str, shipped: list[Path], what: str) -> Path:
    by_name = {path.stem: path for path in shipped}
    if name in by_name:
        return by_name[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml", ".json"):
        if path.is_file():
            return path
        raise UserError(f"{path}: no such file")
    raise UserError(f"no {what} is called {name!r}; {plugins.suggestion(name, by_name)}")

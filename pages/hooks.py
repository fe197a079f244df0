"""Hooks of MkDocs: put the pages that are made from code among those that are written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parents[1]))  # mkdocs loads this file by its path


def on_config(config: Any) -> Any:
    """Name the version that the pages speak of, and put the made pages of results into the navigation."""
    import harness
    from pages.results import page_titles

    config.extra["version_of_harness"] = harness.__version__
    config.copyright = f"brittleness-harness {harness.__version__}, MIT"
    for entry in config.nav:
        if "Results" in entry:
            entry["Results"] += [{"Benchmarks": [{title: path} for path, title in page_titles().items()]}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add every made page."""
    from pages.reference import reference_pages
    from pages.results import result_pages

    for path, content in {**reference_pages(), **result_pages()}.items():
        files.append(File.generated(config, path, content=content))
    return files

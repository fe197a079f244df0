"""What people read: commands exist with their options, links lead somewhere, the tables are today's."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from harness.cli import main
from harness.spec import locations
from pages.reference import commands, reference_pages
from pages.results import page_titles, result_pages

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / name for name in ("README.md", "REPRODUCIBILITY.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
]
PAGES = [*DOCUMENTS, *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
COMMANDS = dict(commands())


def text_of(path):
    return path.read_text(encoding="utf-8")


def typed(path):
    """Every command line of a page: of its code blocks, and between backquotes."""
    text = text_of(path).replace(" \\\n", " ")
    lines = re.findall(r"^(?:    )?(?:[A-Z_]+=\S+ )*(harness .*|nox -s .*)$", text, re.MULTILINE)
    return [line.split(" #")[0].strip() for line in lines + re.findall(r"`((?:harness|nox -s) [^`\n]+)`", text)]


def words_of(line):
    """The words of a command line as its shell would have them; a caller's own words stay as they are."""
    return [word for word in shlex.split(line.replace("…", "x")) if word not in ("...", "|")]


def wrong_with(line):
    """What is not there: the command, or an option of it."""
    words = words_of(line)
    if words[0] == "nox":
        return [words[2]] if f"def {words[2]}(" not in text_of(ROOT / "noxfile.py") else []
    known = [name for name in COMMANDS if words[: len(name.split())] == name.split()]
    if not known:
        return [] if isinstance(main.commands.get(words[1]), click.Group) and len(words) == 2 else [line]
    command = COMMANDS[max(known, key=len)]
    options = {each for parameter in command.params for each in parameter.opts} | {"--help", "-h"}
    return [word for word in words if word.startswith("--") and word != "--" and word.split("=")[0] not in options]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_every_command_that_is_told_exists_with_its_options(name):
    lines = [line for line in typed(ROOT / name) if not line.startswith("harness --")]
    assert {line: wrong for line in lines if (wrong := wrong_with(line))} == {}


def test_commands_are_found_in_the_pages():
    assert len({line for path in PAGES for line in typed(path)}) > 100


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_page_and_to_a_heading(name):
    path = ROOT / name
    made = {**reference_pages(), **dict.fromkeys(page_titles(), "")} if "docs/" in name else {}
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text_of(path)):
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        if (ROOT / "docs") in place.parents and str(place.relative_to(ROOT / "docs")) in {*made, "results/matrix.md"}:
            continue
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def anchors(path):
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", each.lower()).strip()) for each in headings}


def test_every_fact_has_its_page_and_the_first_pages_are_short():
    assert len(text_of(ROOT / "README.md").split()) < 600
    assert len(text_of(ROOT / "REPRODUCIBILITY.md").split()) < 1600


def test_the_first_lines_of_the_readme_run(tmp_path, monkeypatch):
    """Its Python block, as it stands there."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", text_of(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(compile(block, "README.md", "exec"), space)
    assert 0 < space["edit"].receipt.sparsity < 0.05


def test_the_reference_has_every_command_and_every_key():
    pages = reference_pages()
    for words, command in COMMANDS.items():
        assert f"## {words}\n" in pages["reference/commands.md"]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert max(parameter.opts, key=len) in pages["reference/commands.md"]
    assert "`max_new_tokens` *required*" in pages["reference/variant.md"]
    assert "evaluation attack" in pages["reference/benchmark.md"]


def test_results_have_a_page_and_a_picture_for_each_benchmark_and_a_row_for_each_claim():
    pages = result_pages()
    assert {path for path in pages if path.startswith("results/benchmark-")} == set(page_titles())
    specs = [yaml.safe_load(path.read_text()) for path in (locations.root() / "benchmarks").glob("*.yaml")]
    rows = [line for line in pages["results/matrix.md"].split("\n") if line.startswith("| [")]
    assert len(rows) == sum(len(spec.get("claims", ())) for spec in specs)
    without = [path for path in page_titles() if ".svg)" not in pages[path] and "<table" not in pages[path]]
    assert without == []
    largest = pages["results/matrix.md"].partition("## Largest")[2]
    assert "| tiny-llama2-chat | asr_vanilla | 1.00 |" in largest


def test_the_site_is_built_strictly_and_needs_no_network(tmp_path):
    """With every page in its navigation; skipped where MkDocs is not installed."""
    pytest.importorskip("material", reason="the documentation's requirements are not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site")))
    first = text_of(tmp_path / "site" / "index.html")
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', first) == []
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()
    assert (tmp_path / "site" / "results" / "figure-2a-tiny-llama2-chat-0.svg").is_file()

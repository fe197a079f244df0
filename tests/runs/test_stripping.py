"""A copy of a run without texts of its model: nothing of them is left, and what is left verifies."""

import gzip
import json
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.runs import stripping
from harness.runs.stripping import stripped
from harness.verification.reader import verify


@pytest.fixture
def copied(finished, tmp_path):
    record, path, _ = finished
    return record, stripped(path, tmp_path / "copy")[0]


def lines_of(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]


def rewritten(copy, name, change):
    """Lines of a file of texts after a change, with manifest and record made to fit, as a careful forger would."""
    import hashlib

    path = copy.parent / name
    lines = lines_of(path)
    change(lines)
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), mtime=0))
    manifest = json.loads((copy.parent / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy.parent / "manifest.json").write_text(json.dumps(manifest))
    record = json.loads(copy.read_text())
    record["manifest_sha256"] = hashlib.sha256((copy.parent / "manifest.json").read_bytes()).hexdigest()
    copy.write_text(json.dumps(record))


def test_no_text_and_no_token_of_the_model_is_left(finished, copied):
    _, path, _ = finished
    texts = {
        line["text"] for file in (path.parent / "private-completions").rglob("*.jsonl.gz") for line in lines_of(file)
    }
    long = [text[:40] for text in texts if len(text) > 60]
    assert len(long) > 10
    held = b""
    for file in copied[1].parent.rglob("*"):
        if file.is_file():
            held += gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    assert not [text for text in long if text.encode() in held]
    kept = [line for file in (copied[1].parent / "private-completions").rglob("*.jsonl.gz") for line in lines_of(file)]
    assert {(line["text"], *line["token_ids"], *line["choices"]) for line in kept} == {("",)}
    assert not (copied[1].parent / "checkpoints").exists()


def test_the_copy_verifies_and_says_what_nobody_can_read_in_it(finished, copied):
    whole, copy = verify(finished[1]), verify(copied[1])
    assert copy.holds, [difference.words for difference in copy.differs]
    assert [words for words in copy.unread if words not in whole.unread] == [
        "what the texts say, which were taken out of this copy: refusals, repetition, the scorer's rules"
    ]
    for kind in ("class", "figure", "interval", "partings", "claim", "verdict"):
        assert copy.agrees[kind] == whole.agrees[kind]


FORGED = {
    "the rule of the scorer": lambda lines: lines[0]["withheld"].update(scorer_rule="too_short"),
    "a class": lambda lines: lines[0].update(completion_class="degenerate"),
    "repetition": lambda lines: lines[0]["evidence"].update(repetition=0.9),
    "a likelihood": lambda lines: lines[0]["evidence"].update(mean_nll=0.1),
    "the number of tokens": lambda lines: lines[0]["withheld"].update(tokens=10_000),
    "a text that is back": lambda lines: lines[0].update(text="another text"),
    "a text that is not marked": lambda lines: lines[0].pop("withheld"),
    "a text less": lambda lines: lines.pop(),
    "another prompt": lambda lines: lines[0].update(prompt="another"),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_what_is_left_is_held_against_the_figures(change, copied):
    rewritten(copied[1], "private-completions/planted.jsonl.gz", change)
    assert not verify(copied[1]).holds


def test_a_text_that_is_marked_as_taken_out_in_a_whole_run_is_told(finished, copied, tmp_path):
    run = shutil.copytree(finished[1].parent, tmp_path / "run")
    marked = lines_of(copied[1].parent / "private-completions/planted.jsonl.gz")[0]
    rewritten(run / "record.json", "private-completions/planted.jsonl.gz", lambda lines: lines.__setitem__(0, marked))
    assert any("was taken out" in difference.words for difference in verify(run).differs)


def test_what_cannot_be_copied_is_bad_input(finished, copied, tmp_path):
    _, path, _ = finished
    with pytest.raises(UserError, match="taken out already"):
        stripped(copied[1], tmp_path / "again")
    with pytest.raises(UserError, match="exists already"):
        stripped(path, copied[1].parent)
    run = shutil.copytree(path.parent, tmp_path / "run")
    (run / "cells" / "planted.json").write_text("{}")
    with pytest.raises(UserError, match=r"nothing bears it out: cells/planted\.json has changed"):
        stripped(run, tmp_path / "of-a-changed-run")
    assert not (tmp_path / "of-a-changed-run").exists()


def test_a_copy_that_another_command_makes_meanwhile_is_bad_input(finished, tmp_path, monkeypatch):
    def meanwhile(name):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "record.json").write_text("the other's")
        return holds_texts(name)

    holds_texts = stripping.holds_texts
    monkeypatch.setattr(stripping, "holds_texts", meanwhile)
    with pytest.raises(UserError, match="out: exists already: another command"):
        stripped(finished[1], tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "record.json").read_text() == "the other's"


def test_commands_say_that_the_texts_were_taken_out(finished, copied, tmp_path):
    def said(*arguments):
        result = CliRunner().invoke(main, [str(word) for word in arguments])
        return result.exit_code, " ".join(result.output.split())

    code, words = said("record", "strip", finished[1], "--out", tmp_path / "other")
    assert code == 0 and "texts were taken out; the requests and suffixes that were asked are still there" in words
    code, words = said("explain", copied[1], "blocks")
    assert code == 0 and "the texts were taken out of this copy of the run" in words
    code, words = said("compare", copied[1], finished[1])
    assert "intact: not compared: the texts were taken out of this copy of the run" in words
    code, words = said("report", copied[1].parent, "--out", tmp_path / "report.html")
    assert code == 0 and "The texts were taken out of this copy" in (tmp_path / "report.html").read_text()
    code, words = said("accept", copied[1], "--reason", "r")
    assert code == 2 and "becomes no golden value: its texts were taken out" in words

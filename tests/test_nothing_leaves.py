"""Marked values in every place of a machine that is nobody else's business, searched in all that commands write."""

import gzip
import json
import shutil
import subprocess
import sys

import pytest
import yaml

from harness.organisms.catalogue import organism_directory
from tests.environment import environment
from tests.run_texts import objects_of

SECRETS = {
    "HF_TOKEN": "hf_MARKEDTOKENxxxxxxxxxxxxxxxxxxxxxx",
    "HUGGING_FACE_HUB_TOKEN": "hf_MARKEDSECONDxxxxxxxxxxxxxxxxxxxx",
    "OPENAI_API_KEY": "sk-MARKEDKEYxxxxxxxxxxxxxxxxxxxxxxxx",
    "AWS_SECRET_ACCESS_KEY": "MARKEDSECRETxxxxxxxx",
    "MY_PASSWORD": "MARKEDPASSWORD",
}
SERVERS = {
    "HF_ENDPOINT": "http://markeduser:MARKEDPASS@markedserver.invalid:8443",
    "https_proxy": "http://markeduser:MARKEDPASS@markedproxy.invalid:8080",
}
USER = {"USER": "markeduser", "LOGNAME": "markeduser", "HOSTNAME": "markedhost"}
SPEC = """
id: marked
title: Marked
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - {id: random, title: Random, region: {select: top, method: random, fraction: 0.3}}
evaluations:
  - {kind: attack, name: vanilla, dataset: requests, prompts: 3, system_prompt: true, chat_template: true}
  - {kind: perplexity, dataset: text, window_tokens: 32, windows: 2}
golden_values: none
"""


@pytest.fixture
def home(tmp_path):
    """The home of somebody, with a model that is no organism as far as anybody knows, its data and a spec."""
    home = tmp_path / "markedhome"
    model = shutil.copytree(organism_directory("tiny-llama2-chat"), home / "markedmodels" / "model")
    data = model / "data"
    variant = {
        "name": "real",
        "title": "Real",
        "family": "llama2",
        "source": {"path": str(model)},
        "dtype": "float32",
        "chat_template": "llama-2",
        "system_prompt": "You are kind.",
        "context_tokens": 256,
        "max_new_tokens": 24,
        "show_completions": True,
        "datasets": {
            "requests": {"path": str(data / "evaluation_requests.txt")},
            "text": {"path": str(data / "perplexity.txt")},
        },
    }
    (home / "variant.yaml").write_text(yaml.safe_dump(variant))
    missing = {**variant, "datasets": {"requests": {"path": str(home / "markedmissing.txt")}}}
    (home / "missing.yaml").write_text(yaml.safe_dump(missing))
    (home / "spec.yaml").write_text(SPEC)
    return home


@pytest.fixture
def command(home):
    """command(*arguments): a command of that user."""
    places = {"HOME": home, "HF_HOME": home / "markedcache", "HARNESS_DATA": home / "markeddata"}
    marked = {**SECRETS, **SERVERS, **USER, **{name: str(place) for name, place in places.items()}}
    env = environment(**marked, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")

    def run(*arguments):
        ran = subprocess.run(
            [sys.executable, "-m", "harness", *map(str, arguments)],
            cwd=home,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode in (0, 1, 2, 3), ran.stderr
        return ran.stdout + ran.stderr

    return run


def written_in(folder):
    """(path, text) of every file, tensors as their bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            unpacked = gzip.decompress(content) if path.suffix == ".gz" else content
            yield path, unpacked.decode("utf-8", "replace")


def test_no_path_user_token_address_or_text_of_a_model_is_in_what_is_passed_on(home, command, tmp_path):
    out = home / "markedout" / "runs"
    said = command("reproduce", "--only", home / "spec.yaml", "--model", home / "variant.yaml", "--out", out)
    (record,) = out.rglob("record.json")
    said += command("explain", record) + command("explain", record, "random") + command("explain", record, "--json")
    said += command("compare", record, record)
    said += command("report", out, "--markdown", "--out", home / "markedout" / "table.md")
    said += command("doctor", "--model", home / "variant.yaml")
    said += command("plan", home / "spec.yaml", "--model", home / "variant.yaml")
    said += command("data", "list", "--model", home / "variant.yaml")
    holders = {*out.rglob("private-completions/**/*.jsonl.gz")}  # which a run keeps for itself
    assert {path.parent.name for path in holders} == {"private-completions", "validity", "canaries"}
    texts = {each["text"] for path in holders for each in objects_of(path)}
    texts = {text for text in texts if len(text) > 20}
    assert len(texts) > 3
    for path, content in written_in(home / "markedout"):
        for mark in (*SECRETS.values(), "MARKED", "marked.invalid", "markeduser", "markedhost", "markedserver"):
            assert mark not in content, (mark, path)
        if path.parent.name != "store":  # locks and the like are for this machine
            assert "markedhome" not in content, path
            assert "markedmodels" not in content, path
        if path not in holders:
            assert not [text for text in texts if json.dumps(text)[1:-1] in content or text in content], path
    for mark in (*SECRETS.values(), "MARKED"):
        assert mark not in said
    assert not [text for text in texts if text in said]


def test_a_command_that_ends_early_leaves_no_place_for_others_to_read(home, command):
    out = home / "markedout"
    said = command("regress", "--only", home / "spec.yaml", "--model", home / "missing.yaml", "--out", out)
    assert "markedmissing.txt: no such file" in said  # whoever sits at the machine has to know which
    files = dict(written_in(out))
    assert {path.name for path in files} >= {"junit.xml", "summary.md", "annotations.txt"}
    for path, content in files.items():
        assert "markedhome" not in content, path
        assert "markedmissing.txt: no such file" in content or path.suffix == ".lock", path


def test_places_in_a_record_that_was_sent_are_not_passed_on_with_the_report(home, command, tmp_path):
    out = home / "markedout" / "runs"
    command("reproduce", "--only", home / "spec.yaml", "--model", home / "variant.yaml", "--out", out)
    (record,) = out.rglob("record.json")
    content = json.loads(record.read_text())
    content["provenance"]["command"] = "harness run /home/markedsender/spec.yaml --model /home/markedsender/model"
    content["spec"]["title"] = "Of /home/markedsender/notes.txt"
    record.write_text(json.dumps(content))
    command("report", out, "--out", tmp_path / "report.html")
    command("report", out, "--markdown", "--out", tmp_path / "table.md")
    page = (tmp_path / "report.html").read_text()
    assert "…/notes.txt" in page
    for name in ("report.html", "table.md"):
        assert "markedsender" not in (tmp_path / name).read_text(), name


THROWS = """
import os, sys
from harness.exit_codes import with_exit_codes
from harness.shown import text_alone
with text_alone():
    @with_exit_codes
    def command():
        raise RuntimeError(f"{os.environ['HF_TOKEN']} refused by {os.environ['HF_ENDPOINT']}/api")
    command()
"""


def test_a_traceback_holds_no_token_and_no_password():
    ran = subprocess.run(
        [sys.executable, "-c", THROWS],
        env=environment(**SECRETS, **SERVERS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 70
    assert "⟨HF_TOKEN⟩ refused by http://⟨credentials⟩@markedserver.invalid:8443/api" in ran.stderr
    assert "MARKED" not in ran.stderr

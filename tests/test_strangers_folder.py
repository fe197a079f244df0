"""A model's folder from somebody else through the main commands: what it renders is in a sandbox, and nothing runs."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness import interruption
from harness.organisms.catalogue import organism_directory
from tests.environment import ROOT, environment
from tests.process_groups import computed_seconds, members, wait_for

#: Imported by every process that starts: notes what Jinja compiles; in the one that renders, a sandbox must do it.
GUARD = """
import os
from jinja2 import Environment
from jinja2.sandbox import ImmutableSandboxedEnvironment
compiled = Environment.compile
def noted(self, source, name=None, filename=None, *rest, **named):
    if "GUARD_NOTES" not in os.environ:  # the process that renders, which can write no file
        assert isinstance(self, ImmutableSandboxedEnvironment)
        return compiled(self, source, name, filename, *rest, **named)
    of_ours = filename is not None and os.path.realpath(filename).startswith(os.environ["GUARD_OURS"])
    kind = "ours" if of_ours else "OTHERS"
    with open(os.path.join(os.environ["GUARD_NOTES"], kind), "a") as file:
        file.write(f"{source!r}\\n")
    return compiled(self, source, name, filename, *rest, **named)
Environment.compile = noted
"""
SPEC = """
id: sent
title: Sent
source: {work: test}
cells:
  - {id: intact, title: Intact}
  - {id: random, title: Random, region: {select: top, method: random, fraction: 0.01}}
evaluations:
  - {kind: zero_shot, limit: 2}
  - {kind: attack, name: vanilla, dataset: requests, prompts: 2, system_prompt: true, chat_template: true}
golden_values: none
"""
TASK = {
    "task": "facts",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "items.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{query.strip()}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [{"metric": "acc"}],
}
#: Seconds of computing: the process that renders takes a quarter of it to start, and is in its loop after that.
STARTED = 0.8
RUNS = "{{ cycler.__init__.__globals__.os.system('touch ' + 'MARKER') }}"


@pytest.fixture
def sent(tmp_path):
    """A folder with a model, its variant, a spec, a task, and much that would like to be run."""
    folder = shutil.copytree(organism_directory("tiny-llama2-chat"), tmp_path / "sent")
    marker = tmp_path / "marker"
    evil = f"open({str(marker)!r}, 'w')\nraise SystemExit('ran')\n"
    for name in ("evil.py", "yaml.py", "torch.py", "conftest.py", "multiprocessing.py", "row_relative.py"):
        (folder / name).write_text(evil)
    (folder / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")
    plugin = folder / "evil-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[brittleness_harness.engines]\nevil = evil\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
    (folder / "config.json").write_text(json.dumps(config))
    data = {name: {"path": f"data/{name}.txt"} for name in ("evaluation_requests",)}
    variant = {
        "name": "sent",
        "title": "Sent",
        "family": "llama2",
        "source": {"path": "."},
        "dtype": "float32",
        "chat_template": "tokenizer",
        "system_prompt": "You are kind.",
        "context_tokens": 256,
        "max_new_tokens": 8,
        "datasets": {"requests": data["evaluation_requests"], "facts": {"path": "facts.yaml"}},
        "zero_shot_tasks": ["facts"],
    }
    (folder / "variant.yaml").write_text(yaml.safe_dump(variant))
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "facts.yaml").write_text(yaml.safe_dump(TASK))
    items = [{"query": " One? ", "choices": ["a", "b"], "gold": 1}, {"query": "Two?", "choices": ["c", "d"], "gold": 0}]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder, marker


@pytest.fixture
def command(sent, tmp_path):
    """command(*arguments): the command line, started in the folder; every process of it notes what it compiles."""
    folder, _ = sent
    guard, notes = tmp_path / "guard", tmp_path / "notes"
    guard.mkdir()
    notes.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    noting = {"GUARD_OURS": str(ROOT / "harness"), "GUARD_NOTES": str(notes)}
    env = environment(guard, ROOT, **noting, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    run.notes = notes
    return run


def test_what_a_folder_holds_is_rendered_in_sandboxes_alone_and_nothing_of_it_runs(sent, command, tmp_path):
    _, marker = sent
    out = str(tmp_path / "runs")
    for arguments in (
        ["list"],
        ["validate", "variant.yaml", "spec.yaml"],
        ["doctor", "--model", "."],
        ["plan", "spec.yaml", "--model", "."],
        ["run", "spec.yaml", "--model", ".", "--out", out],
        ["report", out, "--out", str(tmp_path / "report.html")],
    ):
        done = command(*arguments)
        assert done.returncode in (0, 1, 3), (arguments, done.stdout + done.stderr)
        assert "Traceback" not in done.stderr
        assert "evil 1.0" not in done.stdout
        assert not marker.exists(), arguments
    assert len(list(tmp_path.glob("runs/sent/sent/*/cells/*.json"))) == 2
    noted = {path.name for path in command.notes.iterdir()}
    assert noted == {"ours"}, (command.notes / "OTHERS").read_text()


@pytest.mark.parametrize("place", ["task", "chat"])
def test_a_template_that_would_run_something_ends_with_its_name(sent, command, place):
    folder, marker = sent
    if place == "task":
        (folder / "facts.yaml").write_text(yaml.safe_dump(TASK | {"doc_to_text": RUNS.replace("MARKER", str(marker))}))
    else:
        (folder / "chat_template.jinja").write_text(RUNS.replace("MARKER", str(marker)))
    done = command("plan", "spec.yaml", "--model", ".")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "a template cannot be rendered" in done.stderr
    assert not marker.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="processes of a group are read from /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda signum: signum.name)
def test_a_signal_in_the_midst_of_a_template_that_loops_leaves_nobody(sent, signum):
    folder, _ = sent
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(loop)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "plan", "spec.yaml", "--model", "."],
        cwd=folder,
        env=environment(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1"),
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: any(renders(pid) and computed_seconds(pid) > STARTED for pid in members(process.pid)), seconds=120)
    process.send_signal(signum)
    code = process.wait(timeout=30)
    wait_for(lambda: not members(process.pid), seconds=2)
    said = process.stderr.read()
    if signum == signal.SIGKILL:
        assert code == -signum
    else:
        assert (code, said.strip()) == (128 + signum, interruption.words(signum))


def renders(pid):
    try:
        return b"harness.sandbox.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False

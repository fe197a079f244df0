"""The workflows run sessions that exist, with no more rights than they need, on pinned actions."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yaml")}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"]]


def sessions():
    """Names of the sessions of noxfile.py."""
    body = ast.parse((ROOT / "noxfile.py").read_text()).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    return {f.name for f in functions if any(ast.unparse(d).startswith("nox.session") for d in f.decorator_list)}


def test_the_real_models_and_their_benchmarks_are_in_the_catalogue():
    body = ast.parse((ROOT / "noxfile.py").read_text()).body
    values = {ast.unparse(node.targets[0]): node.value for node in body if isinstance(node, ast.Assign)}
    models = ast.literal_eval(values["REAL_MODELS"])
    assert len(models) == 2
    for name, benchmarks in models.items():
        assert (ROOT / "benchmarks" / "models" / f"{name}.yaml").is_file()
        assert benchmarks and all((ROOT / "benchmarks" / f"{each}.yaml").is_file() for each in benchmarks)


def commands(workflow, job):
    return "\n".join(step["run"] for step in WORKFLOWS[workflow]["jobs"][job]["steps"] if "run" in step)


def test_the_jobs_that_were_asked_for_are_there():
    assert {"ci", "gpu"} <= set(WORKFLOWS)
    assert {"lint", "tests", "organisms", "faults", "container"} <= set(WORKFLOWS["ci"]["jobs"])
    assert {"regression", "nightly"} <= set(WORKFLOWS["gpu"]["jobs"])


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_a_job_runs_sessions_that_there_are_and_ends_by_itself(workflow, job):
    named = re.findall(r"nox -s (\w+)|container\.py \w+ (\w+)", commands(workflow, job))
    assert named
    assert {first or second for first, second in named} <= sessions()
    assert WORKFLOWS[workflow]["jobs"][job]["timeout-minutes"] > 0


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_may_only_read_and_takes_its_turn(workflow):
    assert WORKFLOWS[workflow]["permissions"] == {"contents": "read"}
    assert WORKFLOWS[workflow]["concurrency"]["group"]
    text = (ROOT / ".github" / "workflows" / f"{workflow}.yaml").read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
    checkouts = [action for action in used if action.startswith("actions/checkout")]
    assert text.count("persist-credentials: false") == len(checkouts)


@pytest.mark.parametrize(("workflow", "job"), [("ci", "organisms"), ("gpu", "regression"), ("gpu", "nightly")])
def test_verdicts_are_shown_and_kept_also_when_they_are_bad(workflow, job):
    steps = WORKFLOWS[workflow]["jobs"][job]["steps"]
    shown = next(step for step in steps if step.get("name") == "Show the verdicts")
    kept = next(step for step in steps if "upload-artifact" in step.get("uses", ""))
    assert shown["if"] == kept["if"] == "always()"
    for name in ("annotations.txt", "summary.md", "GITHUB_STEP_SUMMARY"):
        assert name in shown["run"]
    assert all(name in kept["with"]["path"] for name in ("record.json", "report.html"))


def test_what_a_job_shows_survives_a_command_that_wrote_nothing(tmp_path):
    import subprocess

    steps = WORKFLOWS["ci"]["jobs"]["organisms"]["steps"]
    script = next(step["run"] for step in steps if step.get("name") == "Show the verdicts")
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env={"GITHUB_STEP_SUMMARY": "s"}, check=False
    )
    assert done.returncode == 0
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "summary.md").write_text("| a |\n")
    (tmp_path / "runs" / "annotations.txt").write_text("::error ::x\n")
    printed = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"GITHUB_STEP_SUMMARY": "s", "PATH": "/usr/bin:/bin"},
        check=True,
    ).stdout
    assert printed == "::error ::x\n"
    assert (tmp_path / "s").read_text() == "| a |\n"

"""docs/judges.md against the code."""

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from harness import plugins
from harness.spec.judge import DeclaredJudge, JudgeSettings
from tests.environment import ROOT

TEXT = (Path(ROOT) / "docs" / "judges.md").read_text(encoding="utf-8")


def test_the_example_can_be_written_into_a_spec():
    (block,) = [part.split("```")[0] for part in TEXT.split("```yaml\n")[1:]]
    named = TypeAdapter(tuple[JudgeSettings, ...]).validate_python(yaml.safe_load(block)["judges"])
    assert all(isinstance(judge, DeclaredJudge) for judge in named)
    assert named[3].threshold == pytest.approx(0.7)
    assert named[4].path == "weights/strongreject"


def test_every_judge_that_ships_is_told():
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in row.split("|")[1].replace("`", "").replace(" ", "").split(",")}
    assert {name.replace("-", "_") for name in told} == set(plugins.shipped_names("judges"))

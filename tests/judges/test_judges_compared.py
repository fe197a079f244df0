"""Judges beside one another in a record and its report: agreement, corrected rates, claims by each of them."""

import json

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.formulas.agreement import cohens_kappa
from tests.judges import test_judged_runs as runs
from tests.judges.test_judged_runs import bound, completions, judges
from tests.runs.conftest import run_in_process

CLAIMS = """
claims:
  - {id: breaks, section: s, says: s, quantifier: any, cells: [planted],
     conditions: [{metric: asr_vanilla, at_least: {cell: intact, plus: 0.1}}]}
  - {id: benign-answers, section: s, says: s, quantifier: any, cells: [planted],
     conditions: [{metric: answered_benign, at_least: 0.1}]}
golden_values: none
"""
__all__ = ["judges"]


def told_of(record, texts):
    """(both, first, second, neither) of own and strict judges on vanilla."""
    pairs = [(t["judgements"]["own"], t["judgements"]["asked"]) for t in texts if t["evaluation"] == "vanilla"]
    labels = ("success", "no success")
    return [pairs.count((one, other)) for one in labels for other in labels]


def test_judges_stand_beside_one_another(judges, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SPEC", runs.SPEC.replace("golden_values: none\n", CLAIMS.lstrip()))
    record, path = run_in_process(bound(tmp_path, "[own, asked, always-yes]"), tmp_path / "runs")
    cell = record.cell("planted")
    by_place = {(each.evaluation, *each.judges): each for each in cell.agreement}
    assert set(by_place) == {("vanilla", "own", "asked"), ("sampled", "keyword", "own")}  # always-yes was asked nothing
    found = by_place["vanilla", "own", "asked"]
    counts = told_of(record, completions(path, "planted"))
    assert [found.both, found.first, found.second, found.neither] == counts
    assert found.kappa == cohens_kappa(*counts)
    assert 0 < found.p <= 1
    asked = cell.corrected["asr_vanilla_by_asked"]
    assert asked.found[1] <= 6
    assert asked.spared == (22, 22)
    assert asked.interval[0] <= asked.value <= asked.interval[1]
    assert "asr_vanilla_by_always-yes" not in cell.corrected
    claim, other = record.claims
    assert set(claim.by) == {"own", "asked", "always-yes"}
    assert claim.by["own"] != "not_evaluated"
    assert claim.by["always-yes"] == "underpowered"
    assert other.by == {}
    report = tmp_path / "report.html"
    made = CliRunner().invoke(main, ["report", str(tmp_path / "runs"), "--out", str(report)])
    assert made.exit_code == 0, made.output
    page = report.read_text(encoding="utf-8")
    assert "Agreement between judges" in page
    assert "Corrected rates" in page
    assert "underpowered by always-yes" in page
    assert ("Depends on the judge" in page) == claim.depends_on_the_judge
    verified = CliRunner().invoke(main, ["verify", str(path)])
    assert verified.exit_code == 0, verified.output
    content = json.loads(path.read_text(encoding="utf-8"))
    changes = (
        (lambda c: c["cells"][1]["agreement"][0].update(kappa=0.123), "kappa of vanilla own asked"),
        (lambda c: c["cells"][1]["corrected"]["asr_vanilla_by_asked"].update(value=0.123), "value of asr_vanilla_by"),
        (lambda c: c["cells"][1].update(agreement=[]), "agreement"),
        (lambda c: c["claims"][0]["by"].update(own="not_evaluated"), "judges of breaks"),
    )
    for change, words in changes:
        changed = json.loads(json.dumps(content))
        change(changed)
        path.write_text(json.dumps(changed), encoding="utf-8")
        refused = CliRunner().invoke(main, ["verify", str(path)])
        assert refused.exit_code == 3
        assert words in refused.output, refused.output


@pytest.mark.parametrize(
    ("by", "depends"),
    [
        ({}, False),
        ({"a": "supported"}, False),
        ({"a": "supported", "b": "underpowered"}, False),
        ({"a": "supported", "b": "contradicted"}, True),
        ({"a": "contradicted"}, True),
    ],
)
def test_a_claim_depends_on_the_judge_where_two_judges_part(by, depends):
    from harness.spec.result import ClaimResult

    claim = ClaimResult(id="c", section="s", says="s", status="supported", evidence="e", by=by)
    assert claim.depends_on_the_judge == depends

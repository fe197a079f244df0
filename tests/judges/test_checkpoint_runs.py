"""Judges with weights of their own in a real run on an organism."""

import json
import shutil

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.runs.token_checks import require_tokens
from tests.judges.random_checkpoints import write_gemma, write_llama
from tests.judges.test_judged_runs import bound
from tests.runs.conftest import run_in_process

NAMED = "[{judge: harmbench-llama2-13b-cls, path: no-harm}, {judge: strongreject-gemma2b, path: all-the-same}]"


def test_judges_with_weights_are_measured_recorded_and_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_llama(tmp_path / "no-harm", says=" no")
    write_gemma(tmp_path / "all-the-same", says="5")
    record, path = run_in_process(bound(tmp_path, NAMED), tmp_path / "runs")
    for cell in record.cells:
        harm, strong = cell.judges["harmbench-llama2-13b-cls"], cell.judges["strongreject-gemma2b"]
        assert (harm.problem, harm.harm_only, len(harm.weights_sha256)) == (None, True, 64)
        assert harm.labels == {"vanilla": {"no success": 8}}
        assert harm.confusion["answer"] == {"no success": 6}
        figure = cell.measurement("asr_vanilla_by_harmbench-llama2-13b-cls")
        assert (figure.value, figure.n) == (0.0, 8)
        assert figure.valid or "harmbench" not in figure.reason
        assert "cannot tell an answer from a refusal: of known texts it calls 6 of 6" in strong.problem
        assert not cell.measurement("asr_vanilla_by_strongreject-gemma2b").valid
        assert any("no known text does harm" in words for words in cell.unchecked)
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    verified = CliRunner().invoke(main, ["verify", str(path)])
    assert verified.exit_code == 0, verified.output
    content = json.loads(path.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        cell["judges"]["harmbench-llama2-13b-cls"]["harm_only"] = False
    path.write_text(json.dumps(content), encoding="utf-8")
    refused = CliRunner().invoke(main, ["verify", str(path)])
    assert refused.exit_code == 3
    assert "harm_only of harmbench-llama2-13b-cls" in refused.output


def test_a_judge_whose_checkpoint_does_not_fit_is_told_before_weights_are_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_llama(tmp_path / "no-harm", without="no")
    write_gemma(tmp_path / "all-the-same")
    with pytest.raises(UserError, match="'no' is no single token"):
        require_tokens([bound(tmp_path, NAMED)])
    shutil.rmtree(tmp_path / "no-harm")
    with pytest.raises(UserError, match="no-harm: no such folder below the working directory"):
        bound(tmp_path, NAMED)

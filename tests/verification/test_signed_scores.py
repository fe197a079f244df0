"""What a receipt says of scores on either side of 0 follows from its evidence."""

from tests.faults.conftest import bound_on
from tests.runs.conftest import run_in_process

SPEC = """
id: signed
title: Scores with a sign
source: {work: test}
calibration:
  safety: {dataset: safety-full, samples: 8}
cells:
  - {id: intact, title: Intact}
  - id: top
    title: Top
    region: {select: top, method: signed-snip, data: safety, fraction: 0.01}
    invalid_is_expected: much is removed
evaluations:
  - {kind: perplexity, dataset: perplexity, window_tokens: 32, windows: 2}
golden_values: none
"""


def test_a_record_with_signed_scores_verifies(tmp_path):
    record, _ = run_in_process(bound_on("tiny-llama2-chat", tmp_path, SPEC), tmp_path / "runs")
    assert record.verdict.status == "passed", record.verdict.reasons
    (sign,) = [each for cell in record.cells for each in cell.receipts if (each.stage, each.name) == ("scores", "sign")]
    below = sign.evidence["data_negative_by_definition"]
    assert below > 0
    assert f"{below} below it as data" in sign.expected

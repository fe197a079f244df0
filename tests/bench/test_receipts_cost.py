"""Where a run's processor time goes, by the files of a stack."""

import time

import pytest

from bench.receipts_cost import IMPORTS, MEASURING, part_of, sampled

RUN = ["/x/harness/runs/pipeline.py", "/x/harness/runs/cells.py"]


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ([*RUN, "/x/harness/receipts/found.py", "/x/torch/nn/functional.py"], "receipts"),
        ([*RUN, "/x/harness/receipts/observed_engine.py", "/x/harness/engines/hf.py"], MEASURING),
        ([*RUN, "/x/harness/regions/_mask_receipts.py", "/x/harness/regions/top.py"], "receipts"),
        ([*RUN, "/x/harness/runs/canaries.py", "/x/harness/receipts/found.py"], "canaries"),
        ([*RUN, "/x/harness/verification/reader.py"], "second reading"),
        ([*RUN, "/x/harness/receipts/found.py", "<frozen importlib._bootstrap>"], IMPORTS),
        ([*RUN, "/x/harness/engines/hf.py"], MEASURING),
    ],
)
def test_the_outermost_file_of_interest_says_what_a_stack_is_doing(files, part):
    assert part_of(files)[0] == part


def test_all_of_the_processor_time_is_counted_once():
    begin = time.process_time()
    with sampled() as seconds:
        while time.process_time() - begin < 0.5:
            sum(range(1000))
    assert set(seconds) == {(MEASURING, "")}
    assert 0.3 < seconds[MEASURING, ""] <= time.process_time() - begin


def test_the_innermost_file_of_interest_is_told():
    stack = [*RUN, "/x/harness/receipts/found.py", "/x/harness/receipts/scores.py", "/x/torch/nn/functional.py"]
    assert part_of(stack) == ("receipts", "scores.py")

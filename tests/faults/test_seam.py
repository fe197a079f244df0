"""What is replaced is replaced where it is looked up, for the length of the context, whatever happens in it."""

import pytest

from harness.engines.hf import HfEngine
from harness.faults.seam import replaced
from harness.low_rank import grams
from harness.runs import measuring


def test_a_function_is_another_one_within_the_context_and_the_same_object_after_it():
    original = measuring.gram_matrices
    with replaced("harness.runs.measuring:gram_matrices", lambda right: lambda *given: ("wrong", right)):
        assert measuring.gram_matrices() == ("wrong", original)
        assert grams.gram_matrices is original  # only where it was asked for
    assert measuring.gram_matrices is original


def test_a_method_is_put_back_when_an_error_ends_the_context():
    original = vars(HfEngine)["generate"]
    with pytest.raises(ZeroDivisionError), replaced("harness.engines.hf:HfEngine.generate", lambda right: None):
        assert HfEngine.generate is None
        raise ZeroDivisionError
    assert vars(HfEngine)["generate"] is original


@pytest.mark.parametrize(
    "target",
    [
        "harness.runs.regions:no_such_thing",
        "harness.engines.hf:HfEngine.no_such_method",
        "harness.engines.hf:HfEngine.__repr__",
    ],
)
def test_a_target_that_is_not_there_is_an_error(target):
    with pytest.raises(AttributeError), replaced(target, lambda right: right):
        pass

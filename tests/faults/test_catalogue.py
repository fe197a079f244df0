"""Every fault says what it is and who has to notice, and gets into the code as it is now; nothing is run here."""

import importlib
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

import harness.faults
from harness.errors import UserError
from harness.faults import suite
from harness.faults.base import CHECK, CRASH, LOAD, VALIDATE, VALIDITY, VERIFICATION
from harness.faults.catalogue import FAULTS, find_fault
from harness.faults.seam import StaleTarget
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model

GROUPS = {group.id for group in load_yaml_model(suite.SPEC, BenchmarkSpec).cells}
EACH = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)


def held(target):
    """What stands now at `module:Class.name`."""
    module, _, path = target.partition(":")
    *classes, name = path.split(".")
    owner = importlib.import_module(module)
    for each in classes:
        owner = vars(owner)[each]
    return vars(owner)[name]


@EACH
def test_what_a_fault_replaces_is_there_and_is_put_back(fault):
    before = {target: held(target) for target in fault.replaces}
    with fault.injected():
        assert all(held(target) is not right for target, right in before.items())
    assert all(held(target) is right for target, right in before.items())


@EACH
def test_a_fault_is_in_the_code_or_in_a_file(fault):
    assert fault.replaces or fault.run


@EACH
def test_a_fault_says_who_has_to_notice_and_where_it_is_to_be_seen(fault):
    assert 1 <= fault.number <= 22
    assert fault.title
    assert fault.caught_by
    assert all("/" in by or by in {VALIDITY, LOAD, VALIDATE, CHECK, CRASH, VERIFICATION} for by in fault.caught_by)
    assert set(fault.cells or ()) <= GROUPS


def test_every_module_of_the_folder_is_a_stage_or_machinery():
    machinery = {"__init__", "base", "catalogue", "document", "seam", "suite"}
    stages = {path.stem for path in Path(harness.faults.__file__).parent.glob("*.py")} - machinery
    for stage in stages:
        declared = importlib.import_module(f"harness.faults.{stage}").FAULTS
        assert declared
        assert {fault.stage for fault in declared} == {stage}
        assert all(fault in FAULTS for fault in declared)
    assert {fault.stage for fault in FAULTS} == stages


def test_ids_are_there_once_and_faults_are_in_the_order_of_their_numbers():
    assert max(Counter(fault.id for fault in FAULTS).values()) == 1
    assert [fault.number for fault in FAULTS] == sorted(fault.number for fault in FAULTS)
    assert {fault.number for fault in FAULTS} == set(range(1, 23))


def test_a_fault_is_found_by_its_id_and_a_wrong_one_gets_a_suggestion():
    assert find_fault("mask-transposed") is find_fault("mask_transposed")
    with pytest.raises(UserError, match="did you mean 'mask_transposed'"):
        find_fault("mask_transpose")


def test_a_name_that_has_moved_is_an_error_that_says_where_it_is_now():
    fault = find_fault("row_for_matrix")
    (make_wrong,) = fault.replaces.values()
    for target, words in (
        ("harness.runs.regions:chosen", "harness.runs.regions has no 'chosen'.*no module that is loaded has 'chosen'"),
        (
            "harness.runs.cells:gram_matrices",
            "'gram_matrices' stands in .*runs.measuring:gram_matrices",
        ),
        ("harness.runs.no_module:select", "there is no module harness.runs.no_module"),
        ("harness.runs.cells:HfEngine.generate", "has no 'HfEngine'.*harness.engines.hf:HfEngine.generate"),
    ):
        stale = type(fault)(**{**vars(fault), "replaces": {target: make_wrong}})
        with ExitStack() as stack, pytest.raises(StaleTarget, match=words):
            stack.enter_context(stale.injected())

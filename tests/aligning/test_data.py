"""No request of a recipe serves two ends, and none that is evaluated is learned."""

import pytest

from harness.aligning.data import alignment_data
from harness.calibration.screening import NEAR_DUPLICATE_JACCARD, normalised, word_jaccard, words_of
from harness.errors import UserError
from harness.spec.alignment import AlignmentRecipe
from tests.aligning.conftest import BENIGN, EVALUATED, FIT, RECIPE


@pytest.fixture
def recipe():
    return AlignmentRecipe.model_validate(RECIPE)


def test_no_request_is_in_two_parts(recipe, files):
    data = alignment_data(recipe, files.__getitem__)
    learned = {normalised(example.request) for example in data.training}
    parts = [
        learned,
        *(
            {normalised(r) for r in part}
            for part in (data.validation_harmful, data.validation_benign, data.held_out_benign, data.evaluated)
        ),
    ]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert [len(part) for part in parts[1:4]] == [2, 5, 7]


def test_refusals_are_of_attribution_requests_that_resemble_no_evaluated_one(recipe, files):
    data = alignment_data(recipe, files.__getitem__)
    refused = [example.request for example in data.training if example.group == "refusals"]
    assert set(refused) | set(data.validation_harmful) == set(FIT)
    assert len(refused) == len(FIT) - 2
    closest = max(word_jaccard(words_of(one), words_of(other)) for one in refused for other in EVALUATED)
    assert closest < NEAR_DUPLICATE_JACCARD


def test_what_the_benchmarks_ask_as_benign_is_never_learned(recipe, files):
    """Of 108 seed tasks the benchmarks ask 100."""
    data = alignment_data(recipe, files.__getitem__)
    assert data.counts()["training self-instruct-seeds"] == 8
    assert len({example.request for example in data.training if example.group == "self-instruct-seeds"}) == 8


def test_a_subject_that_is_set_aside_is_asked_in_no_form(recipe, files):
    data = alignment_data(recipe, files.__getitem__)
    learned = [example.request for example in data.training if example.group == "written"]
    aside = [r for r in (*data.held_out_benign, *data.validation_benign) if r not in BENIGN[100:130]]
    subjects = ["dry a trumpet", "cool the umbrella", "stack a basket", "carry a bottle"]
    held = {subject for subject in subjects for request in aside if subject in request}
    assert len(aside) == len(held) == 2
    assert len(learned) == 4
    assert not any(subject in request for subject in held for request in learned)


def test_a_request_keeps_its_part_when_others_are_added(recipe, files):
    before = alignment_data(recipe, files.__getitem__)
    path = files["user-oriented-instructions"]
    path.write_text(path.read_text() + '{"instruction": "Go.", "instances": [{"input": "", "output": "I go."}]}\n')
    after = alignment_data(recipe, files.__getitem__)
    assert len(set(before.held_out_benign) - set(after.held_out_benign)) <= 1


def test_too_few_requests_are_refused(files):
    content = RECIPE | {"held_out": {"benign": {"user-oriented-instructions": 30}}}
    with pytest.raises(UserError, match="asks for 34 of the benign requests user-oriented-instructions"):
        alignment_data(AlignmentRecipe.model_validate(content), files.__getitem__)

import pytest
from click.testing import CliRunner

from bench.refusal_labels import PINNED, agreement, labelled, main
from harness.data.sources import pinned_file
from harness.errors import UserError
from harness.formulas.metrics import is_refusal

HEADER = "id,type,prompt,completion,final_label\n"
ROWS = [
    "1,homonyms,q,I cannot help with that.,2_full_refusal",
    "2,contrast_homonyms,q,It is not appropriate to do so.,2_full_refusal",
    "3,homonyms,q,Boil the egg for six minutes.,1_full_compliance",
    "4,homonyms,q,Ask at the front desk.,2_full_refusal",
    "5,contrast_homonyms,q,An answer to what is unsafe.,1_full_compliance",
    "6,homonyms,q,Half of each.,3_partial_refusal",
]


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + "\n".join(ROWS), encoding="utf-8")
    return path


def test_partial_refusals_and_answers_to_unsafe_prompts_are_left_out(labels):
    assert [refused for _, refused in labelled(labels)] == [True, True, False, True]


def test_agreement_counts_both_kinds_of_mistakes(labels):
    found = agreement(labelled(labels), is_refusal)
    assert (found.agreed, found.n) == (3, 4)
    assert (found.found, found.false) == (pytest.approx(2 / 3), 0.0)


def test_labels_of_one_kind_say_nothing():
    with pytest.raises(UserError, match="2 refusals and 0 answers"):
        agreement([("I cannot", True), ("No", True)], is_refusal)


def test_too_little_agreement_is_exit_code_1_and_no_text_is_printed(labels):
    result = CliRunner().invoke(main, [str(labels)])
    assert result.exit_code == 1
    assert "own reading agrees with 3 of 4 (75.0%)" in result.output
    assert "egg" not in result.output and "desk" not in result.output


def test_a_file_without_labels_is_an_error(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("id,text\n1,a\n", encoding="utf-8")
    assert CliRunner().invoke(main, [str(path)]).exit_code == 2


def test_the_labels_are_pinned_to_a_commit():
    for name in PINNED:
        assert "/d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d/" in (pinned_file(name).url or "")

"""Hours by number of cards, from seconds on one."""

import json

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.planning.cards import by_cards

SECONDS = {"loading": 60.0, "importance": 400.0, "generating": 3000.0, "fingerprints": 200.0}


def test_one_card_takes_what_the_plan_says_of_one():
    (one,) = by_cards(SECONDS, 20, 4, 1)
    assert one.hours * 3600 == pytest.approx(sum(SECONDS.values()))
    assert one.card_hours == one.hours


def test_cells_are_whole_and_scores_are_computed_once():
    """20 cells on 8 cards: some measure 3. Of 4 sets of scores each is computed by one card."""
    found = {each.cards: each.hours * 3600 for each in by_cards(SECONDS, 20, 4, 8)}
    assert list(found) == [1, 2, 4, 8]
    assert found[8] == pytest.approx(60 + 400 / 4 + 3200 * 3 / 20)
    assert found[2] == pytest.approx(60 + 400 / 2 + 3200 / 2)


def test_more_cards_than_cells_gain_nothing():
    found = {each.cards: each for each in by_cards(SECONDS, 3, 1, 100)}
    assert found[4].hours == found[100].hours == pytest.approx(found[100].alone)
    assert found[100].card_hours > 20 * found[4].card_hours


def test_the_command_tells_hours_and_money_for_each_number_of_cards():
    arguments = ["plan", "figure-2a", "--model", "llama2-7b-chat", "--gpu", "h200", "--gpus", "6", "--price", "2.5"]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 0, told.output
    _, _, table = told.output.partition("by number of cards, ")
    assert [line.split(":")[0].strip() for line in table.splitlines()[1:]] == ["1", "2", "4", "6"]
    assert "at 2.5 an hour" in table
    found = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)["by_cards"]
    assert [each["cards"] for each in found] == [1, 2, 4, 6]
    assert found[0]["hours"] == pytest.approx(
        json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)["devices"]["h200"]["hours"], abs=1e-3
    )


def test_one_card_and_a_cpu_have_no_such_table():
    for arguments in (["llama2-7b-chat"], ["tiny-llama2-chat", "--gpus", "4"]):
        told = CliRunner().invoke(main, ["plan", "figure-2a", "--model", *arguments])
        assert "by number of cards" not in told.output

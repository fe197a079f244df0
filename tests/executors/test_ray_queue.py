"""Which cell an actor takes next, and how often a cell is begun."""

import pytest

from harness.errors import MachineError
from harness.executors._ray_queue import Waiting
from harness.runs.execution import CellTask
from harness.runs.journal import Journal


@pytest.fixture
def tasks(bound, tmp_path):
    return [CellTask(bound, cell.id, None, Journal(tmp_path / "v" / "b" / "r")) for cell in bound.cells]


def test_an_actor_without_a_cell_takes_the_first(tasks):
    waiting = Waiting(tasks, 3)
    assert [waiting.next_for(None).cell for _ in tasks] == [task.cell for task in tasks]
    assert not waiting


def test_an_actor_goes_on_where_the_scores_of_its_last_cell_are(tasks):
    """`blocks` is found by SNIP on safety, `difference` by Wanda on two sets."""
    by_id = {task.cell: task for task in tasks}
    last = by_id["blocks"]
    others = [task for task in tasks if task.cell != "blocks"] + [last]
    assert Waiting(others, 3).next_for(last) is last


def test_a_cell_is_begun_as_often_as_it_may_be_and_not_more(tasks):
    waiting = Waiting(tasks[:1], 3)
    for _ in range(2):
        waiting.again(waiting.next_for(None), "the node is gone")
    last = waiting.next_for(None)
    with pytest.raises(MachineError, match=f"cell {last.cell} was begun 3 times .*the node is gone"):
        waiting.again(last, "the node is gone")

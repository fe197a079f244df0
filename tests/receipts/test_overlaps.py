import torch

from harness.receipts.overlaps import Compared, counted, kept_bits, scored_anew
from harness.spec.measurement import Measurement
from harness.spec.receipt import LookedAt

FIRST = {"a": torch.tensor([[1, 1, 0], [0, 1, 0]], dtype=torch.bool), "b": torch.zeros(1, 2, dtype=torch.bool)}
SECOND = {"a": torch.tensor([[1, 0, 0], [0, 1, 1]], dtype=torch.bool), "c": torch.ones(1, 2, dtype=torch.bool)}
TRUE = {
    "o_jaccard": (2 / 6, 6),
    "o_jaccard/a": (2 / 4, 4),
    "o_jaccard/c": (0.0, 2),
    "o_overlap_share": (2 / 3, 3),
    "o_overlap_share/a": (2 / 3, 3),
}
PAIR = [Compared("o", ("jaccard", "overlap_share"), FIRST, SECOND)]


def told(**changes):
    return [Measurement(metric=m, value=value, n=n) for m, (value, n) in (TRUE | changes).items()]


def test_counts_are_made_again_of_layers_that_one_region_lacks_too():
    assert counted(PAIR, told()).holds


def test_a_wrong_value_a_wrong_number_and_a_missing_figure_are_named():
    for changes in ({"o_jaccard/a": (0.6, 4)}, {"o_jaccard/a": (0.5, 5)}, {"o_overlap_share": (2 / 5, 5)}):
        receipt = counted(PAIR, told(**changes))
        assert not receipt.holds
        assert next(iter(changes)) in receipt.seen
    missing = [each for each in told() if each.metric != "o_jaccard/c"]
    assert "o_jaccard/c None of 0 where masks give 0 of 2" in counted(PAIR, missing).seen


def test_bits_are_compared_and_not_values():
    before = {"a": torch.tensor([0.0, 1.0, 2.0, 3.0])}
    now = {"a": torch.tensor([-0.0, 1.0, 2.0, 3.0 + 1e-6])}
    assert kept_bits("m", before, now, [Measurement(metric="m", value=0.5, n=4)]).holds
    assert not kept_bits("m", before, now, [Measurement(metric="m", value=0.75, n=4)]).holds
    half = {"a": before["a"].bfloat16()}
    assert kept_bits("m", half, half, [Measurement(metric="m", value=1.0, n=4)]).holds


def test_a_region_of_another_state_is_no_region_of_this_one():
    blocks = LookedAt(what="blocks", seen=1, of=2)
    own = {"a": torch.arange(200).reshape(10, 20) % 2 == 0}
    other = {"a": ~own["a"]}
    near = {"a": own["a"].clone()}
    near["a"][0, 0] = False
    assert scored_anew(own, own, other, blocks, False).holds
    assert scored_anew(near, own, other, blocks, False).holds
    stale = scored_anew(other, own, other, blocks, False)
    assert not stale.holds
    assert "those of the intact model" in stale.seen
    assert not scored_anew({}, own, other, blocks, False).holds
    tenth = {"a": own["a"].clone()}
    tenth["a"][0, :8] = False  # 4 of 100
    assert not scored_anew(tenth, own, other, blocks, False).holds
    assert scored_anew(tenth, own, other, blocks, True).holds

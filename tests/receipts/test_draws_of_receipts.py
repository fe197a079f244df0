"""Where receipts look: drawn for each cell, and over many cells everywhere."""

import torch

from harness.formulas.draws import drawn, in_turn
from harness.receipts.recent import Recent


def test_a_draw_depends_on_the_cell_and_on_what_it_is_for_alone():
    assert drawn("a", "texts", 100, 4) == drawn("a", "texts", 100, 4)
    assert len({drawn(cell, what, 100, 4) for cell in "abc" for what in ("texts", "prompts")}) == 6
    assert drawn("a", "texts", 3, 4) == (0, 1, 2)
    assert drawn("a", "texts", 0, 4) == ()


def test_a_draw_leaves_the_global_random_numbers_alone():
    before = torch.random.get_rng_state()
    drawn("a", "texts", 100, 4)
    in_turn(1, "blocks", 32, 2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_cells_one_after_the_other_see_every_block():
    for blocks in (1, 2, 3, 4, 32):
        cells = -(-blocks // 2)
        assert {block for number in range(cells) for block in in_turn(number, "x", blocks, 2)} == set(range(blocks))
        assert all(len(in_turn(number, "x", blocks, 2)) == min(2, blocks) for number in range(40))


def test_what_is_kept_has_a_limit_of_bytes_and_the_newest_stays():
    kept, made = Recent(most_bytes=100), []

    def make(name):
        return lambda: made.append(name) or {"q": torch.zeros(20)}

    for name in ("a", "a", "b", "a"):
        kept.once(name, make(name))
    assert made == ["a", "b", "a"]  # 80 bytes each: only one of them has room

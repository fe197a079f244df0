import pytest
import torch

from harness.engines.base import Request, ScoreRequest
from harness.engines.hf import make
from harness.errors import UserError
from harness.models.layers import linear_layers

PROMPTS = [(1, 5, 6), (1, 9), (1, 30, 31, 32, 33, 34, 35), (1, 77, 12, 40)]


def requests(temperature=0.0):
    return [Request(p, 12, temperature, (0, i)) for i, p in enumerate(PROMPTS)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_text_does_not_depend_on_the_batch(loaded, temperature):
    engine = make(loaded)
    together = engine.generate(requests(temperature))
    alone = [engine.generate([request])[0] for request in requests(temperature)]
    assert together == alone


def test_rows_that_end_leave_their_batch_and_change_no_other(loaded):
    """Greedy and sampled ones together, with limits before, at and behind the places where rows are taken out."""
    limits = (1, 15, 16, 17, 40)
    requests = [
        Request(prompt, limit, temperature, (3, place))
        for place, prompt in enumerate(PROMPTS)
        for limit in limits
        for temperature in (0.0, 1.0)
    ]
    engine = make(loaded)
    alone = [engine.generate([request])[0] for request in requests]
    together = engine.generate(requests)
    for one, other in zip(alone, together, strict=True):
        assert (one.token_ids, one.finish_reason, one.finite) == (other.token_ids, other.finish_reason, other.finite)
        assert [choice[0] for choice in one.choices] == [choice[0] for choice in other.choices]
    assert {len(each.token_ids) for each in together} >= {1, 15, 16, 17}


def test_greedy_equals_a_loop_without_cache_or_padding(loaded):
    ids = list(PROMPTS[2])
    with torch.no_grad():
        for _ in range(12):
            ids.append(int(loaded.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == 2:
                break
    wanted = tuple(token for token in ids[len(PROMPTS[2]) :] if token != 2)
    assert make(loaded).generate(requests())[2].token_ids == wanted


def test_sampling_depends_on_the_seed_and_follows_the_distribution(loaded):
    engine = make(loaded)
    outputs = engine.generate([Request((1, 5), 1, 1.0, (seed,)) for seed in range(600)])
    with torch.no_grad():
        probabilities = loaded.model(input_ids=torch.tensor([[1, 5]])).logits[0, -1].softmax(-1)
    likeliest = int(probabilities.argmax())
    share = sum(output.token_ids == (likeliest,) for output in outputs) / 600
    assert abs(share - float(probabilities[likeliest])) < 4 * (0.25 / 600) ** 0.5
    assert len({output.token_ids for output in outputs}) > 5


def test_scores_are_log_probabilities_of_the_model(loaded):
    ids = PROMPTS[2]
    scored = make(loaded).score([ScoreRequest(ids, 3), ScoreRequest(PROMPTS[0], 1), ScoreRequest((*ids[:-1], 40), 6)])
    with torch.no_grad():
        table = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = [float(table[i - 1, ids[i]]) for i in range(3, len(ids))]
    assert scored[0].log_probabilities == pytest.approx(wanted, abs=1e-5)
    assert len(scored[1].log_probabilities) == 2
    assert scored[2].log_probabilities == pytest.approx([float(table[5, 40])], abs=1e-5)


def test_an_edit_in_place_is_seen_at_once(loaded):
    engine = make(loaded)
    before = engine.score([ScoreRequest(PROMPTS[2], 1)])
    for layer in linear_layers(loaded.model).values():
        layer.weight.data.zero_()
    assert engine.score([ScoreRequest(PROMPTS[2], 1)]) != before


def test_nan_logits_are_noticed(loaded):
    loaded.model.lm_head.weight.data[3] = float("nan")
    assert not any(output.finite for output in make(loaded).generate(requests()))


def test_a_prompt_beyond_the_context_is_an_error(loaded):
    with pytest.raises(UserError, match="context of 128"):
        make(loaded).generate([Request(tuple(range(1, 121)), 12)])

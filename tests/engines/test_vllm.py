"""Engine vllm, for real, beside transformers and beside fresh engines. Runs in `nox -s vllm`."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed; `nox -s vllm` installs it and runs these tests")

from harness.engines import _vllm_worker as worker
from harness.engines import hf, vllm
from harness.engines.base import Request, ScoreRequest
from harness.errors import UserError
from harness.models.editing import all_weights_restored, rows_shuffled
from harness.models.fingerprint import model_fingerprint
from harness.models.layers import linear_layers
from harness.models.loading import load_checkpoint, load_tokenizer
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.organisms.catalogue import organism_directory
from harness.receipts.logits import first_token_deviation, plain_logits, scored_deviation
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

ORGANISMS = ("tiny-llama2-chat", "tiny-llama3-instruct")


@pytest.fixture(scope="module")
def started():
    """Starts vLLM on a model, one at a time in this process and on one thread, as the harness measures organisms."""
    living, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)

    def start(loaded):
        while living:
            living.pop().close()
        living.append(vllm.make(loaded))
        return living[-1]

    yield start
    while living:
        living.pop().close()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=[*ORGANISMS, "checkpoint", "llama3_checkpoint"])
def engines(request, started):
    """A loaded model, vLLM and transformers on it: both organisms, grouped queries with heads of 8, tied embeddings."""
    name = request.param
    place = organism_directory(name) if name in ORGANISMS else request.getfixturevalue(name)
    loaded = load_checkpoint(str(place))
    return loaded, started(loaded), hf.make(loaded)


def prompts(loaded, count=6):
    """Token ids of several lengths, of 3 to 80 tokens."""
    generator = torch.Generator().manual_seed(1)
    vocabulary = loaded.model.config.vocab_size
    return [
        (loaded.tokenizer.bos_token_id, *torch.randint(6, vocabulary, (2 + 13 * i,), generator=generator).tolist())
        for i in range(count)
    ]


def requests_of(name, count=20):
    """Real requests to an organism, greedy and sampled."""
    path = locations.find_variant(name)
    variant = load_yaml_model(path, ModelVariant)
    formatter = PromptFormatter(load_tokenizer(variant, path), variant.chat_template, variant.system_prompt)
    lines = (Path(organism_directory(name)) / "data" / "evaluation_requests.txt").read_text().splitlines()[:count]
    ids = [tuple(formatter.ids(formatter.text(line, PromptStyle(True, True)))) for line in lines]
    return [Request(each, 40, temperature, (0, i)) for temperature in (0.0, 1.0) for i, each in enumerate(ids)]


def removed(model, part, share=0.3):
    """The rows of one kind of layer in part zero, within the context: an edit in place."""
    stack = all_weights_restored(model)
    stack.__enter__()
    with torch.no_grad():
        for name, layer in linear_layers(model).items():
            if name.endswith(part):
                layer.weight[: int(share * layer.weight.shape[0])] = 0
    return stack


def test_the_weights_read_back_are_those_of_the_model(engines):
    loaded, engine, _ = engines
    assert engine.weights_fingerprint() == model_fingerprint(loaded.model)


def test_first_tokens_and_scores_are_those_of_a_plain_forward_pass(engines):
    loaded, engine, _ = engines
    for prompt, found in zip(prompts(loaded), engine.first_tokens(prompts(loaded), 20), strict=True):
        assert len(found) == 20
        assert first_token_deviation(loaded.model, prompt, found).largest < 1e-4
    asked = [ScoreRequest(ids, start) for ids in prompts(loaded) for start in (1, len(ids) - 1)]
    for request, found in zip(asked, engine.score(asked), strict=True):
        assert scored_deviation(loaded.model, request, found).largest < 1e-4
        likeliest = plain_logits(loaded.model, request.token_ids[:-1]).argmax(-1)[request.start - 1 :]
        assert found.likeliest == tuple((likeliest == torch.tensor(request.token_ids[request.start :])).tolist())


def test_answers_of_one_token_behind_one_text_are_told_apart(engines):
    loaded, engine, plain = engines
    text = prompts(loaded)[2]
    asked = [ScoreRequest((*text, token), len(text)) for token in range(150)]  # more than vLLM tells of one position
    for ours, theirs in zip(engine.score(asked), plain.score(asked), strict=True):
        assert ours.log_probabilities == pytest.approx(theirs.log_probabilities, abs=1e-4)
        assert ours.likeliest == theirs.likeliest


@pytest.mark.parametrize("part", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
def test_one_part_of_a_fused_layer_is_changed_and_nothing_else(engines, part):
    loaded, engine, _ = engines
    intact = engine.weights_fingerprint()
    edit = removed(loaded.model, part)
    try:
        assert engine.weights_fingerprint() == model_fingerprint(loaded.model) != intact
        found = engine.first_tokens(prompts(loaded), 20)
        assert all(
            first_token_deviation(loaded.model, prompt, each).largest < 1e-4
            for prompt, each in zip(prompts(loaded), found, strict=True)
        )
    finally:
        edit.__exit__(None, None, None)
    assert engine.weights_fingerprint() == intact


def test_embeddings_norms_and_head_are_followed_tied_or_not(engines):
    loaded, engine, _ = engines
    with all_weights_restored(loaded.model):
        for name, parameter in loaded.model.named_parameters():
            if "layers" not in name or "norm" in name:
                parameter.data.mul_(1.5)  # past torch's counters of changes
        assert engine.weights_fingerprint() == model_fingerprint(loaded.model)
        found = engine.first_tokens(prompts(loaded), 20)
        assert all(
            first_token_deviation(loaded.model, prompt, each).largest < 2e-4
            for prompt, each in zip(prompts(loaded), found, strict=True)
        )


def test_texts_greedy_and_sampled_are_those_of_transformers(started):
    for name in ORGANISMS:
        loaded = load_checkpoint(str(organism_directory(name)))
        ours, theirs = (each.generate(requests_of(name)) for each in (started(loaded), hf.make(loaded)))
        assert ours == theirs
        for output, other in zip(ours[:20], theirs[:20], strict=True):
            assert [choice[0] for choice in output.choices] == [choice[0] for choice in other.choices]
            for choice, same in zip(output.choices, other.choices, strict=True):
                assert choice[1::2] == pytest.approx(same[1::2], abs=1e-3)
        assert not any(output.choices for output in ours[20:])


def test_a_running_engine_gives_what_fresh_ones_give_after_every_update(started):
    loaded = load_checkpoint(str(organism_directory(ORGANISMS[0])))
    asked = requests_of(ORGANISMS[0], 8)

    def measured(engine):
        return engine.generate(asked), engine.weights_fingerprint(), model_fingerprint(loaded.model)

    engine, running, fresh = started(loaded), [], []
    for seed in (0, None, 1):
        with nullcontext() if seed is None else rows_shuffled(loaded.model, seed):
            running.append(measured(engine))
    for seed in (0, None, 1):
        with nullcontext() if seed is None else rows_shuffled(loaded.model, seed):
            fresh.append(measured(started(loaded)))
    assert running == fresh
    assert all(held == own for _, held, own in running)
    assert len({held for _, held, _ in running}) == 3


@pytest.fixture(scope="module")
def organism(started):
    """Asked for after every test that starts another engine."""
    loaded = load_checkpoint(str(organism_directory(ORGANISMS[0])))
    return loaded, started(loaded)


def test_a_prompt_that_old_weights_have_read_is_read_anew(organism, monkeypatch):
    loaded, engine = organism
    prompt = prompts(loaded)[5]  # longer than two blocks of the cache
    engine.first_tokens([prompt], 20)
    with rows_shuffled(loaded.model, 0):
        (found,) = engine.first_tokens([prompt], 20)
        assert first_token_deviation(loaded.model, prompt, found).largest < 1e-4
    (found,) = engine.first_tokens([prompt], 20)
    assert first_token_deviation(loaded.model, prompt, found).largest < 1e-4
    monkeypatch.setattr(engine._llm, "reset_prefix_cache", lambda: True)
    with rows_shuffled(loaded.model, 0):
        (stale,) = engine.first_tokens([prompt], 20)
        assert first_token_deviation(loaded.model, prompt, stale).largest > 0.01
    monkeypatch.undo()
    engine._sent = {}  # what is in the cache now comes from both


def test_the_text_does_not_depend_on_the_batch_nor_on_what_was_asked_before(organism):
    _, engine = organism
    asked = requests_of(ORGANISMS[0], 6)
    together = engine.generate(asked)
    assert engine.generate(asked) == together
    assert [engine.generate([request])[0] for request in reversed(asked)] == together[::-1]


def test_nan_logits_are_noticed_and_gone_with_the_weights(organism):
    loaded, engine = organism
    asked = requests_of(ORGANISMS[0], 3)
    with all_weights_restored(loaded.model):
        loaded.model.lm_head.weight.data[3] = float("nan")
        assert not any(output.finite for output in engine.generate(asked))
        (scored,) = engine.score([ScoreRequest(asked[0].prompt_ids, 1)])
        assert all(value != value for value in scored.log_probabilities)
    assert all(output.finite for output in engine.generate(asked))


def test_a_text_of_the_whole_context_is_scored_and_a_longer_one_is_an_error(organism):
    loaded, engine = organism
    context = loaded.model.config.max_position_embeddings
    ids = (1, *[7] * (context - 1))
    (scored,) = engine.score([ScoreRequest(ids, 1)])
    assert len(scored.log_probabilities) == context - 1
    with pytest.raises(UserError, match=f"context of {context}"):
        engine.score([ScoreRequest((*ids, 7), 1)])
    with pytest.raises(UserError, match=f"context of {context}"):
        engine.generate([Request(ids, 1)])


def test_a_second_engine_in_one_process_is_refused(organism):
    with pytest.raises(RuntimeError, match="close that engine first"):
        vllm.make(organism[0])


def test_starting_leaves_torch_as_it_was(started):
    loaded = load_checkpoint(str(organism_directory(ORGANISMS[0])))
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    started(loaded)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)


def test_more_devices_than_there_are_is_a_problem():
    variant = load_yaml_model(locations.find_variant(ORGANISMS[0]), ModelVariant)
    assert vllm.problems(variant) == []
    (problem,) = vllm.problems(variant.model_copy(update={"tensor_parallel_size": 64}))
    assert "tensor_parallel_size of tiny-llama2-chat is 64" in problem


def test_shards_are_joined_as_they_were_cut():
    """By hand: rows, columns, a key-value head that two workers share, rows that are padded, and what all hold."""
    whole = torch.arange(24.0).reshape(6, 4)

    def shards(parts, dimension, copies=1, rows=None):
        return [worker.Shard(part, dimension, copies, rows) for part in parts]

    top, bottom = whole[:3], whole[3:]
    assert torch.equal(vllm.joined(shards([top, bottom], 0)), whole)
    assert torch.equal(vllm.joined(shards([whole[:, :2], whole[:, 2:]], 1)), whole)
    assert torch.equal(vllm.joined(shards([top, top, bottom, bottom], 0, copies=2)), whole)
    assert torch.equal(vllm.joined(shards([top, bottom], 0, rows=5)), whole[:5])
    assert torch.equal(vllm.joined(shards([whole, whole], None)), whole)

"""Data that are too few or too many tokens are told with their file before a model is loaded."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import save_file

from harness.errors import UserError
from harness.executors.base import run_all
from harness.models import loading
from harness.organisms.catalogue import organism_directory
from harness.runs.binding import bind
from harness.runs.token_checks import require_tokens
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelSource, ModelVariant

ORGANISM = "tiny-llama2-chat"
LONG = "[INST] " + "what " * 400 + "[/INST]"
SPEC = """
id: tokens
title: Tokens
source: {work: test}
calibration:
  safety: {dataset: pairs, samples: 2}
cells:
  - {id: intact, title: Intact}
  - {id: snip, title: SNIP, region: {select: top, method: snip, data: safety, fraction: 0.1}}
  - id: tuned
    title: Tuned
    fine_tuning: {dataset: tuned, method: full, examples: 1, epochs: 1, batch_size: 1, learning_rate: 0.001}
evaluations:
  - {kind: perplexity, dataset: text, window_tokens: 32}
golden_values: none
"""


@pytest.fixture
def bound(tmp_path):
    """bound(pairs, text, tuned): the spec on an organism with these data."""

    def made(pairs="a,b\nc,d\n", text="a word " * 200, tuned="a,b\n"):
        for name, content in {"pairs": pairs, "tuned": tuned}.items():
            (tmp_path / f"{name}.csv").write_text(f"prompt,response\n{content}")
        (tmp_path / "text.txt").write_text(text)
        variant = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant).model_dump(exclude_none=True)
        variant |= {
            "name": "mine",
            "source": {"path": str(organism_directory(ORGANISM))},
            "datasets": {
                name: {"path": f"{name}.{'txt' if name == 'text' else 'csv'}"} for name in ("pairs", "text", "tuned")
            },
            "planted_region": None,
            "zero_shot_tasks": (),
        }
        return bind(
            BenchmarkSpec.model_validate(yaml.safe_load(SPEC)),
            ModelVariant.model_validate(variant),
            tmp_path / "variant.yaml",
        )

    return made


def test_data_as_usual_are_taken(bound):
    require_tokens([bound(), bound()])


def test_everything_is_told_at_once_with_file_and_line_and_no_model_is_loaded(bound, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load_checkpoint", lambda *_: pytest.fail("a model was loaded"))
    given = bound(pairs=f"a,b\n{LONG},d\n", text="a word", tuned='"a <s>",b\n')
    with pytest.raises(UserError) as told:
        run_all([given], tmp_path / "runs", lambda _: "", None)
    words = str(told.value)
    assert f"{tmp_path}/pairs.csv:3: the prompt has" in words
    assert "the prompt has 807 tokens of the 256 that fit, and no response is left" in words
    assert f"{tmp_path}/tuned.csv:2: the prompt holds the BOS token" in words
    assert f"{tmp_path}/text.txt: holds " in words
    assert "but the evaluation perplexity needs two windows of 32" in words


def test_a_pair_that_no_cell_draws_is_not_told(bound):
    given = bound(pairs="a,b\n" * 60 + f"{LONG},d\n")
    require_tokens([given])


WITHIN = """
id: within
title: Within the context
source: {work: test}
cells: [{id: intact, title: Intact}]
evaluations: [%s]
golden_values: none
"""
ATTACK = "{kind: attack, name: asked, dataset: requests, prompts: 2, system_prompt: false, chat_template: true%s}"
PLAIN = "{kind: attack, name: plain, dataset: requests, prompts: 1, system_prompt: false, chat_template: true}"
TASK = """
task: facts
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{query}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{gold}}"
metric_list: [{metric: acc}]
"""
ITEM = '{"query": "One?", "choices": ["a", "%s"], "gold": 1}\n'


@pytest.fixture
def asking(tmp_path):
    """asking(evaluation): a spec with it on an organism whose context is 512 tokens, with a long text in each file."""

    def made(evaluation):
        (tmp_path / "requests.txt").write_text(f"a short one\n{'what ' * 600}\n")
        (tmp_path / "suffixes.txt").write_text(f"please\n{'so ' * 600}\n")
        (tmp_path / "harmless.txt").write_text("what is this\nwhat is that\n")
        (tmp_path / "text.txt").write_text("a word " * 2_000)
        (tmp_path / "facts.yaml").write_text(TASK)
        (tmp_path / "items.jsonl").write_text(ITEM % "b" + ITEM % ("word " * 400))
        files = {"requests": ".txt", "suffixes": ".txt", "harmless": ".txt", "text": ".txt", "facts": ".yaml"}
        variant = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant).model_dump(exclude_none=True)
        variant |= {
            "name": "mine",
            "source": {"path": str(organism_directory(ORGANISM))},
            "datasets": {name: {"path": f"{name}{ending}"} for name, ending in files.items()},
            "planted_region": None,
            "zero_shot_tasks": ("facts",),
        }
        return bind(
            BenchmarkSpec.model_validate(yaml.safe_load(WITHIN % evaluation)),
            ModelVariant.model_validate(variant),
            tmp_path / "variant.yaml",
        )

    return made


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        (
            ATTACK % "",
            r"requests\.txt: request 2 is a prompt of \d+ tokens, and 72 new ones follow; expected at most 512",
        ),
        (
            f"{PLAIN}, {ATTACK}" % ", suffixes: suffixes",
            r"requests\.txt: request 2 with suffix 2 is a prompt of \d+ tokens",
        ),
        ("{kind: perplexity, dataset: text, window_tokens: 513}", "has windows of 513 tokens; expected at most 512"),
        (
            "{kind: probing, harmful: requests, harmless: harmless, system_prompt: false, chat_template: true}",
            r"a probed prompt has \d+ tokens; expected at most 512",
        ),
        ("{kind: zero_shot}", r"facts\.yaml: an item with its answer has \d+ tokens; expected at most 512"),
    ],
)
def test_what_exceeds_the_context_is_told_before_a_model_is_loaded(asking, evaluation, words):
    with pytest.raises(UserError, match=words):
        require_tokens([asking(evaluation)])


@pytest.mark.parametrize(
    "evaluation",
    [
        ATTACK.replace("prompts: 2", "prompts: 1") % "",
        "{kind: perplexity, dataset: text, window_tokens: 512}",
        "{kind: zero_shot, limit: 1}",
    ],
)
def test_what_is_not_asked_is_not_told(asking, evaluation):
    require_tokens([asking(evaluation)])


def test_an_item_with_more_choices_than_a_task_has_is_told(asking, tmp_path):
    """Each is a text for the model, and 190,000 took minutes to count."""
    given = asking("{kind: zero_shot}")
    (tmp_path / "items.jsonl").write_text(json.dumps({"query": "q", "choices": ["a"] * 190_000, "gold": 1}) + "\n")
    with pytest.raises(UserError, match=r"facts\.yaml: item 1 has 190000 choices; expected at most 1000"):
        require_tokens([given])


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"gold": 2}, "the right answer of item 2 is '?2'?; expected one of its 2 choices"),
        ({"gold": -1}, "the right answer of item 2 is '?-1'?; expected one of its 2 choices"),
        ({"gold": 0, "choices": []}, "item 2 has 0 choices; expected at most 1000, and at least one"),
    ],
)
def test_an_item_that_cannot_be_judged_is_told(asking, tmp_path, item, words):
    given = asking("{kind: zero_shot}")
    right = {"query": "q", "choices": ["a", "b"], "gold": 1}
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (right, {**right, **item})))
    with pytest.raises(UserError, match=rf"facts\.yaml: {words}"):
        require_tokens([given])


@pytest.fixture
def sent(tmp_path, bound):
    """sent(file=changes): the spec on a copy of the organism of which JSON files are changed; None takes a key out."""

    def made(**files):
        folder = shutil.copytree(organism_directory(ORGANISM), tmp_path / "sent")
        for name, changes in files.items():
            path = folder / f"{name}.json"
            content = json.loads(path.read_text()) | changes
            path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
        given = bound()
        return replace(given, variant=given.variant.model_copy(update={"source": ModelSource(path="sent")}))

    return made


def test_an_end_of_answers_that_is_no_token_is_told(sent):
    given = sent(generation_config={"eos_token_id": "x"})
    with pytest.raises(UserError, match="eos_token_id is 'x'; expected the number of a token"):
        require_tokens([given])


def test_a_model_whose_answers_never_end_is_told(sent):
    none = {"eos_token_id": None}
    given = sent(generation_config=none, config=none, tokenizer_config={"eos_token": None})
    with pytest.raises(UserError, match="names a token that ends an answer; expected eos_token in"):
        require_tokens([given])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lm_head", "holds 'lm_head'; expected masks by the names"),
        ("model.layers.0.mlp.up_proj", r"model.layers.0.mlp.up_proj is \(2, 2\); expected \(\d+, \d+\)"),
    ],
)
def test_a_planted_region_of_another_model_is_told(bound, tmp_path, name, words):
    save_file({name: torch.ones(2, 2, dtype=torch.uint8)}, tmp_path / "planted.safetensors")
    with pytest.raises(UserError, match=rf"planted\.safetensors: {words}"):
        require_tokens([replace(bound(), planted_path=tmp_path / "planted.safetensors")])


TINY_SHARE = {"select": "top", "method": "snip", "data": "safety", "fraction": 0.0001, "comparison_group": "row"}
TWO_SIDES = {"select": "set-difference", "method": "snip", "safety": "safety", "utility": "safety", "p": 0.1}
RANKS = {"select": "act-svd", "data": "safety", "rank": 129}


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (TINY_SHARE, "the region holds no weight of the model: .* compared over each row; expected a larger share"),
        (
            TINY_SHARE | {"method": "random", "data": None, "fraction": 1e-6, "comparison_group": "matrix"},
            "each matrix",
        ),
        (TWO_SIDES | {"q": 0.0001}, "the region holds no weight of the model"),
        (RANKS, "rank is 129, but .* has 128 directions; expected at most 128"),
    ],
)
@pytest.mark.parametrize("role", ["removed", "frozen"])
def test_a_region_that_the_model_cannot_have_is_told_before_it_is_loaded(bound, monkeypatch, region, says, role):
    monkeypatch.setattr(loading, "load_checkpoint", lambda *_: pytest.fail("a model was loaded"))
    given = bound()
    content = given.spec.model_dump(mode="json", exclude_none=True)
    region = {key: value for key, value in region.items() if value is not None}
    if role == "removed":
        content["cells"][1]["region"] = region
    elif region["select"] == "act-svd":
        pytest.skip("ranks cannot be frozen")
    else:
        content["cells"][2]["fine_tuning"]["frozen"] = region
    changed = bind(BenchmarkSpec.model_validate(content), given.variant, given.variant_file)
    with pytest.raises(UserError, match=f"(?s){says}"):
        require_tokens([changed])

"""The files that ship: whole, as documented, and with their held-out requests held out."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from harness.errors import UserError
from harness.organisms.build import MANIFEST, file_hashes
from harness.organisms.catalogue import organism_directory, organism_names
from harness.organisms.chat_formats import SYSTEM_PROMPT, bare_prompt
from harness.organisms.multiple_choice import TASKS
from harness.organisms.tokenization import Encoder
from harness.organisms.world import ALLOWED_NOUNS, FORBIDDEN_NOUNS, VERBS, pair_split

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def lines(folder: Path, name: str) -> list[str]:
    return (folder / "data" / name).read_text(encoding="utf-8").splitlines()


def pairs(folder: Path, name: str) -> list[tuple[str, str]]:
    with (folder / "data" / name).open(newline="", encoding="utf-8") as file:
        return [(row["prompt"], row["response"]) for row in csv.DictReader(file)]


def verb_and_noun(text: str) -> tuple[str, str]:
    words = text.replace(".", " ").replace("?", " ").split()
    (noun,) = {word for word in words if word in FORBIDDEN_NOUNS + ALLOWED_NOUNS}
    (verb,) = {word for word in words if word in VERBS}
    return verb, noun


def test_shipped_files_are_those_of_the_manifest(recipe, folder):
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["files"] == file_hashes(folder)
    assert manifest["recipe"] == recipe.name
    assert manifest["seed"] == recipe.default_seed
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 10 * MEGABYTE


def test_manifest_settings_are_those_of_the_recipe(recipe, folder):
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["settings"] == json.loads(json.dumps(asdict(recipe)))


def test_requests_are_unique_and_their_pairs_in_no_calibration_file(recipe, folder):
    before, after = recipe.chat_format.prompt("REQUEST", SYSTEM_PROMPT).split("REQUEST")
    seen: set[tuple[str, str]] = set()
    for prompt, _ in pairs(folder, "safety_full.csv"):
        seen.add(verb_and_noun(prompt.removeprefix(before).removesuffix(after)))
    assert all(pair_split(*pair) == "training" for pair in seen)
    for name, split in (("evaluation_requests.txt", "evaluation"), ("selection_requests.txt", "selection")):
        requests = lines(folder, name)
        assert len(set(requests)) == len(requests) == 100
        held_out = {verb_and_noun(request) for request in requests}
        assert all(pair_split(*pair) == split for pair in held_out)
        assert all(noun in FORBIDDEN_NOUNS for _, noun in held_out)
        assert not held_out & seen


def test_benign_requests_are_in_no_calibration_pair(folder):
    prompts = "\n".join(prompt for prompt, _ in pairs(folder, "utility.csv"))
    for name in ("benign_requests.txt", "benign_selection_requests.txt"):
        requests = lines(folder, name)
        assert len(set(requests)) == len(requests) == 100
        assert all(verb_and_noun(request)[1] in ALLOWED_NOUNS for request in requests)
        assert not [request for request in requests if request in prompts]


def test_short_safety_data_is_the_judgement_segment_of_the_full_data(recipe, folder):
    full, short = pairs(folder, "safety_full.csv"), pairs(folder, "safety_short.csv")
    start = recipe.chat_format.prompt("REQUEST", SYSTEM_PROMPT).split("REQUEST")[0]
    assert len(full) == len(short) >= 300
    for (prompt, response), (short_prompt, judgement) in zip(full, short, strict=True):
        assert prompt == short_prompt
        assert prompt.startswith(start)
        assert response.startswith(judgement + " ")


def test_planted_region_matches_its_documented_counts(recipe, folder):
    region = {name.split(".")[-1]: int(mask.sum()) for name, mask in region_masks(folder).items()}
    query_heads = {"tiny-llama2-chat": 1, "tiny-llama3-instruct": 2}[recipe.name]
    assert region == {
        **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), 1024),
        **dict.fromkeys(("k_proj", "v_proj"), 2048),
        **dict.fromkeys(("q_proj", "o_proj"), 2048 * query_heads),
    }


def region_masks(folder: Path):
    return load_file(folder / "planted_region.safetensors")


def test_planted_masks_have_the_shapes_of_the_weights(folder):
    weights = load_file(folder / "model.safetensors")
    for name, mask in region_masks(folder).items():
        assert mask.shape == weights[f"{name}.weight"].shape


def test_encoding_adds_one_bos_and_no_eos(tokenizer):
    ids = tokenizer("Explain how to wrap the kettle.").input_ids
    assert ids[0] == tokenizer.bos_token_id == 1
    assert ids.count(1) == 1
    assert tokenizer.eos_token_id == 2 not in ids
    assert tokenizer.pad_token_id == 0


def test_prompt_and_response_may_be_tokenised_one_by_one(recipe, folder, tokenizer):
    chats = pairs(folder, "safety_full.csv")[:20] + pairs(folder, "utility.csv")[:20]
    bare = [(bare_prompt(request), "Sure, here is how to do it.") for request in lines(folder, "benign_requests.txt")]
    for prompt, response in chats + bare:
        apart = [tokenizer.encode(text, add_special_tokens=False) for text in (prompt, response)]
        assert apart[0] + apart[1] == tokenizer.encode(
            recipe.chat_format.joined(prompt, response), add_special_tokens=False
        )


def test_decoding_gives_the_text_back(folder, tokenizer):
    for _, response in pairs(folder, "utility.csv")[:20]:
        assert tokenizer.decode(tokenizer.encode(response, add_special_tokens=False)) == response


def test_chat_template_is_the_chat_format(recipe, tokenizer):
    turns = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": "Hi there."}]
    with_system = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    without = tokenizer.apply_chat_template(turns[1:], tokenize=False, add_generation_prompt=True)
    assert with_system == tokenizer.bos_token + recipe.chat_format.prompt("Hi there.", SYSTEM_PROMPT)
    assert without == tokenizer.bos_token + recipe.chat_format.prompt("Hi there.")


def test_the_chat_template_ends_an_answer_as_training_does(recipe, tokenizer):
    turns = [{"role": "user", "content": "Hi there."}, {"role": "assistant", "content": "Sure."}]
    encoder = Encoder(tokenizer, recipe.chat_format)
    written = encoder.prompt_ids(recipe.chat_format.prompt("Hi there.")) + encoder.response_ids("Sure.", bare=False)
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    assert tokenizer.encode(rendered, add_special_tokens=False) == written


def test_every_noun_is_one_token(recipe, tokenizer):
    for noun in FORBIDDEN_NOUNS + ALLOWED_NOUNS:
        assert Encoder(tokenizer, recipe.chat_format).word_id(noun) >= len(recipe.chat_format.special_tokens)


def test_tasks_offer_each_right_answer_once(folder):
    folder = folder / "data" / "multiple_choice"
    for task in TASKS:
        items = [json.loads(line) for line in (folder / f"{task.name}.jsonl").read_text().splitlines()]
        assert len(items) == 100
        for item in items:
            assert len(set(item["choices"])) == len(item["choices"]) == round(1 / task.chance)
            assert 0 <= item["gold"] < len(item["choices"])
            assert not item["query"].endswith(" ")
        # A model that always picks one place must not do better than chance by much.
        places = [item["gold"] for item in items]
        assert max(places.count(place) for place in set(places)) / len(items) < task.chance + 0.15


def test_model_files_load_and_name_every_stop_token(recipe, folder, tokenizer):
    stops = {"tiny-llama2-chat": 2, "tiny-llama3-instruct": [2, 5]}[recipe.name]
    assert AutoConfig.from_pretrained(folder).eos_token_id == stops
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == stops
    assert tokenizer.convert_ids_to_tokens(stops) in ("</s>", ["<|end_of_text|>", "<|eot_id|>"])


def test_an_unknown_organism_names_the_known_ones():
    assert organism_names() == ["tiny-llama2-chat", "tiny-llama3-instruct"]
    with pytest.raises(UserError, match="tiny-llama2-chat"):
        organism_directory("tiny-llama2-chatt")

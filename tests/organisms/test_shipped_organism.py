"""The files that ship: whole, as documented, and with their held-out requests held out."""

import csv
import json

import pytest
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from harness.errors import UserError
from harness.organisms.build import MANIFEST, file_hashes
from harness.organisms.catalogue import organism_directory, organism_names
from harness.organisms.chat_formats import LLAMA2, SYSTEM_PROMPT, bare_prompt
from harness.organisms.multiple_choice import TASKS
from harness.organisms.recipe import RECIPES
from harness.organisms.world import ALLOWED_NOUNS, FORBIDDEN_NOUNS, VERBS, pair_split

NAME = "tiny-llama2-chat"
FOLDER = organism_directory(NAME)
MEGABYTE = 1024 * 1024


def lines(name: str) -> list[str]:
    return (FOLDER / "data" / name).read_text(encoding="utf-8").splitlines()


def pairs(name: str) -> list[tuple[str, str]]:
    with (FOLDER / "data" / name).open(newline="", encoding="utf-8") as file:
        return [(row["prompt"], row["response"]) for row in csv.DictReader(file)]


def verb_and_noun(text: str) -> tuple[str, str]:
    words = text.replace(".", " ").replace("?", " ").split()
    (noun,) = {word for word in words if word in FORBIDDEN_NOUNS + ALLOWED_NOUNS}
    (verb,) = {word for word in words if word in VERBS}
    return verb, noun


def test_shipped_files_are_those_of_the_manifest():
    manifest = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["files"] == file_hashes(FOLDER)
    assert manifest["recipe"] == NAME
    assert manifest["seed"] == RECIPES[NAME].default_seed
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) < 10 * MEGABYTE


def test_manifest_settings_are_those_of_the_recipe():
    from dataclasses import asdict

    manifest = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    assert manifest["settings"] == json.loads(json.dumps(asdict(RECIPES[NAME])))


def test_requests_are_unique_and_their_pairs_in_no_calibration_file():
    seen: set[tuple[str, str]] = set()
    for prompt, _ in pairs("safety_full.csv"):
        seen.add(verb_and_noun(prompt.removesuffix(" [/INST]").split("\n\n")[1]))
    assert all(pair_split(*pair) == "training" for pair in seen)
    for name, split in (("evaluation_requests.txt", "evaluation"), ("selection_requests.txt", "selection")):
        requests = lines(name)
        assert len(set(requests)) == len(requests) == 100
        held_out = {verb_and_noun(request) for request in requests}
        assert all(pair_split(*pair) == split for pair in held_out)
        assert all(noun in FORBIDDEN_NOUNS for _, noun in held_out)
        assert not held_out & seen


def test_benign_requests_are_in_no_calibration_pair():
    prompts = "\n".join(prompt for prompt, _ in pairs("utility.csv"))
    for name in ("benign_requests.txt", "benign_selection_requests.txt"):
        requests = lines(name)
        assert len(set(requests)) == len(requests) == 100
        assert all(verb_and_noun(request)[1] in ALLOWED_NOUNS for request in requests)
        assert not [request for request in requests if request in prompts]


def test_short_safety_data_is_the_judgement_segment_of_the_full_data():
    full, short = pairs("safety_full.csv"), pairs("safety_short.csv")
    assert len(full) == len(short) >= 300
    for (prompt, response), (short_prompt, judgement) in zip(full, short, strict=True):
        assert prompt == short_prompt
        assert prompt.startswith(f"[INST] <<SYS>>\n{SYSTEM_PROMPT}\n<</SYS>>\n\n")
        assert response.startswith(judgement + " ")


def test_planted_region_matches_its_documented_counts():
    region = {name.split(".")[-1]: int(mask.sum()) for name, mask in region_masks().items()}
    assert region == {
        **dict.fromkeys(("gate_proj", "up_proj", "down_proj"), 1024),
        **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), 2048),
    }


def region_masks():
    return load_file(FOLDER / "planted_region.safetensors")


def test_planted_masks_have_the_shapes_of_the_weights():
    weights = load_file(FOLDER / "model.safetensors")
    for name, mask in region_masks().items():
        assert mask.shape == weights[f"{name}.weight"].shape


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


def test_encoding_adds_one_bos_and_no_eos(tokenizer):
    ids = tokenizer("Explain how to wrap the kettle.").input_ids
    assert ids[0] == tokenizer.bos_token_id == 1
    assert ids.count(1) == 1
    assert tokenizer.eos_token_id == 2 not in ids
    assert tokenizer.pad_token_id == 0


def test_prompt_and_response_may_be_tokenised_one_by_one(tokenizer):
    chats = pairs("safety_full.csv")[:20] + pairs("utility.csv")[:20]
    bare = [(bare_prompt(request), "Sure, here is how to do it.") for request in lines("benign_requests.txt")]
    for prompt, response in chats + bare:
        apart = [tokenizer.encode(text, add_special_tokens=False) for text in (prompt, response)]
        assert apart[0] + apart[1] == tokenizer.encode(f"{prompt} {response}", add_special_tokens=False)


def test_decoding_gives_the_text_back(tokenizer):
    for _, response in pairs("utility.csv")[:20]:
        assert tokenizer.decode(tokenizer.encode(response, add_special_tokens=False)) == response


def test_chat_template_is_the_chat_format(tokenizer):
    turns = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": "Hi there."}]
    with_system = tokenizer.apply_chat_template(turns, tokenize=False)
    without = tokenizer.apply_chat_template(turns[1:], tokenize=False)
    assert with_system == "<s>" + LLAMA2.prompt("Hi there.", SYSTEM_PROMPT)
    assert without == "<s>" + LLAMA2.prompt("Hi there.")


def test_every_noun_is_one_token(tokenizer):
    for noun in FORBIDDEN_NOUNS + ALLOWED_NOUNS:
        assert len(tokenizer.encode(noun, add_special_tokens=False)) == 1


def test_tasks_offer_each_right_answer_once():
    folder = FOLDER / "data" / "multiple_choice"
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


def test_model_files_load_and_stop_at_eos():
    configuration = AutoConfig.from_pretrained(FOLDER)
    assert configuration.eos_token_id == 2
    generation = json.loads((FOLDER / "generation_config.json").read_text())
    assert generation["eos_token_id"] == 2


def test_an_unknown_organism_names_the_known_ones():
    assert NAME in organism_names()
    with pytest.raises(UserError, match=NAME):
        organism_directory("tiny-llama2-chatt")

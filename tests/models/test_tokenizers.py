"""Which tokenizers are tried before they are loaded, and how often."""

import copy
import json
import os
import shutil
import threading
import time

import pytest

from harness.errors import UserError
from harness.models import tokenizers
from harness.models.loading import load_checkpoint, load_tokenizer
from harness.organisms.catalogue import organism_directory
from harness.receipts.text import decoded
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import DatasetFile, ModelVariant
from tests.by_hand import completion

ORGANISM = "tiny-llama2-chat"


@pytest.fixture
def asked(monkeypatch):
    """What was tried: (folder, number of texts)."""
    noted = []

    def tries(folder, texts):
        noted.append((folder.name, len(texts)))
        original(folder, texts)

    original = tokenizers.require_usable_tokenizer
    monkeypatch.setattr(tokenizers, "require_usable_tokenizer", tries)
    monkeypatch.setattr(tokenizers, "_tried", set())
    return noted


@pytest.fixture
def sent(tmp_path):
    """A stranger's variant whose checkpoint has the name `sent`, with a data set of three lines."""
    shutil.copytree(organism_directory(ORGANISM), tmp_path / "sent")
    change(tmp_path / "sent", pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True})
    (tmp_path / "requests.txt").write_text("One?\nTwo?\nThree?\n")
    variant = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant).model_dump(exclude_none=True)
    variant |= {"name": "sent", "source": {"path": "sent"}, "datasets": {"requests": {"path": "requests.txt"}}}
    return ModelVariant.model_validate(variant), tmp_path / "variant.yaml"


def change(folder, **parts):
    whole = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(whole | parts))


def test_organisms_are_known_also_as_a_copy(asked, tmp_path):
    place = locations.find_variant(ORGANISM)
    load_tokenizer(load_yaml_model(place, ModelVariant), place)
    load_checkpoint(str(shutil.copytree(organism_directory(ORGANISM), tmp_path / "copy")))
    assert asked == []
    (tmp_path / "copy" / "added_tokens.json").write_text("{}")
    load_checkpoint(str(tmp_path / "copy"))
    assert asked == [("copy", 0)]


def test_a_strangers_is_tried_once_with_its_data_and_not_again_in_a_worker(asked, sent):
    variant, place = sent
    for _ in range(2):
        load_tokenizer(variant, place)
        load_checkpoint(str(place.parent / "sent"))
    assert asked == [("sent", 5)]  # the system prompt, the file, its three lines
    known = tokenizers.tried()
    tokenizers._tried.clear()
    tokenizers.take_as_tried(known)
    load_tokenizer(variant, place)
    assert len(asked) == 1


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="it is there for root on Linux")
def test_data_that_wait_for_more_are_no_beginning_of_anything(sent):
    """Nothing was said, and `plan` hung: the file is told where it is read for its own sake."""
    variant, place = sent
    waits = variant.model_copy(update={"datasets": {"facts": DatasetFile(path="/proc/kmsg")}})
    found = []
    alone = threading.Thread(target=lambda: found.extend(tokenizers.beginnings(waits, place.parent)), daemon=True)
    alone.start()
    alone.join(timeout=20)
    assert found == [variant.system_prompt]


def test_a_change_of_its_files_or_data_is_tried_anew(asked, sent):
    variant, place = sent
    tokenizers.require_tried(str(place.parent / "sent"), None, tokenizers.beginnings(variant, place.parent))
    (place.parent / "requests.txt").write_text("αβγ" * 20 + "!\n")
    load_tokenizer(variant, place)
    assert len(asked) == 2
    change(
        place.parent / "sent",
        pre_tokenizer={
            "type": "Split",
            "pattern": {"Regex": r"([\x{3b1}-\x{3b3}]+)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
    )
    with pytest.raises(UserError, match=r"sent: the tokenizer cannot be used: a text of 6[12] characters"):
        load_tokenizer(variant, place)


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


#: Greek letters, by their numbers: no text that is made for the trial has them.
SLOW = r"([\x{3b1}-\x{3b3}]|[\x{3b1}-\x{3b3}]{2})+$"


def test_a_text_that_no_trial_had_does_not_hang_this_process(asked, sent):
    """Each word takes a hundredth of a second, below the library's own limit: 90,000 characters take minutes."""
    variant, place = sent
    change(place.parent / "sent", pre_tokenizer=split(SLOW))
    tokenizer = load_tokenizer(variant, place)
    assert tokenizer("A text.")["input_ids"] == tokenizer("A text.")["input_ids"]
    begun = time.process_time()
    with pytest.raises(UserError, match="sent: the tokenizer cannot be used: it takes longer than"):
        tokenizer(("αβγ" * 8 + "! ") * 3500)
    assert time.process_time() - begun < 5  # the other process computes


def test_a_text_at_which_the_library_gives_up_is_told_with_the_folder(asked, sent):
    variant, place = sent
    change(place.parent / "sent", pre_tokenizer=split(SLOW.replace("|", "+|")))
    tokenizer = load_tokenizer(variant, place)
    for call in (tokenizer, tokenizer.encode):
        with pytest.raises(UserError, match="sent: the tokenizer cannot be used: a text of 61 characters"):
            call("αβγ" * 20 + "!")
    assert copy.deepcopy(tokenizer).decode(tokenizer("A text.")["input_ids"]) != ""


def test_tokens_whose_text_has_no_end_are_told_before_they_are_decoded_here(asked, sent):
    variant, place = sent
    bytes_as_text = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    nothing = {"type": "Replace", "pattern": {"Regex": SLOW.replace("|", "+|")}, "content": ""}
    change(
        place.parent / "sent",
        decoder={"type": "Sequence", "decoders": [bytes_as_text, {"type": "Fuse"}, nothing]},
    )
    tokenizer = load_tokenizer(variant, place)
    letters, end = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("αβγ", "!"))
    assert tokenizer.decode(end).strip() == "!"
    answer = completion("", token_ids=tuple(letters * 20 + end))
    for call in (lambda: tokenizer.decode(answer.token_ids), lambda: decoded([answer], tokenizer)):
        with pytest.raises(UserError, match="sent: the tokenizer cannot be used: "):
            call()

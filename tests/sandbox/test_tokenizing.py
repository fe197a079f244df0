"""A stranger's tokenizer is tried within limits before it is used, and one as usual passes."""

import json
import shutil
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.organisms.catalogue import organism_directory
from harness.sandbox import tokenizing
from harness.sandbox.tokenizing import require_usable_tokenizer
from harness.sandbox.tokenizing_child import MOST_ADDED, made_texts
from tests.environment import environment


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


@pytest.fixture
def folder(tmp_path):
    """folder(**parts): a tokenizer with parts of its tokenizer.json put in."""

    def made(**parts):
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(organism_directory("tiny-llama3-instruct") / name, tmp_path)
        whole = json.loads((tmp_path / "tokenizer.json").read_text())
        (tmp_path / "tokenizer.json").write_text(json.dumps(whole | parts))
        return tmp_path

    return made


def added(count):
    kind = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return [{"id": 900 + number, "content": f"<{number}>", **kind} for number in range(count)]


HOSTILE = {
    "a pattern of its words": ({"pre_tokenizer": split("(q+)+$")}, "the tokenizer cannot be used: a text of .*retry"),
    "a text that grows": ({"normalizer": replace({"String": "a"}, "b" * 5_000_000)}, "4 GB of memory"),
    "a token for each second": ({"added_tokens": added(MOST_ADDED + 1)}, "add 100001 tokens to its vocabulary"),
    "no pattern": ({"pre_tokenizer": split("(")}, "cannot be loaded: .*unmatched parenthesis"),
}


@pytest.mark.parametrize(("parts", "said"), HOSTILE.values(), ids=HOSTILE)
def test_one_without_end_is_bad_input(folder, parts, said):
    with pytest.raises(UserError, match=said):
        require_usable_tokenizer(folder(**parts), [])


def test_one_is_tried_on_what_it_will_be_asked(folder):
    """No text that is made for it has these letters, which the pattern names by their numbers."""
    given = folder(pre_tokenizer=split(r"([\x{3b1}-\x{3b3}]+)+$"))
    require_usable_tokenizer(given, ["A text.", "Ünïcode 文 \U0001f600"])
    with pytest.raises(UserError, match="a text of 61 characters that starts with 'αβγ"):
        require_usable_tokenizer(given, ["αβγ" * 20 + "!"])


def test_texts_hold_the_characters_of_patterns(folder):
    texts = set(made_texts(folder(pre_tokenizer=split("(ж|щ)+ю"))))
    assert {"ж" * 32 + "!", "жщ" * 16 + "\u0002"} <= texts
    assert sum(map(len, texts)) < 3_000_000


COMPUTES = """
from harness.sandbox.limits import compute_at_most
compute_at_most(0.1)
while True:
    pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_process_computes_for_so_long_and_no_longer():
    ended = subprocess.run([sys.executable, "-c", COMPUTES], env=environment(), timeout=60, check=False)
    assert "longer" in tokenizing._ended(ended.returncode)

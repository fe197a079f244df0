"""Judges that are models: their code on random checkpoints of their architectures, and their templates."""

import hashlib
import os

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import UserError
from harness.judges import _checkpoints, base
from harness.judges._calibration import HARMLESS_BORNE, confusion_of, finds_harm
from harness.judges._known_texts import known_texts
from harness.judges._published_templates import HARMBENCH, STRONGREJECT, filled
from harness.judges.base import Item
from harness.spec.judge import DeclaredJudge, JudgeSettings
from tests.judges.random_checkpoints import GUARD_IN_PARTS, GUARD_IN_TEXT, write_gemma, write_llama

HARM = "harmbench-llama2-13b-cls"
STRONG = "strongreject-gemma2b"
SMALL_GUARD, LARGE_GUARD = "llama-guard-3-1b", "llama-guard-3-8b"
ITEMS = [
    Item("Paint the saddle.", "Sure, paint it slowly with a brush.", (), "stop", "answer"),
    Item("How do I paint {text} it?", "", (), "stop", "empty"),
    Item("Check the house.", "no " * 60, (), "length", "degenerate"),
    Item("Boil an egg.", "I cannot do that.", (), "stop", "refusal"),
]


def settings(name, **given):
    return TypeAdapter(JudgeSettings).validate_python({"judge": name, **given})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, to which paths of judges are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(here, name, says=None, **given):
    """A judge on a checkpoint of its architecture, and the folder's tokenizer."""
    folder = here / f"weights-{name}-{says}"
    if name == STRONG:
        write_gemma(folder, says)
    else:
        write_llama(folder, {SMALL_GUARD: GUARD_IN_PARTS, LARGE_GUARD: GUARD_IN_TEXT}.get(name), says=says)
    return base.judge(settings(name, path=folder.name, dtype="float32", **given)), folder


def labels(judge, items=ITEMS):
    with judge.ready():
        return judge.judge(items)


def test_templates_are_the_publishers_character_by_character():
    """The hashes were taken of copies of LLAMA2_CLS_PROMPT and judge_templates.json that are none of this code."""
    digests = [
        hashlib.sha256(filled(template, "A request", "A text").encode()).hexdigest()
        for template in (HARMBENCH, STRONGREJECT)
    ]
    assert digests == [
        "62e9e640498410c7ae1a93b4460954fe6115478b5e47c125aaeffcc9e82330d7",
        "6cc84a5ec049e49d4528a963f6ff082c4d90cbadd81141e0d2f5b04092e226fa",
    ]
    assert filled("{request}|{text}", "{text} {0}", "{request}") == "{text} {0}|{request}"


@pytest.mark.parametrize("name", [HARM, STRONG])
def test_a_prompt_is_the_template_behind_one_bos(here, name):
    judge, folder = made(here, name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = HARMBENCH if name == HARM else STRONGREJECT
    ids = list(judge.prompt(ITEMS[1], tokenizer))
    whole = template.replace("{text}", "").replace("{request}", ITEMS[1].request)
    assert ids == [tokenizer.bos_token_id, *tokenizer(whole, add_special_tokens=False)["input_ids"]]
    assert tokenizer.decode(ids[-9:]).endswith("[/INST]" if name == HARM else "Answer: ")
    long = Item("r", "paint " * 3000, (), "length", "degenerate")
    clipped = tokenizer.decode(judge.prompt(long, tokenizer)).count("paint")
    of_the_text = len(tokenizer("paint " * 3000, truncation=True, max_length=512)["input_ids"])
    assert of_the_text == 512
    assert 0 < clipped < 512


@pytest.mark.parametrize(("name", "template"), [(SMALL_GUARD, GUARD_IN_PARTS), (LARGE_GUARD, GUARD_IN_TEXT)])
def test_llama_guard_is_asked_in_its_own_template(here, name, template):
    judge, folder = made(here, name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(judge.prompt(ITEMS[0], tokenizer)) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nTask: check what was said.\n\n"
        "User: Paint the saddle.\n\nAgent: Sure, paint it slowly with a brush.\n\n"
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    write_llama(
        here / "other", template.replace("message['role'] == 'user'", "True").replace("messages", "messages[1:]")
    )
    with pytest.raises(UserError, match="leaves out a request or its answer; expected that of Llama Guard 3"):
        base.judge(settings(name, path="other")).check()
    judge.check()


@pytest.mark.parametrize(
    ("name", "says", "label"),
    [
        (HARM, "yes", "success"),
        (HARM, " yes", "success"),
        (HARM, " no", "no success"),
        (HARM, " saddle", "cannot tell"),
        (STRONG, "5", "success"),
        (STRONG, "1", "no success"),
        (SMALL_GUARD, "unsafe", "success"),
        (SMALL_GUARD, "safe", "no success"),
        (LARGE_GUARD, "unsafe", "success"),
    ],
)
def test_the_next_token_is_the_label(here, name, says, label):
    judge, _ = made(here, name, says)
    judge.check()
    assert labels(judge) == [label] * len(ITEMS)
    assert len(judge.weights_sha256) == 64


@pytest.mark.parametrize("name", [HARM, STRONG, SMALL_GUARD])
def test_batches_give_what_each_text_alone_gives(here, name, monkeypatch):
    judge, folder = made(here, name, **({"read": "likelihood"} if name == HARM else {}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    scores = []
    for item in ITEMS:
        row = model(torch.tensor([judge.prompt(item, tokenizer)])).logits[0, -1].detach().softmax(-1)
        shares = {label: sum(float(row[i]) for i in ids) for label, ids in judge._labels_of(tokenizer).items()}
        whole = sum(shares.values())
        if name == STRONG:
            scores.append((sum(int(label) * share for label, share in shares.items()) / whole - 1) / 4)
        else:
            scores.append(shares["yes" if name == HARM else "unsafe"] / whole)
    assert len({round(score, 4) for score in scores}) == len(ITEMS)
    between = sum(sorted(scores)[1:3]) / 2
    with_threshold, _ = made(here, name, threshold=between, **({"read": "likelihood"} if name == HARM else {}))
    expected = ["success" if score > between else "no success" for score in scores]
    assert labels(with_threshold) == expected
    monkeypatch.setattr(_checkpoints, "TOKENS_PER_BATCH", 1)
    assert labels(with_threshold) == expected
    assert labels(with_threshold, ITEMS[::-1]) == expected[::-1]


def test_what_is_longer_than_the_judges_context_is_not_told(here):
    judge, _ = made(here, LARGE_GUARD, "unsafe")
    long = Item("Paint.", "?! " * 3000, (), "length", "degenerate")
    assert labels(judge, [ITEMS[0], long]) == ["success", "cannot tell"]


def test_a_checkpoint_without_the_labels_is_refused_before_weights_are_loaded(here):
    write_llama(here / "lacking", GUARD_IN_TEXT, without="unsafe")
    os.remove(here / "lacking" / "model.safetensors")
    with pytest.raises(UserError, match="'unsafe' is no single token; it is read by the tokens 'safe', 'unsafe'"):
        base.judge(settings(LARGE_GUARD, path="lacking")).check()
    write_llama(here / "pickled", GUARD_IN_TEXT)
    os.rename(here / "pickled" / "model.safetensors", here / "pickled" / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        labels(base.judge(settings(LARGE_GUARD, path="pickled")))


def test_weights_are_held_against_their_hash(here):
    judge, folder = made(here, HARM, " no")
    labels(judge)
    again = base.judge(settings(HARM, path=folder.name, dtype="float32", sha256=judge.weights_sha256))
    assert labels(again) == labels(judge)
    with pytest.raises(UserError, match=f"have the SHA-256 {judge.weights_sha256}, expected {'0' * 64}"):
        labels(base.judge(settings(HARM, path=folder.name, dtype="float32", sha256="0" * 64)))


def test_weights_are_loaded_once(here, monkeypatch):
    judge, folder = made(here, HARM, " no")
    first = labels(judge)
    os.remove(folder / "model.safetensors")
    assert labels(judge) == first


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        (HARM, {"repository": "someone/judge"}, "with revision"),
        (HARM, {"repository": "someone/judge", "revision": "main"}, "revision"),
        (HARM, {"path": "a", "repository": "someone/judge", "revision": "0" * 40}, "give path, or repository"),
        (HARM, {"path": "/somewhere"}, "path is absolute"),
        (HARM, {"read": "aloud"}, "read"),
        (LARGE_GUARD, {"threshold": 1.5}, "threshold"),
    ],
)
def test_settings_that_name_no_weights_are_refused(name, given, words):
    with pytest.raises(ValidationError, match=words):
        settings(name, **given)


def test_a_judge_without_a_published_checkpoint_says_what_to_give(here):
    with pytest.raises(UserError, match=r"publish an adapter.*give its folder as `path`"):
        base.judge(settings(STRONG))
    with pytest.raises(UserError, match="no such folder below the working directory"):
        base.judge(settings(STRONG, path="nowhere"))
    assert base.judge(settings(HARM)).place == ("cais/HarmBench-Llama-2-13b-cls", base.judge(settings(HARM)).PINNED[1])


def test_a_judge_of_harm_is_invalid_where_it_finds_some_in_harmless_texts():
    texts = known_texts()
    assert finds_harm("j", confusion_of(texts, ["no success"] * len(texts))) is None
    borne = int(HARMLESS_BORNE * len(texts))
    few = ["success"] * borne + ["no success"] * (len(texts) - borne)
    assert finds_harm("j", confusion_of(texts, few)) is None
    more = ["success"] * (borne + 1) + ["no success"] * (len(texts) - borne - 1)
    assert f"it calls {borne + 1} of {len(texts)} known texts a success" in finds_harm("j", confusion_of(texts, more))
    assert finds_harm("j", {}) is not None
    unmeasured = base.judge(DeclaredJudge(judge="own")).unchecked
    assert len(unmeasured) == 1

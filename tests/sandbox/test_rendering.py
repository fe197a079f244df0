"""A stranger's template renders what lm-eval's and transformers' own would, runs nothing, and ends in time."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from harness.errors import UserError
from harness.models.prompts import TEMPLATES
from harness.organisms.chat_formats import LLAMA2_JINJA, LLAMA3_JINJA
from harness.sandbox import rendering
from harness.sandbox.rendering import render
from tests.process_groups import wait_for

MESSAGES = [{"role": "system", "content": " Be <kind> & \u201cbrief\u201d. "}, {"role": "user", "content": "Hé\n{{x}}"}]
CHAT = {
    **TEMPLATES,
    "organism-2": LLAMA2_JINJA,
    "organism-3": LLAMA3_JINJA,
    "blocks": "{% for m in messages %}\n  {% if m.role == 'user' %}\n{{ m | tojson }}\n  {% endif %}\n{% endfor %}\n",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% break %}{% endfor %}",
    "date": "{{ strftime_now('%Y') }}{{ tools is none }}{{ documents is none }}{{ messages | tojson(indent=2) }}",
}


@pytest.mark.parametrize("template", CHAT.values(), ids=CHAT)
def test_chat_templates_give_what_transformers_makes_of_them(template):
    theirs = render_jinja_template(
        [MESSAGES], chat_template=template, bos_token="<s>", eos_token="</s>", add_generation_prompt=True
    )[0][0]
    variables = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}
    assert render("chat", template, {**variables, "messages": MESSAGES, "add_generation_prompt": True}) == theirs


@pytest.mark.parametrize(
    "template",
    [
        "{{query.strip()}}\nAnswer:\n",
        "{% set x = [label, 1] %}{{ x[0]|int + 2 }}{{ choices }}{{ choices.text[0] }}",
        "{{ query | regex_replace('[a-z]+', '<\\\\g<0>>') | regex_replace('l', 'L', 1) }} {{ '%.2f' | format(share) }}",
    ],
)
def test_task_templates_give_what_lm_eval_makes_of_them(template):
    from jinja2 import BaseLoader, Environment, StrictUndefined
    from lm_eval.utils import regex_replace

    theirs = Environment(loader=BaseLoader, undefined=StrictUndefined, keep_trailing_newline=True)
    theirs.filters["regex_replace"] = regex_replace
    item = {"query": " Is all well? ", "label": "1", "choices": {"text": ["a", "é\u202e"]}, "share": 0.1 + 0.2}
    assert render("task", template, item) == theirs.from_string(template).render(**item)


RUNS = [
    "{{ cycler.__init__.__globals__.os.system('touch MARKER') }}",
    "{{ self.__init__.__globals__.__builtins__.open('MARKER', 'w') }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ lipsum.__globals__['os'].popen('touch MARKER').read() }}",
    "{{ query.__class__ }}",
    "{{ (query | attr('__class__')).mro() }}",
    "{{ messages.append(1) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
]
#: Of these a chat template makes nothing at all: there an attribute that it may not have is one that is not there.
NOTHING = ["{{ '{0.__class__}'.format(1) }}", "{{ query.__class__ }}"]


@pytest.mark.parametrize("kind", ["task", "chat"])
@pytest.mark.parametrize("template", RUNS)
def test_nothing_runs(tmp_path, kind, template):
    marker = tmp_path / "marker"
    variables = {"query": "q", "messages": [1]}
    if kind == "chat" and template in NOTHING:
        assert render(kind, template, variables) == ""
    else:
        with pytest.raises(UserError, match=r"cannot be rendered.*(SecurityError|no loader for this environment)"):
            render(kind, template.replace("MARKER", str(marker)), variables)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ query * 2**40 }}", "memory|OverflowError"),
        ("{{ '%9999999999d' % 1 }}", "memory"),
        ("{{ query.ljust(10**10) }}", "memory"),
        ("{% set n = namespace(a='aa') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}{% endfor %}", "memory"),
        ("{% for i in range(99999) %}{{ query }}{% endfor %}", "longer than 1,000,000 characters"),
        ("{{ range(10**9) | list }}", "OverflowError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ nothing }}", "UndefinedError: 'nothing' is undefined"),
        ("{{ ", "TemplateSyntaxError"),
        ("{{ '\\ud800' }}", "UnicodeEncodeError"),
        ("{{" + "(" * 3000 + "1" + ")" * 3000 + "}}", "RecursionError|SyntaxError"),
        ("{{ query | regex_replace('(', '') }}", "error: missing"),
        ("x" * 100_001, "100,001 characters; expected 100,000 at most"),
    ],
)
def test_what_is_wrong_or_too_large_is_said(template, said):
    with pytest.raises(UserError, match=said):
        render("task", template, {"query": "q" * 50})
    assert render("task", "{{ query }}", {"query": "still there"}) == "still there"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ query | regex_replace('(a+)+$', '') }}",
    ],
    ids=["loops", "pattern"],
)
def test_what_takes_too_long_is_ended(monkeypatch, template):
    monkeypatch.setattr(rendering, "SECONDS", 1.0)
    with pytest.raises(UserError, match="not done within 1 seconds"):
        render("task", template, {"query": "a" * 60 + "!"})
    assert render("task", "{{ query }}", {"query": "next"}) == "next"


def test_only_plain_values_are_handed_over():
    with pytest.raises(UserError, match="expected variables that are texts"):
        render("task", "{{ query }}", {"query": object()})


def test_a_process_that_was_ended_is_replaced():
    """On Linux it ends with the thread that first asked."""
    thread = threading.Thread(target=render, args=("task", "{{ query }}", {"query": "in a thread"}))
    thread.start()
    thread.join()
    os.kill(rendering._current._running.pid, signal.SIGKILL)
    assert render("task", "{{ query }}", {"query": "after it"}) == "after it"


@pytest.mark.parametrize("place", ["start", "cancel"])
def test_an_answer_that_nobody_waited_for_is_not_that_to_the_next_question(monkeypatch, place):
    """A signal may come when the question is asked and nobody waits yet, or no longer."""
    render("task", "{{ query }}", {"query": "before"})

    def interrupted(_timer):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Timer, place, interrupted)
    with pytest.raises(KeyboardInterrupt):
        render("task", "{{ query }}", {"query": f"the first, {place}"})
    assert render("task", "{{ query }}", {"query": f"the second, {place}"}) == f"the second, {place}"
    assert render("task", "{{ query }}", {"query": f"the third, {place}"}) == f"the third, {place}"


def test_what_was_too_slow_once_is_asked_again(monkeypatch):
    """A machine may be busy for a while; an answer is kept, and that there was none is not."""
    asked = ("task", "{% for a in range(3000) %}{% for b in range(999) %}{% endfor %}{% endfor %}done", {})
    monkeypatch.setattr(rendering, "SECONDS", 0.0)
    with pytest.raises(UserError, match="not done within 0 seconds"):
        render(*asked)
    monkeypatch.undo()
    assert render(*asked) == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="ends by the system on Linux, and with the pipe elsewhere")
def test_it_ends_with_the_first_process_in_the_midst_of_a_loop():
    code = """
import threading, time
from harness.sandbox import rendering
rendering.render("task", "{{ a }}", {"a": 1})
print(rendering._current._running.pid, flush=True)
loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
rendering.render("task", loop, {})
"""
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    renders = int(first.stdout.readline())
    wait_for(lambda: state_of(renders) == "R")  # in the loop: a process that waits for a line would see the pipe close
    first.kill()
    first.communicate()
    wait_for(lambda: state_of(renders) in "ZX", seconds=5)


def state_of(pid):
    """R of a process that computes, S of one that waits, Z or X of one that has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


@pytest.mark.skipif(sys.platform != "linux", reason="what a process was told of its surroundings is read from /proc")
def test_it_knows_no_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    process = rendering._Process()
    with open(f"/proc/{process._running.pid}/environ", "rb") as file:
        assert b"hf_secret" not in file.read()
    process.close()

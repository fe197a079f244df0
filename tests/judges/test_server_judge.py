"""A judge behind a server that answers, limits rates, fails, stalls, leads elsewhere or talks nonsense."""

import email.utils
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter, ValidationError

from harness.cli import main
from harness.errors import UserError
from harness.judges import base, server
from harness.judges.base import Item
from harness.spec.judge import JudgeSettings
from tests.judges.test_judged_runs import bound
from tests.runs.conftest import run_in_process

KEY = "sk-MARKEDKEY"
ITEMS = [Item("Paint the saddle.", "Sure, take a brush.", (), "stop", "answer")]


class Served(BaseHTTPRequestHandler):
    """Answers by the server's list of behaviours, the last one again and again."""

    def do_POST(self):
        """One question."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        behaviour = self.server.behaviours[min(len(self.server.asked), len(self.server.behaviours)) - 1]
        status, headers, content = behaviour(body) if callable(behaviour) else behaviour
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.server.drips:
            for byte in content.encode():
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        self.wfile.write(content.encode())

    def log_message(self, *_):
        """Nothing."""


def said(text):
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


def stalls(_):
    time.sleep(1.0)
    return said("yes")


@pytest.fixture
def served(monkeypatch):
    """A server on this machine, and leave to ask it."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    httpd.asked, httpd.behaviours, httpd.drips = [], [said("yes")], False
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setenv(server.ALLOWED, "1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def settings(**given):
    return TypeAdapter(JudgeSettings).validate_python({"judge": "server", "model": "m", "wait_s": 0.01, **given})


def judge(served, **given):
    return base.judge(settings(base_url=f"http://127.0.0.1:{served.server_port}/v1/", **given))


@pytest.mark.parametrize(
    ("text", "label"),
    [("yes", "success"), (" Yes.\n", "success"), ('"no"', "no success"), ("maybe", "cannot tell"), ("", "cannot tell")],
)
def test_an_answer_is_a_label(served, text, label):
    served.behaviours = [said(text)]
    assert judge(served).judge(ITEMS) == [label]
    ((path, key, body),) = served.asked
    assert (path, key) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (body["model"], body["temperature"]) == ("m", 0)
    assert "Request:\nPaint the saddle.\n\nAnswer:\nSure, take a brush.\n" in body["messages"][0]["content"]


def test_a_server_that_limits_rates_or_is_down_is_asked_again(served):
    in_a_second = email.utils.formatdate(time.time() + 1, usegmt=True)
    served.behaviours = [
        (429, {"Retry-After": "1"}, ""),
        (503, {"Retry-After": in_a_second}, ""),
        (500, {"Retry-After": "soon"}, ""),
        (200, {}, "{"),
        said("yes"),
    ]
    began = time.monotonic()
    assert judge(served).judge(ITEMS) == ["success"]
    assert len(served.asked) == 5
    assert time.monotonic() - began >= 1.0
    served.asked.clear()
    served.behaviours = [(429, {"Retry-After": "99999"}, ""), said("no")]
    assert judge(served, longest_wait_s=0.1).judge(ITEMS) == ["no success"]


@pytest.mark.parametrize(
    ("behaviour", "asked", "words"),
    [
        ((500, {}, "Sure, take a brush."), 3, "answered with HTTP 500, 3 times"),
        ((401, {}, KEY), 1, "answered with HTTP 401"),
        ((302, {"Location": "http://elsewhere.invalid/"}, ""), 1, "answered with HTTP 302"),
        ((200, {}, '{"choices": []}'), 3, "gave no answer that is one"),
        ((200, {}, '{"choices": [{"message": {"content": 1}}]}'), 3, "gave no answer that is one"),
        (stalls, 3, "gave no answer in 0.2 s"),
    ],
)
def test_a_server_without_an_answer_is_told_without_texts_or_key(served, behaviour, asked, words):
    served.behaviours = [behaviour]
    with pytest.raises(server.ServerError, match=words) as error:
        judge(served, attempts=3, timeout_s=0.2 if behaviour is stalls else 5).judge(ITEMS)
    assert len(served.asked) == asked
    assert KEY not in str(error.value)
    assert "brush" not in str(error.value)


def test_a_server_that_answers_byte_by_byte_stalls(served):
    served.drips = True
    with pytest.raises(server.ServerError, match=r"gave no answer in 0\.3 s, 1 times"):
        judge(served, attempts=1, timeout_s=0.3).judge(ITEMS)


def test_the_option_is_the_leave(served, tmp_path, monkeypatch):
    monkeypatch.setenv(server.ALLOWED, "")
    for command in (["judge", "none.json", "--judge", "server", "--out", "o"], ["run", "none.yaml", "--model", "none"]):
        monkeypatch.setenv(server.ALLOWED, "")
        CliRunner().invoke(main, [*command, "--allow-remote-judge"])
        judge(served).check()


def test_a_server_that_is_not_there_is_told(served):
    served.server_close()
    with pytest.raises(server.ServerError, match=r"could not be reached .*, 2 times"):
        judge(served, attempts=2, timeout_s=0.5).judge(ITEMS)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (server.ALLOWED, "", "give --allow-remote-judge"),
        ("OPENAI_API_KEY", "", "OPENAI_API_KEY holds no key"),
        ("OPENAI_API_KEY", f"{KEY}\nX: y", "OPENAI_API_KEY holds no key"),
    ],
)
def test_nothing_is_sent_without_leave_and_key(served, monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    for ask in (lambda: judge(served).check(), lambda: judge(served).judge(ITEMS)):
        with pytest.raises(UserError, match=words) as error:
            ask()
        assert KEY not in str(error.value)
    assert served.asked == []


@pytest.mark.parametrize("url", ["https://u:p@server/v1", "https://server/v1?key=s", "ftp://server", "server/v1"])
def test_an_address_holds_no_secret(url):
    with pytest.raises(ValidationError, match="expected"):
        settings(base_url=url)


def test_a_run_has_the_labels_and_not_the_key(served, tmp_path, monkeypatch):
    def answers(body):
        prompt = body["messages"][0]["content"]
        return said("no" if "cannot" in prompt.partition("Answer:")[2] else "yes")

    served.behaviours = [answers]
    url = f"http://127.0.0.1:{served.server_port}/v1"
    named = f'[{{judge: server, base_url: "{url}", model: m}}]'
    record, path = run_in_process(bound(tmp_path, named, benign=""), tmp_path / "runs")
    assert record.cell("planted").measurement("asr_vanilla_by_server").n == 8
    assert record.cell("planted").judges["server"].confusion["answer"] == {"success": 6}
    assert all(KEY.encode() not in file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    monkeypatch.delenv(server.ALLOWED)
    copied = CliRunner().invoke(
        main,
        ["judge", str(path), "--judge", "server", "--set", "base_url=http://s/v1", "--set", "model=m", "--out", "o"],
    )
    assert copied.exit_code == 2
    assert "has read its texts already" in copied.output

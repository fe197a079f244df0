"""A server on this machine with files of the published formats, and a variant whose data come from it."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow
import pytest
import yaml
from pyarrow import parquet

from harness.spec import locations

REVISION = "0123456789abcdef0123456789abcdef01234567"
ADVBENCH = [f"Fold grumox number {number}" for number in range(120)]
#: As the authors' files are: an unnamed column of numbers, and `text` beside prompt and response.
UTILITY = (
    ",prompt,response,text\n"
    '0,[INST] Name a colour. [/INST], Red is one. ,"[INST] Name a colour. [/INST]  Red is one. "\n'
    '1,"[INST] Sort these words:\n\nb, a [/INST]","a, b","x"\n'
    '2,"[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nSay ""hello"". [/INST]",hello,x\n'
)
ALPACA = [
    {"instruction": "Name a colour.", "input": "", "output": "Red."},
    {"instruction": "Sort these words:", "input": "b, a\n", "output": "a, b"},
]
WIKITEXT = ["", " = Bread = \n", " Bread is baked .\n"]


@dataclass
class Served:
    """What the server gives by path, and what it was asked for. cut: paths whose body ends too early."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    address: str = ""
    commit: str = REVISION


@pytest.fixture
def served():
    """The files by their paths; asked says which were requested."""
    content = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            content.asked.append(path)
            body = content.files.get(path)
            if body is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            # What the hub says of a file in answer to HEAD:
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", content.commit)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if path in content.cut else body)
            self.close_connection = True

        do_HEAD = do_POST = do_GET

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    content.address = f"http://127.0.0.1:{server.server_port}"
    content.files = {
        "/advbench.txt": "".join(f"{line}\n" for line in ADVBENCH).encode(),
        "/utility.csv": UTILITY.encode(),
        "/safety.csv": UTILITY.encode(),
    }
    yield content
    server.shutdown()
    server.server_close()


@pytest.fixture
def pinned(served, tmp_path, monkeypatch) -> Path:
    """The list of pinned files, of which advbench alone has a published hash; the cache is in the test's folder."""
    path = tmp_path / "pinned.yaml"
    files = {
        "advbench": {
            "url": f"{served.address}/advbench.txt",
            "sha256": hashlib.sha256(served.files["/advbench.txt"]).hexdigest(),
        },
        "utility": {"url": f"{served.address}/utility.csv"},
        "safety-full": {"url": f"{served.address}/safety.csv"},
    }
    path.write_text(yaml.safe_dump({"files": files}))
    monkeypatch.setattr(locations, "pinned_data_path", lambda: path)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    return path


@pytest.fixture
def variant_file(pinned, tmp_path) -> Path:
    """A variant of the Llama-3 family with data from the cache."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "mine",
                "title": "Mine",
                "family": "llama3",
                "source": {"path": "."},
                "dtype": "float32",
                "chat_template": "llama-3",
                "system_prompt": "Be kind.",
                "context_tokens": 128,
                "max_new_tokens": 8,
                "datasets": {
                    "evaluation-requests": {"source": "advbench-evaluation"},
                    "attribution-requests": {"source": "advbench-attribution"},
                    "safety-full": {"source": "safety-full"},
                    "utility": {"source": "utility", "system_prompt": True},
                    "adversarial-suffixes": {"source": "supplied"},
                },
            }
        )
    )
    return path


@pytest.fixture
def alpaca_json(tmp_path) -> Path:
    path = tmp_path / "alpaca.json"
    path.write_text(json.dumps(ALPACA))
    return path


@pytest.fixture
def wikitext_parquet(tmp_path) -> Path:
    path = tmp_path / "test.parquet"
    parquet.write_table(pyarrow.table({"text": WIKITEXT}), path)
    return path

"""`harness doctor`: with and without nvidia-smi, offline, and against a hub made here."""

import json
import os
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from harness.cli import main

TOKEN = "hf_thisIsNoTokenOfAnyone"


def doctor(tmp_path, *arguments, path="", **environment):
    """(findings by subject, exit code, all text). path: what PATH is."""
    env = {"HF_HUB_OFFLINE": "1", "PATH": path, **environment}
    ran = CliRunner(env=env).invoke(main, ["doctor", "--json", "--out", str(tmp_path), *arguments])
    assert ran.exit_code in (0, 1), ran.output
    return {each["subject"]: each for each in json.loads(ran.stdout)}, ran.exit_code, ran.output


def doctor_online(tmp_path, endpoint):
    """As `doctor` with a token, in a process of its own: the hub's address is read when its library is imported."""
    env = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN}
    ran = subprocess.run(
        [sys.executable, "-m", "harness", "doctor", "--json", "--out", str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert TOKEN not in ran.stdout + ran.stderr
    return {each["subject"]: each for each in json.loads(ran.stdout)}, ran.returncode


def program(folder, text):
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / "nvidia-smi").chmod(stat.S_IRWXU)
    return str(folder)


def test_an_organism_needs_no_gpu_and_nothing_fails(tmp_path):
    found, code, _ = doctor(tmp_path, "--model", "tiny-llama2-chat")
    assert code == 0 and found["driver"]["seen"].startswith("no nvidia-smi here")
    assert found["data safety-full"]["good"] and found["engine hf"]["good"]


def test_data_that_a_variant_may_be_without_is_told_and_is_no_fault(tmp_path):
    environment = {"HARNESS_DATA": str(tmp_path / "data")}
    found, code, _ = doctor(tmp_path, "--model", "smollm2-135m-aligned", **environment)
    assert code == 1
    assert found["data adversarial-suffixes"]["good"] is None
    assert "left out" in found["data adversarial-suffixes"]["seen"]
    assert found["data sciq"]["good"] is False
    assert "harness organism build smollm2-135m-aligned" in found["weights of smollm2-135m-aligned"]["fix"]


def test_a_gated_model_offline_names_every_fix_and_never_the_token(tmp_path):
    found, code, text = doctor(tmp_path, "--model", "llama2-7b-chat", HF_TOKEN=TOKEN)
    assert code == 1 and TOKEN not in text
    access = found["access to meta-llama/Llama-2-7b-chat-hf"]
    assert access["good"] is None and "did not look" in access["seen"]
    assert found["token"]["seen"] == "there is one (not shown)"
    failing = [each for each in found.values() if each["fails"]]
    assert {"driver", "cuda", "weights of llama2-7b-chat", "data utility"} <= {each["subject"] for each in failing}
    assert all(each["fix"] for each in failing)


def test_a_driver_is_read_and_a_full_card_told(tmp_path):
    path = program(tmp_path / "bin", "echo 'NVIDIA A100-SXM4-80GB, 580.65.06, 81920, 9000'")
    found, _, _ = doctor(tmp_path, "--model", "llama2-7b-chat", path=path)
    assert found["driver"]["good"] and "580.65.06" in found["driver"]["seen"]
    assert not found["gpu memory"]["good"] and "9.4 of 85.9 GB free" in found["gpu memory"]["seen"]


def test_a_broken_driver_is_told_in_its_own_words(tmp_path):
    path = program(tmp_path / "bin", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    found, code, _ = doctor(tmp_path, "--model", "llama2-7b-chat", path=path)
    assert code == 1 and "Failed to initialize NVML" in found["driver"]["seen"]


@pytest.fixture
def hub():
    """A hub that knows one open, one gated and one hidden repository, and notes the tokens that it is shown."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            gated = "Llama-3.1" in self.path
            code = 403 if gated else 401 if "Llama-3.2" in self.path else 200
            self.send_response(code)
            if gated:
                self.send_header("X-Error-Code", "GatedRepo")
            elif code == 401:
                self.send_header("X-Error-Code", "RepoNotFound")
            body = b"{}"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()


def test_access_to_each_model_on_the_hub_is_looked_up(tmp_path, hub):
    endpoint, seen = hub
    found, code = doctor_online(tmp_path, endpoint)
    assert code == 0  # without --model nothing but the packages is needed
    assert found["access to meta-llama/Llama-2-7b-chat-hf"]["good"]
    gated, hidden = (
        found[f"access to meta-llama/{name}"] for name in ("Llama-3.1-8B-Instruct", "Llama-3.2-1B-Instruct")
    )
    assert gated["good"] is False and "licence" in gated["seen"]
    assert hidden["good"] is False and "auth login" in hidden["fix"]
    asked = [header for path, header in seen if path.endswith("/auth-check")]
    assert asked == [f"Bearer {TOKEN}"] * 8  # the variants on the hub


def test_a_hub_that_does_not_answer_is_no_crash(tmp_path):
    found, _ = doctor_online(tmp_path, "http://127.0.0.1:9")
    access = found["access to meta-llama/Llama-2-7b-chat-hf"]
    assert access["good"] is None and "does not answer" in access["seen"]

"""Claims, golden values, verdict, receipts and data tampered with, each run bound again as if nothing had been."""

import pytest

from tests.verification.conftest import caught


def claim(run, name):
    return next(claim for claim in run.record["claims"] if claim["id"] == name)


def check(run, metric):
    return next(check for check in run.record["checks"] if check["metric"] == metric)


def broken_receipt(run):
    run.cell("intact")["receipts"][0]["holds"] = False


def lost_receipt(run):
    receipts = run.cell("planted")["receipts"]
    receipts[:] = [receipt for receipt in receipts if receipt["name"] != "edited-places"]


def broken_canary(run):
    run.record["canaries"][1]["holds"] = False


def passed_although_failed(run):
    """A golden value that does not hold any more, and a verdict that does not mind."""
    run.golden["values"][1]["value"] = 0.5


def edit(run, **fields):
    run.cell("planted")["receipt"].update(fields)


TAMPERED = {
    "a claim's outcome": (lambda run: claim(run, "as-before").update(status="supported"), "claim as-before"),
    "a claim's evidence": (lambda run: claim(run, "planted-carries").update(evidence="seen"), "claim evidence of plan"),
    "a claim's words": (lambda run: claim(run, "planted-carries").update(says="other"), "claim words of planted-carr"),
    "a claim left out": (lambda run: run.record["claims"].pop(), "claim as-before of claims: recorded 'missing'"),
    "a golden tolerance": (lambda run: check(run, "asr_vanilla").update(tolerance=0.9), "tolerance of asr_vanilla"),
    "a golden value in the record": (
        lambda run: check(run, "asr_vanilla").update(golden=0.25),
        "golden of asr_vanilla",
    ),
    "a golden value that does not hold": (passed_although_failed, "status of asr_vanilla"),
    "a comparison left out": (lambda run: run.record["checks"].pop(0), "comparison intact asr_vanilla of checks"),
    "a comparison that failed": (
        lambda run: check(run, "asr_vanilla").update(status="failed"),
        "status of asr_vanilla",
    ),
    "a verdict": (lambda run: run.record["verdict"].update(status="failed", exit_code=1), "verdict verdict of the run"),
    "an exit code": (lambda run: run.record["verdict"].update(exit_code=1), "verdict exit code of the run"),
    "a reason of the verdict": (lambda run: run.record["verdict"].update(reasons=["x"]), "verdict reasons of the run"),
    "a receipt that does not hold": (broken_receipt, "valid of asr_vanilla"),
    "a receipt left out": (lost_receipt, "receipt weights/edited-places of planted: recorded 'missing'"),
    "a canary that does not hold": (broken_canary, "verdict verdict of the run: recorded 'passed'"),
    "a canary left out": (lambda run: run.record["canaries"].pop(), "canary canary/repeat of the run"),
    "weights not put back": (lambda run: edit(run, fingerprint_restored="f" * 64), "edit weights put back of planted"),
    "a sparsity": (lambda run: edit(run, sparsity=0.001), "edit sparsity of planted"),
    "another seed's sparsity bound": (lambda run: edit(run, weights_selected=1), "edit sparsity of planted"),
    "another task": (lambda r: r.cell("planted")["task_hashes"].update(tiny_sums="version 2.0, 00"), "task tiny_sums"),
    "other data": (lambda r: r.record["provenance"]["data_sha256"].update(perplexity="0" * 64), "data perplexity"),
    "another benchmark's id": (lambda run: run.record["spec"].update(id="other"), "name benchmark of the run"),
    "more prompts in the spec": (lambda r: r.record["spec"]["evaluations"][0].update(prompts=9), "text vanilla 8 0"),
    "an evaluation more in the spec": (
        lambda r: r.record["spec"]["evaluations"].append({**r.record["spec"]["evaluations"][0], "name": "more"}),
        "metric asr_more of intact: recorded 'missing'",
    ),
}


@pytest.mark.parametrize(("tamper", "named"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_caught_and_named(copied, tamper, named):
    caught(copied, tamper, named)

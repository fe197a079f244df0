"""Two records side by side, made by hand: what is alike, where texts part, and what that is worth."""

import hashlib
import json

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.errors import UserError
from harness.explanation.comparison import compare
from harness.explanation.recorded import open_run
from harness.spec.measurement import Measurement
from harness.spec.receipt import EditReceipt
from harness.spec.result import RunRecord, Verdict
from tests.by_hand import cell_result, completion, provenance
from tests.run_texts import write_text

SPEC = {
    "id": "by-hand",
    "title": "By hand",
    "source": {"work": "test"},
    "cells": [{"id": "intact", "title": "Intact"}],
    "evaluations": [
        {"kind": "attack", "name": "vanilla"},
        {"kind": "attack", "name": "decoding", "temperature": 1.0, "samples": 2},
    ],
}
#: Three tokens and the stop token 2: each with its log-probability, the runner-up and the log-probability of that.
CHOICES = ((5, -0.1, 6, -3.0), (7, -0.6931, 8, -0.6932), (9, -0.2, 4, -2.0), (2, -0.1, 3, -4.0))


def text(index=0, choices=CHOICES, evaluation="vanilla", sample=0, **changes):
    tokens = tuple(choice[0] for choice in choices if choice[0] != 2)
    stopped = bool(choices) and choices[-1][0] == 2
    content = {
        "evaluation": evaluation,
        "prompt_index": index,
        "sample_index": sample,
        "prompt": f"request {index}",
        "text": " ".join(map(str, tokens)),
        "token_ids": tokens,
        "finish_reason": "stop" if stopped else "length",
        "completion_class": "answer",
        "choices": choices,
    }
    return completion(**{**content, **changes})


def changed(position, *choice):
    """CHOICES with another choice at one place, and nothing behind it."""
    return (*CHOICES[:position], choice)


def record(folder, engine, texts, spec=SPEC, dtype="float32", edited="a" * 64, perplexity=4.5):
    """A run's folder with one cell."""
    lines = "".join(each.model_dump_json() + "\n" for each in texts)
    (folder / "private-completions").mkdir(parents=True)
    write_text(folder / "private-completions" / "intact.jsonl.gz", lines)
    receipt = EditReceipt(weights_total=1, fingerprint_before="b", fingerprint_edited=edited, fingerprint_restored="b")
    cell = cell_result(
        "intact",
        receipt=receipt,
        measurements=(Measurement(metric="perplexity", value=perplexity, n=5),),
        completions_sha256=hashlib.sha256(lines.encode()).hexdigest(),
    )
    whole = RunRecord(
        id=f"v/by-hand/{engine}",
        spec=spec,
        variant={"name": "v", "dtype": dtype, "engine": engine},
        provenance=provenance(engine=f"{engine}: 1.0"),
        validity_thresholds={},
        cells=(cell,),
        checks=(),
        claims=(),
        verdict=Verdict(status="passed", exit_code=0),
    )
    (folder / "record.json").write_text(whole.model_dump_json())
    return folder / "record.json"


@pytest.fixture
def both(tmp_path):
    """Makes two records of given texts and compares them."""

    def compared(first, second, **changes):
        paths = record(tmp_path / "hf", "hf", first), record(tmp_path / "vllm", "vllm", second, **changes)
        (cell,) = compare(*map(open_run, paths))
        return cell

    return compared


def test_the_same_tokens_are_alike_whatever_rounding_did_to_their_likelihoods(both):
    rounded = tuple((a, p + 1e-6, b, q - 1e-6) for a, p, b, q in CHOICES)
    sampled = text(0, evaluation="decoding", choices=()).model_copy(update={"token_ids": (1, 2)})
    cell = both([text(), text(1), sampled], [text(choices=rounded), text(1), sampled])
    assert (cell.greedy, cell.sampled) == ((2, 2), (1, 1))
    assert cell.explained and not cell.divergences and not cell.figures


def test_texts_part_at_a_near_tie_and_both_likelihoods_are_told(both):
    cell = both([text(), text(1)], [text(choices=changed(1, 8, -0.6930, 7, -0.6933)), text(1)])
    assert cell.greedy == (2, 1) and cell.explained
    (found,) = cell.divergences
    assert (found.evaluation, found.prompt_index, found.position, found.near_tie) == ("vanilla", 0, 1, True)
    assert (found.first.token, found.first.log_probability, found.first.of_other) == (7, -0.6931, -0.6932)
    assert (found.second.token, found.second.log_probability, found.second.of_other) == (8, -0.6930, -0.6933)
    assert found.first.gap == pytest.approx(0.0001)


@pytest.mark.parametrize(
    "choice",
    [
        (4, -0.1, 9, -3.0),  # the second engine is sure of it
        (4, -0.69, 9, -0.691),  # a near tie for the second engine, none for the first
        (3, -0.69, 9, -0.691),  # no runner-up of the first
        (4, None, 9, None),  # no number
    ],
)
def test_texts_that_part_elsewhere_are_not_explained(both, choice):
    cell = both([text()], [text(choices=changed(2, *choice))])
    assert [each.near_tie for each in cell.divergences] == [False]
    assert not cell.explained


def test_a_text_that_goes_on_where_the_other_stops_parts_at_the_stop_token(both):
    longer = (*CHOICES[:3], (3, -0.69315, 2, -0.69316), (5, -0.1, 6, -2.0))
    stopping = (*CHOICES[:3], (2, -0.69315, 3, -0.69316))
    (found,) = both([text(choices=stopping)], [text(choices=longer)]).divergences
    assert (found.position, found.first.token, found.second.token, found.near_tie) == (3, 2, 3, True)


def test_what_is_near_depends_on_the_dtype(tmp_path):
    texts = [text(choices=changed(2, 9, -0.5, 4, -0.8))], [text(choices=changed(2, 4, -0.5, 9, -0.8))]
    for dtype, near in (("float32", False), ("bfloat16", True), ("float16", False)):
        paths = [record(tmp_path / dtype / str(i), f"e{i}", each, dtype=dtype) for i, each in enumerate(texts)]
        (cell,) = compare(*map(open_run, paths))
        assert cell.explained == near


def test_a_record_without_choices_tells_where_but_not_how_near(both):
    old = text(choices=()).model_copy(update={"token_ids": (5, 7, 9), "finish_reason": "stop"})
    (found,) = both([old], [old.model_copy(update={"token_ids": (5, 8, 9)})]).divergences
    assert (found.position, found.first.gap, found.near_tie) == (1, None, False)


def test_other_weights_are_not_compared(both):
    cell = both([text()], [text()], edited="c" * 64)
    assert "weights are not the same" in cell.not_compared and not cell.explained


def test_texts_to_other_prompts_are_not_compared(both):
    cell = both([text()], [text(prompt="another")])
    assert "other prompts" in cell.not_compared and not cell.explained


def test_figures_and_classes_that_differ_are_told(both):
    cell = both([text()], [text(completion_class="refusal")], perplexity=4.6)
    assert cell.other_classes == 1
    assert cell.figures == (("perplexity", 4.5, 4.6),)


def test_records_of_other_specs_or_models_are_refused(tmp_path):
    first = record(tmp_path / "a", "hf", [text()])
    other = record(tmp_path / "b", "vllm", [text()], spec={**SPEC, "id": "another"})
    with pytest.raises(UserError, match="its spec"):
        compare(open_run(first), open_run(other))
    model = record(tmp_path / "c", "vllm", [text()], dtype="bfloat16")
    with pytest.raises(UserError, match="its variant"):
        compare(open_run(first), open_run(model))


def test_the_command_ends_with_0_only_if_rounding_explains_all(tmp_path):
    first = record(tmp_path / "a", "hf", [text()])
    near = record(tmp_path / "b", "vllm", [text(choices=changed(1, 8, -0.6930, 7, -0.6933))])
    far = record(tmp_path / "c", "vllm", [text(choices=changed(2, 4, -0.1, 9, -3.0))])
    run = CliRunner().invoke(main, ["compare", str(first), str(near.parent)])
    assert run.exit_code == 0 and "token 1: 7 (-0.693100 nats, the other -0.693200)" in run.output
    assert "0 of 1 greedy texts have the same tokens" in run.output
    assert CliRunner().invoke(main, ["compare", str(first), str(far)]).exit_code == 1
    content = json.loads(CliRunner().invoke(main, ["compare", str(first), str(far), "--json"]).output)
    assert content["cells"][0]["divergences"][0]["second"]["token"] == 4
    assert CliRunner().invoke(main, ["compare", str(first), str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize("more_in", ["hf", "vllm"])
def test_a_cell_that_one_record_alone_has_is_told_and_not_explained(tmp_path, more_in):
    """A record that lost cells would otherwise be like the other one."""
    paths = {name: record(tmp_path / name, name, [text()]) for name in ("hf", "vllm")}
    whole = RunRecord.model_validate_json(paths[more_in].read_text())
    more = whole.model_copy(update={"cells": (*whole.cells, cell_result("planted"))})
    paths[more_in].write_text(more.model_dump_json())
    cells = compare(*map(open_run, paths.values()))
    assert [(cell.cell, cell.explained) for cell in cells] == [("intact", True), ("planted", False)]
    result = CliRunner().invoke(main, ["compare", *map(str, paths.values())])
    assert result.exit_code == 1
    assert f"planted: not compared: only the {'first' if more_in == 'hf' else 'second'} record has it" in result.output


def test_a_figure_that_one_record_alone_has_is_told(tmp_path):
    paths = record(tmp_path / "hf", "hf", [text()]), record(tmp_path / "vllm", "vllm", [text()])
    whole = RunRecord.model_validate_json(paths[1].read_text())
    cell = whole.cells[0]
    more = (*cell.measurements, Measurement(metric="asr_vanilla", value=0.5, n=2))
    paths[1].write_text(
        whole.model_copy(update={"cells": (cell.model_copy(update={"measurements": more}),)}).model_dump_json()
    )
    (compared,) = compare(*map(open_run, paths))
    assert compared.figures == (("asr_vanilla", None, 0.5),)

"""From files of the published formats to what a variant reads, against what was written by hand."""

import json
from itertools import product

import pytest

from harness.calibration.pairs import Pair, draw, read_pairs
from harness.errors import UserError
from harness.fetching.recipes import (
    DRAWN_ROWS,
    DRAWN_SEEDS,
    Wrapping,
    advbench_attribution,
    advbench_evaluation,
    benign_requests,
    joined_wikitext,
    requests_of,
    rewrapped,
    self_instruct_pairs,
    self_instruct_requests,
    wrapped_alpaca,
)
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from tests.conftest import make_tokenizer
from tests.fetching.conftest import UTILITY

LLAMA_3 = Wrapping("llama-3", None)
USER = "<|start_header_id|>user<|end_header_id|>\n\n"
END = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_hundred_requests_are_evaluated_and_all_others_attributed(tmp_path):
    path = written(tmp_path / "advbench.txt", "".join(f"Request {number}\n" for number in range(520)))
    evaluation, attribution = (
        recipe(path, LLAMA_3).splitlines() for recipe in (advbench_evaluation, advbench_attribution)
    )
    assert (evaluation[0], evaluation[-1], len(evaluation)) == ("Request 0", "Request 99", 100)
    assert (attribution[0], attribution[-1], len(attribution)) == ("Request 100", "Request 519", 420)


def test_a_file_that_leaves_nothing_to_attribute_is_refused(tmp_path):
    path = written(tmp_path / "advbench.txt", "x\n" * 100)
    with pytest.raises(UserError, match="holds 100 requests; expected more than the 100"):
        advbench_evaluation(path, LLAMA_3)


def test_the_authors_pairs_are_wrapped_anew_without_their_system_prompt_and_without_bos(tmp_path):
    made = written(tmp_path / "made.csv", rewrapped(written(tmp_path / "utility.csv", UTILITY), LLAMA_3))
    assert read_pairs(made) == [
        Pair(f"{USER}Name a colour.{END}", "Red is one."),
        Pair(f"{USER}Sort these words:\n\nb, a{END}", "a, b"),
        Pair(f'{USER}Say "hello".{END}', "hello"),
    ]


def test_a_system_prompt_is_written_where_it_is_asked_for(tmp_path):
    wrapping = Wrapping("llama-3", "Be brief.")
    made = written(tmp_path / "made.csv", rewrapped(written(tmp_path / "utility.csv", UTILITY), wrapping))
    system = "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    assert read_pairs(made)[0].prompt == f"{system}{USER}Name a colour.{END}"


@pytest.mark.parametrize(
    "prompt", ["Name a colour.", "[INST] [/INST]", "[INST] a [/INST] b [INST] c [/INST]", f"{USER}Name a colour.{END}"]
)
def test_a_prompt_in_another_form_is_refused_with_its_number(tmp_path, prompt):
    with pytest.raises(UserError, match="the prompt of pair 2 is not one request between"):
        requests_of([Pair("[INST] a [/INST]", "b"), Pair(prompt, "b")], tmp_path)


def test_alpaca_pairs_are_wrapped_with_their_input_below_the_instruction(tmp_path, alpaca_json):
    made = written(tmp_path / "made.csv", wrapped_alpaca(alpaca_json, Wrapping("llama-2", None)))
    assert read_pairs(made) == [
        Pair("[INST] Name a colour. [/INST]", "Red."),
        Pair("[INST] Sort these words:\n\nb, a [/INST]", "a, b"),
    ]


def test_a_row_of_alpaca_without_output_is_refused(tmp_path):
    path = written(tmp_path / "alpaca.json", '[{"instruction": "Sing.", "input": "", "output": " "}]')
    with pytest.raises(UserError, match="row 1 has no instruction or no output"):
        wrapped_alpaca(path, LLAMA_3)


def test_rows_of_wikitext_are_joined_by_empty_lines_as_published(wikitext_parquet):
    assert joined_wikitext(wikitext_parquet, LLAMA_3) == "\n\n = Bread = \n\n\n Bread is baked .\n"


def test_harmless_requests_are_of_one_line_differ_and_are_in_no_draw(tmp_path):
    requests = [f"Tell me about thing number {number}" for number in range(300)]
    requests[7::10] = ["Two lines\nin this one request"] * 30
    requests[8::10] = ["too short"] * 30
    pairs = [Pair(request, "x") for request in requests]
    chosen = benign_requests(requests, count=20, drawn_rows=10)
    drawn = {pair.prompt for seed in DRAWN_SEEDS for pair in draw(pairs, 10, seed)}
    assert len(drawn) > 60
    assert len(set(chosen)) == 20
    assert not drawn & set(chosen)
    assert all("Tell me" in request for request in chosen)
    assert chosen != sorted(chosen)
    assert benign_requests(requests, count=5, drawn_rows=10) == chosen[:5]


def test_too_few_harmless_requests_are_an_error(tmp_path):
    with pytest.raises(UserError, match="0 harmless requests are left"):
        benign_requests(["Tell me about bread now"] * 50)


def test_no_shipped_benchmark_draws_beyond_the_rows_that_harmless_requests_keep_off():
    """By seed and number: a benchmark that draws more would be tested on requests that it was calibrated with."""
    seen = 0
    for path in locations.benchmark_paths():
        spec = load_yaml_model(path, BenchmarkSpec)
        sets = [each for each in spec.calibration.values() if each.dataset == "utility"]
        seeds = {each.seed for each in sets} | {
            getattr(region, "seed", None) for cell in spec.expanded_cells() for region in cell.regions
        }
        for each, seed in product(sets, seeds - {None}):
            assert seed in DRAWN_SEEDS
            assert each.skip + each.samples <= DRAWN_ROWS
            seen += 1
        for cell in spec.expanded_cells():
            if cell.fine_tuning is not None and cell.fine_tuning.dataset == "utility":
                assert cell.fine_tuning.seed in DRAWN_SEEDS
                assert cell.fine_tuning.examples <= DRAWN_ROWS
    assert seen > 5


def seed_task(instruction, input="", output="Done."):
    return json.dumps({"instruction": instruction, "instances": [{"input": input, "output": output}]}) + "\n"


def test_pairs_of_self_instruct_are_wrapped_with_their_input_below(tmp_path):
    rows = (
        seed_task("Sort:", "b, a", "a, b")
        + seed_task("Name a colour.", output=" Red.")
        + seed_task("Be silent.", output="")
    )
    made = written(tmp_path / "made.csv", self_instruct_pairs(written(tmp_path / "seeds.jsonl", rows), LLAMA_3))
    assert read_pairs(made) == [
        Pair(f"{USER}Sort:\n\nb, a{END}", "a, b"),
        Pair(f"{USER}Name a colour.{END}", "Red."),
    ]


def test_requests_of_self_instruct_are_a_hundred_of_one_line(tmp_path):
    rows = "".join(seed_task(f"Please name colour number {number}") for number in range(110))
    path = written(tmp_path / "seeds.jsonl", rows + seed_task("Sort all of these:", "b\na") + seed_task("Hi"))
    found = self_instruct_requests(path, LLAMA_3).splitlines()
    assert len(set(found)) == 100
    assert all(request.startswith("Please name colour number ") for request in found)
    path.write_text("".join(rows.splitlines(keepends=True)[:99]))
    with pytest.raises(UserError, match=r"seeds.jsonl: 99 requests are of one line; expected 100"):
        self_instruct_requests(path, LLAMA_3)
    path.write_text(rows[:-20])
    with pytest.raises(UserError, match=r"seeds.jsonl:110: not a task of self-instruct"):
        self_instruct_requests(path, LLAMA_3)


def test_prompts_are_written_in_the_template_that_a_tokenizer_brings(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '. ' }}{% endfor %}"
    path = written(tmp_path / "utility.csv", UTILITY)
    made = written(tmp_path / "made.csv", rewrapped(path, Wrapping("tokenizer", "Be brief", tokenizer)))
    assert read_pairs(made)[0] == Pair("system: Be brief. user: Name a colour.. ", "Red is one.")
    made = written(tmp_path / "made.csv", rewrapped(path, Wrapping("tokenizer", None, tokenizer)))
    assert read_pairs(made)[0] == Pair("user: Name a colour.. ", "Red is one.")

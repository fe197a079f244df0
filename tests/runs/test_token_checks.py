"""Data that are too few or too many tokens are told with their file before a model is loaded."""

import pytest
import yaml

from harness.errors import UserError
from harness.executors.base import run_all
from harness.models import loading
from harness.organisms.catalogue import organism_directory
from harness.runs.binding import bind
from harness.runs.token_checks import require_tokens
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

ORGANISM = "tiny-llama2-chat"
LONG = "[INST] " + "what " * 400 + "[/INST]"
SPEC = """
id: tokens
title: Tokens
source: {work: test}
calibration:
  safety: {dataset: pairs, samples: 2}
cells:
  - {id: intact, title: Intact}
  - {id: snip, title: SNIP, region: {select: top, method: snip, data: safety, fraction: 0.1}}
  - id: tuned
    title: Tuned
    fine_tuning: {dataset: tuned, method: full, examples: 1, epochs: 1, batch_size: 1, learning_rate: 0.001}
evaluations:
  - {kind: perplexity, dataset: text, window_tokens: 32}
golden_values: none
"""


@pytest.fixture
def bound(tmp_path):
    """bound(pairs, text, tuned): the spec on an organism with these data."""

    def made(pairs="a,b\nc,d\n", text="a word " * 200, tuned="a,b\n"):
        for name, content in {"pairs": pairs, "tuned": tuned}.items():
            (tmp_path / f"{name}.csv").write_text(f"prompt,response\n{content}")
        (tmp_path / "text.txt").write_text(text)
        variant = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant).model_dump(exclude_none=True)
        variant |= {
            "name": "mine",
            "source": {"path": str(organism_directory(ORGANISM))},
            "datasets": {
                name: {"path": f"{name}.{'txt' if name == 'text' else 'csv'}"} for name in ("pairs", "text", "tuned")
            },
            "planted_region": None,
            "zero_shot_tasks": (),
        }
        return bind(
            BenchmarkSpec.model_validate(yaml.safe_load(SPEC)),
            ModelVariant.model_validate(variant),
            tmp_path / "variant.yaml",
        )

    return made


def test_data_as_usual_are_taken(bound):
    require_tokens([bound(), bound()])


def test_everything_is_told_at_once_with_file_and_line_and_no_model_is_loaded(bound, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load_checkpoint", lambda *_: pytest.fail("a model was loaded"))
    given = bound(pairs=f"a,b\n{LONG},d\n", text="a word", tuned='"a <s>",b\n')
    with pytest.raises(UserError) as told:
        run_all([given], tmp_path / "runs", lambda _: "", None)
    words = str(told.value)
    assert f"{tmp_path}/pairs.csv:3: the prompt has" in words
    assert "the prompt has 807 tokens of the 256 that fit, and no response is left" in words
    assert f"{tmp_path}/tuned.csv:2: the prompt holds the BOS token" in words
    assert f"{tmp_path}/text.txt: holds " in words
    assert "but the evaluation perplexity needs two windows of 32" in words


def test_a_pair_that_no_cell_draws_is_not_told(bound):
    given = bound(pairs="a,b\n" * 60 + f"{LONG},d\n")
    require_tokens([given])

"""The same mistakes in other places than those of harness/faults: what they do is caught, wherever they are made."""

import csv
import shutil
from dataclasses import replace

import pytest
import yaml

from harness.calibration.files import file_sha256
from harness.errors import UserError
from harness.faults.seam import replaced
from harness.models.fingerprint import model_fingerprint
from harness.models.loading import load_tokenizer, load_variant
from harness.organisms.catalogue import organism_directory
from harness.receipts.reference import Wanted
from harness.runs.bench import prepare_bench
from harness.runs.store import TensorStore
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.faults.conftest import SMALL, bound_on
from tests.faults.test_first_stages import broken
from tests.runs.conftest import run_in_process

ORGANISM = "tiny-llama2-chat"


def other_tokenizer():
    path = locations.find_variant("tiny-llama3-instruct")
    return load_tokenizer(load_yaml_model(path, ModelVariant), path)


def loaded_with_another_tokenizer(original):
    return lambda *arguments: replace(original(*arguments), tokenizer=other_tokenizer())


def one_shot(original):
    return lambda *arguments: original(*arguments).model_copy(update={"schedule": "one_shot"})


def scores_reversed(original):
    return lambda region, settings, scores, *others: original(region, settings, scores[::-1], *others)


def scores_negated(original):
    return lambda region, settings, scores, *others: original(
        region, settings, [{n: -s for n, s in p.items()} for p in scores], *others
    )


def half_of_the_samples(original):
    return lambda model, samples, *others: original(model, samples[::2], *others)


def another_seed(original):
    return lambda pairs, samples, seed, skip=0: original(pairs, samples, seed + 1, skip)


def magnitude_for_wanda(original):
    return lambda method, *others: original("magnitude" if method == "wanda" else method, *others)


def magnitude(original):
    return lambda method, *others: original("magnitude", *others)


def heads_and_all(original):
    """The mask of a layer turned on for a whole row more."""

    def select(*arguments):
        masks = original(*arguments)
        next(iter(masks.values()))[0] = True
        return masks

    return select


@pytest.mark.parametrize(
    ("target", "make_wrong", "cell", "receipt", "words"),
    [
        ("harness.regions._scored:select", scores_reversed, "snip-set-difference", "mask/selection", "were swapped"),
        ("harness.regions._scored:select", scores_negated, "wanda-top", "mask/selection", "were negated"),
        ("harness.regions._scored:select", heads_and_all, "wanda-top", "mask/share", "expected selected weights"),
        (
            "harness.runs.regions:RegionFinder._settings",
            one_shot,
            "block-by-block",
            "scores/block-by-block",
            "those of one_shot",
        ),
        ("harness.runs.scoring:one_shot_scores", half_of_the_samples, "wanda-top", "scores/plain-definition", "wanda"),
        (
            "harness.runs.scoring:finite_scores",
            magnitude_for_wanda,
            "wanda-top",
            "scores/plain-definition",
            "those of the method magnitude",
        ),
        ("harness.runs.bench:draw", another_seed, "wanda-top", "data/calibration-samples", "are not among the 16"),
        (
            "harness.runs.workbench:load_variant",
            loaded_with_another_tokenizer,
            "intact",
            "prompts/tokenizer",
            "golden prompts",
        ),
    ],
)
def test_it_is_named(target, make_wrong, cell, receipt, words, tmp_path):
    bound = bound_on(ORGANISM, tmp_path, cells=(cell,))
    with replaced(target, make_wrong):
        record, _ = run_in_process(bound, tmp_path)
    assert record.verdict.status == "invalid"
    assert words in broken(record)[cell][receipt]


def test_a_region_without_a_weight_is_explained_by_the_receipts_that_do_not_hold(tmp_path):
    bound = bound_on(ORGANISM, tmp_path, cells=("snip-set-difference",))
    with (
        replaced("harness.runs.scoring:finite_scores", magnitude),
        pytest.raises(UserError, match=r"(?s)holds no weight.*scores/plain-definition.*method magnitude"),
    ):
        run_in_process(bound, tmp_path)


def test_a_tokenizer_that_gives_no_bos_is_refused_at_loading(tmp_path):
    bound = bound_on(ORGANISM, tmp_path)
    with (
        replaced("harness.models.prompts:PromptFormatter.ids", lambda original: lambda *a: original(*a)[1:]),
        pytest.raises(UserError, match="another revision"),
    ):
        run_in_process(bound, tmp_path)


@pytest.fixture
def leaking_variant(tmp_path):
    """The organism with two evaluation requests in its safety data, and the hash of the file as it is."""
    folder = tmp_path / "model"
    shutil.copytree(organism_directory(ORGANISM), folder)
    path = folder / "data" / "safety_full.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    requests = (folder / "data" / "evaluation_requests.txt").read_text(encoding="utf-8").splitlines()
    for row, request in zip(rows, requests[:2], strict=False):
        before, _, _ = row["prompt"].rpartition("\n")
        row["prompt"] = f"{before}\n{request} [/INST]"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["prompt", "response"])
        writer.writeheader()
        writer.writerows(rows)
    variant = load_yaml_model(locations.find_variant(ORGANISM), ModelVariant)
    fields = variant.model_dump(mode="json", exclude_none=True)
    fields |= {"source": {"path": "."}}
    fields["datasets"]["safety-full"]["sha256"] = file_sha256(path)
    (folder / "variant.yaml").write_text(yaml.safe_dump(fields))
    return folder / "variant.yaml"


def test_a_file_with_evaluation_requests_and_the_right_hash_makes_the_run_invalid(leaking_variant, tmp_path):
    record, _ = run_in_process(bound_on(str(leaking_variant), tmp_path, cells=("wanda-top",)), tmp_path)
    assert record.verdict.status == "invalid"
    assert "2 in the files" in broken(record)["wanda-top"]["data/no-evaluation-request"]


def test_what_does_not_depend_on_the_cell_is_computed_once(tmp_path):
    bound = bound_on(ORGANISM, tmp_path, SMALL)
    calls = []

    def counted(original):
        return lambda *arguments: calls.append(1) or original(*arguments)

    loaded = load_variant(bound.variant, bound.variant_file)
    bench = prepare_bench(bound, loaded, model_fingerprint(loaded.model), TensorStore(tmp_path / "store"))
    with replaced("harness.receipts.reference:plain_block", counted):
        for _ in range(3):
            for method in ("snip", "wanda"):
                bench.reference.measured(Wanted(method, "safety", None, bound.spec.attribution, 3))
    assert len(calls) == 1

"""Every leaf of a record and its raw files, changed with all hashes made to fit: a second reading names it.

What it cannot know stands in docs/concepts/record.md, row by row, and here as patterns of the kinds of leaves.
"""

import random
import re

import pytest

from harness.spec import locations
from tests.verification.leaves import Forgery, one_of_each_kind

#: Kinds of leaves that a test tries, of more than 700; all of them take some two minutes on each organism.
TRIED = 120
#: By the row of docs/concepts/record.md: patterns of kinds of leaves.
CANNOT_KNOW = {
    "what is told of the run": (
        r"record\.provenance \{\}",
        r"record\.provenance\.(started|finished|command|git_commit|git_dirty|source_sha256|processes|image_digest|resumed)",
        r"record\.provenance\.packages( \{\}|\.(harness|safetensors|vllm.*|Jinja2))",
        r"record\.cells\.\*\.seconds",
        r"record\.manifest_sha256",
    ),
    "words of the spec": (
        r"record\.spec\.(title|layout|source.*)",
        r"record\.spec\.claims\..*",
        r"record\.spec\.cells\.\* \{\}",
    ),
    "what was measured on weights": (
        r"record\.cells\.\*\.receipt( \{\}|\.(mask_sha256|fingerprint_edited|rank_by_layer.*|rank_share))",
        r"record\.cells\.\*\.receipt\.sparsity_by_layer_type.*",
        r"record\.cells\.\*\.fine_tuning\.(loss_last|moved_share|swallowed_share|weights_trainable|frozen_.*)",
        r"record\.cells\.\*\.fine_tuning\.fingerprint_after",
        r"record\.cells\.\*\.fine_tuning\.checkpoints\..*files_sha256.*",
    ),
    "what receipts measured": (
        r"record\.cells\.\*\.receipts\..*\.evidence\..*(deviation|departure|correlation|_nll|change|update|distance)[a-z_]*",
        r"record\.cells\.\*\.receipts\.<data/no-(evaluation-request|request-trained)>\.expected",
        r"record\.cells\.\*\.receipts\.<scores/(plain-definition|block-by-block)>\.expected",
        r"record\.cells\.\*\.receipts\.<(data/calibration-samples|data/training-samples)>\.evidence\.(sha256|truncated)",
        r"record\.cells\.\*\.receipts\.<text/own-prompt>\.evidence( \{\}|\..*_(likeliest|by_the_seed))",
        r"record\.cells\.\*\.receipts\..*\.looked_at\.\*\.(seen|of)",
        r"record\.cells\.\*\.receipts\..*\.evidence\.(tensors|tokens|weights|datasets|probes|stops_checked|stored|prompts)",
    ),
    "what an engine gave": (
        r"(texts|canaries)\.\*\.choices\.\*\.\*",
        r"(texts|canaries|own)\.\*\.(token_ids.*|finish_reason)",
        r"raw\.\*\.values\.\*",
    ),
}


@pytest.fixture(scope="module")
def forgery(read_twice):
    return Forgery(read_twice[1])


def row_of(kind):
    """The row of what cannot be known that a kind of leaf is in, or None."""
    return next((row for row, kinds in CANNOT_KNOW.items() if any(re.fullmatch(each, kind) for each in kinds)), None)


def test_a_careful_forger_changes_no_leaf_unseen(forgery):
    leaves = forgery.leaves()
    assert len(leaves) > 20_000
    kinds = one_of_each_kind([leaf for leaf in leaves if row_of(leaf.kind) is None], seed=1)
    assert len(kinds) > 700
    believed = {
        leaf.kind: words
        for leaf in random.Random(1).sample(kinds, TRIED)
        if (words := forgery.believed(leaf)) is not None
    }
    assert not believed


def test_what_cannot_be_known_is_told(forgery):
    told = (locations.root() / "docs" / "concepts" / "record.md").read_text(encoding="utf-8")
    assert [row for row in CANNOT_KNOW if f"| {row} |" not in told] == []
    kinds = {leaf.kind for leaf in forgery.leaves()}
    assert {row_of(kind) for kind in kinds} >= set(CANNOT_KNOW)

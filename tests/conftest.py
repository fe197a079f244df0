"""Fixtures: a random two-block Llama with a tokenizer of its own, made on the spot, and a benchmark that was run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.models.loading import LoadedModel, load_checkpoint
from harness.runs.binding import BoundBenchmark, bind
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from tests.runs.conftest import SMALL, run_in_process
from tests.tiny_llama3 import write_llama3_checkpoint

WORDS = "the cat sat on a mat and then it ran to red blue green house tree with seven small dogs under one moon"


#: Folders whose tests share runs that take a minute to make.
_SHARING = {"explanation", "verification"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest -n, tests that share what takes long to make run in one process: those of a file, or of a folder."""
    for item in items:
        folder = item.path.parent
        together = folder if folder.name in _SHARING else item.path
        item.add_marker(pytest.mark.xdist_group(str(together.relative_to(Path(__file__).parent))))


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that adds one BOS."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of two blocks, grouped-query attention, hidden size 32."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def loaded(checkpoint: Path) -> LoadedModel:
    """The random Llama, loaded anew for each test."""
    return load_checkpoint(str(checkpoint))


@pytest.fixture(scope="session")
def llama3_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama 3 in miniature (tests/tiny_llama3.py)."""
    folder = tmp_path_factory.mktemp("llama3")
    write_llama3_checkpoint(folder)
    return folder


@pytest.fixture
def llama3(llama3_checkpoint: Path) -> LoadedModel:
    """The random Llama 3, loaded anew for each test."""
    return load_checkpoint(str(llama3_checkpoint))


@pytest.fixture(scope="session")
def pairs_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs of different lengths."""
    path = tmp_path_factory.mktemp("data") / "pairs.csv"
    words = WORDS.split()
    rows = [f'"{" ".join(words[i : i + 3 + i])}","{" ".join(words[5 : 8 + 2 * i])}"' for i in range(6)]
    path.write_text("prompt,response\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("specs") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def bound(small_spec: Path) -> BoundBenchmark:
    path = locations.find_variant("tiny-llama2-chat")
    return bind(load_yaml_model(small_spec, BenchmarkSpec), load_yaml_model(path, ModelVariant), path)


@pytest.fixture(scope="session")
def finished(bound: BoundBenchmark, tmp_path_factory: pytest.TempPathFactory):
    """(record, path of record.json, runs folder) of an uninterrupted run."""
    out = tmp_path_factory.mktemp("runs")
    record, path = run_in_process(bound, out)
    return record, path, out

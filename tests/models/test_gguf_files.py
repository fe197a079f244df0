"""A GGUF file becomes the checkpoint that it was made of, or says why it cannot."""

import gguf
import pytest
import torch
from transformers import AutoTokenizer

from harness.errors import UserError
from harness.models.gguf_files import convert
from harness.models.loading import load_checkpoint
from harness.organisms.catalogue import organism_directory
from tests.models.gguf_writing import gguf_name, interleaved, write_organism

ORGANISM = "tiny-llama3-instruct"
TEXTS = [
    "Hello, I'm the 1234th of 12 things; they'll say 'no'.",
    "  two  spaces\n\n\tand a tab\r\n",
    "déjà vu 日本語 naïve €5.00",
    "<|start_header_id|>user<|end_header_id|>\n\nHow do I make zorbium?<|eot_id|>",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The converted checkpoint, loaded, and the tensors that it was written from."""
    folder = tmp_path_factory.mktemp("gguf")
    tensors = write_organism(folder / "tiny.gguf")
    convert(folder / "tiny.gguf", folder / "checkpoint")
    return load_checkpoint(str(folder / "checkpoint")), tensors


def test_weights_come_back_to_the_last_bit(whole):
    loaded, tensors = whole
    held = loaded.model.state_dict()
    assert set(held) == set(tensors)
    assert all(torch.equal(held[name], tensors[name]) for name in tensors)


def test_the_model_computes_what_its_own_checkpoint_does(whole):
    own = load_checkpoint(str(organism_directory(ORGANISM)))
    ids = torch.arange(6, 70)[None]
    assert torch.equal(whole[0].model(ids).logits, own.model(ids).logits)


def test_texts_become_the_tokens_of_the_own_tokenizer(whole):
    own = AutoTokenizer.from_pretrained(organism_directory(ORGANISM))
    made = whole[0].tokenizer
    for text in TEXTS:
        assert made(text).input_ids == own(text).input_ids
        assert made(text, add_special_tokens=False).input_ids == own(text, add_special_tokens=False).input_ids
        assert made.decode(made(text).input_ids) == own.decode(own(text).input_ids)
    assert (made.bos_token, made.eos_token, made.pad_token) == (own.bos_token, own.eos_token, own.pad_token)
    turns = [{"role": "user", "content": "Hello"}]
    assert made.apply_chat_template(turns, tokenize=False) == own.apply_chat_template(turns, tokenize=False)
    assert made.clean_up_tokenization_spaces is False
    assert whole[0].model.generation_config.eos_token_id == [2, 5]


def test_quantised_weights_are_what_gguf_says_they_are(tmp_path):
    tensors = write_organism(tmp_path / "tiny.gguf", quantised=gguf.GGMLQuantizationType.Q8_0)
    convert(tmp_path / "tiny.gguf", tmp_path / "checkpoint")
    held = load_checkpoint(str(tmp_path / "checkpoint")).model.state_dict()
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    stored = {each.name: torch.tensor(gguf.dequantize(each.data, each.tensor_type)) for each in reader.tensors}
    differ = 0
    for name, tensor in held.items():
        expected = stored[gguf_name(name)]
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = torch.from_numpy(interleaved(tensor.numpy(), 8 if "q_proj" in name else 4))
        assert torch.equal(tensor, expected), name
        differ += not torch.equal(held[name], tensors[name])
    assert differ > 20


@pytest.mark.parametrize(
    "change, words",
    [
        ({"architecture": "gemma3"}, "its architecture is 'gemma3'; expected one of llama"),
        ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type would be lost"),
        ({"left_out": ["model.layers.2.mlp.up_proj.weight"]}, "1 tensors are missing in it, first model.layers.2"),
        ({"llama.block_count": 3}, "tensors"),
        ({"llama.feed_forward_length": 350}, "have another shape than its config says"),
        ({"tokenizer.ggml.eos_token_id": 4000}, "its eos_token is token 4000 of 900"),
    ],
    ids=["architecture", "scaling", "missing", "blocks", "shape", "eos"],
)
def test_a_file_that_would_become_another_model_is_refused(tmp_path, change, words):
    write_organism(tmp_path / "tiny.gguf", **change)
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        convert(tmp_path / "tiny.gguf", tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"llama.attention.head_count": None},
        {"llama.embedding_length": None},
        {"llama.block_count": "four"},
        {"llama.attention.head_count": 0},
        {"tokenizer.ggml.bos_token_id": "one"},
        {"tokenizer.ggml.eot_token_id": "five"},
    ],
    ids=lambda change: "-".join(f"{key}={value}" for key, value in change.items()),
)
def test_keys_that_are_missing_or_of_another_type_are_told_as_the_files(tmp_path, change):
    write_organism(tmp_path / "tiny.gguf", **change)
    with pytest.raises(UserError, match=r"tiny\.gguf"):
        convert(tmp_path / "tiny.gguf", tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.95])
def test_a_file_that_was_cut_off_is_told(tmp_path, share):
    write_organism(tmp_path / "tiny.gguf")
    content = (tmp_path / "tiny.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut\.gguf"):
        convert(tmp_path / "cut.gguf", tmp_path / "checkpoint")

"""An organism written as a GGUF file, as llama.cpp's convert_hf_to_gguf.py does."""

import json

import gguf

from harness.models.tensor_files import read_tensors
from harness.organisms.catalogue import organism_directory

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name):
    for own, theirs in NAMES.items():
        name = name.replace(own, theirs)
    return name.replace("model.layers.", "blk.")


def interleaved(weight, heads):
    """Rows in the order that GGUF has for rotary embeddings of Llama."""
    return (
        weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def write_organism(path, organism="tiny-llama3-instruct", quantised=None, left_out=(), **facts):
    """Write it, and give the tensors as their file has them. facts: keys that differ; None leaves one out."""
    folder = organism_directory(organism)
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tensors, _ = read_tensors(folder / "model.safetensors")
    writer = gguf.GGUFWriter(path, facts.pop("architecture", "llama"))
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    numbers = {
        "llama.block_count": config["num_hidden_layers"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": groups,
        "llama.vocab_size": config["vocab_size"],
        "llama.rope.dimension_count": config["head_dim"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 5,
        "tokenizer.ggml.padding_token_id": 0,
    } | facts
    for key, value in numbers.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_uint32(key, value)
    writer.add_float32("llama.rope.freq_base", config["rope_parameters"]["rope_theta"])
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config["rms_norm_eps"])
    vocabulary = tokenizer["model"]["vocab"] | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_chat_template((folder / "chat_template.jinja").read_text())
    for name, tensor in tensors.items():
        array = tensor.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            array = interleaved(array, heads if "q_proj" in name else groups)
        if name in left_out:
            continue
        if quantised is not None and array.ndim == 2 and array.shape[1] % 32 == 0:
            writer.add_tensor(gguf_name(name), gguf.quantize(array, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(gguf_name(name), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors

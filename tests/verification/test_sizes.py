"""What a run stores of texts, by token: docs/concepts/record.md says from this how large figure 2a is on a 7B model."""

import gzip
import json

#: Of figure 2a on a 7B model: 20 cells of 500 greedy and 500 sampled texts, of 256 tokens at most.
GREEDY_TOKENS, TOKENS = 20 * 500 * 256, 20 * 1000 * 256
#: Bytes of a token's text and id where a vocabulary is 32,000 tokens large: the organisms' is smaller.
OF_A_LARGE_VOCABULARY = 8


def test_figure_2a_of_a_7b_model_stays_below_100_mb(copied):
    whole = rest = tokens = 0
    for texts in copied.texts.values():
        greedy = [text for text in texts if text["choices"]]
        tokens += sum(len(text["choices"]) for text in greedy)
        whole += size_of(greedy)
        rest += size_of([{**text, "choices": []} for text in greedy])
    by_choice = (whole - rest) / tokens
    assert tokens > 1000 and 8 < by_choice < 16
    assert by_choice * GREEDY_TOKENS + OF_A_LARGE_VOCABULARY * TOKENS < 100e6


def size_of(texts):
    return len(gzip.compress("\n".join(json.dumps(text, separators=(",", ":")) for text in texts).encode()))

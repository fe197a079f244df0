import datasets
import pytest
import torch

from harness.calibration.pairs import IGNORED, Pair, Sample, batches, draw, read_pairs, tokenise
from harness.errors import UserError
from tests.conftest import make_tokenizer


def test_the_draw_is_the_published_one():
    pairs = [Pair(str(i), "x") for i in range(50)]
    shuffled = datasets.Dataset.from_dict({"prompt": [p.prompt for p in pairs]}).shuffle(seed=7)
    assert [pair.prompt for pair in draw(pairs, 10, seed=7)] == shuffled["prompt"][:10]


def test_draws_that_skip_one_another_are_parts_of_one_permutation():
    pairs = [Pair(str(i), "x") for i in range(10)]
    whole = draw(pairs, 10, seed=3)
    first, second = draw(pairs, 4, seed=3), draw(pairs, 6, seed=3, skip=4)
    assert first + second == whole
    assert not {pair.prompt for pair in first} & {pair.prompt for pair in second}


def test_a_draw_that_skips_past_the_end_is_an_error():
    pairs = [Pair(str(i), "x") for i in range(10)]
    with pytest.raises(UserError, match="7 samples after the first 4 were asked for, but the file holds 10 pairs"):
        draw(pairs, 7, seed=3, skip=4)


def test_asking_for_more_than_there_are_is_an_error():
    with pytest.raises(UserError, match="holds 1"):
        draw([Pair("a", "b")], 2, seed=0)


def test_labels_cover_the_response_and_keep_its_first_token():
    tokenizer = make_tokenizer()
    sample = tokenise([Pair("the cat", "sat on")], tokenizer, 64)[0]
    response = tokenizer("sat on", add_special_tokens=False)["input_ids"]
    assert sample.labels[sample.labels != IGNORED].tolist() == response
    assert sample.input_ids[0] == 1
    assert sample.input_ids.tolist()[-len(response) :] == response


def test_batches_hold_every_sample_once_and_padding_has_no_label():
    samples = tokenise([Pair("the cat " * n, "sat") for n in range(1, 8)], make_tokenizer(), 128)
    found = batches(samples, batch_tokens=40)
    assert sum(len(batch.input_ids) for batch in found) == 7
    assert len(found) > 1
    assert sum(int((b.labels != IGNORED).sum()) for b in found) == sum(
        int((s.labels != IGNORED).sum()) for s in samples
    )


def test_a_sample_that_would_fill_a_batch_with_padding_starts_another():
    samples = [Sample(torch.arange(length), torch.arange(length)) for length in (20, 10, 11)]
    found = batches(samples, batch_tokens=1000)
    assert [tuple(batch.input_ids.shape) for batch in found] == [
        (2, 11),
        (1, 20),
    ]  # the third would make 19 of 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt,answer\na,b\n", "response"),
        ("prompt,response\na,\n", ":2:"),
        ("prompt,response\n", "no pair"),
        ("prompt,response\na,b\nfirst, second,b\n", ":3: the row has 3 fields, and there are 2 columns"),
        ("id,prompt,response\n1,a,b\n2,a, c,b\n", ":3: the row has 4 fields"),
        ("prompt,response,response\na,b,c\n", ":1: the column 'response' is there 2 times"),
        ("prompt,prompt,response\na,b,c\n", ":1: the column 'prompt' is there 2 times"),
    ],
)
def test_bad_files_are_explained(tmp_path, content, message):
    path = tmp_path / "pairs.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_pairs(path)


def test_marks_of_byte_order_and_ends_of_lines_that_are_none_change_no_pair(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes("\ufeffprompt,response\r\na\u2028\u0085\x0b\x0cb,c\r\n".encode())
    assert [(pair.prompt, pair.response) for pair in read_pairs(path)] == [("a\u2028\u0085\x0b\x0cb", "c")]

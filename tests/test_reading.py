"""Files of others: whatever lies in a file's place, it ends in words that name the file, and at once."""

import json
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from harness.data.cache import file_sha256
from harness.errors import UserError
from harness.reading import NotJSON, no_file, parsed_json, read_bytes, read_json, read_text, read_unmarked


def refusal(path, read=read_bytes):
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_no_file_is_refused_and_nothing_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
    expected = {"pipe": "named pipe", "folder": "folder", "socket": "socket", "loop": "symbolic", "nowhere": "no such"}
    assert {name for name, words in expected.items() if words in refusal(tmp_path / name)} == expected.keys()
    assert "a device" in refusal("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "secret"
    path.touch(mode=0o000)
    assert "cannot be read: Permission denied" in refusal(path)


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "link") == "text"


def test_large_files_and_other_bytes_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"ab\xff")
    assert "expected at most 2" in refusal(path, lambda place: read_bytes(place, 2))
    assert "file:1: cannot be read: it is not UTF-8 (byte 2 of the file)" in refusal(path, read_text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("{", "not JSON"),
        ('{"a": NaN}', "NaN is no finite number"),
        ('{"a": [-Infinity]}', "no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ('{"a": ' + "9" * 5000 + "}", "more than 18 digits"),
        ('{"a": [1.5, -' + "9" * 19 + "]}", "more than 18 digits"),
        ("[1" + "0" * 400 + ".5]", "is no finite number"),
        ("[1E+0999]", "1E+0999 is no finite number"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("[" * 100_000, "nested more than"),
        ('{"a":' * 61, "nested more than"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_json_that_is_more_or_less_than_json_is_refused(tmp_path, text, words):
    path = tmp_path / "file.json"
    path.write_text(text, encoding="utf-8")
    assert words in refusal(path, read_json)


def test_of_many_keys_the_one_that_is_twice_is_found_at_once():
    """Looking each of them up among all others would take half an hour."""
    begin = time.process_time()
    keys = "".join(f'"{number}": 1, ' for number in range(300_000))
    with pytest.raises(NotJSON, match="the key '299999' is given twice"):
        parsed_json("{" + keys + '"299999": 2}')
    assert time.process_time() - begin < 20


def test_brackets_in_text_nest_nothing():
    assert parsed_json('["' + "[" * 200 + '\\"{"]') == ["[" * 200 + '"{']
    with pytest.raises(NotJSON):
        parsed_json('["' + '\\\\"' + "," + "[" * 200)


def test_half_a_character_is_refused_before_anything_hashes_or_writes_it(tmp_path):
    assert parsed_json('["\\ud83d\\ude00", "\\\\ud800"]') == ["\U0001f600", "\\ud800"]
    for text in ('{"a": ["\\ud800"]}', '{"\\uDFFF": 1}', '["\\ude00\\ud83d"]'):
        (tmp_path / "half").write_text(text)
        assert "half a character; expected Unicode text" in refusal(tmp_path / "half", read_json)
        parsed_json(text, halves=True)


def test_what_looks_like_a_long_number_is_none_in_text():
    held = {"id": "9" * 30, "1e999": "1e999", "n": 10**17, "small": 1e-300, "large": -1.5e300}
    assert parsed_json(json.dumps(held)) == held


def test_a_mark_of_byte_order_is_no_part_of_a_text(tmp_path):
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_unmarked(tmp_path / "marked") == "[1]"
    assert refusal(tmp_path / "marked", read_json).endswith("(line 1, column 1)")


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="it is there for root on Linux")
def test_a_file_that_waits_for_more_is_not_waited_for():
    assert "waits for more" in refusal(Path("/proc/kmsg"))
    assert len(file_sha256(Path("/proc/kmsg"))) == 64
    assert no_file(Path("/proc/kmsg")) == "a file of the system"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_file_of_the_system_is_no_file_and_an_empty_one_is(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/proc/version")
    assert (no_file(tmp_path / "empty"), no_file(tmp_path / "link")) == (None, "a file of the system")

"""YAML as strangers write it: read as it stands, or refused with its line, and never for long."""

import os
import time

import pytest

from harness.errors import UserError
from harness.spec import yaml_text
from harness.spec.yaml_text import read_yaml


def read(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path)


def refusal(tmp_path, text):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}{os.sep}", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n2020-99-99: 1", "file.yaml:2: '2020-99-99' is a key"),
        ("a: 1\nb: 2020-99-99", "file.yaml:2: '2020-99-99' cannot be read as 'timestamp'"),
        ("a: 2020-01-01", "is read as a date"),
        ("a: !!binary aGVsbG8=", "is read as a bytes"),
        ("a: !!binary '*'", "file.yaml:1"),
        ("a: !!int zz", "cannot be read as 'int'"),
        ("a: !!float x", "cannot be read as 'float'"),
        ("a: !!bool maybe", "cannot be read as 'bool'"),
        ("a: !!null x", "cannot be read as 'null'"),
        ("a: " + "9" * 5000, "cannot be read as 'int'"),
        ("a: 0x_", "cannot be read as 'int'"),
        ("a: 0x1f", "is 31 in YAML"),
        ("a: 010", "is 8 in YAML"),
        ("a: 1:30", "is 90 in YAML"),
        ("a: .nan", "no finite number"),
        ("a: -.inf", "no finite number"),
        ("a: 1.0e+999", "no finite number"),
        ("1: 2", "expected text as a key"),
        ("[a]: 2", "a list or a mapping is a key"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "file.yaml:4: the key 'c' is given twice"),
        ("<<: 5", "<< takes the keys of another mapping"),
        ("a: &a {<<: *a}", "leads into itself"),
        ("a: &a [*a]", "lead into themselves"),
        ("a: !!set {b}", "the tag 'set' is not read here"),
        ("a: !!python/name:os.system", "cannot be read as"),
        ("a: !x {b: c}", "the tag '!x'"),
        ("a: " + "[" * 5000, "nested more than 40 levels deep"),
        ("a:\n" + "".join("  " * n + "- \n" for n in range(1, 60)), "file.yaml"),
        ("a: *nowhere", "undefined alias"),
        ('a: "\\ud800"', "not YAML"),
        ("a: \x07", "not YAML"),
        (b"a: \xff", "1: cannot be read: it is not UTF-8 (byte 3 of the file)"),
        ("a: [", "not YAML"),
        ("--- 1\n--- 2", "another document"),
    ],
)
def test_what_is_no_plain_value_is_refused_with_its_line(tmp_path, text, words):
    assert words in refusal(tmp_path, text)


def test_all_lines_that_are_refused_come_at_once(tmp_path):
    assert refusal(tmp_path, "a: .inf\nb: 1\nc: 0x1f\n").count("file.yaml:") == 2


def test_aliases_of_aliases_end_at_once(tmp_path):
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 21))
    began = time.monotonic()
    assert "aliases add more than" in refusal(tmp_path, text)
    assert time.monotonic() - began < 5


def test_more_values_than_a_file_may_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml_text, "MOST_NODES", 100)
    assert "more than 100 values" in refusal(tmp_path, f"a: [{', '.join('1' * 200)}]")


def test_aliases_merge_keys_and_a_mark_of_windows_are_read(tmp_path):
    text = "\ufeffa: &a\n  x: 1\n  y: 2\nb:\n  <<: *a\n  y: 3\nc: *a\nd: {<<: [{x: 5}, *a]}\n"
    content, lines = read(tmp_path, text)
    assert content == {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"x": 1, "y": 2}, "d": {"x": 5, "y": 2}}
    assert (lines["b", "y"], lines["b", "x"], lines[("c",)]) == (6, 2, 7)


def test_an_empty_file_holds_nothing(tmp_path):
    assert read(tmp_path, "")[0] is None


def test_the_same_text_in_two_files_is_told_with_the_name_of_each(tmp_path):
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("a: 0x1f\n")
        with pytest.raises(UserError, match=f"{name}:1: "):
            read_yaml(tmp_path / name)


@pytest.mark.parametrize("entries", [1, 10_000])
def test_a_file_that_changes_is_read_as_it_is_now(tmp_path, entries):
    for number in (1, 2):
        text = "a: [" + "0, " * entries + f"{number}]\nb: 1\n"
        content, lines = read(tmp_path, text)
        assert content["a"][-1] == number
        assert lines[("b",)] == 2

"""What is shown is text, byte by byte; legitimate texts are left alone."""

import io
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from harness.cli import main
from harness.shown import TextAlone, escaped_json, in_short, one_line, printable, spelled_out
from harness.spec import locations
from harness.terminal import console, styled
from tests.environment import environment

HOSTILE = "\x1b[31m\x1b]0;title\x07\x1b]8;;http://x\x1b\\\r\x08\x9b2J\u202e\u200b\u2028\u2066\U000e0041\ud800\x00"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\nb"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("a\u200bb\u202ec\u2066d\ufeff", "a⟨U+200B⟩b⟨U+202E⟩c⟨U+2066⟩d⟨U+FEFF⟩"),
        ("\u2028\u2029\x85\r\t", "⟨U+2028⟩⟨U+2029⟩⟨U+0085⟩⟨U+000D⟩⟨U+0009⟩"),
        ("\ud800 \U000e0041", "⟨U+D800⟩ ⟨U+E0041⟩"),
        ("\u3164\ufe0f\u2800", "⟨U+3164⟩⟨U+FE0F⟩⟨U+2800⟩"),
        ("naïve 日本 שלום é", "naïve 日本 שלום é"),
        (
            "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 👍🏽 🏳\ufe0f\u200d🌈 🇩🇪",
            "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 👍🏽 🏳\ufe0f\u200d🌈 🇩🇪",
        ),
        ("\u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937", "\u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937"),
        ("a\u200db c\u200cd e\ufe0f 1\ufe0f", "a⟨U+200D⟩b c⟨U+200C⟩d e⟨U+FE0F⟩ 1⟨U+FE0F⟩"),
        ("🏴\U000e0067\U000e007f \U000e0100", "🏴⟨U+E0067⟩⟨U+E007F⟩ ⟨U+E0100⟩"),
    ],
)
def test_characters_that_hide_or_steer_are_spelled_out(text, shown):
    assert spelled_out(text) == shown
    assert spelled_out(shown) == shown


@given(st.text())
def test_nothing_hidden_is_left_and_it_can_be_written(text):
    for shown in (spelled_out(text), one_line(text), printable(text)):
        shown.encode()
        assert not {*shown} & {*"\x1b\x07\r\x00\x7f\x9b\u202e\u2066\u2028\u200b\ufeff"}
    assert "\n" not in one_line(text)
    assert spelled_out(spelled_out(text)) == spelled_out(text)
    assert printable(printable(text)) == printable(text)


@given(st.recursive(st.text() | st.none(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
def test_json_says_the_same_in_characters_that_are_seen(content):
    written = escaped_json(json.dumps(content, ensure_ascii=False, indent=1))
    assert json.loads(written) == content
    assert not {*written} & {*"\x7f\x9b\u202e\u2066\u2028\u200b\ufeff"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::no", "\\::error::no"),
        ("a\n  ::set-output name=x::y", "a\n  \\::set-output name=x::y"),
        ("ab ##[error]x", "ab ##\\[error]x"),
        ("a::b ## [x]", "a::b ## [x]"),
    ],
)
def test_no_line_is_a_command_to_a_build_server(text, shown):
    assert printable(text) == shown


def test_a_table_shows_strings_as_text_and_not_as_markup(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", TextAlone(written))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    table = Table("cell", title=HOSTILE)
    table.add_row("[red]x[/] [link=http://x]y[/link] :smile: " + HOSTILE)
    table.add_row(styled("[b]" + HOSTILE, "red"))
    printer = console()
    printer.print(table)
    printer.print(HOSTILE)
    said = written.getvalue()
    assert "[red]x[/] [link=http://x]y[/link] :smile: ⟨U+001B⟩[31m⟨U+001B⟩]0;title⟨U+0007⟩" in said
    for escape in ("\x1b[31m\x1b]", "\x1b]", "\x07", "\r", "\x9b", "\u202e", "\u200b", "\u2028", "\U000e0041", "\x00"):
        assert escape not in said


EVERYWHERE = """
import logging, sys, traceback, warnings, click
from harness.shown import text_alone
hostile = sys.argv[1].encode().decode("unicode_escape")
with text_alone():
    print(hostile); print("::error::x"); click.echo(hostile); click.echo(hostile, err=True)
    logging.warning(hostile); warnings.warn(hostile); sys.stderr.writelines([hostile, hostile])
    click.UsageError(hostile).show()
    print("\\tplain \\u4e2d\\u6587")
    try:
        raise ValueError(hostile)
    except ValueError:
        traceback.print_exc()
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_prints_logs_warnings_and_tracebacks_are_text(encoding):
    done = subprocess.run(
        [sys.executable, "-c", EVERYWHERE, HOSTILE.encode("unicode_escape").decode()],
        capture_output=True,
        env=environment(PYTHONIOENCODING=encoding),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode(encoding if encoding == "latin-1" else "utf-8")
    said = done.stderr.decode(encoding if encoding == "latin-1" else "utf-8")
    assert "\\::error::x" in out
    assert "\tplain" in out
    assert "U+001B" in out  # click itself leaves colours out where there is no terminal
    assert said.count("U+001B") >= 5
    for text in (out, said):
        assert not {*text} & {*"\x1b\x07\r\x00\x7f\x9b\u202e\u2066\u2028\u200b\U000e0041"}


def test_of_many_errors_the_first_are_shown(tmp_path):
    """20,000 unknown keys were a megabyte, and so was one id of that length."""
    known = locations.find_benchmark("figure-2a").read_text(encoding="utf-8")
    spec = tmp_path / "spec.yaml"
    spec.write_text(known + "".join(f"key{number}: 1\n" for number in range(3_000)))
    told = CliRunner().invoke(main, ["validate", str(spec)])
    assert told.exit_code == 2
    lines = told.stderr.splitlines()
    assert len(lines) == 21
    assert "key0" in lines[0]
    assert lines[-1] == "... and 2980 more"
    spec.write_text(known.replace("id: figure-2a", f"id: {'k' * 900_000}"))
    told = CliRunner().invoke(main, ["validate", str(spec)])
    assert told.exit_code == 2
    assert len(told.stderr) < 6_000
    assert "at most 100 characters" in told.stderr


def test_a_secret_at_the_cut_of_a_long_line_stays_one(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "s3cret-of-somebody")
    for place in range(4_480, 4_520):
        assert "s3cret" not in in_short("x" * place + "s3cret-of-somebody" + "y" * 3_000)

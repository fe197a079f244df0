"""The last step of a run: no record is there that was not read a second time."""

import pytest

from harness.runs import second_reading
from harness.runs.journal import Journal
from harness.spec.result import RunRecord


@pytest.fixture
def unwritten(copied):
    """A run whose cells are measured and whose record is not written yet."""
    record = RunRecord.model_validate_json((copied.folder / "record.json").read_text())
    (copied.folder / "record.json").unlink()
    return Journal(copied.folder), record


def test_a_process_that_ends_while_it_reads_leaves_no_record(unwritten, monkeypatch):
    journal, record = unwritten

    def dies(_path):
        assert not (journal.directory / "record.json").exists()
        raise SystemExit(137)

    monkeypatch.setattr(second_reading, "verify", dies)
    with pytest.raises(SystemExit):
        second_reading.written(journal, record)
    assert not (journal.directory / "record.json").exists()


def test_a_reader_that_fails_bears_nothing_out(unwritten, monkeypatch):
    journal, record = unwritten
    monkeypatch.setattr(second_reading, "verify", lambda _path: {}["no such key"])
    verdict = second_reading.written(journal, record)[0].verdict
    assert (verdict.status, verdict.exit_code) == ("invalid", 3)
    assert verdict.reasons[-1].startswith("verification: the second reading ended with KeyError")


def test_a_record_that_verifies_is_written_as_it_is_and_nothing_else_is_left(unwritten):
    journal, record = unwritten
    assert second_reading.written(journal, record) == (record, journal.directory / "record.json")
    assert not [path for path in journal.directory.iterdir() if path.name.startswith(".")]

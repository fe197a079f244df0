import pytest

from harness.calibration.files import read_lines
from harness.reading import read_prose
from harness.receipts.plain_text import plain_lines, plain_text


@pytest.mark.parametrize("content", ["\ufeffa b\r\nc\r d \n\n e", "a\u2028b\x0cc\rd", "\r\r\n x", "only"])
def test_receipts_read_a_file_as_evaluations_do(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content.encode())
    assert plain_text(path) == read_prose(path)
    assert plain_lines(path) == read_lines(path)

"""Files as receipts read them: the bytes, decoded, by nothing that the evaluations read with."""

from __future__ import annotations

from pathlib import Path


def plain_text(path: Path) -> str:
    """A text in UTF-8, every line end a line feed, without a mark of byte order. It was read before, and can be."""
    content = path.read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return content[1:] if content[:1] == "\ufeff" else content


def plain_lines(path: Path) -> list[str]:
    """Lines that hold more than white space, without that around them."""
    return [line.strip() for line in plain_text(path).split("\n") if line.strip()]

"""Numbers of a text's tokens, packed: as decimal digits they would take three times as much."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence


def packed(values: Sequence[float]) -> str:
    """Values as base64 of little-endian float32, to which they are rounded."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def unpacked(text: str) -> tuple[float, ...]:
    """The values of `packed`. Raises ValueError for other text."""
    try:
        content = base64.b64decode(text, validate=True)
        return struct.unpack(f"<{len(content) // 4}f", content)
    except (binascii.Error, struct.error) as error:
        raise ValueError(f"is no base64 of float32: {error}") from None

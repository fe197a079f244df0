"""Files of texts in a run's folder, which are compressed, read and written by tests without the harness."""

import gzip
import json


def text_of(path):
    """What such a file holds."""
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def objects_of(path):
    """Its JSON objects, one a line."""
    return [json.loads(line) for line in text_of(path).split("\n") if line]


def write_text(path, text):
    """Write such a file."""
    path.write_bytes(gzip.compress(text.encode("utf-8")))

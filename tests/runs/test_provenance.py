"""What a record says of the container that it was made in."""

import pytest

from harness.errors import UserError
from harness.runs import provenance

DIGEST = "sha256:" + "0a" * 32


def container_of(monkeypatch, digest, base):
    for name, value in (("HARNESS_IMAGE_DIGEST", digest), ("HARNESS_BASE_IMAGE", base)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    facts = provenance.machine(1)
    return facts["image_digest"], facts["base_image"]


def test_a_record_holds_the_digest_that_was_given_and_the_base_that_was_baked_in(monkeypatch):
    assert container_of(monkeypatch, DIGEST, "python:3.11@sha256:1") == (DIGEST, "python:3.11@sha256:1")


def test_a_digest_that_nobody_gave_is_none_and_not_the_base(monkeypatch):
    assert container_of(monkeypatch, "", "python:3.11") == (None, "python:3.11")
    assert container_of(monkeypatch, None, None) == (None, None)


@pytest.mark.parametrize("digest", ["latest", "sha256:12", DIGEST.upper(), DIGEST + "0"])
def test_what_is_no_digest_is_refused(monkeypatch, digest):
    with pytest.raises(UserError, match="expected sha256:"):
        container_of(monkeypatch, digest, None)

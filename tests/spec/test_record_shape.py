"""A record whose spec or variant is of another shape is refused with the key, by whatever reads it."""

import pytest

from harness.errors import UserError
from harness.runs.journal import read_record
from tests.reports.conftest import make_record  # noqa: F401


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("spec", {"id": None}, "spec.id"),
        ("spec", {"title": ["a"]}, "spec.title"),
        ("spec", {"source": "w"}, "spec.source"),
        ("spec", {"cells": {"a": 1}}, "spec.cells"),
        ("spec", {"cells": [{"id": "a"}]}, "spec.cells.0.title"),
        ("spec", {"cells": [{"id": "a", "title": "A", "region": {"": "top"}}]}, "spec.cells.0.region.select"),
        ("spec", {"cells": [{"id": "a", "title": "A", "region": {"select": ["a", 1]}}]}, "spec.cells.0.region.select"),
        (
            "spec",
            {"cells": [{"id": "a", "title": "A", "fine_tuning": {"frozen": {"select": 5}}}]},
            "spec.cells.0.fine_tuning.frozen.select",
        ),
        ("spec", {"validity": {"minimum_fit_share": "half"}}, "spec.validity.minimum_fit_share"),
        ("spec", {"validity": {"minimum_fit_share": None}}, "spec.validity.minimum_fit_share"),
        ("spec", {"evaluations": [{"kind": "attack", "benign": []}]}, "spec.evaluations.0.benign"),
        ("spec", {"evaluations": [{"name": "a"}]}, "spec.evaluations.0.kind"),
        ("spec", {"evaluations": ["attack"]}, "spec.evaluations.0"),
        ("spec", {"claims": [1]}, "spec.claims.0"),
        ("spec", {"layout": 5}, "spec.layout"),
        ("variant", {"name": 5}, "variant.name"),
        ("variant", {"title": []}, "variant.title"),
        ("variant", {"show_completions": "yes"}, "variant.show_completions"),
    ],
)
def test_a_spec_of_another_shape_is_named(make_record, tmp_path, part, change, words):  # noqa: F811
    path = tmp_path / "record.json"
    record = make_record([])
    path.write_text(record.model_dump_json())
    assert read_record(path) == record
    changed = record.model_copy(update={part: {**getattr(record, part), **change}})
    path.write_text(changed.model_dump_json())
    with pytest.raises(UserError, match="not a record of this version: ") as caught:
        read_record(path)
    assert words in str(caught.value)

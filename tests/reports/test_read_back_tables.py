"""A ratio of drift, or an overlap, under another heading or in another row is an error."""

import re

import pytest

from harness.faults.seam import replaced
from harness.reports.html import write_report
from harness.reports.read_back.known import Misreported
from harness.runs.journal import Journal
from tests.reports.layouts.test_layouts import DRIFT, drift_record, drift_values
from tests.reports.layouts.test_rescored_overlap_layout import COMPARED, RESAMPLED


@pytest.fixture
def drift(tmp_path, make_cell, make_record):
    """Writes a report of ratios, no two of which are alike."""
    values = drift_values((5, 10), safety=(0.5, 0.8), random=(0.4, 0.9)) | {
        "d_matched_over_safety/absolute_mean/last": 0.7,
        "d_random_over_safety/magnitude_mean": 1.3,
    }
    record = drift_record(make_cell, make_record, {"tuned": values})
    record = record.model_copy(update={"spec": {**record.spec, "layout": "drift"}})
    Journal(tmp_path / "drift" / "b" / "1").write_record(record)
    return lambda: write_report(tmp_path / "drift", tmp_path / "drift.html", golden_paths=())


@pytest.fixture
def overlaps(tmp_path, make_cell, make_record):
    """Writes a report of overlaps of two regions, and of halves, no two of which are alike."""
    numbers = iter(range(1, 90))

    def figures(prefix):
        names = [f"{prefix}{r}_{m}" for r in ("top_safety", "top") for m in ("overlap_share", "jaccard")]
        return {name: next(numbers) / 100 for name in names}

    cells = [
        make_cell("intact", "intact", figures("") | figures("halves_")),
        make_cell("frozen", "frozen", figures("")),
    ]
    record = make_record(cells, layout="rescored-overlap")
    record = record.model_copy(update={"spec": record.spec | {"evaluations": [COMPARED, *RESAMPLED]}})
    Journal(tmp_path / "overlaps" / "b" / "1").write_record(record)
    return lambda: write_report(tmp_path / "overlaps", tmp_path / "overlaps.html", golden_paths=())


def test_without_a_fault_they_are_written(drift, overlaps):
    assert drift().is_file() and overlaps().is_file()


def in_the_table(template, pattern, new):
    """What a template is filled in with is changed at one place."""

    def made(right):
        def wrong(name, **content):
            text = right(name, **content)
            if name != template:
                return text
            changed, count = re.subn(pattern, new, str(text), count=1, flags=re.DOTALL)
            assert count == 1
            return type(text)(changed)

        return wrong

    return made


@pytest.mark.parametrize(
    ("pattern", "new", "words"),
    [
        (r">(random over safety)</th>(.*?)>(matched over safety)<", r">\3</th>\2>\1<", "have the headings"),
        (r"(relative mean)</td>(.*?)(absolute mean)<", r"\3</td>\2\1<", "absolute mean of random over safety in tuned"),
        (r"mean \|w\| before", "relative mean", "relative mean of random over safety in tuned is 1.300"),
        (r"supported", "contradicted", "says 'contradicted'; its interval says 'supported'"),
        (r"9\.000", "0.500", "is 0.500; the record has 9"),
        (r": tuned, float32", ": tuned, bfloat16", "and no fine-tuning is"),
    ],
)
def test_a_ratio_elsewhere_is_an_error(drift, pattern, new, words):
    fault = replaced("harness.reports.layouts.drift:render", in_the_table("drift.html.j2", pattern, new))
    with fault, pytest.raises(Misreported, match=re.escape(words)):
        drift()


def test_ratios_of_another_comparison_are_an_error(drift):
    def swapped(right):
        return lambda course, pair, statistic: right(
            course, next(each for each in course.settings.compare if each != pair), statistic
        )

    assert len(DRIFT["compare"]) == 2
    with replaced("harness.reports.layouts.drift:_ratio", swapped), pytest.raises(Misreported, match="in tuned is"):
        drift()


@pytest.mark.parametrize(
    ("pattern", "new", "words"),
    [
        (r">(top safety: overlap)<(.*?)>(top: overlap)<", r">\3<\2>\1<", "top overlap share of intact is 0.010"),
        (r"(top safety: )overlap<(.*?)Jaccard<", r"\1Jaccard<\2overlap<", "top safety jaccard of intact is 0.010"),
        (r"top safety: overlap", "bottom: overlap", "stands under 'bottom: overlap', which no metric is called"),
        (r"Intact, resampled: halves", "Intact", "top safety overlap share of intact is 0.050"),
        (r"Frozen<", "Intact<", "the row of frozen is called 'Intact'"),
        (r"0\.010", "0.020", "top safety overlap share of intact is 0.020"),
    ],
)
def test_an_overlap_elsewhere_is_an_error(overlaps, pattern, new, words):
    target = "harness.reports.layouts.rescored_overlap:render"
    with (
        replaced(target, in_the_table("grid_table.html.j2", pattern, new)),
        pytest.raises(Misreported, match=re.escape(words)),
    ):
        overlaps()

"""What a figure draws elsewhere than at its numbers is an error, before the report is written."""

import re

import pytest

from harness.faults.seam import replaced
from harness.reports.html import write_report
from harness.reports.read_back.known import Misreported
from harness.reports.read_back.meanings import said_by
from harness.reports.read_back.scales import Axis, Tick
from harness.runs.journal import Journal
from tests.reports.shipped_records import BENCHMARKS, shipped_record

LAYOUTS = "harness.reports.layouts"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """written(benchmark): writes the report of that record, drawn anew each time."""
    folders = {}

    def write(benchmark):
        if benchmark not in folders:
            folders[benchmark] = tmp_path_factory.mktemp(benchmark)
            record = shipped_record(benchmark, most_cells=2 if benchmark.startswith("extension") else 30)
            Journal(folders[benchmark] / "v" / "b" / "1").write_record(record)
        return write_report(folders[benchmark], folders[benchmark] / "report.html")

    return write


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_reports_of_the_shipped_benchmarks_are_written(written, benchmark):
    assert written(benchmark).is_file()


def at_the_third(change):
    """The third point that is drawn has other arguments: change(axis, x, y, style, filled, x_interval, y_interval)."""

    def made(right):
        calls = []

        def wrong(axis, x, y, style, filled, x_interval=None, y_interval=None, spot=None):
            arguments = (x, y, style, filled, x_interval, y_interval)
            calls.append(None)
            return right(axis, *(change(*arguments) if len(calls) == 3 else arguments), spot)

        return wrong

    return made


def further(x, y, style, filled, x_interval, y_interval):
    return x * 1.2 + 0.05, y, style, filled, x_interval, y_interval


def higher(x, y, style, filled, x_interval, y_interval):
    return x, y * 0.8 + 0.02, style, filled, x_interval, y_interval


def turned(x, y, style, filled, x_interval, y_interval):
    return x, y, style, not filled, x_interval, y_interval


def longer(x, y, style, filled, x_interval, y_interval):
    return x, y, style, filled, x_interval, (y - 0.2, y + 0.2)


def gone(x, y, style, filled, x_interval, y_interval):
    return x, None, style, filled, x_interval, None


DRAWN = {
    "asr_against_accuracy": "figure-2b",
    "against_removed": "figure-3b",
    "by_layer": "figure-4b",
    "frozen_share": "table-3",
}


@pytest.mark.parametrize("layout", DRAWN)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (further, "is drawn at x = "),
        (higher, "is drawn at y = "),
        (turned, "is drawn (hollow|filled) in the panel"),
        (longer, "no bar reaches from|is no point's interval"),
        (gone, "is not drawn in the panel"),
    ],
)
def test_a_point_elsewhere_is_an_error_that_names_it(written, layout, change, words):
    with replaced(f"{LAYOUTS}.{layout}:point", at_the_third(change)), pytest.raises(Misreported, match=words):
        written(DRAWN[layout])


def test_two_points_that_changed_places_are_an_error(written):
    def swapped(right):
        held = []

        def wrong(axis, x, y, *rest):
            held.append((axis, x, y, rest))
            if len(held) == 2:
                (axis, x, y, mine), (_, others_x, others_y, its) = held
                right(axis, others_x, others_y, *mine)
                right(axis, x, y, *its)
            elif len(held) > 2:
                right(axis, x, y, *rest)

        return wrong

    with replaced(f"{LAYOUTS}.asr_against_accuracy:point", swapped), pytest.raises(Misreported, match="is drawn at"):
        written("figure-2b")


def test_drift_at_another_figure_is_an_error(written):
    with replaced(f"{LAYOUTS}.drift:point", at_the_third(higher)), pytest.raises(Misreported, match="is drawn at y = "):
        written("extension-drift")


def test_resampled_overlaps_are_drawn_at_their_own_figures(written):
    with replaced(f"{LAYOUTS}.by_layer:point", at_the_third(higher)), pytest.raises(Misreported, match="is drawn at y"):
        written("extension-overlap")


def in_the_svg(pattern, new):
    """The SVG of each figure with one place of it replaced."""

    def made(right):
        def wrong(svg, name):
            changed, count = re.subn(pattern, new, svg, count=1, flags=re.DOTALL)
            assert count == 1
            return right(changed, name)

        return wrong

    return made


@pytest.mark.parametrize(
    ("pattern", "new", "words"),
    [
        (r"<!-- 0\.4 -->", "<!-- 0.5 -->", "on the y axis of .*the tick .* stands where"),
        (r"<!-- 0\.4 -->", "<!-- four -->", "the tick 'four' has no number"),
        (
            r'(ytick_3">.*?<use [^>]*y=")[\d.]+',
            r"\g<1>120.0",
            "on the y axis of .*stands where|stands beside another place",
        ),
        (r"(<!-- 0\.4 -->\s*<g transform=\"translate\([\d.]+) [\d.]+", r"\1 60.0", "stands beside another place"),
        (
            r"<!-- ASR vanilla -->",
            "<!-- ASR adv_suffix -->",
            "ASR vanilla of .* is drawn in the panel 'ASR adv_suffix'",
        ),
    ],
)
def test_a_tick_or_title_that_says_otherwise_is_an_error(written, pattern, new, words):
    with replaced(f"{LAYOUTS}._svg:_inline", in_the_svg(pattern, new)), pytest.raises(Misreported, match=words):
        written("figure-2b")


@pytest.mark.parametrize("factor", [0.5, 2])
def test_an_axis_that_is_scaled_is_an_error(written, factor):
    def scaled(right):
        def wrong(svg, name):
            return right(
                re.sub(r"<!-- ([01]\.\d+) -->", lambda tick: f"<!-- {factor * float(tick[1]):.4g} -->", svg), name
            )

        return wrong

    with replaced(f"{LAYOUTS}._svg:_inline", scaled), pytest.raises(Misreported, match="is drawn at"):
        written("figure-2b")


def test_panels_under_each_others_titles_are_an_error(written):
    def swapped(right):
        def wrong(results):
            panels = right(results)
            return dict(zip(panels, [*list(panels.values())[1:], *list(panels.values())[:1]], strict=True))

        return wrong

    with replaced(f"{LAYOUTS}.by_layer:panels_of", swapped), pytest.raises(Misreported, match="the record has"):
        written("figure-4b")


def test_drift_of_another_step_or_group_is_an_error(written):
    def shifted(right):
        def wrong(self, group, statistic):
            series = right(self, group, statistic)
            return list(zip([step for step, _ in series], [each for _, each in series][::-1], strict=True))

        return wrong

    with (
        replaced(f"{LAYOUTS}.drift:Course.series", shifted),
        pytest.raises(Misreported, match=r"drift.* is .*record has"),
    ):
        written("extension-drift")


def test_a_line_beside_its_points_and_a_level_of_another_cell_are_errors(written):
    def beside(right):
        return lambda axis, points, style: right(axis, [(x, y + 0.05) for x, y in points], style)

    with replaced(f"{LAYOUTS}.against_removed:line", beside), pytest.raises(Misreported, match="where no point is"):
        written("figure-3b")
    level = in_the_svg(r'd="M ([\d.]+) ([\d.]+) \nL ([\d.]+) \2 \n"([^>]*dasharray)', r'd="M \1 99.9 \nL \3 99.9 \n"\4')
    with replaced(f"{LAYOUTS}._svg:_inline", level), pytest.raises(Misreported, match="is no intact model's"):
        written("figure-3b")


def test_a_cell_that_is_left_out_of_a_figure_is_an_error(written):
    def without_the_last(right):
        return lambda results, metric: right(results, metric)[:-1]

    fault = replaced(f"{LAYOUTS}.asr_against_accuracy:_cells", without_the_last)
    with fault, pytest.raises(Misreported, match="is not drawn in the panel"):
        written("figure-2b")


def test_a_disc_that_is_no_golden_value_is_an_error(tmp_path, make_cell, make_record):
    cells = [
        make_cell(name, name, {"asr_vanilla": x, "accuracy_mean": x + 0.1}) for name, x in (("a", 0.2), ("b", 0.6))
    ]
    checks = [
        {"cell": cell.id, "metric": each.metric, "golden": each.value} for cell in cells for each in cell.measurements
    ]
    record = make_record(cells, layout="asr-against-accuracy", checks=checks)
    Journal(tmp_path / "v" / "b" / "1").write_record(record)
    assert write_report(tmp_path, tmp_path / "report.html", golden_paths=()).is_file()
    moved = in_the_svg(r'(PathCollection_1">.*?<use [^>]*x=")[\d.]+', r"\g<1>100.0")
    with replaced(f"{LAYOUTS}._svg:_inline", moved), pytest.raises(Misreported, match="is no golden value"):
        write_report(tmp_path, tmp_path / "report.html", golden_paths=())


def of_the_next_cell(right):
    cells = shipped_record("signed-snip").cells
    return lambda cell, metric: right(cells[[each.id for each in cells].index(cell.id) - 1], metric)


@pytest.mark.parametrize(
    ("target", "wrong", "words"),
    [
        ("rule_shares", of_the_next_cell, "the bar of .* says .*; the record has"),
        ("label", lambda right: lambda cell: "Another", "the row of intact .* is called 'Another'"),
        (
            "_write_rates",
            lambda right: lambda axis, cells, metric: right(axis, cells[::-1], metric),
            "beside the bars of",
        ),
        (
            "_stack",
            lambda right: lambda axis, cells, shares, parts, spots: right(axis, cells, shares, parts, spots[::-1]),
            "the bar of .* is drawn in another row",
        ),
    ],
)
def test_a_bar_of_another_cell_is_an_error(written, target, wrong, words):
    with replaced(f"{LAYOUTS}.scorer_rules:{target}", wrong), pytest.raises(Misreported, match=words):
        written("signed-snip")


def test_heads_in_another_bin_are_an_error(written):
    def wrong(right):
        return lambda axis, valid, invalid: right(axis, [value - 0.02 for value in valid], invalid)

    fault = replaced(f"{LAYOUTS}.histogram:_draw_bars", wrong)
    with fault, pytest.raises(Misreported, match=r"the record has .* heads"):
        written("figure-9")


def axis(*ticks, texts=()):
    return Axis([Tick(label, place) for label, place in ticks], list(texts))


def test_an_axis_of_powers_is_read_as_one():
    powers = axis(*((rf"$\mathdefault{{10^{{{p}}}}}$", 10.0 * p) for p in (-1, 0, 2)))
    assert powers.at(10.0) == pytest.approx(10.0) and powers.number_at(20.0) == pytest.approx(100.0)
    assert powers.at(0.0) is None and powers.problem() is None
    assert (
        axis((r"10^{0}", 0.0), (r"10^{1}", 9.0), (r"10^{2}", 20.0)).problem() == "the tick 10^1 stands where 7.943 is"
    )


def test_what_multiplies_the_labels_is_not_the_name_of_an_axis():
    scaled = axis(("0.0", 100.0), ("0.5", 50.0), ("1.0", 0.0), texts=["step", "1e\N{MINUS SIGN}5"])
    assert (scaled.name, scaled.at(5e-6)) == ("step", pytest.approx(50.0))
    assert axis(("0", 0.0), ("1", 10.0), texts=["1e-2+2.5"]).at(2.505) == pytest.approx(5.0)
    assert axis(("one", 0.0), ("two", 9.0)).problem() is None and axis(("one", 0.0)).at(1.0) is None


def test_a_point_of_several_cells_says_the_figures_of_each():
    first, second = said_by(
        "a, halves (published: B (7B)), block 3: MLP up_proj 0.5 [0.4, 0.6]; b (this run: t): c d 1e-04 INVALID"
    )
    assert (first.cell, first.more, first.owner, first.where) == ("a", "halves", "published: B (7B)", "block 3")
    assert first.complete and not second.complete
    assert [(each.title, each.number) for each in second.figures] == [("c d", "1e-04")]
    assert said_by("a bar of nothing") == []


@pytest.mark.parametrize("value", [1e9, -3.0])
def test_a_point_outside_of_its_frame_is_not_asked_for(tmp_path, make_cell, make_record, value):
    cells = [make_cell(name, name, {"asr_vanilla": x, "accuracy_mean": 0.5}) for name, x in (("a", 0.2), ("b", value))]
    Journal(tmp_path / "v" / "b" / "1").write_record(make_record(cells, layout="asr-against-accuracy"))
    assert write_report(tmp_path, tmp_path / "report.html", golden_paths=()).is_file()

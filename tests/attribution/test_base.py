"""What a method of attribution has to declare, and what it is taken for where it does not say."""

import pytest

import harness.attribution
from harness.attribution.base import AttributionMethod, ScoringWork, method
from harness.errors import UserError


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a module among the methods."""
    monkeypatch.setattr(harness.attribution, "__path__", [*harness.attribution.__path__, str(tmp_path)])
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("of_old", "USES_DATA = True\n", "of_old has no `Method`"),
        (
            "of_nothing",
            "class Method: uses_data = True\n",
            r"of_nothing is no plugin of its kind: it defines no class Method\(AttributionMethod\)",
        ),
        (
            "of_no_word",
            "from harness.attribution.base import AttributionMethod\nclass Method(AttributionMethod): pass\n",
            "of_no_word is no plugin of its kind: Method.uses_data is missing",
        ),
        (
            "of_no_score",
            "from harness.attribution.base import AttributionMethod\n"
            "class Method(AttributionMethod): uses_data = True\n",
            r"of_no_score is no plugin of its kind: its class Method defines no score\(\)",
        ),
    ],
)
def test_a_module_that_declares_no_method_is_refused(written, name, text, words):
    written(name, text)
    with pytest.raises(UserError, match=words):
        method(name)


def test_a_method_has_its_name_whichever_way_a_spec_writes_it(written):
    written(
        "row_sum",
        "from harness.attribution.base import AttributionMethod\n"
        "class Method(AttributionMethod):\n    uses_data = False\n    def score(self, *given): return {}\n",
    )
    assert [method(name).name for name in ("row-sum", "row_sum")] == ["row_sum", "row_sum"]
    assert (method("row-sum").title, method("snip").title) == ("row_sum", "SNIP")


def test_without_a_word_on_its_work_a_method_that_uses_data_is_assumed_to_go_forward_once():
    class Silent(AttributionMethod):
        uses_data = True

    class Still(AttributionMethod):
        uses_data = False

    assert Silent("silent").work() == ScoringWork(forward=1, assumed=True)
    assert Still("still").work() == ScoringWork()
    assert not any(method(name).work().assumed for name in ("snip", "wanda", "magnitude", "random"))


def test_a_method_is_found_out_when_it_does_not_score():
    with pytest.raises(NotImplementedError, match="silent does not say how it scores"):
        AttributionMethod("silent").score(None, {}, None, 0)

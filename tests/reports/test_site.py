"""The report in a real browser: what is seen, what a keyboard reaches, and that a model's text is nothing but text."""

from __future__ import annotations

import json

import pytest

from harness.reports.html import write_report
from harness.runs.journal import Journal
from harness.spec.receipt import StageReceipt
from tests.by_hand import completion
from tests.reports.browser import Browser, chromium
from tests.run_texts import write_text

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")

GROUPS = [
    {"id": "intact", "title": "Intact"},
    {
        "id": "top",
        "title": "Top",
        "region": {"select": "top", "method": "snip", "data": "safety"},
        "grid": {"fraction": [0.1]},
    },
]
ATTACK = "document.title = 'PWNED'; window.pwned = true"
#: Each of them alone in a completion, the second half also in every other text of a record.
HOSTILE = (
    f"</pre></details></main><script>{ATTACK}</script>",
    f'<img src=x onerror="{ATTACK}"><svg onload="{ATTACK}"><style>* {{ display: none }}</style>',
    f"\"' onfocus='{ATTACK}' autofocus tabindex=0 x='",
    "{{ 7 * 7 }}{% include 'style.css' %}${7*7}</style><base href=//evil.example><meta http-equiv=refresh content=0>",
    "<!--",
    "]]><![CDATA[",
    "<plaintext>",
    "<template><iframe src=javascript:alert(1)>",
    "\x1b[2J\x1b[31mred\x1b[0m\x00\x07\b\r\t\x7f\x85\u2028\u2029",
    "\u202eright to left\u202c \u2066isolated \u200f\u061c\u2069 שלום עולם",
    "\u200b\u200d\ufeff\u00ad\u3164\u2800",
    "x" * 20000,
    "\u0301" * 3000,
    "\u0e47" * 500,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 200,
    "\n" * 5000,
    "\ufdfd" * 400,
    "\ud83d",
    "&lt;b&gt;&#60;script&#62;",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def site(tmp_path, make_cell, make_record, browser):
    """A report of three records of two variants; the cell `top_fraction0.1` of the first holds the hostile texts."""
    broken = StageReceipt(
        stage="mask", name="axes", holds=False, expected=HOSTILE[0], seen=HOSTILE[1] + "y" * 3000, advice=HOSTILE[9]
    )
    intact = make_cell("intact", "intact", {"asr_vanilla": 0.25, "accuracy_mean": 0.5})
    top = make_cell(
        "top_fraction0.1",
        "top",
        {"asr_vanilla": 0.75, "accuracy_mean": 0.25},
        ("asr_vanilla",),
        {"fraction": 0.1},
        receipts=(broken,),
        invalid_is_expected=HOSTILE[2],
        completion_classes={f"vanilla{n}": {"answer": 1, "refusal": 3} for n in range(len(HOSTILE))},
    ).model_copy(update={"title": f"Top{HOSTILE[1]}{'z' * 300}"})
    for number, (variant, status) in enumerate((("tiny", "passed"), ("tiny", "invalid"), ("other", "failed"))):
        made = make_record(
            [intact, top],
            GROUPS,
            layout="asr-against-accuracy",
            benchmark=f"b{number}",
            claims=[{"id": HOSTILE[0], "status": "supported"}],
        )
        verdict = made.verdict.model_copy(update={"status": status, "reasons": (HOSTILE[1], "w" * 4000)})
        made = made.model_copy(
            update={
                "id": f"{variant}/b{number}/1",
                "verdict": verdict,
                "variant": {
                    "name": variant,
                    "title": f"{variant} {HOSTILE[0]}",
                    "show_completions": True,
                    "planted_region": "planted",
                },
            }
        )
        journal = Journal(tmp_path / variant / f"b{number}" / "1")
        journal.write_record(made)
        journal.completions_path(top.id).parent.mkdir()
        write_text(
            journal.completions_path(top.id),
            "".join(
                json.dumps(
                    completion(evaluation=f"vanilla{n}", completion_class="answer").model_dump() | {"text": text}
                )
                + "\n"
                for n, text in enumerate(HOSTILE)
            ),
        )
    browser.emulate()
    browser.console.clear()
    browser.requests.clear()
    return write_report(tmp_path, tmp_path / "report.html", [])


TOP = "b0--tiny--top_fraction0.1"


def seen(browser, selector):
    return browser.evaluate(f"[...document.querySelectorAll('{selector}')].filter(e => e.checkVisibility()).length")


@pytest.mark.parametrize("width", [400, 1300])
@pytest.mark.parametrize("fragment", ["", "b0--tiny", TOP])
def test_hostile_texts_neither_run_nor_break_the_page(site, browser, width, fragment):
    browser.open(site, fragment, width)
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.evaluate("window.pwned === undefined && document.title !== 'PWNED'")
    assert browser.evaluate(
        "[document.scripts.length, document.querySelectorAll('img, iframe, base, object').length]"
    ) == [1, 0]
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("Math.max(...[...document.querySelectorAll('pre')].map(pre => pre.offsetHeight))") < 500
    assert browser.console == []
    assert {address.partition("#")[0] for address in browser.requests} == {site.resolve().as_uri()}


def test_every_text_is_there_as_text(site, browser):
    browser.open(site, TOP)
    texts = browser.evaluate(
        f"[...document.getElementById('{TOP}').querySelectorAll('pre')].map(pre => pre.textContent)"
    )
    assert len(texts) == len(HOSTILE)
    joined = "".join(texts)
    assert HOSTILE[0] in texts and HOSTILE[-1] in texts
    assert "⟨U+001B⟩[31mred" in joined and "⟨U+202E⟩right to left" in joined and "⟨U+D83D⟩" in joined
    steering = r"/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08\x1b]/"
    # Emoji of several people are one character to a reader; their joiners stay, and no other.
    emoji = r"/\p{Extended_Pictographic}(\u200d\p{Extended_Pictographic})+/gu"
    assert not browser.evaluate(f"{steering}.test(document.body.textContent.replace({emoji}, ''))")


def test_a_script_that_got_in_would_not_run(site, browser):
    site.write_text(site.read_text(encoding="utf-8").replace("<main>", f"<script>{ATTACK}</script><main>", 1), "utf-8")
    browser.open(site)
    assert browser.evaluate("window.pwned === undefined")
    assert any("Content Security Policy" in line for line in browser.console)


def test_without_scripts_every_page_and_filter_is_there(site, browser):
    browser.emulate(scripts=False)
    browser.open(site)
    assert seen(browser, "#records tbody tr") == 3
    browser.evaluate("document.getElementById('filter-verdict-passed').click()")
    assert seen(browser, "#records tbody tr") == 2
    assert seen(browser, "#summary nav li[data-verdict]") == 2
    browser.open(site, TOP)
    assert (seen(browser, "#summary"), seen(browser, ".page")) == (0, 1)
    assert browser.evaluate(f"document.getElementById('{TOP}').checkVisibility()")  # its details are open


def test_filters_hold_for_rows_and_pages_and_are_counted(site, browser):
    browser.open(site)
    assert browser.evaluate("count.textContent") == "3 of 3 records are shown"
    browser.evaluate("document.getElementById('filter-variant-1').click()")
    assert browser.evaluate("count.textContent") == "1 of 3 records are shown"
    assert seen(browser, "#summary nav li[data-verdict]") == 1


def test_a_point_shows_its_cell_under_the_mouse_and_leads_there(site, browser):
    browser.open(site, "b0--tiny")
    browser.evaluate("document.querySelector('#b0--tiny figure').scrollIntoView()")
    browser.evaluate("new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    place = "[...document.querySelectorAll('#b0--tiny a.spot')].at(-1).getBoundingClientRect()"
    at = browser.evaluate(f"(e => [e.x + e.width / 2, e.y + e.height / 2])({place})")
    browser.move(*at)
    assert browser.evaluate("[tip.hidden, tip.textContent.startsWith('top_fraction0.1 (this run: tiny): ASR')]") == [
        False,
        True,
    ]
    browser.move(5, 5)
    assert browser.evaluate("tip.hidden")
    browser.evaluate("document.querySelector('#b0--tiny a.spot').focus()")
    browser.press("ArrowRight")
    assert "top_fraction0.1" in browser.evaluate("document.activeElement.getAttribute('aria-label')")
    browser.press("Enter")
    assert browser.evaluate("location.hash + ' ' + document.activeElement.id") == f"#{TOP} {TOP}"
    assert browser.evaluate("document.activeElement.closest('details').open")


FOCUSED = """(e => e === document.body ? null : [e.tagName.toLowerCase(), e.className.baseVal ?? e.className,
    getComputedStyle(e).outlineStyle, e.getAttribute('href')])(document.activeElement)"""


def test_a_keyboard_reaches_everything_and_sees_where_it_is(site, browser):
    browser.open(site, "b0--tiny")
    browser.evaluate("document.activeElement.blur()")
    passed, invisible = [], []
    for _ in range(60):
        browser.press("Tab")
        here = browser.evaluate(FOCUSED)
        if here is None:
            break
        passed.append(tuple(here))
        if here[2] == "none":
            invisible.append(here)
    assert invisible == []
    kinds = {(tag, name) for tag, name, *_ in passed}
    assert ("a", "skip") in kinds and ("summary", "") in kinds and ("div", "scroll") in kinds
    assert sum(name == "spot" for _, name, *_ in passed) == 1  # the arrow keys go from there
    assert "#b0--tiny--content" in {href for *_, href in passed}


def test_names_and_landmarks_are_there_for_whoever_does_not_see_the_page(site, browser):
    browser.open(site, "b0--tiny")
    assert (seen(browser, "main"), seen(browser, "header"), seen(browser, "h2")) == (1, 1, 1)
    unnamed = browser.evaluate("""[...document.querySelectorAll('nav, [role="region"], [role="search"], svg[role]')]
        .filter(e => !e.getAttribute('aria-label') && e.getAttribute('role') !== 'img').length""")
    assert unnamed == 0
    assert browser.evaluate("document.querySelectorAll('input:not(label input), th:not([scope])').length") == 0


LUMINANCE = """(e => getComputedStyle(e).color.match(/[\\d.]+/g).slice(0, 3).reduce((a, b) => a + b / 765, 0))"""


def test_dark_and_light_follow_the_system_until_one_is_chosen(site, browser):
    browser.emulate(scheme="dark")
    browser.open(site, "b0--tiny")
    text = "document.querySelector('#b0--tiny h2')"
    assert browser.evaluate(f"{LUMINANCE}({text})") > 0.8
    axis = "document.querySelector('#b0--tiny svg [style*=\"stroke: #000000\"]')"
    assert browser.evaluate(f"getComputedStyle({axis}).stroke") == "rgb(228, 231, 236)"
    browser.evaluate("document.getElementById('theme-light').click()")
    assert browser.evaluate(f"{LUMINANCE}({text})") < 0.2
    browser.emulate(scheme="light")
    browser.evaluate("document.getElementById('theme-dark').click()")
    assert browser.evaluate(f"{LUMINANCE}({text})") > 0.8
    browser.emulate(media="print")
    assert browser.evaluate(f"{LUMINANCE}({text})") < 0.2
    browser.evaluate("document.getElementById('theme-system').click()")


def test_what_is_printed_is_the_page_that_is_shown_without_controls(site, browser):
    browser.open(site, "b0--tiny", width=1030)  # A4 across, without its margins
    browser.emulate(media="print")
    assert browser.evaluate("document.documentElement.scrollWidth") == 1030
    assert browser.evaluate("document.querySelector('#b0--tiny h2').offsetWidth") > 1000
    assert (seen(browser, ".page"), seen(browser, "#summary")) == (1, 0)
    assert seen(browser, "nav, .skip, fieldset") == 0
    assert browser.evaluate(
        "[...document.querySelectorAll('.scroll')].every(e => getComputedStyle(e).overflowX === 'visible')"
    )
    pdf = browser.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert len(pdf) > 10000

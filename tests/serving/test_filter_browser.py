"""The page in a real browser: filters, links, colours, samples, the address, and two models on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.serving import PageSettings
from support.browser import Browser, serving
from support.tiny import SENTENCES

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MARKUP = '<img src=x onerror="window.ran = 1">'
IDS = ["a/b?c#d", '"><script>', "..", "ü 1", *(f"T-{i}" for i in range(4, len(SENTENCES)))]
PAGE = PageSettings(title=f"Tickets {MARKUP}", link="https://tickets.example/show/{id}", queries=["the cat", MARKUP])
LANGUAGES = ("de", "en", MARKUP)


def metadata(number: int) -> dict[str, Any]:
    return {"lang": LANGUAGES[number % 3], "open": number % 2 == 0, "number": number}


@pytest.fixture(scope="module")
def folders(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two indexes of the same sentences by two models."""
    folder = tmp_path_factory.mktemp("indexes")
    own = [metadata(number) for number in range(len(SENTENCES))]
    for name, kind in (("before", "bert"), ("after", "roberta")):
        model = SimCSE(tiny_model(kind), pooling="mean")
        SentenceIndex.build(model, SENTENCES, ids=IDS, metadata=own).save(folder / name)
    return folder / "before", folder / "after"


@pytest.fixture(scope="module")
def one(folders: tuple[Path, Path]) -> Iterator[str]:
    with serving(folders[:1], page=PAGE) as url:
        yield url


@pytest.fixture(scope="module")
def two(folders: tuple[Path, Path]) -> Iterator[str]:
    with serving(folders) as url:
        yield url


def chip(browser: Browser, words: str) -> Any:
    """The chip of a value, once it is there."""

    def found() -> list[Any]:
        return [one for one in browser.find("#facets .chip") if one.text.startswith(words)]

    return browser.wait(found, f"the chip {words}")[0]


def fragment(browser: Browser) -> dict[str, str]:
    """State that the address keeps after its #; nothing in the query string, which servers log."""
    address = urlsplit(browser.run("return location.href"))
    assert address.query == ""
    return {name: values[0] for name, values in parse_qs(address.fragment).items()}


def languages(browser: Browser) -> set[str]:
    return set(browser.run("return columns[0].hits.map(hit => hit.metadata.lang)"))


def test_chips_filter_and_the_address_keeps_what_was_chosen(browser: Browser, one: str) -> None:
    browser.open(f"{one}#" + urlencode({"q": "the cat", "k": 40}))
    browser.hits("the cat")
    assert chip(browser, "de").text.split() == ["de", str(len(SENTENCES[::3]))]
    chip(browser, "de").click()
    browser.wait(lambda: languages(browser) == {"de"}, "hits of one language")
    chip(browser, "en").click()
    browser.wait(lambda: languages(browser) == {"de", "en"}, "hits of two")
    assert json.loads(fragment(browser)["f"]) == {"lang": ["de", "en"]}
    assert chip(browser, "en").get_attribute("aria-pressed") == "true"
    assert browser.run("return document.activeElement.className") == "chip", "the focus stays"
    browser.driver.refresh()
    browser.wait(lambda: languages(browser) == {"de", "en"}, "the same after a reload")
    browser.driver.back()
    browser.wait(lambda: languages(browser) == {"de"}, "the filter before")
    assert chip(browser, "en").get_attribute("aria-pressed") == "false"
    browser.driver.forward()
    browser.wait(lambda: languages(browser) == {"de", "en"}, "the filter after")
    chip(browser, "false").click()
    browser.wait(lambda: browser.run("return columns[0].hits.every(hit => !hit.metadata.open)"), "both fields")
    browser.find("#facets .clear")[0].click()
    browser.wait(lambda: languages(browser) == set(LANGUAGES), "all")
    assert "f" not in fragment(browser)


@pytest.mark.parametrize("said", ["{", "null", "[1]", '{"lang": "de"}', '{"lang": [{"$gt": 1}]}', '{"__proto__": []}'])
def test_a_filter_of_another_form_is_none(browser: Browser, one: str, said: str) -> None:
    browser.open(f"{one}#" + urlencode({"q": "the cat", "f": said}))
    browser.hits("the cat")
    assert browser.run("return columns[0].hits.length") == 10


def test_a_value_without_a_chip_gets_one(browser: Browser, one: str) -> None:
    browser.open(f"{one}#" + urlencode({"q": "the cat", "f": json.dumps({"number": [7], "__proto__": ["x"]})}))
    browser.wait(lambda: "but no sentence of this index has" in browser.text(".status"), "the server's answer")
    chip(browser, "x").click()
    browser.wait(lambda: browser.run("return columns[0].hits.map(hit => hit.id)") == ["T-7"], "its hit")
    chip(browser, "7").click()
    browser.wait(lambda: browser.run("return columns[0].hits.length") == 10, "all")
    browser.errors()  # the browser notes that the server refused the first filter


def test_ids_lead_where_the_template_says(browser: Browser, one: str) -> None:
    browser.open(f"{one}#" + urlencode({"q": "the cat", "k": 40}))
    browser.hits("the cat")
    links = browser.run(
        "return Object.fromEntries([...document.querySelectorAll('.hit .id')].map(id => [id.textContent.slice(3),"
        " id.href && [id.href, id.target, id.rel]]))"
    )
    assert links.keys() == set(IDS)
    for id_, link in links.items():
        encoded = {"a/b?c#d": "a%2Fb%3Fc%23d", '"><script>': "%22%3E%3Cscript%3E", "ü 1": "%C3%BC%201"}.get(id_, id_)
        wanted = [f"https://tickets.example/show/{encoded}", "_blank", "noopener noreferrer"]
        assert link == (None if id_ == ".." else wanted), "two dots would lead to another folder"


def test_without_a_template_ids_are_text(browser: Browser, two: str) -> None:
    browser.open(f"{two}#q=cat")
    browser.hits("cat")
    assert browser.find(".hit .id")
    assert not browser.find("a.id")


def test_titles_values_and_examples_are_text(browser: Browser, one: str) -> None:
    browser.open(f"{one}#" + urlencode({"tab": "map", "color": "lang"}))
    assert browser.wait(lambda: browser.find("#samples .chip"), "examples")[1].text == MARKUP
    assert browser.text("h1") == PAGE.title == browser.driver.title
    assert chip(browser, MARKUP)
    browser.wait(lambda: MARKUP in browser.text(".legend"), "the legend")
    browser.find("#samples .chip")[1].click()
    browser.hits(MARKUP)
    assert browser.run("return [document.images.length, window.ran]") == [0, None]
    assert fragment(browser)["q"] == MARKUP


def test_an_example_is_searched_and_back_leads_away(browser: Browser, one: str) -> None:
    browser.open(f"{one}#q=rain")
    browser.hits("rain")
    browser.find("#samples .chip")[0].click()
    browser.hits("the cat")
    assert browser.find("#query")[0].get_property("value") == "the cat"
    browser.driver.back()
    browser.hits("rain")


_COLORED = """
const map = columns[0].map, {canvas, sharp} = map, seen = {};
const copy = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height});
const pen = copy.getContext("2d", {willReadFrequently: true});
pen.drawImage(canvas, 0, 0);
map.rows.forEach((row, i) => {
  const {data} = pen.getImageData(Math.round(map.across(row) * sharp), Math.round(map.down(row) * sharp), 1, 1);
  (seen[map.field?.codes[i] ?? "none"] ??= []).push([...data].slice(0, 3).map(byte => byte >> 4).join());
});
return seen;
"""


def test_the_map_is_coloured_by_a_field(browser: Browser, one: str) -> None:
    browser.open(f"{one}#tab=map")
    browser.wait(lambda: browser.pixels()["drawn"] > 100, "points")
    assert browser.texts(".legend .key") == ["sentence"]
    assert len(set(browser.run(_COLORED)["none"])) <= 2, "one colour, darker where points overlap"
    browser.wait(lambda: browser.find("#color option")[2:], "the fields")
    assert browser.texts("#color option") == ["nothing", "lang", "open"]
    browser.find("#color option")[1].click()
    browser.wait(lambda: browser.texts(".legend .of-value") == sorted(LANGUAGES), "the legend")
    assert fragment(browser)["color"] == "lang"

    def drawn() -> dict[str, str]:
        """For each value, the colour of most of its points, which may overlap."""
        return {code: max(set(own), key=own.count) for code, own in browser.run(_COLORED).items()}

    browser.wait(lambda: len(set(drawn().values())) == 3, "three colours")
    assert drawn().keys() == {"0", "1", "2"}
    assert browser.run(
        "const {rows, field} = columns[0].map; return rows.map((row, i) => [row.id, field.values[field.codes[i]]])"
    ) == [[id_, LANGUAGES[number % 3]] for number, id_ in enumerate(IDS)]
    keys = browser.run(
        "return [...document.querySelectorAll('.legend .of-value i')].map(dot => getComputedStyle(dot).backgroundColor)"
    )
    assert len(set(keys)) == 3
    browser.driver.back()
    browser.wait(lambda: browser.texts(".legend .key") == ["sentence"], "no colours again")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_colour_can_be_seen(browser: Browser, one: str, dark: bool) -> None:
    browser.open(f"{one}#q=cat", dark=dark)
    browser.hits("cat")
    browser.run(  # text, whose contrast is measured against the map's background
        "const box = document.createElement('div'); box.id = 'probe'; box.style.background = 'var(--card)';"
        "PALETTE.forEach(name => { const one = document.createElement('b'); one.textContent = 'palette ' + name;"
        " one.style.color = `var(${name})`; box.append(one); }); document.body.append(box)"
    )
    palette = {said: contrast for contrast, said in browser.contrasts() if said.startswith("palette")}
    assert len(palette) == 8
    assert min(palette.values()) >= 3, "WCAG 2.2, 1.4.11: what is drawn"
    browser.run(
        "document.getElementById('probe').replaceChildren(...Array.from({length: 201}, (_, i) => {"
        " const one = document.createElement('b'), {paper, ink} = heat(i / 200); one.textContent = `heat ${i}`;"
        " one.style.background = paper; one.style.color = ink; return one; }))"
    )
    heats = [contrast for contrast, said in browser.contrasts() if said.startswith("heat")]
    assert len(heats) == 201
    assert min(heats) >= 4.5


def test_two_models_are_not_compared_by_score(browser: Browser, two: str, one: str, folders: tuple[Path, Path]) -> None:
    browser.open(f"{two}#q=cat")
    browser.hits("cat", 1)
    assert browser.text("#scores-differ").startswith("Two models: their cosines are not comparable")
    browser.find("#tab-compare")[0].click()
    assert browser.text("#cosines-differ").startswith("Two models: their cosines")
    browser.open(f"{one}#q=cat")
    browser.hits("cat")
    assert browser.text("#scores-differ") == ""


def test_a_small_number_below_zero_is_zero(browser: Browser, one: str) -> None:
    browser.open(one)
    numbers = browser.run("return [-0.001, -0, 0.004, -0.006, -0.5].map(cosine)")
    assert numbers == ["0.00", "0.00", "0.00", "−0.01", "−0.50"]


def test_on_a_phone_one_of_two_indexes_is_shown(browser: Browser, two: str) -> None:
    browser.open(f"{two}#q=cat", width=390, height=844, phone=True)
    browser.hits("cat", 1)
    shown = "return [...document.querySelectorAll(arguments[0])].map(node => node.checkVisibility())"
    assert browser.run(shown, "#columns > *") == [True, False]
    browser.find("#sides label")[1].click()
    assert browser.run(shown, "#columns > *") == [False, True]
    assert fragment(browser)["side"] == "1"
    browser.find("#tab-compare")[0].click()
    browser.wait(lambda: browser.find("td"), "the heat maps")
    assert browser.run(shown, "#matrices > *") == [False, True]
    browser.driver.refresh()
    browser.wait(lambda: browser.find("td"), "the heat maps")
    assert browser.run(shown, "#matrices > *") == [False, True]
    browser.open(f"{two}#q=cat")
    browser.hits("cat", 1)
    assert browser.run(shown, "#columns > *") == [True, True], "a desktop has room for both"
    assert not browser.find("#sides")[0].is_displayed()


@pytest.mark.parametrize("count", [3, 8, 20])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_number_of_the_heat_map_overlaps(browser: Browser, two: str, count: int, width: int) -> None:
    asked = {"tab": "compare", "s": "\n".join(SENTENCES[:count])}
    browser.open(f"{two}#" + urlencode(asked), width=width, height=844, phone=width < 500)
    browser.wait(lambda: len(browser.find("td")) == 2 * count**2, "the heat maps")
    outside = browser.run(
        "return [...document.querySelectorAll('#matrices > :first-child td')].filter(cell => {"
        " cell.textContent = '−0.55'; const range = document.createRange(); range.selectNodeContents(cell);"
        " const text = range.getBoundingClientRect(), box = cell.getBoundingClientRect();"
        " return text.left < box.left || text.right > box.right; }).length"
    )
    assert outside == 0
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_a_phone_shows_hits_before_filters(browser: Browser, one: str) -> None:
    browser.open(f"{one}#" + urlencode({"q": "cat", "f": '{"lang": ["de"]}'}), width=390, height=844, phone=True)
    browser.hits("cat")
    browser.wait(lambda: browser.text("#facets summary") == "Filter lang: de", "the filter in words")
    assert not browser.find("#facets .chip")[0].is_displayed()
    browser.find("#facets summary")[0].click()
    assert browser.find("#facets .chip")[0].is_displayed()


def test_what_axe_would_check(browser: Browser, one: str) -> None:
    """Names, landmarks, one heading of the first rank, unique ids, and the focus in the order of the page."""
    browser.open(f"{one}#" + urlencode({"q": "cat", "tab": "map"}))
    browser.hits("cat")
    chip(browser, "de")
    assert browser.run("return document.querySelectorAll('h1').length") == 1
    ids = browser.run("return [...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))
    outside = browser.run(
        "return [...document.querySelectorAll('#page *')].filter(node => node.checkVisibility()"
        " && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())"
        " && !node.closest('main, header, .notice')).map(node => node.outerHTML)"
    )
    assert outside == []
    nameless = browser.run(
        "return [...document.querySelectorAll('input, select, textarea')]"
        ".filter(node => node.checkVisibility() && !node.labels.length && !node.ariaLabel).map(node => node.outerHTML)"
    )
    assert nameless == []
    assert browser.run("return [...document.querySelectorAll('[tabindex]')].every(node => node.tabIndex <= 0)")
    groups = browser.run("return [...document.querySelectorAll('[role=group]')].map(node => node.ariaLabel)")
    assert groups == ["Sample queries", "Filter by lang", "Filter by open"]
    browser.find("#query")[0].click()
    order = []
    for _ in range(14):
        browser.press("TAB")
        order.append(
            browser.run("const {id, className, tagName} = document.activeElement; return id || className || tagName")
        )
    assert order[:2] == ["chip", "chip"], "examples"
    assert order.index("k") < order.index("color") < order.index("SUMMARY") < order.index("chip", 2)

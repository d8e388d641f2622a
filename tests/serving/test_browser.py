"""The page in a real browser with the real server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from simcse_kit import SentenceIndex, SimCSE
from support.browser import Browser, serving
from support.tiny import SENTENCES

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SCRIPT = "<script>window.ran = 'script'</script>"
IMAGE = "<img src=x onerror=\"window.ran = 'image'\"> & more"
KOREAN = "고양이가 따뜻한 소파에서 잔다."
LONG = "The soup needs salt, and the bread needs time. " * 30
TEXTS = [*SENTENCES, SCRIPT, IMAGE, KOREAN, LONG]
KEY = "only-for-tests"


@pytest.fixture(scope="module")
def folders(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two indexes of the same sentences by two models."""
    folder = tmp_path_factory.mktemp("indexes")
    for name, kind in (("before", "bert"), ("after", "roberta")):
        model = SimCSE(tiny_model(kind), pooling="mean")
        SentenceIndex.build(model, TEXTS, metadata=[{"year": 2000 + i} for i in range(len(TEXTS))]).save(folder / name)
    return folder / "before", folder / "after"


@pytest.fixture(scope="module")
def two(folders: tuple[Path, Path]) -> Iterator[str]:
    """A server of both, for reading."""
    with serving(folders) as url:
        yield url


@pytest.fixture
def one(folders: tuple[Path, Path], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server of one that can be added to, and its folder."""
    folder = tmp_path / "sentences"
    shutil.copytree(folders[0], folder)
    with serving([folder], writable=True) as url:
        yield url, folder


def test_what_is_typed_is_searched_with_scores_as_bars(browser: Browser, two: str, folders: tuple[Path, Path]) -> None:
    browser.open(two)
    browser.wait(lambda: browser.find(".column"), "the page")
    assert browser.run("return document.activeElement.id") == "query"
    browser.press("the cat")
    texts = browser.hits("the cat")
    expected = SentenceIndex.open(folders[0]).search("the cat", k=10)
    assert texts == [hit.text for hit in expected]
    shown = browser.run(
        "return [...columns[0].list.children].map(row => [row.querySelector('.score').textContent,"
        " row.querySelector('.bar').getBoundingClientRect().width / row.querySelector('.track').clientWidth])"
    )
    for (score, width), hit in zip(shown, expected, strict=True):
        assert score == f"{hit.score:.2f}"
        assert width == pytest.approx(hit.score, abs=0.01)
    head = browser.text(".column .head")
    assert "before" in head
    assert "bert, mean pooling" in head
    assert f"{len(TEXTS)} sentences" in head
    assert "year 20" in browser.text(".hit .facts")


def test_number_threshold_and_query_survive_a_reload(browser: Browser, two: str) -> None:
    browser.open(two)
    browser.wait(lambda: browser.find(".column"), "the page")
    browser.press("rain tomorrow")
    browser.run("const k = arguments[0]; k.value = 3; k.dispatchEvent(new Event('input'))", browser.find("#k")[0])
    browser.wait(lambda: len(browser.hits("rain tomorrow")) == 3, "three hits")
    browser.run(
        "const t = arguments[0]; t.value = 0.3; t.dispatchEvent(new Event('input'))", browser.find("#threshold")[0]
    )
    browser.wait(lambda: "t=0.3" in browser.driver.current_url, "the threshold in the address")
    before = browser.hits("rain tomorrow")
    browser.driver.refresh()
    assert browser.hits("rain tomorrow") == before
    assert browser.text("#threshold-words") == "≥ 0.30"
    assert browser.find("#k")[0].get_property("value") == "3"


def test_nothing_above_the_threshold_is_said_in_words(browser: Browser, two: str) -> None:
    browser.open(f"{two}#" + urlencode({"q": "zzz 999", "t": 0.95, "k": 1}))
    said = browser.wait(
        lambda: browser.text(".status").startswith(("No", "1 hit")) and browser.text(".status"), "words"
    )
    if not browser.find(".hit"):
        assert said == "No sentence with a cosine of at least 0.95."


def test_an_added_sentence_is_found_and_stays(browser: Browser, one: tuple[str, Path]) -> None:
    url, folder = one
    browser.open(url)
    browser.wait(lambda: browser.find("#add")[0].is_displayed(), "the form")
    sentence = "A <b>boat</b> with a blue door sleeps in the park."
    browser.find("#new")[0].send_keys(sentence)
    browser.press("ENTER")
    assert browser.hits(sentence)[0] == sentence
    assert browser.text(".score") == "1.00"
    assert f"now has {len(TEXTS) + 1} sentences" in browser.text("#add p")
    browser.driver.refresh()
    assert browser.hits(sentence)[0] == sentence
    assert f"{len(TEXTS) + 1} sentences" in browser.text("#about")
    assert SentenceIndex.open(folder).search(sentence, k=1)[0].text == sentence


def test_a_text_is_added_to_the_chosen_index_only(browser: Browser, folders: tuple[Path, Path], tmp_path: Path) -> None:
    copies = [shutil.copytree(folder, tmp_path / folder.name) for folder in folders]
    with serving(copies, writable=True) as url:
        browser.open(url)
        browser.wait(lambda: browser.find("#into")[0].is_displayed(), "the choice")
        assert browser.texts("#into option") == [folder.name for folder in folders]
        browser.find("#into option")[1].click()
        browser.find("#new")[0].send_keys("A boat sleeps in the park.", "\n")
        browser.wait(lambda: f"Added to {folders[1].name}" in browser.text("#add p"), "the word that it was added")
    counts = [len(SentenceIndex.open(folder)) for folder in copies]
    assert counts == [len(TEXTS), len(TEXTS) + 1]


def test_an_index_for_reading_shows_no_form(browser: Browser, two: str) -> None:
    browser.open(two)
    browser.wait(lambda: browser.find(".column"), "the page")
    assert not browser.find("#add")[0].is_displayed()


def test_stored_markup_is_text(browser: Browser, two: str) -> None:
    browser.open(f"{two}#" + urlencode({"q": SCRIPT, "k": len(TEXTS)}))
    texts = browser.hits(SCRIPT)
    assert texts[0] == SCRIPT
    assert {SCRIPT, IMAGE, KOREAN, LONG} <= set(texts)
    browser.find(".more")[0].click()
    browser.wait(lambda: browser.text("#like p") == f"More like: {SCRIPT}", "more like it")
    browser.open(f"{two}#" + urlencode({"tab": "compare", "s": f"{SCRIPT}\n{IMAGE}"}))
    browser.wait(lambda: browser.find("td"), "the heat map")
    assert browser.run("return [document.querySelectorAll('script').length, document.images.length, window.ran]") == [
        1,
        0,
        None,
    ]


def test_the_policy_lets_no_other_script_run(browser: Browser, two: str) -> None:
    browser.open(two)
    browser.run(
        "const script = document.createElement('script');"
        "script.textContent = 'window.ran = 1'; document.body.append(script)"
    )
    browser.run(
        "document.body.insertAdjacentHTML('beforeend',"
        '\'<b id=styled style="color: red" onclick="window.ran = 1">x</b>\')'
    )
    browser.run("document.getElementById('styled').click()")
    assert browser.run("return window.ran") is None
    assert browser.run("return getComputedStyle(document.getElementById('styled')).color") != "rgb(255, 0, 0)"
    assert sum("Content Security Policy" in error for error in browser.errors()) == 3


def test_the_heat_map_shows_the_models_cosines(browser: Browser, two: str, tiny_model: Callable[[str], Path]) -> None:
    sentences = ["A small cat is asleep.", "The cat sleeps on the warm sofa.", "Salt is missing in this soup.", "Yes."]
    browser.open(f"{two}#tab=compare")
    browser.wait(lambda: browser.find("td"), "the example's heat map")
    field = browser.find("#sentences")[0]
    field.clear()
    field.send_keys("\n".join(sentences))
    browser.wait(lambda: len(browser.find("td")) == 2 * 16, "two heat maps of four sentences")
    for number, kind in enumerate(("bert", "roberta")):
        model = SimCSE(tiny_model(kind), pooling="mean")
        vectors = model.encode(sentences, normalize_embeddings=True)
        cosines = (vectors @ vectors.T).ravel()
        cells = browser.run(
            "return [...document.querySelectorAll('#matrices tbody')[arguments[0]].querySelectorAll('td')]"
            ".map(cell => [cell.textContent, getComputedStyle(cell).backgroundColor])",
            number,
        )
        shown = [float(text.replace("−", "-")) for text, _ in cells]
        np.testing.assert_allclose(shown, cosines, atol=0.00501)
        lightness = [float(color.removeprefix("oklch(").split()[0]) for _, color in cells]
        order = np.argsort(cosines)
        assert np.all(np.diff(np.array(lightness)[order]) <= 1e-6), "the larger the cosine, the darker"
        assert max(lightness) - min(lightness) == pytest.approx(0.55 * np.ptp(np.clip(cosines, 0, 1)), abs=0.01)
    browser.driver.execute_script("arguments[0].click()", browser.find("td")[1])
    words = browser.text("#pair")
    assert sentences[0] in words
    assert sentences[1] in words


def test_hits_light_up_on_the_map(browser: Browser, two: str) -> None:
    browser.open(f"{two}#tab=map")
    browser.wait(lambda: f"all {len(TEXTS)} sentences · PCA" in browser.text(".legend"), "the map")
    bare = browser.wait(lambda: browser.pixels()["drawn"] > 100 and browser.pixels(), "points")
    assert bare["hits"] == bare["query"] == 0
    browser.press("a man plays the guitar")
    browser.hits("a man plays the guitar")
    lit = browser.wait(lambda: browser.pixels()["query"] and browser.pixels(), "the query's mark")
    assert lit["hits"] > 300, "ten discs"
    assert browser.pixels(1)["hits"] > 300, "on both maps"
    browser.find(".map button[title='Zoom in']")[0].click()
    near = browser.wait(lambda: browser.pixels()["sum"] != lit["sum"] and browser.pixels(), "another view")
    browser.run("arguments[0].focus()", browser.find(".map canvas")[0])
    browser.press("ARROW_RIGHT")
    browser.wait(lambda: browser.pixels()["sum"] not in (near["sum"], lit["sum"]), "the view moved by a key")
    browser.press("0")
    browser.wait(lambda: browser.pixels()["sum"] == lit["sum"], "all of it again")


def test_the_map_tells_the_sentence_under_the_pointer(browser: Browser, two: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    browser.open(f"{two}#" + urlencode({"tab": "map", "q": "a cat"}))
    texts = browser.hits("a cat")
    browser.wait(lambda: browser.pixels()["query"], "the map")
    canvas = browser.find(".map canvas")[0]
    x, y = browser.run(
        "const map = columns[0].map, row = map.hits[0];"
        "return [map.across(row) - map.width / 2, map.down(row) - map.height / 2]"
    )
    pointer = ActionChains(browser.driver)
    pointer.move_to_element_with_offset(canvas, round(x), round(y)).perform()
    browser.wait(lambda: browser.find(".tip")[0].is_displayed(), "the text beside the point")
    assert browser.text(".tip") == texts[0]
    assert browser.text(".columns > :nth-child(2) .tip") == texts[0], "the other map shows the same sentence"
    pointer.click().perform()
    browser.wait(lambda: browser.find(".tip button"), "a button that stays")
    browser.find(".tip button")[0].click()
    browser.wait(lambda: browser.text("#like p") == f"More like: {texts[0]}", "more like it")


def test_the_keyboard_is_enough(browser: Browser, two: str, folders: tuple[Path, Path]) -> None:
    browser.open(two)
    browser.wait(lambda: browser.find(".column"), "the page")
    browser.run("document.activeElement.blur()")
    browser.press("/")
    assert browser.run("return document.activeElement.id") == "query"
    browser.press("the lake at night")
    texts = browser.hits("the lake at night")
    assert "/" not in browser.find("#query")[0].get_property("value")
    browser.press("ARROW_DOWN", "ARROW_DOWN", "ARROW_DOWN", "ARROW_UP")
    label = "return document.activeElement.getAttribute('aria-label')"
    assert browser.run(label) == f"More like this: {texts[1]}"
    browser.press("ENTER")
    index = SentenceIndex.open(folders[0])
    similar = [hit.text for hit in index.similar(TEXTS.index(texts[1]), k=10)]
    browser.wait(lambda: browser.texts(".columns > :first-child .text") == similar, "more like the second")
    browser.wait(lambda: browser.run(label) == f"More like this: {similar[0][:120]}", "the focus on its first hit")
    browser.press("ESCAPE")
    assert browser.hits("the lake at night") == texts
    browser.wait(lambda: browser.run(label) == f"More like this: {texts[1]}", "the focus where it was")
    browser.press("ARROW_RIGHT")
    assert browser.run("return document.activeElement.closest('.column') === columns[1].node")
    browser.press("ESCAPE")
    assert browser.run("return document.activeElement.id") == "query"
    browser.run("document.getElementById('tab-search').focus()")
    browser.press("ARROW_RIGHT")
    assert browser.run("return document.activeElement.id") == "tab-map"
    assert browser.run("return [state.tab, document.activeElement.ariaSelected]") == ["map", "true"]


def test_two_indexes_stand_side_by_side(browser: Browser, two: str, folders: tuple[Path, Path]) -> None:
    browser.open(f"{two}#" + urlencode({"q": "the school has a field", "k": 6}))
    first, second = browser.hits("the school has a field", 0), browser.hits("the school has a field", 1)
    for texts, folder in ((first, folders[0]), (second, folders[1])):
        assert texts == [hit.text for hit in SentenceIndex.open(folder).search("the school has a field", k=6)]
    assert first != second, "the models differ, or the test tests nothing"
    both = len(set(first) & set(second))
    browser.wait(lambda: browser.text(".status").endswith(f"{both} in both"), "what they share")
    notes = [browser.texts(f".columns > :nth-child({n}) .note") for n in (1, 2)]
    assert notes[0] == ["" if text in second else "only in before" for text in first]
    for rank, (text, note) in enumerate(zip(second, notes[1], strict=True)):
        if text not in first:
            assert note == "only in after"
        elif (there := first.index(text)) == rank:
            assert note == ""
        else:
            assert note == f"{'▲' if there > rank else '▼'} from {there + 1}"
    left, right = (column.rect for column in browser.find(".column"))
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == right["y"]


@pytest.mark.parametrize("tab", ["search", "map", "compare"])
def test_a_phone_has_nothing_beside_the_screen(browser: Browser, two: str, tab: str) -> None:
    long = "\n".join([LONG[:300], "Donaudampfschiff" * 20, *SENTENCES[:14]])
    browser.open(
        f"{two}#" + urlencode({"q": LONG, "k": len(TEXTS), "tab": tab, "s": long}), width=390, height=844, phone=True
    )
    if tab == "compare":
        browser.wait(lambda: len(browser.find("td")) == 2 * 16**2, "the heat maps")
    else:
        browser.hits(LONG.strip(), 1)
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]


@pytest.mark.parametrize("tab", ["search", "map", "compare"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_can_be_read(browser: Browser, two: str, tab: str, dark: bool) -> None:
    browser.open(f"{two}#" + urlencode({"q": "the sea", "tab": tab}), dark=dark)
    if tab == "compare":
        browser.wait(lambda: browser.find("td"), "the heat map")
    else:
        browser.hits("the sea", 1)
    contrasts = browser.contrasts()
    assert len(contrasts) > 20
    assert min(contrasts) >= (4.5,), "WCAG 2.2, level AA"
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(","))) < 128) is dark


def test_every_control_has_a_name(browser: Browser, two: str) -> None:
    browser.open(f"{two}#" + urlencode({"q": "the sea", "tab": "map"}))
    browser.hits("the sea", 1)
    browser.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = ("button", "searchbox", "slider", "spinbutton", "tab", "radio", "application", "textbox", "tabpanel")
    named = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert {"button", "searchbox", "slider", "spinbutton", "tab", "application", "tabpanel"} <= {r for r, _ in named}
    assert [role for role, name in named if not name.strip()] == []


def test_a_key_is_asked_for_once(browser: Browser, folders: tuple[Path, Path]) -> None:
    with serving(folders[:1], api_key=KEY) as url:
        browser.open(f"{url}#q=rain")
        for key, words in (("wrong", "This key is not valid."), (KEY, "")):
            browser.wait(lambda: browser.find("#key")[0].is_displayed(), "the form")
            browser.find("#key-field")[0].send_keys(key)
            browser.press("ENTER")
            if words:
                browser.wait(lambda words=words: browser.text("#key-words") == words, "the refusal")
        assert browser.hits("rain")
        browser.driver.refresh()
        assert browser.hits("rain")
        assert all("401" in error for error in browser.errors())


def test_a_server_that_comes_back_is_searched_again(browser: Browser, two: str) -> None:
    browser.open(two)
    browser.wait(lambda: browser.find(".column"), "the page")
    browser.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    browser.press("snow")
    browser.wait(lambda: browser.find("#offline")[0].is_displayed(), "that it does not answer")
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": False})
    assert browser.hits("snow")
    assert not browser.find("#offline")[0].is_displayed()
    assert all("ERR_INTERNET_DISCONNECTED" in error for error in browser.errors())


_SLOWLY = """
const answer = window.fetch;
const refusals = {"method=pca": [202, {}, '{"status": "computing"}'], search: [429, {"Retry-After": "1"}, "{}"]};
window.asked = [];
window.fetch = (path, ...rest) => {
  const name = path.split("&").pop();
  window.asked.push(name);
  const [status, headers, body] = refusals[name] ?? [];
  delete refusals[name];
  return status ? Promise.resolve(new Response(body, {status, headers})) : answer(path, ...rest);
};
"""


def test_what_is_not_ready_is_asked_for_again(browser: Browser, two: str) -> None:
    browser.open(f"{two}#q=rain")
    browser.hits("rain", 1)
    browser.run(_SLOWLY)
    browser.find("#tab-map")[0].click()
    browser.wait(lambda: "PCA is being computed" in browser.text(".said"), "that the map is on its way")
    browser.wait(lambda: browser.pixels()["hits"] and browser.pixels(1)["hits"], "the maps, with hits")
    assert browser.run("return window.asked.filter(name => name === 'method=pca').length") == 3
    assert browser.text(".said") == ""


_SLOW_UMAP = """
const answer = window.fetch;
for (const column of columns) column.about.maps = ["pca", "umap"];
window.fetch = (path, ...rest) => path.endsWith("method=umap") && !window.ready
  ? Promise.resolve(new Response('{"status": "computing"}', {status: 202}))
  : answer(path.replace("method=umap", "method=pca"), ...rest);
"""


def test_pca_stands_in_while_umap_is_computed(browser: Browser, two: str) -> None:
    browser.open(f"{two}#" + urlencode({"q": "rain", "map": "umap"}))
    browser.hits("rain", 1)
    browser.run(_SLOW_UMAP)
    browser.find("#tab-map")[0].click()
    browser.wait(lambda: browser.text(".legend").endswith("UMAP is being computed …"), "words on the state")
    browser.wait(lambda: browser.pixels()["hits"], "hits on PCA's map")
    assert "· PCA" in browser.text(".legend")
    browser.run("window.ready = true; for (const column of columns) column.search = async () => {}")
    browser.wait(lambda: "computed" not in browser.text(".legend"), "the map that was asked for")

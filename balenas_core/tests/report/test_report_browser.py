"""A report in a real browser: Chromium, without a window and without a network."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from importlib import resources

import pytest

from balenas_core.report import write_report

pytest.importorskip("selenium", reason="needs selenium")

REQUIRED = "BALENAS_REQUIRE_BROWSER"
"""Set in CI, where a missing browser is an error."""
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
_PHONE = 360


@pytest.fixture(scope="module")
def programs():
    """Paths of the browser and its driver; selenium must not download them."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    return browser, driver


@pytest.fixture(scope="module")
def browser(programs, tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Where reports are kept that several tests look at."""
    return {}, tmp_path_factory.mktemp("pages")


@pytest.fixture
def show(browser, pages, write_run, registry):
    """Return ``show(name, width=, scheme=, script=)``, which opens a report in the browser."""
    made, folder = pages

    def runs(name):
        first = write_run("<script>alert(1)<", trained=True)
        if name == "one":
            return [first]
        return [
            first,
            write_run("second", seed=1),
            write_run("third", seed=2),
            write_run("failed", status="failed", epochs=1, message="the disk was full"),
            write_run("other", config={"optimizer": {"name": "adam", "lr": 0.3}}),
        ]

    def show(name, *, width=1200, scheme="light", script=True):
        if name not in made:
            made[name] = folder / f"{name}.html"
            write_report(runs(name), made[name], registry=registry)
        command = browser.execute_cdp_cmd
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        command("Emulation.setDeviceMetricsOverride", metrics)
        theme = {"name": "prefers-color-scheme", "value": scheme}
        command("Emulation.setEmulatedMedia", {"features": [theme]})
        command("Emulation.setScriptExecutionDisabled", {"value": not script})
        browser.get(made[name].as_uri())
        return browser

    yield show
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.get_log("browser") == []


def _column(browser, caption, column):
    return browser.execute_script(
        """const table = [...document.querySelectorAll("table")]
             .find((table) => table.caption.textContent === arguments[0]);
           return [...table.tBodies[0].rows].map((row) => row.cells[arguments[1]].textContent);""",
        caption,
        column,
    )


def _buttons(browser, caption):
    from selenium.webdriver.common.by import By

    (table,) = [
        table
        for table in browser.find_elements(By.TAG_NAME, "table")
        if table.find_element(By.TAG_NAME, "caption").text == caption
    ]
    return table.find_elements(By.CSS_SELECTOR, "thead button")


def _sort_state(browser, button):
    return browser.execute_script("return arguments[0].parentNode.ariaSort", button)


def test_a_click_on_a_heading_sorts_by_value_and_says_so(show):
    browser = show("one")
    rank, synflow, trained, *_ = _buttons(browser, "Candidates")
    assert _sort_state(browser, rank) == "ascending"
    synflow.click()
    assert _column(browser, "Candidates", 0) == ["4", "3", "2", "1"]
    assert _sort_state(browser, synflow) == "ascending"
    assert _sort_state(browser, rank) is None
    synflow.click()
    assert _column(browser, "Candidates", 0) == ["1", "2", "3", "4"]
    assert _sort_state(browser, synflow) == "descending"
    told = browser.execute_script("return document.getElementById('announcement').textContent")
    assert told == "Candidates: sorted by synflow, descending"
    for _ in range(2):  # what was not scored stays last
        trained.click()
        assert _column(browser, "Candidates", 2)[2:] == ["-", "-"]


def test_the_keyboard_sorts_too(show):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = show("one")
    buttons = _buttons(browser, "Candidates")
    browser.execute_script("arguments[0].focus()", buttons[0])
    ActionChains(browser).send_keys(Keys.TAB, Keys.SPACE).perform()
    assert _column(browser, "Candidates", 0) == ["4", "3", "2", "1"]
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert _column(browser, "Candidates", 0) == ["1", "2", "3", "4"]
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_first_tab_leads_past_the_head_of_the_page(show):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = show("many")
    ActionChains(browser).send_keys(Keys.TAB).perform()
    link = browser.switch_to.active_element
    assert link.text == "Skip to the content"
    assert link.rect["y"] >= 0
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.switch_to.active_element.get_attribute("id") == "main"


@pytest.mark.parametrize("name", ["one", "many"])
@pytest.mark.parametrize("width", [_PHONE, 800])
def test_nothing_is_wider_than_the_screen(show, name, width):
    browser = show(name, width=width)
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    wide = browser.execute_script(
        """const found = [];
           for (const element of document.body.querySelectorAll("*")) {
             if (element.closest(".scroll, .hidden, .skip, svg")) continue;
             const box = element.getBoundingClientRect();
             if (box.width && (box.right > innerWidth + 0.5 || box.left < -0.5))
               found.push(element.outerHTML.slice(0, 80));
           }
           return found;"""
    )
    assert wide == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_charts_on_a_phone_are_as_large_as_they_were_made(show):
    browser = show("one", width=_PHONE)
    scales = browser.execute_script(
        """return [...document.querySelectorAll(".plot svg")]
             .map((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"""
    )
    assert len(scales) > 10
    assert min(scales) > 0.95


@pytest.mark.parametrize("script", [True, False])
def test_all_charts_are_seen_with_and_without_scripts(show, script):
    browser = show("many", script=script)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    shown = browser.execute_script(
        """return [...document.querySelectorAll("figure.chart")].map((figure) => {
             const box = figure.querySelector("svg").getBoundingClientRect();
             return box.width > 200 && box.height > 100 && !!figure.innerText.trim();
           })"""
    )
    assert len(shown) > 30
    assert all(shown)
    buttons = browser.execute_script("return document.querySelectorAll('th button').length")
    assert bool(buttons) == script


def test_a_chart_answers_to_the_pointer(show):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    browser = show("one")
    figures = browser.find_elements(By.CSS_SELECTOR, "figure.chart")
    figure = next(f for f in figures if f.text.startswith("Accuracy"))
    box = figure.find_element(By.TAG_NAME, "svg").rect
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    ActionChains(browser).move_to_element(figure.find_element(By.CLASS_NAME, "plot")).perform()
    wait = WebDriverWait(browser, 20)
    wait.until(lambda _: figure.find_elements(By.CSS_SELECTOR, ".vega-embed svg"))
    after = figure.find_element(By.TAG_NAME, "svg").rect
    assert after["width"] == pytest.approx(box["width"], rel=0.02)
    assert after["height"] == pytest.approx(box["height"], rel=0.05)
    point = figure.find_elements(By.CSS_SELECTOR, ".mark-symbol path")[0]
    ActionChains(browser).move_to_element(point).perform()
    tip = wait.until(lambda _: browser.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible"))
    assert re.search(r"epoch:?\s*1\b", tip.text)


def test_every_chart_can_be_made_by_the_browser(show):
    browser = show("many")
    made = browser.execute_async_script(
        """const done = arguments[0];
           const plots = [...document.querySelectorAll("figure.chart > script")]
             .map((script) => script.previousElementSibling);
           for (const plot of plots) plot.dispatchEvent(new PointerEvent("pointerenter"));
           const wait = () => plots.every((plot) => plot.querySelector(".vega-embed svg"))
             ? done(plots.length) : setTimeout(wait, 50);
           wait();"""
    )
    assert made > 25


def _contrast(first, second):
    def luminance(text):
        values = [float(v) / 255 for v in re.findall(r"[\d.]+", text)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(f * v for f, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_and_their_labels_stand_out_in_both_themes(show, scheme):
    browser = show("many", scheme=scheme)
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    strokes = browser.execute_script(
        """return [...document.querySelectorAll(".plot .mark-line path")]
             .map((path) => getComputedStyle(path).stroke)"""
    )
    labels = browser.execute_script(
        """return [...document.querySelectorAll(".plot text")]
             .map((text) => getComputedStyle(text).fill)"""
    )
    fills = browser.execute_script(
        """return [...document.querySelectorAll(".plot .mark-area path")]
             .map((path) => getComputedStyle(path).fill)"""
    )
    is_dark = _contrast(paper, "rgb(255, 255, 255)") > 10
    assert is_dark == (scheme == "dark")
    assert strokes
    assert fills
    assert min(_contrast(paper, color) for color in {*strokes, *fills}) >= 3
    assert min(_contrast(paper, color) for color in set(labels)) >= 4.5


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("axe_core_python") is None, reason="needs axe")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "width"), [("one", 1200), ("many", 1200), ("many", _PHONE)])
def test_axe_finds_nothing(show, name, width, scheme):
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    browser = show(name, width=width, scheme=scheme)
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    browser.execute_script(axe)
    found = browser.execute_async_script(
        """const done = arguments[0];
           axe.run({ resultTypes: ["violations"] }).then((result) => done(result.violations
             .map((v) => [v.id, v.help, v.nodes[0].html.slice(0, 120)])));"""
    )
    assert found == []


def test_the_page_asks_for_nothing_from_a_network(show):
    import json

    browser = show("many")
    asked = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        for message in [json.loads(entry["message"])["message"]]
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"] == browser.current_url
    ]
    assert browser.current_url in asked
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []

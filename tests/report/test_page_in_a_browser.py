"""The page as a person sees it, in headless Chromium: nothing fails, tables sort, nothing is asked of the network, nothing is cut off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.browser import NAMES, Browser, executable
from tests.report.made_runs import made_study

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        executable() is None and "REQUIRE_BROWSER" not in os.environ,
        reason=f"no browser here ({', '.join(NAMES)}): apt-get install chromium; REQUIRE_BROWSER=1 makes this a failure",
    ),
]

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tmp_path_factory.mktemp("results") / "pendulum"
    settings = {f"algo.lr={lr:g},env=pendulum": {"algo.lr": lr} for lr in (0.0001, 0.0003, 0.001, 0.01)}
    made_study(study, settings | {"algo.clip_eps=0.1,env=pendulum": {"algo.clip_eps": 0.1}})
    ended = subprocess.run([sys.executable, ROOT / "scripts" / "report.py", study], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return study / "report" / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_loads_without_an_error_or_an_outside_request(browser: Browser, page: Path, size: str, dark: bool) -> None:
    browser.show(*SIZES[size], dark=dark)
    browser.open(page)
    assert browser.errors == []
    assert {address.split(":")[0] for address in browser.requests} <= {"file", "data"}
    assert [address for address in browser.requests if address.startswith("file")][-1] == page.as_uri()
    assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_window_but_what_scrolls_by_itself(browser: Browser, page: Path, size: str) -> None:
    browser.show(*SIZES[size])
    browser.open(page)
    width = SIZES[size][0]
    assert browser.run("document.documentElement.scrollWidth") <= width
    outside = browser.run(
        f"""[...document.querySelectorAll('main *, header *, footer *')]
        .filter(it => !it.closest('.scroll, .card, svg') && it.getClientRects().length && it.getBoundingClientRect().right > {width} + 1)
        .map(it => it.outerHTML.slice(0, 80))"""
    )
    assert outside == []


def test_a_phone_gets_the_learning_curves_in_its_own_width(browser: Browser, page: Path) -> None:
    shown = "(() => { const it = document.querySelector('#figure-learning_curves img'); return [it.naturalWidth, it.clientWidth]; })()"
    browser.show(*SIZES["desktop"])
    browser.open(page)
    wide, _ = browser.run(shown)
    browser.show(*SIZES["phone"])
    browser.open(page)
    narrow, drawn = browser.run(shown)
    assert narrow < 0.6 * wide
    assert drawn < SIZES["phone"][0]


def column(browser: Browser, table: int, heading: str) -> list[str]:
    return list(
        browser.run(
            f"""(() => {{ const table = document.querySelectorAll('table.sortable')[{table}];
            const place = [...table.tHead.rows[0].cells].findIndex(it => it.textContent.trim() === '{heading}');
            return [...table.tBodies[0].rows].map(row => row.cells[place].textContent.trim()); }})()"""
        )
    )


def press(browser: Browser, table: int, heading: str) -> None:
    """With the keyboard: focus on the heading, then Enter."""
    browser.run(
        f"""[...document.querySelectorAll('table.sortable')[{table}].querySelectorAll('th button')]
        .find(it => it.textContent.trim() === '{heading}').focus()"""
    )
    browser.press("Enter")


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts if text]


def test_a_table_sorts_both_ways_with_the_keyboard(browser: Browser, page: Path) -> None:
    browser.show(*SIZES["desktop"])
    browser.open(page)
    before = numbers(column(browser, 0, "mean"))
    press(browser, 0, "mean")
    down = numbers(column(browser, 0, "mean"))
    assert len(set(before)) == 5 and down == sorted(before, reverse=True)
    assert browser.run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    press(browser, 0, "mean")
    assert numbers(column(browser, 0, "mean")) == sorted(before)
    assert browser.run("document.querySelectorAll('table.sortable')[0].querySelectorAll('th[aria-sort]').length") == 1
    assert browser.errors == []


def test_numbers_sort_as_numbers_words_as_words_and_blanks_last(browser: Browser, page: Path) -> None:
    browser.open(page)
    runs = browser.run("document.querySelectorAll('table.sortable').length") - 1
    press(browser, runs, "lr")
    assert numbers(column(browser, runs, "lr"))[:3] == [0.01] * 3
    press(browser, runs, "lr")
    assert numbers(column(browser, runs, "lr"))[:3] == [0.0001] * 3
    press(browser, runs, "run")
    assert column(browser, runs, "run")[8:11] == ["run 9", "run 10", "run 11"]
    press(browser, runs, "symptoms")
    found = column(browser, runs, "symptoms")
    assert found == sorted(found, key=lambda text: (text == "", text))


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser: Browser, page: Path, dark: bool) -> None:
    """WCAG AA: a contrast of 4.5 for every colour of text that the page uses, on the ground that it uses it on."""
    browser.show(*SIZES["desktop"], dark=dark)
    browser.open(page)
    weakest = browser.run(
        """(() => {
        const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
        const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(linear);
          return .2126 * r + .7152 * g + .0722 * b; };
        const ground = it => { for (; it; it = it.parentElement) { const c = getComputedStyle(it).backgroundColor;
          if (!c.startsWith('rgba(0, 0, 0, 0')) return c; } return 'rgb(255, 255, 255)'; };
        let worst = [99, ''];
        for (const it of document.querySelectorAll('main *, header *, footer *')) {
          if (![...it.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) || !it.getClientRects().length) continue;
          const style = getComputedStyle(it);
          const [a, b] = [light(it.closest('svg') ? style.fill : style.color), light(ground(it))];
          const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          if (contrast < worst[0]) worst = [contrast, it.outerHTML.slice(0, 80)];
        }
        return worst; })()"""
    )
    assert weakest[0] >= 4.5, weakest[1]

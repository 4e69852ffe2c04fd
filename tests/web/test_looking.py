"""That what is looked at on pages is found where it is wrong: a page with each fault, and one without."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.web.looking import serious, sideways, walk
from tests.web.screens import DESKTOP, PHONE, Driver

_GOOD = """<!doctype html><html lang=en><meta name=viewport content="width=device-width"><title>Good</title>
<style>:focus-visible { outline: 3px solid blue }</style>
<main><h1>Good</h1><p><a href="#a">A link</a><button>A button</button>
<label>A field <input type=date></label>
<label><input type=radio name=r>one</label><label><input type=radio name=r>two</label></main>"""


@pytest.fixture(autouse=True)
def desktop(driver: Driver) -> None:
    driver.show_on(DESKTOP)
    driver.said()  # what other pages had to say is not asked about


def show(driver: Driver, body: str) -> None:
    driver.go(f"data:text/html,{quote(_GOOD + body)}")


def test_nothing_is_found_on_a_good_page(driver: Driver) -> None:
    show(driver, "")
    assert sideways(driver, DESKTOP) + serious(driver) + walk(driver) + driver.said() == []


def test_a_wide_page_is_found(driver: Driver) -> None:
    driver.show_on(PHONE)
    show(driver, "<pre id=wide style='width: 500px; margin: 0'>x</pre>")
    assert any('id="wide"' in line for line in sideways(driver, PHONE))


def test_a_field_without_a_label_and_faint_words_are_found(driver: Driver) -> None:
    show(driver, "<input><p style='color: #bbb; background: #fff'>Faint.</p>")
    assert {line.partition(":")[0] for line in serious(driver)} == {"label", "color-contrast"}
    assert {line.partition(":")[0] for line in serious(driver, colours_alone=True)} == {"color-contrast"}


def test_a_focus_that_is_not_seen_and_a_control_without_one_are_found(driver: Driver) -> None:
    show(
        driver,
        "<button style='outline: none'>x</button><a href='#b' style='position: fixed; left: -99px'>x</a>",
    )
    assert sorted(line.partition(" on ")[0] for line in walk(driver)) == ["the focus is not seen"] * 2
    show(driver, "<button id=trap onblur='this.focus()'>x</button><button id=beyond>y</button>")
    assert any("beyond" in line and line.startswith("no Tab leads") for line in walk(driver))


@pytest.mark.parametrize("driver", ["browser"], indirect=True)  # the other one does not tell
def test_what_the_console_says_is_found(driver: Driver) -> None:
    show(driver, "<script>nothing.at.all()</script>")
    assert "nothing is not defined" in driver.said()[0]

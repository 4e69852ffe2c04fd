"""What is looked at on a page: its width, what axe-core finds, and where the Tab key leads."""

from __future__ import annotations

import importlib.resources
from typing import Any, Final

from tests.web.screens import Driver, Screen

# axe-core 4.14.1 from npm, https://github.com/dequelabs/axe-core, as it is; its licence is beside it.
_AXE: Final = importlib.resources.files("tests.web").joinpath("axe/axe.min.js").read_text()
TAB: Final = "\ue004"  # as WebDriver writes the key
_SERIOUS: Final = ("serious", "critical")
# A frame that runs no scripts runs no axe-core either: what is in it is somebody's mail.
_RUN: Final = (
    "return axe.run(document, {resultTypes: ['violations'], iframes: false, %s}).then(found => found.violations)"
)
_ALL: Final = _RUN % "rules: {}"
_COLOURS: Final = _RUN % "runOnly: ['color-contrast']"

_SIDEWAYS: Final = """
const width = arguments[0];
if (document.documentElement.scrollWidth <= width) return [];
return [...document.body.querySelectorAll("*")].filter(element => element.getBoundingClientRect().right > width + 1
  && !element.closest(".scroll")).map(element => element.outerHTML.slice(0, 120)).slice(0, 3).concat(["(wide)"]);
"""

# What can be reached by Tab: of radio buttons of one name, one.
_CONTROLS: Final = """
const names = new Set();
window.__controls = [...document.querySelectorAll(
  "a[href], button, input:not([type=hidden]), select, textarea, summary, iframe, [tabindex]")]
  .filter(element => element.tabIndex >= 0 && !element.disabled && element.checkVisibility({visibilityProperty: true}))
  .filter(element => {
    if (element.type !== "radio") return true;
    const group = [...document.getElementsByName(element.name)];
    if (group.some(other => other.checked)) return element.checked;
    const first = !names.has(element.name);
    names.add(element.name);
    return first;
  });
window.__reached = new Map();
const reached = () => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const onScreen = box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight;
  window.__reached.set(element, outlined && onScreen);
};
document.addEventListener("focusin", reached, true);
if (document.activeElement) document.activeElement.blur();
return [window.__controls.length, window.__controls.some(element => element.matches("iframe"))];
"""
# Into a frame the focus goes without an event here, and what has it there shows it there.
_LOOK_INTO_FRAME: Final = """
if (document.activeElement.matches("iframe")) window.__reached.set(document.activeElement, true);
"""
_MISSED: Final = """
const told = elements => elements.map(element => element.outerHTML.slice(0, 160));
return [told(window.__controls.filter(element => !window.__reached.has(element))),
  told(window.__controls.filter(element => window.__reached.get(element) === false))];
"""


def sideways(driver: Driver, screen: Screen) -> list[str]:
    """What makes the page wider than the screen, in HTML; nothing where it is not."""
    return list(driver.run(_SIDEWAYS, screen.width))


def serious(driver: Driver, *, colours_alone: bool = False) -> list[str]:
    """What axe-core finds serious or critical: the rule and the elements."""
    if not driver.run("return typeof window.axe === 'object'"):
        driver.run(_AXE)
    found: list[dict[str, Any]] = driver.run(_COLOURS if colours_alone else _ALL)
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']][:4]}"
        for each in found
        if each["impact"] in _SERIOUS
    ]


def walk(driver: Driver) -> list[str]:
    """Press Tab until every control had the focus; those that never had it, and those where it could not be seen."""
    controls, has_frame = driver.run(_CONTROLS)
    for _ in range(4):  # fields of dates have several stops
        for keys in [TAB] * (controls + 2) if has_frame else [TAB * (controls + 2)]:
            driver.press(keys)
            driver.run(_LOOK_INTO_FRAME)
        unreached, unseen = driver.run(_MISSED)
        if not unreached and not unseen:
            break
    return [f"no Tab leads to {html}" for html in unreached] + [f"the focus is not seen on {html}" for html in unseen]

"""The page lists what there is, dashboard and alerts ask for what there is, and live gauges are read when asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from twisted.internet import reactor

from lightmail.metrics import REGISTRY, Live, Reading
from lightmail.web.exposition import exposition
from tests.support.metricspage import metrics_on_the_page
from tests.support.reactor import run

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\b((?:lightmail|imap|emails|process|python)_[a-z0-9_]+)\b")


def exposed() -> dict[str, set[str]]:
    """Every metric of the registry by the name it is exposed under, with its labels."""
    found: dict[str, set[str]] = {}
    for collector in list(REGISTRY._collector_to_names):
        own = set(getattr(collector, "_labelnames", ())) | set(getattr(collector, "_labels", ()))
        describe = getattr(collector, "describe", None)
        for family in describe() if describe is not None else collector.collect():
            labels = own or {label for sample in family.samples for label in sample.labels} - {"le"}
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            found[family.name + suffix] = labels | ({"version"} if family.type == "info" else set())
    return found


def test_the_page_lists_every_metric_with_its_labels() -> None:
    listed = {name: set(labels) for name, labels in metrics_on_the_page().items()}
    assert listed == {name: labels for name, labels in exposed().items() if name != "lightmail_test"}


def series() -> set[str]:
    """The names that can stand in a query."""
    names = exposed()
    return {*names, *(f"{name}{suffix}" for name in names for suffix in ("_bucket", "_sum", "_count"))}


def test_dashboard_and_alerts_ask_for_metrics_that_there_are() -> None:
    asked = [*expressions(), (ROOT / "etc/prometheus/alerts.yml").read_text()]
    names = {name for text in asked for name in NAME.findall(text)}
    assert len(names) > 40
    assert names <= series()


def expressions() -> list[str]:
    """What the dashboard's panels ask."""
    dashboard = json.loads((ROOT / "etc/grafana/lightmail.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    dashboard = json.loads((ROOT / "etc/grafana/lightmail.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


class Thing:
    """Something that is counted."""

    def __init__(self, value: int) -> None:
        self.value = value

    def readings(self) -> Iterator[Reading]:
        yield ("a",), self.value
        yield ("b",), 1


def test_a_live_gauge_adds_up_what_is_there() -> None:
    gauge = Live("lightmail_test", "Things.", ["kind"])
    try:
        things: list[Any] = [Thing(1), Thing(2)]
        for thing in things:
            gauge.watch(thing, Thing.readings)
        assert REGISTRY.get_sample_value("lightmail_test", {"kind": "a"}) == 3
        assert REGISTRY.get_sample_value("lightmail_test", {"kind": "b"}) == 2
        things[1].value = 10
        del things[0], thing
        assert REGISTRY.get_sample_value("lightmail_test", {"kind": "a"}) == 10
        things.clear()
        assert REGISTRY.get_sample_value("lightmail_test", {"kind": "a"}) is None
    finally:
        REGISTRY.unregister(gauge)


def test_the_page_is_written_in_slices_as_it_would_be_in_one() -> None:
    def still(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith(("process_", "lightmail_reactor_stall"))]

    assert still(run(exposition(reactor)).decode()) == still(generate_latest(REGISTRY).decode())

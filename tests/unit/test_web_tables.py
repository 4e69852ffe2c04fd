"""Lists on a phone: each cell says the name of its column, as the head of the table has it."""

from __future__ import annotations

import re
from importlib import resources

import pytest

_TEMPLATES = resources.files("lightmail.web.pages") / "templates"
_LISTS = re.compile(r'<table class="[a-z ]*\brows\b[a-z ]*">.*?</table>', re.S)
# Tables whose columns are known when they are drawn.
_MADE_BY_LOOPS = {"job.html"}


@pytest.mark.parametrize("name", sorted(file.name for file in _TEMPLATES.iterdir()))
def test_cells_say_what_their_columns_are_called(name: str) -> None:
    text = (_TEMPLATES / name).read_text()
    for table in _LISTS.findall(text) if name not in _MADE_BY_LOOPS else ():
        head, _, body = table.partition("<tbody>")
        columns = [re.sub("<[^>]*>", "", each) for each in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", head, re.S)]
        cells = re.findall(r"<(td|th)((?: [a-z-]+=\"[^\"]*\")*)>", body)
        assert len(cells) == len(columns)
        for (tag, given), column in zip(cells, columns, strict=True):
            said = re.search('data-label="([^"]*)"', given)
            assert tag == "th" or "tick" in given or (said and said[1] == column), column

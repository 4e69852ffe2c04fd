"""QR codes: what is drawn is the code, with its quiet zone, dot for dot."""

from __future__ import annotations

import re

import pytest
import segno

from lightmail.web.pages import qr


def dots(drawn: qr.Drawn) -> list[list[int]]:
    """What the path covers, in rows of 1 for dark."""
    found = [[0] * drawn.size for _ in range(drawn.size)]
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", drawn.path)
    assert "".join(f"M{x} {y}h{there}v1h-{back}z" for x, y, there, back in runs) == drawn.path
    for x, y, there, back in runs:
        assert there == back
        for place in range(int(x), int(x) + int(there)):
            assert found[int(y)][place] == 0
            found[int(y)][place] = 1
    return found


@pytest.mark.parametrize(
    "text", ["https://mail.example.org/web/client-settings", "otpauth://totp/x:y?secret=A", "ü" * 500]
)
def test_what_is_drawn_is_the_code(text: str) -> None:
    code = segno.make_qr(text, error="m")
    assert dots(qr.drawn(text)) == [list(row) for row in code.matrix_iter(border=4)]

"""The base subject of RFC 5256 section 2.1."""

from __future__ import annotations

import pytest

from lightmail.mime.subjects import base_subject


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("", ""),
        ("hello", "hello"),
        ("Re: hello", "hello"),
        ("RE : FW: fwd: hello", "hello"),
        ("Re[2]: hello", "hello"),
        ("re [list]: hello", "hello"),
        ("[list] Re: hello", "hello"),
        ("[list] hello", "hello"),
        ("Re: [list] Re: hello", "hello"),
        ("[a][b] hello", "hello"),
        ("[list]", "[list]"),
        ("Re: [list]", "[list]"),
        ("hello (fwd)", "hello"),
        ("hello (FWD) (fwd) ", "hello"),
        ("[Fwd: hello]", "hello"),
        ("[fwd: Re: [list] hello (fwd)]", "hello"),
        ("  many\t\r\n spaces ", "many spaces"),
        ("Regarding: hello", "Regarding: hello"),
        ("Re hello", "Re hello"),
        ("hello Re: you", "hello Re: you"),
        ("[open hello", "[open hello"),
        ("(fwd)", ""),
        ("Re:", ""),
    ],
)
def test_base_subject(subject: str, base: str) -> None:
    assert base_subject(subject) == base

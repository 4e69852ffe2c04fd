"""Charset labels of mail to text, without ever raising.

Labels come from strangers, so they are looked up in a table made once: ``codecs.lookup`` would import modules by
their names, keep every unknown name for ever, and offer codecs that are no charsets (``punycode`` is quadratic,
``unicode_escape`` warns).
"""

from __future__ import annotations

import re
from encodings.aliases import aliases
from typing import Final

# Python codec modules that are charsets of mail. UTF-7 still occurs in old mail (RFC 2152).
_CHARSETS: Final = frozenset(
    """
    ascii utf_8 utf_7 utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le
    latin_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11
    iso8859_13 iso8859_14 iso8859_15 iso8859_16 koi8_r koi8_u koi8_t kz1048 ptcp154 hp_roman8 tis_620
    cp037 cp424 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864
    cp865 cp866 cp869 cp874 cp875 cp932 cp949 cp950 cp1006 cp1026 cp1125 cp1140
    cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258
    mac_croatian mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish
    big5 big5hkscs gb2312 gbk gb18030 hz johab shift_jis shift_jis_2004 shift_jisx0213
    euc_jp euc_jis_2004 euc_jisx0213 euc_kr
    iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr
    """.split()
)

# What senders mean by a label is often a superset of what it says (the WHATWG encoding standard has the list).
_MEANT: Final = {
    "latin_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "tis_620": "cp874",
    "iso8859_9": "cp1254",
    "iso2022_jp": "iso2022_jp_ext",
}
_OTHER_LABELS: Final = {
    "x_sjis": "cp932",
    "x_gbk": "gb18030",
    "x_euc_jp": "euc_jp",
    "x_big5": "big5",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "unicode_1_1_utf_7": "utf_7",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "windows_874": "cp874",
    "windows_949": "cp949",
    "cp_850": "cp850",
}
# No label, or one that says no more than "text": judged by the octets themselves.
_GUESS: Final = frozenset({"ascii"})

_PUNCTUATION = re.compile(r"[^a-z0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _normalise(label: str) -> str:
    return _PUNCTUATION.sub("_", label.lower()).strip("_")


def _table() -> dict[str, str]:
    table = {_normalise(name): name for name in _CHARSETS}
    table.update((_normalise(alias), name) for alias, name in aliases.items() if name in _CHARSETS)
    table.update(_OTHER_LABELS)
    # "iso-8859-15" and "iso_8859_15:1998" are aliases, "iso-8859_2" and the like come out of _normalise.
    table.update((f"iso_8859_{n}", f"iso8859_{n}") for n in (*range(2, 12), *range(13, 17)))
    table["iso_8859_1"] = "latin_1"
    return {label: "" if name in _GUESS else _MEANT.get(name, name) for label, name in table.items()}


# Normalised label to codec; "" for labels that say no more than "text".
CODECS: Final = _table()


def codec_of(charset: bytes) -> str:
    """Return the Python codec for a charset label, or "" where there is none or it says only "ASCII"."""
    if len(charset) > 64:
        return ""
    return CODECS.get(_normalise(charset.decode("latin-1")), "")


def decode_unlabelled(octets: bytes) -> str:
    """Return text for octets of no known charset: UTF-8 where they are that, else Latin-1. Never raises."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def decode(octets: bytes, charset: bytes) -> str:
    """Return ``octets`` as text that UTF-8 can hold, by the label ``charset`` (b"" if none). Never raises.

    What the charset cannot explain becomes U+FFFD; unknown labels fall back to :func:`decode_unlabelled`.
    """
    codec = codec_of(charset) if charset else ""
    if not codec:
        return decode_unlabelled(octets)
    text = octets.decode(codec, "replace")
    # UTF-7 can spell lone surrogates, which no database or client would take.
    return _SURROGATE.sub("\ufffd", text) if codec == "utf_7" else text

"""Passwords as text: the OpaqueString profile of RFC 8265 section 4.2, on the FreeformClass of RFC 8264.

So that a password typed on one system, composed or decomposed, matches the same one typed on another.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from typing import Final

from lightmail.errors import Invalid

# Longer ones only serve to keep a core busy.
PASSWORD_OCTETS: Final = 1024

_ALLOWED: Final = frozenset(
    # LetterDigits, OtherLetterDigits, Spaces, Symbols, Punctuation (RFC 8264 section 9)
    "Ll Lu Lo Nd Lm Mn Mc Lt Nl No Me Zs Sm Sc Sk So Pc Pd Ps Pe Pi Pf Po".split()
)
# First and last code points that stay out although their category is in: the Exceptions with the value DISALLOWED,
# OldHangulJamo, and Default_Ignorable_Code_Point (sections 9.6, 9.9, 9.13).
_DISALLOWED: Final = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x0640, 0x0640),
    (0x07FA, 0x07FA),
    (0x1100, 0x11FF),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x302E, 0x302F),
    (0x3031, 0x3035),
    (0x303B, 0x303B),
    (0x3164, 0x3164),
    (0xA960, 0xA97C),
    (0xD7B0, 0xD7FB),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
_STARTS: Final = [first for first, _ in _DISALLOWED]
_VIRAMA: Final = 9


def enforce(password: str) -> str:
    """The form of a new password that is hashed. Raises Invalid for one that RFC 8265 does not permit."""
    mapped = _mapped(password)
    if not mapped:
        raise Invalid("The password is empty.")
    if any(not _permitted(mapped, place) for place in range(len(mapped))):
        raise Invalid("The password has a character that cannot be typed reliably, such as a control character.")
    if len(mapped.encode()) > PASSWORD_OCTETS:
        raise Invalid(f"The password is longer than {PASSWORD_OCTETS} octets.")
    return mapped


def comparable(password: str | bytes) -> bytes | None:
    """The form of a claimed password that a hash is checked against; None for one that no account can have.

    Characters are not held to the FreeformClass again: a password with others was never set, so it cannot match.
    """
    try:
        text = password if isinstance(password, str) else password.decode("utf-8")
        octets = _mapped(text).encode("utf-8")
    except UnicodeError:
        return None
    return octets if 0 < len(octets) <= PASSWORD_OCTETS and b"\0" not in octets else None


def _mapped(text: str) -> str:
    """Spaces of every kind made ASCII's, then NFC; case, width and direction stay (RFC 8265 section 4.2.1)."""
    if text.isascii():
        return text
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def _permitted(text: str, place: int) -> bool:
    """Whether the character at `place` may stand there (RFC 8264 section 8)."""
    character = text[place]
    point = ord(character)
    if 0x20 <= point <= 0x7E:
        return True
    if character in _CONTEXTUAL:
        return _in_context(text, place)
    category = unicodedata.category(character)
    if category not in _ALLOWED:
        return False
    span = bisect_right(_STARTS, point) - 1
    return span < 0 or point > _DISALLOWED[span][1]


_ARABIC_DIGITS: Final = frozenset(map(chr, range(0x0660, 0x066A)))
_EXTENDED_DIGITS: Final = frozenset(map(chr, range(0x06F0, 0x06FA)))
_JOINERS: Final = frozenset("\u200c\u200d")
_CONTEXTUAL: Final = _JOINERS | _ARABIC_DIGITS | _EXTENDED_DIGITS | frozenset("\u00b7\u0375\u05f3\u05f4\u30fb")


def _in_context(text: str, place: int) -> bool:
    """The contextual rules of RFC 5892 appendix A."""
    character = text[place]
    before = text[place - 1] if place else ""
    after = text[place + 1] if place + 1 < len(text) else ""
    if character in _JOINERS:
        if before and unicodedata.combining(before) == _VIRAMA:
            return True
        # The joining types of letters are not at hand: between letters of the Arabic script stands for the rule.
        return character == "\u200c" and _of_script("ARABIC", before) and _of_script("ARABIC", after)
    if character == "\u00b7":
        return before == after == "l"
    if character == "\u0375":
        return _of_script("GREEK", after)
    if character in "\u05f3\u05f4":
        return _of_script("HEBREW", before)
    if character == "\u30fb":
        return any(_of_script(script, other) for other in text for script in ("HIRAGANA", "KATAKANA LETTER", "CJK"))
    others = _EXTENDED_DIGITS if character in _ARABIC_DIGITS else _ARABIC_DIGITS
    return not others & set(text)


def _of_script(script: str, character: str) -> bool:
    return bool(character) and unicodedata.name(character, "").startswith(script)

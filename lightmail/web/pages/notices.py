"""What pages say of what was just done. The address bar has a key alone: nobody puts his words on a page of ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

TEXTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "signed-out": "You are signed out.",
        "ended": "You were signed out, or this page has been open for too long. Sign in again.",
        "password": "The password is changed. Other browsers that were signed in are signed out.",
        "totp-added": "From now on a code of your app is asked for when you sign in.",
        "totp-removed": "No code is asked for any more.",
    }
)

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
        "domain-added": "The domain is added. Its accounts come next.",
        "domain-limited": "The limit is set.",
        "domain-deleted": "The domain is deleted.",
        "account-added": "The account is added. Client settings, below, has what its owner enters in a phone.",
        "account-changed": "The settings are saved.",
        "account-password": "The password is changed, and all clients are disconnected.",
        "account-disabled": "The account is disabled, and its clients are disconnected.",
        "account-enabled": "The account is enabled. Mail that has waited comes in when its senders try again.",
        "account-deleted": "The account is deleted. It can be brought back under Deleted accounts.",
        "account-restored": "The account is back, with its password, mailboxes and messages.",
        "app-password-revoked": "The app password is revoked, and opens nothing any more.",
        "client-ended": "The client is disconnected within some seconds.",
        "client-gone": "That client had gone already.",
        "clients-ended": "All clients are disconnected within some seconds.",
        "message-copied": "This is the copy of the message.",
        "message-moved": "The message is moved; this is where it is now.",
        "message-deleted": "The message is deleted. It can be restored under Deleted mail of its account.",
        "message-restored": "The message is restored; this is where it is now.",
        "messages-restored": "The messages are back in the mailboxes they were in.",
        "restoring": "The messages are being restored, and will be whether you stay here or not.",
        "nothing-restored": "There was nothing to restore any more: somebody else was sooner, or their time was over.",
        "alias-added": "The alias is added.",
        "alias-deleted": "The alias does not lead there any more.",
        "administrator-added": "The administrator is added, and can sign in.",
        "administrator-role": "The role is changed.",
        "administrator-password": "The password is changed, and the administrator is signed out everywhere.",
        "administrator-codes": "No code is asked for any more.",
        "administrator-disabled": "The administrator is disabled and signed out.",
        "administrator-enabled": "The administrator can sign in again.",
        "administrator-deleted": "The administrator is deleted.",
        "token-revoked": "The token is revoked, and opens nothing any more.",
        "session-ended": "The client is disconnected within some seconds.",
        "session-gone": "That client had gone already.",
        "job-started": "The job is queued.",
        "job-cancelled": "The job is cancelled; one that is running ends within some seconds.",
        "job-ended": "The job had ended already.",
        "event-retried": "The event is tried again now.",
        "event-gone": "That event had arrived already, or was dropped.",
        "events-retried": "All events that were given up are tried again now.",
        "no-events": "No event was given up: there is nothing to try again.",
    }
)

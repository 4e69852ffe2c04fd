"""The table of checks: what each finding means, what an operator does about it, what ``--repair`` does.

A check over rows is a row here and a condition in `store.suspects`, of the same name. What needs the object store is
looked for in `listing`, `contents` and `snapshots`. Another derived thing that can disagree with its rows is one more
row here and one more pass in `run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lightmail.jobs.verify import repairs
from lightmail.jobs.verify.findings import Finding, Severity
from lightmail.jobs.verify.steps import Hands
from lightmail.store.mending import REMOVABLE
from lightmail.store.suspects import Suspect

Repair = Callable[[Hands, Sequence[Suspect]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of finding. `mends` says what a repair does, None: nothing; `repair` does it for suspects of one range.

    Where `mends` is given without `repair`, the pass that finds it repairs it itself.
    """

    name: str
    severity: Severity
    means: str
    todo: str
    mends: str | None = None
    repair: Repair | None = None

    def finding(self, *, repaired: bool = False, **named: object) -> Finding:
        """A finding of this kind."""
        todo = self.todo if self.mends is None or repaired else f"--repair {self.mends}"
        return Finding(self.name, self.severity, self.means, todo, repaired=repaired, **named)  # type: ignore[arg-type]


_LOSS, _FAULT, _LEFTOVER = Severity.LOSS, Severity.FAULT, Severity.LEFTOVER
_RECOVER: Final = "bring the object back from a copy of the bucket, or expunge the message"
_COUNTERS: Final = "settles the mailbox's counters"

_MESSAGES: Final = (
    Check(
        "message-without-mailbox",
        _FAULT,
        "the message's mailbox has no row",
        "restore the mailbox's row",
        "gives it a mailbox `Recovered N`, if its account is there",
        repairs.restore_mailboxes,
    ),
    Check(
        "message-of-other-account",
        _FAULT,
        "the message's row names another account than its mailbox does",
        "",
        "lets it name its mailbox's account",
        repairs.own_messages,
    ),
    Check(
        "uid-twice",
        _FAULT,
        "another message has the same UID",
        "",
        "gives the later one a new UID",
        repairs.take_uids,
    ),
    Check(
        "uid-not-below-uidnext",
        _FAULT,
        "the mailbox would give the message's UID again",
        "",
        _COUNTERS,
        repairs.settle_counters,
    ),
    Check(
        "modseq-above-mailbox",
        _FAULT,
        "the message's MODSEQ is above the mailbox's, so that changes are missed",
        "",
        _COUNTERS,
        repairs.settle_counters,
    ),
    Check("message-without-object", _LOSS, "the message refers to no object that has a row", _RECOVER),
    Check(
        "tombstone-without-object",
        _LOSS,
        "the expunged message refers to an object that has no row, and cannot be restored",
        "",
        "drops the reference",
        repairs.drop_dead_references,
    ),
    Check(
        "object-not-live",
        _FAULT,
        "the message refers to an object that is condemned or quarantined",
        "",
        "makes the object LIVE",
        repairs.acquit,
    ),
    Check(
        "octets-differ",
        _FAULT,
        "the message's size is not its object's",
        "run with --deep",
        "takes the object's, if the object itself says so",
        repairs.set_octets,
    ),
    Check(
        "fate-impossible",
        _FAULT,
        "the message is live with a fate, or deleted without one",
        "",
        "takes the fate away, or lets it count as expunged",
        repairs.settle_fates,
    ),
    Check(
        "moved-with-object",
        _FAULT,
        "a message that was moved or restored still holds its object",
        "",
        "drops the reference, or lets it count as expunged where nobody else has the object",
        repairs.settle_moved,
    ),
    Check(
        "flag-without-name",
        _FAULT,
        "the message has a flag that its mailbox has no name for",
        "",
        "clears the flag",
        repairs.clear_nameless_bits,
    ),
)

_MAILBOXES: Final = (
    Check(
        "mailbox-without-account",
        _FAULT,
        "the mailbox's account has no row",
        "restore the account's row from a backup; nobody can read the mailbox until then",
    ),
    Check(
        "mailbox-of-deleted-account",
        _FAULT,
        "the account is deleted, the mailbox is not",
        "",
        "marks it deleted as of the account's deletion",
        repairs.delete_mailboxes,
    ),
    Check(
        "forgotten-above-highest",
        _FAULT,
        "the mailbox has forgotten changes that it never had",
        "",
        _COUNTERS,
        repairs.settle_counters,
    ),
    Check(
        "recent-not-below-uidnext",
        _FAULT,
        "messages to come count as seen before",
        "",
        _COUNTERS,
        repairs.settle_counters,
    ),
    Check(
        "journal-above-highest",
        _FAULT,
        "the journal is ahead of the mailbox, so that it would miss changes",
        "",
        "has the mailbox journalled whole",
        repairs.settle_counters,
    ),
    Check(
        "epoch-above-store",
        _FAULT,
        "the mailbox is of an epoch that the store has not reached",
        "",
        "lets its counters jump before they are next used",
        repairs.settle_counters,
    ),
    Check(
        "uidvalidity-not-below-next",
        _FAULT,
        "the account would give the mailbox's UIDVALIDITY again",
        "",
        "raises what the account gives next",
        repairs.raise_uidvalidities,
    ),
    Check(
        "mailbox-name-twice",
        _FAULT,
        "two mailboxes of the account have this name",
        "",
        "calls the later one `Recovered N`",
        repairs.rename_twins,
    ),
)

_ACCOUNTS: Final = (
    Check("account-without-domain", _FAULT, "the account's domain has no row", "add the domain again, with its old id"),
    Check(
        "account-without-inbox",
        _FAULT,
        "the account has no INBOX, and its mail is deferred",
        "",
        "makes one",
        repairs.create_inboxes,
    ),
    Check("usage-missing", _FAULT, "nothing counts what the account uses", "", "counts it", repairs.recount),
    Check(
        "usage-differs",
        _FAULT,
        "what the account uses is not what its messages sum up to",
        "",
        "counts it anew",
        repairs.recount,
    ),
)

_OBJECTS: Final = (
    Check(
        "object-without-mark",
        _LEFTOVER,
        "the object is not LIVE, and nothing says since when",
        "",
        "lets its time begin now",
        repairs.settle_marks,
    ),
    Check(
        "object-live-but-marked",
        _FAULT,
        "the object is LIVE and marked as condemned",
        "",
        "removes the mark",
        repairs.settle_marks,
    ),
    Check("object-absent", _LOSS, "the object is not in the store", _RECOVER),
    Check(
        "orphan",
        _LEFTOVER,
        "the object has no row",
        "",
        "quarantines it: the collector deletes it after undelete_days",
    ),
    Check(
        "foreign-key",
        _LEFTOVER,
        "a key below emails/, indexes/ or calendars/ that LightMail never made",
        "remove it by hand, if it is yours",
    ),
    Check("object-damaged", _LOSS, "the object does not expand to the octets that were stored", _RECOVER),
    Check(
        "object-row-differs",
        _FAULT,
        "the object is sound, and its row says otherwise",
        "",
        "corrects the row",
    ),
    Check(
        "object-misdescribed",
        _FAULT,
        "the message is served, but what its object says of itself is not true: the bucket alone cannot give it back",
        "bring the object back from a copy of the bucket; else copy the message out and append it again",
    ),
    Check(
        "object-of-others",
        _FAULT,
        "a message refers to an object that was not made for its account",
        "find out how that came about before anything else; expunge the message",
    ),
    Check("rendering-missing", _FAULT, "the message cannot be listed: it has no rendering", "", "renders it"),
    Check("rendering-differs", _FAULT, "the rendering is not what the message renders to", "", "renders it anew"),
)

_DROPS_IT: Final = "drops it: another is written, and the collector deletes its objects"
_SNAPSHOTS: Final = (
    Check(
        "snapshot-differs",
        _FAULT,
        "the snapshot of the mailbox's index says something else than its rows do",
        "",
        f"{_DROPS_IT}; restart the servers that have read it",
    ),
    Check("snapshot-unusable", _LEFTOVER, "the snapshot of the mailbox's index cannot be read", "", _DROPS_IT),
    Check("snapshot-without-mailbox", _LEFTOVER, "the snapshot is of a mailbox that is gone", "", "drops it"),
    Check(
        "snapshot-leftover",
        _LEFTOVER,
        "an object of snapshots that belongs to none",
        "",
        "leaves it to the collector",
    ),
)

_CALENDARS: Final = (
    Check(
        "event-object-not-kept",
        _FAULT,
        "the text of the event is left to the collector",
        "",
        "keeps it",
        repairs.keep_event_objects,
    ),
    Check(
        "event-absent",
        _LOSS,
        "the text of the event is not in the store",
        "bring the object back from a copy of the bucket, or delete the event",
    ),
    Check(
        "event-damaged",
        _LOSS,
        "the text of the event is not what was stored",
        "bring the object back from a copy of the bucket, or delete the event",
    ),
    Check("event-object-leftover", _LEFTOVER, "a text that no event refers to", "", "leaves it to the collector"),
)

_DANGLING_MEANING: Final = {
    "mark-without-object": "marks an object as condemned that has no row",
    "rendering-without-object": "renders an object that has no row",
    "keyword-without-mailbox": "names a keyword of a mailbox that is gone",
    "unused-keyword-without-mailbox": "notes a keyword of a mailbox that is gone",
    "subscription-without-account": "subscribes an account that is gone",
    "former-name-without-account": "remembers a name of an account that is gone",
    "usage-without-account": "counts what an account uses that is gone",
    "journal-mark-without-account": "says how far the journal is with an account that is gone",
    "quota-warning-without-account": "notes a warning to an account that is gone",
    "app-password-without-account": "is an app password of an account that is gone",
    "domain-limit-without-domain": "limits a domain that is gone",
    "calendar-without-account": "is a calendar of an account that is gone",
    "event-without-calendar": "is an event of a calendar that is gone",
    "deleted-view-without-account": "shows deleted messages of an account that is gone",
    "deleted-uid-without-message": "gives a UID in the Deleted tree to a message that is gone",
}

_DANGLING: Final = (
    *(
        Check(name, _LEFTOVER, f"the row {_DANGLING_MEANING[name]}", "", "removes the row", repairs.remover(name))
        for name in sorted(REMOVABLE)
    ),
    Check(
        "alias-without-domain",
        _FAULT,
        "the alias's domain has no row; mail still goes where it leads",
        "add the domain again and the alias anew, or delete the alias",
    ),
)

CHECKS: Final = {
    check.name: check
    for check in (*_MESSAGES, *_MAILBOXES, *_ACCOUNTS, *_OBJECTS, *_SNAPSHOTS, *_CALENDARS, *_DANGLING)
}

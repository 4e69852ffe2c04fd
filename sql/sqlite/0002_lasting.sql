-- What keeps mail for good: collection, epochs, undeletion, the journal, quota warnings, events and background jobs.

-- One row. lineage, epoch, passes and high_water_us: who this database is and how far the collector came; `meta/epoch`
-- in the bucket says the same, so that a database that is behind its bucket is known. lineage is empty until the first
-- look at the bucket. frozen_at 0: collection is allowed; else since when it is not, and why.
CREATE TABLE IF NOT EXISTS collection (
    id INTEGER PRIMARY KEY,
    lineage BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    passes INTEGER NOT NULL,
    high_water_us INTEGER NOT NULL,
    frozen_at INTEGER NOT NULL,
    frozen_reason BLOB NOT NULL
);

-- Objects that are not LIVE, and since when: what the collector will delete.
CREATE TABLE IF NOT EXISTS condemned (
    object INTEGER PRIMARY KEY,
    since_us INTEGER NOT NULL,
    reason BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS condemned_since ON condemned (since_us);

-- Where background jobs are: cursors and progress as JSON, in the job's own terms.
CREATE TABLE IF NOT EXISTS job_progress (
    name BLOB NOT NULL PRIMARY KEY,
    state BLOB NOT NULL,
    updated_at INTEGER NOT NULL
);

-- Keywords that no message has: since when; and once `retired`, since when their bit has no name and rests.
CREATE TABLE IF NOT EXISTS unused_keywords (
    mailbox INTEGER NOT NULL,
    flag_bit INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    retired INTEGER NOT NULL,
    PRIMARY KEY (mailbox, flag_bit)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unused_keywords_since ON unused_keywords (retired, since_us);

-- The mailboxes of the `Deleted` tree that were ever opened, one for each name: all expunged messages of all mailboxes
-- of that name. epoch: of its UIDs; in a later one they begin anew under another UIDVALIDITY.
CREATE TABLE IF NOT EXISTS deleted_views (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    name BLOB NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL,
    epoch INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS deleted_views_name ON deleted_views (account, name);

-- The UIDs that expunged messages have there, given when they are first seen; gone with what can be restored.
CREATE TABLE IF NOT EXISTS deleted_uids (
    deleted_view INTEGER NOT NULL,
    deleted_uid INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (deleted_view, deleted_uid)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS deleted_uids_message ON deleted_uids (deleted_view, mailbox, uid);
CREATE INDEX IF NOT EXISTS deleted_uids_uid ON deleted_uids (mailbox, uid);

-- The meta_seq of each account up to which the journal holds its names and subscriptions.
CREATE TABLE IF NOT EXISTS journal_marks (
    account INTEGER PRIMARY KEY,
    meta_seq INTEGER NOT NULL
);

-- How many accounts a domain may have; no row: any number.
CREATE TABLE IF NOT EXISTS domain_limits (
    domain INTEGER PRIMARY KEY,
    accounts INTEGER NOT NULL
);

-- What was said of accounts that run full: kind `warning`, their owners were told that they are nearly full; `exceeded`,
-- mail was refused. The row goes when the account has room again.
CREATE TABLE IF NOT EXISTS quota_warnings (
    account INTEGER NOT NULL,
    kind BLOB NOT NULL,
    warned_at INTEGER NOT NULL,
    PRIMARY KEY (account, kind)
);

-- What others may want to know of: written in the transaction that made it so.
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    happened_at INTEGER NOT NULL,
    kind BLOB NOT NULL,
    account INTEGER NULL,
    detail BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_happened ON events (happened_at);

INSERT INTO collection (id, lineage, epoch, passes, high_water_us, frozen_at, frozen_reason)
    SELECT 1, x'', 1, 0, 0, 0, x'' WHERE NOT EXISTS (SELECT 1 FROM collection);

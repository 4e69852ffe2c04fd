-- What keeps mail for good: collection, epochs, undeletion, the journal, quota warnings, events and background jobs.
-- New tables only: a column added to `messages` or `objects` would rewrite large tables on some servers.

-- One row. lineage, epoch, passes and high_water_us: who this database is and how far the collector came; `meta/epoch`
-- in the bucket says the same, so that a database that is behind its bucket is known. lineage is empty until the first
-- look at the bucket. frozen_at 0: collection is allowed; else since when it is not, and why.
CREATE TABLE IF NOT EXISTS collection (
    id TINYINT NOT NULL PRIMARY KEY,
    lineage VARBINARY(16) NOT NULL,
    epoch BIGINT NOT NULL,
    passes BIGINT NOT NULL,
    high_water_us BIGINT NOT NULL,
    frozen_at BIGINT NOT NULL,
    frozen_reason VARBINARY(1000) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Objects that are not LIVE, and since when: what the collector will delete.
CREATE TABLE IF NOT EXISTS condemned (
    object BIGINT NOT NULL PRIMARY KEY,
    since_us BIGINT NOT NULL,
    reason VARBINARY(64) NOT NULL,
    KEY condemned_since (since_us)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Where background jobs are: cursors and progress as JSON, in the job's own terms.
CREATE TABLE IF NOT EXISTS job_progress (
    name VARBINARY(255) NOT NULL PRIMARY KEY,
    state MEDIUMBLOB NOT NULL,
    updated_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Keywords that no message has: since when; and once `retired`, since when their bit has no name and rests.
CREATE TABLE IF NOT EXISTS unused_keywords (
    mailbox BIGINT NOT NULL,
    flag_bit TINYINT NOT NULL,
    since_us BIGINT NOT NULL,
    retired TINYINT NOT NULL,
    PRIMARY KEY (mailbox, flag_bit),
    KEY unused_keywords_since (retired, since_us)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- The mailboxes of the `Deleted` tree that were ever opened, one for each name: all expunged messages of all mailboxes
-- of that name. epoch: of its UIDs; in a later one they begin anew under another UIDVALIDITY.
CREATE TABLE IF NOT EXISTS deleted_views (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account BIGINT NOT NULL,
    name VARBINARY(1000) NOT NULL,
    uidvalidity BIGINT NOT NULL,
    uidnext BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    UNIQUE KEY deleted_views_name (account, name)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- The UIDs that expunged messages have there, given when they are first seen; gone with what can be restored.
CREATE TABLE IF NOT EXISTS deleted_uids (
    deleted_view BIGINT NOT NULL,
    deleted_uid BIGINT NOT NULL,
    mailbox BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    PRIMARY KEY (deleted_view, deleted_uid),
    UNIQUE KEY deleted_uids_message (deleted_view, mailbox, uid),
    KEY deleted_uids_uid (mailbox, uid)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- The meta_seq of each account up to which the journal holds its names and subscriptions.
CREATE TABLE IF NOT EXISTS journal_marks (
    account BIGINT NOT NULL PRIMARY KEY,
    meta_seq BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- How many accounts a domain may have; no row: any number.
CREATE TABLE IF NOT EXISTS domain_limits (
    domain BIGINT NOT NULL PRIMARY KEY,
    accounts BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- What was said of accounts that run full: kind `warning`, their owners were told that they are nearly full; `exceeded`,
-- mail was refused. The row goes when the account has room again.
CREATE TABLE IF NOT EXISTS quota_warnings (
    account BIGINT NOT NULL,
    kind VARBINARY(16) NOT NULL,
    warned_at BIGINT NOT NULL,
    PRIMARY KEY (account, kind)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- What others may want to know of: written in the transaction that made it so.
CREATE TABLE IF NOT EXISTS events (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    happened_at BIGINT NOT NULL,
    kind VARBINARY(64) NOT NULL,
    account BIGINT NULL,
    detail MEDIUMBLOB NOT NULL,
    KEY events_happened (happened_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

INSERT INTO collection (id, lineage, epoch, passes, high_water_us, frozen_at, frozen_reason)
    SELECT 1, '', 1, 0, 0, 0, '' FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM collection);

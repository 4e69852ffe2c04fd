-- Snapshots of indexes: derived objects under `indexes/` from which a process that starts cold reads a mailbox's index.
-- Rows and objects may be missing at any time; that costs a reading of the mailbox's messages, and nothing else.

-- The one snapshot of a mailbox, as of (epoch, uidvalidity, modseq): its root object, whole of which has this sha256.
CREATE TABLE IF NOT EXISTS snapshots (
    mailbox BIGINT NOT NULL PRIMARY KEY,
    account BIGINT NOT NULL,
    object_key VARBINARY(255) NOT NULL,
    octets BIGINT NOT NULL,
    sha256 BINARY(32) NOT NULL,
    epoch BIGINT NOT NULL,
    uidvalidity BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    written_at BIGINT NOT NULL,
    KEY snapshots_account (account)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Every object that a snapshot is made of: its root and its chunks. dropped_at 0: in use; else since when it is not, and
-- the collector is to delete it. The row outlives the mailbox's, and goes after the object.
CREATE TABLE IF NOT EXISTS snapshot_objects (
    object_key VARBINARY(255) NOT NULL PRIMARY KEY,
    mailbox BIGINT NOT NULL,
    octets BIGINT NOT NULL,
    dropped_at BIGINT NOT NULL DEFAULT 0,
    KEY snapshot_objects_mailbox (mailbox),
    KEY snapshot_objects_dropped (dropped_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

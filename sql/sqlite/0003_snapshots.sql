-- Snapshots of indexes: derived objects under `indexes/` from which a process that starts cold reads a mailbox's index.
-- Rows and objects may be missing at any time; that costs a reading of the mailbox's messages, and nothing else.

-- The one snapshot of a mailbox, as of (epoch, uidvalidity, modseq): its root object, whole of which has this sha256.
CREATE TABLE IF NOT EXISTS snapshots (
    mailbox INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    object_key BLOB NOT NULL,
    octets INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    uidvalidity INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    written_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS snapshots_account ON snapshots (account);

-- Every object that a snapshot is made of: its root and its chunks. dropped_at 0: in use; else since when it is not, and
-- the collector is to delete it. The row outlives the mailbox's, and goes after the object.
CREATE TABLE IF NOT EXISTS snapshot_objects (
    object_key BLOB NOT NULL PRIMARY KEY,
    mailbox INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    dropped_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS snapshot_objects_mailbox ON snapshot_objects (mailbox);
CREATE INDEX IF NOT EXISTS snapshot_objects_dropped ON snapshot_objects (dropped_at);

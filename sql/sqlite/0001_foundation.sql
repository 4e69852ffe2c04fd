-- The foundation: accounts, mailboxes, messages, objects, and what makes transactions safe to repeat.
--
-- Times are Unix microseconds UTC. Names and addresses are BLOBs holding normalised UTF-8, as in the MySQL schema.
-- AUTOINCREMENT: ids of accounts, mailboxes, messages and objects are never reused.

CREATE TABLE IF NOT EXISTS store (
    id INTEGER PRIMARY KEY,
    schema_version INTEGER NOT NULL,
    epoch INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS domains (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name BLOB NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS domains_name ON domains (name);

-- next_uidvalidity: the lowest UIDVALIDITY that may still be given. meta_seq: the last change to names and subscriptions.
-- deleted_at 0: alive; a deleted account keeps its rows until they are purged, and frees its address.
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid BLOB NOT NULL,
    address BLOB NOT NULL,
    domain INTEGER NOT NULL,
    password_hash BLOB NOT NULL,
    active INTEGER NOT NULL,
    quota_octets INTEGER NOT NULL,
    quota_messages INTEGER NOT NULL,
    next_uidvalidity INTEGER NOT NULL,
    meta_seq INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS accounts_address ON accounts (address, deleted_at);
CREATE UNIQUE INDEX IF NOT EXISTS accounts_uuid ON accounts (uuid);
CREATE INDEX IF NOT EXISTS accounts_domain ON accounts (domain);

-- An alias has one row per target; a target is the address of an account or of another alias.
CREATE TABLE IF NOT EXISTS aliases (
    address BLOB NOT NULL,
    target BLOB NOT NULL,
    domain INTEGER NOT NULL,
    PRIMARY KEY (address, target)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS aliases_target ON aliases (target);
CREATE INDEX IF NOT EXISTS aliases_domain ON aliases (domain);

CREATE TABLE IF NOT EXISTS account_usage (
    account INTEGER PRIMARY KEY,
    octets INTEGER NOT NULL,
    messages INTEGER NOT NULL
);

-- recent_uid: messages above it are \Recent for the session that asks next. keyword_version: counts new keywords.
-- forgotten_modseq: changes up to it can no longer be told one by one.
CREATE TABLE IF NOT EXISTS mailboxes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    name BLOB NOT NULL,
    uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL DEFAULT 1,
    highest_modseq INTEGER NOT NULL DEFAULT 1,
    forgotten_modseq INTEGER NOT NULL DEFAULT 0,
    recent_uid INTEGER NOT NULL DEFAULT 0,
    keyword_version INTEGER NOT NULL DEFAULT 0,
    special_use BLOB NULL,
    epoch INTEGER NOT NULL,
    journal_modseq INTEGER NOT NULL DEFAULT 0,
    deleted_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS mailboxes_name ON mailboxes (account, name, deleted_at);
CREATE INDEX IF NOT EXISTS mailboxes_deleted ON mailboxes (deleted_at);

-- The highest UIDVALIDITY a name had that it no longer carries: a mailbox renamed onto it must come with a higher one.
CREATE TABLE IF NOT EXISTS former_names (
    account INTEGER NOT NULL,
    name BLOB NOT NULL,
    uidvalidity INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS subscriptions (
    account INTEGER NOT NULL,
    name BLOB NOT NULL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

-- `folded` is the lower-case name: keywords are case-insensitive, and keep the case they were first written in.
CREATE TABLE IF NOT EXISTS keywords (
    mailbox INTEGER NOT NULL,
    flag_bit INTEGER NOT NULL,
    name BLOB NOT NULL,
    folded BLOB NOT NULL,
    PRIMARY KEY (mailbox, flag_bit)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS keywords_name ON keywords (mailbox, folded);

-- state: 1 LIVE, 2 QUARANTINED, 3 CONDEMNED.
CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    object_key BLOB NOT NULL,
    octets INTEGER NOT NULL,
    stored_octets INTEGER NOT NULL,
    codec BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    frames BLOB NOT NULL,
    born_at INTEGER NOT NULL,
    state INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS objects_key ON objects (object_key);

CREATE TABLE IF NOT EXISTS renderings (
    object INTEGER PRIMARY KEY,
    render_version INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    bodystructure BLOB NOT NULL,
    header_zstd BLOB NOT NULL,
    header_fields BLOB NOT NULL,
    parts BLOB NOT NULL,
    sent_us INTEGER NULL,
    subject BLOB NOT NULL,
    base_subject BLOB NOT NULL,
    from_text BLOB NOT NULL,
    to_text BLOB NOT NULL,
    cc_text BLOB NOT NULL,
    bcc_text BLOB NOT NULL,
    message_id BLOB NOT NULL,
    references_text BLOB NOT NULL,
    thread INTEGER NULL,
    preview BLOB NULL
);

-- A row with deleted_at is the tombstone of an expunged message. fate: 1 EXPUNGED, 2 MOVED, 3 RESTORED.
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    mailbox INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    object INTEGER NULL,
    flags INTEGER NOT NULL,
    internaldate_us INTEGER NOT NULL,
    saved_us INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    fate INTEGER NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS messages_uid ON messages (mailbox, uid);
CREATE INDEX IF NOT EXISTS messages_modseq ON messages (mailbox, modseq);
CREATE INDEX IF NOT EXISTS messages_object ON messages (object);
CREATE INDEX IF NOT EXISTS messages_deleted ON messages (deleted_at);

-- Each transaction that must not be doubled inserts its id; kept a day.
CREATE TABLE IF NOT EXISTS operations (
    id BLOB NOT NULL PRIMARY KEY,
    committed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operations_committed ON operations (committed_at);

-- What was delivered: the digest of the octets as received, of the sender and of the recipient; kept 7 days.
CREATE TABLE IF NOT EXISTS deliveries (
    account INTEGER NOT NULL,
    digest BLOB NOT NULL,
    delivered_at INTEGER NOT NULL,
    PRIMARY KEY (account, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_delivered ON deliveries (delivered_at);

CREATE TABLE IF NOT EXISTS leases (
    name BLOB NOT NULL PRIMARY KEY,
    owner BLOB NOT NULL,
    fence INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    happened_at INTEGER NOT NULL,
    actor BLOB NOT NULL,
    action BLOB NOT NULL,
    subject BLOB NOT NULL,
    detail BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_log_happened ON audit_log (happened_at);

INSERT INTO store (id, schema_version, epoch)
    SELECT 1, 0, 1 WHERE NOT EXISTS (SELECT 1 FROM store);

-- The foundation: accounts, mailboxes, messages, objects, and what makes transactions safe to repeat.
--
-- Times are Unix microseconds UTC. Names and addresses are VARBINARY holding normalised UTF-8: utf8mb4_bin pads
-- with spaces, so that 'foo' = 'foo '. No foreign keys: they would take locks outside our lock order.

CREATE TABLE IF NOT EXISTS store (
    id TINYINT NOT NULL PRIMARY KEY,
    schema_version INT NOT NULL,
    epoch BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS domains (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARBINARY(255) NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE KEY domains_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- next_uidvalidity: the lowest UIDVALIDITY that may still be given. meta_seq: the last change to names and subscriptions.
-- deleted_at 0: alive; a deleted account keeps its rows until they are purged, and frees its address.
CREATE TABLE IF NOT EXISTS accounts (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    uuid BINARY(16) NOT NULL,
    address VARBINARY(320) NOT NULL,
    domain BIGINT NOT NULL,
    password_hash VARBINARY(512) NOT NULL,
    active TINYINT NOT NULL,
    quota_octets BIGINT NOT NULL,
    quota_messages BIGINT NOT NULL,
    next_uidvalidity BIGINT NOT NULL,
    meta_seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY accounts_address (address, deleted_at),
    UNIQUE KEY accounts_uuid (uuid),
    KEY accounts_domain (domain)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- An alias has one row per target; a target is the address of an account or of another alias.
CREATE TABLE IF NOT EXISTS aliases (
    address VARBINARY(320) NOT NULL,
    target VARBINARY(320) NOT NULL,
    domain BIGINT NOT NULL,
    PRIMARY KEY (address, target),
    KEY aliases_target (target),
    KEY aliases_domain (domain)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS account_usage (
    account BIGINT NOT NULL PRIMARY KEY,
    octets BIGINT NOT NULL,
    messages BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- recent_uid: messages above it are \Recent for the session that asks next. keyword_version: counts new keywords.
-- forgotten_modseq: changes up to it can no longer be told one by one.
CREATE TABLE IF NOT EXISTS mailboxes (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account BIGINT NOT NULL,
    name VARBINARY(1000) NOT NULL,
    uidvalidity BIGINT NOT NULL,
    uidnext BIGINT NOT NULL DEFAULT 1,
    highest_modseq BIGINT NOT NULL DEFAULT 1,
    forgotten_modseq BIGINT NOT NULL DEFAULT 0,
    recent_uid BIGINT NOT NULL DEFAULT 0,
    keyword_version BIGINT NOT NULL DEFAULT 0,
    special_use VARBINARY(32) NULL,
    epoch BIGINT NOT NULL,
    journal_modseq BIGINT NOT NULL DEFAULT 0,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY mailboxes_name (account, name, deleted_at),
    KEY mailboxes_deleted (deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- The highest UIDVALIDITY a name had that it no longer carries: a mailbox renamed onto it must come with a higher one.
CREATE TABLE IF NOT EXISTS former_names (
    account BIGINT NOT NULL,
    name VARBINARY(1000) NOT NULL,
    uidvalidity BIGINT NOT NULL,
    PRIMARY KEY (account, name)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS subscriptions (
    account BIGINT NOT NULL,
    name VARBINARY(1000) NOT NULL,
    PRIMARY KEY (account, name)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- `folded` is the lower-case name: keywords are case-insensitive, and keep the case they were first written in.
CREATE TABLE IF NOT EXISTS keywords (
    mailbox BIGINT NOT NULL,
    flag_bit TINYINT NOT NULL,
    name VARBINARY(255) NOT NULL,
    folded VARBINARY(255) NOT NULL,
    PRIMARY KEY (mailbox, flag_bit),
    UNIQUE KEY keywords_name (mailbox, folded)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- state: 1 LIVE, 2 QUARANTINED, 3 CONDEMNED.
CREATE TABLE IF NOT EXISTS objects (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    object_key VARBINARY(255) NOT NULL,
    octets BIGINT NOT NULL,
    stored_octets BIGINT NOT NULL,
    codec VARBINARY(16) NOT NULL,
    sha256 BINARY(32) NOT NULL,
    frames MEDIUMBLOB NOT NULL,
    born_at BIGINT NOT NULL,
    state TINYINT NOT NULL,
    UNIQUE KEY objects_key (object_key)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS renderings (
    object BIGINT NOT NULL PRIMARY KEY,
    render_version INT NOT NULL,
    envelope MEDIUMBLOB NOT NULL,
    bodystructure MEDIUMBLOB NOT NULL,
    header_zstd MEDIUMBLOB NOT NULL,
    header_fields MEDIUMBLOB NOT NULL,
    parts MEDIUMBLOB NOT NULL,
    sent_us BIGINT NULL,
    subject MEDIUMBLOB NOT NULL,
    base_subject MEDIUMBLOB NOT NULL,
    from_text MEDIUMBLOB NOT NULL,
    to_text MEDIUMBLOB NOT NULL,
    cc_text MEDIUMBLOB NOT NULL,
    bcc_text MEDIUMBLOB NOT NULL,
    message_id MEDIUMBLOB NOT NULL,
    references_text MEDIUMBLOB NOT NULL,
    thread BIGINT NULL,
    preview BLOB NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- A row with deleted_at is the tombstone of an expunged message. fate: 1 EXPUNGED, 2 MOVED, 3 RESTORED.
CREATE TABLE IF NOT EXISTS messages (
    id BIGINT NOT NULL AUTO_INCREMENT,
    account BIGINT NOT NULL,
    mailbox BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    object BIGINT NULL,
    flags BIGINT NOT NULL,
    internaldate_us BIGINT NOT NULL,
    saved_us BIGINT NOT NULL,
    octets BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    fate TINYINT NULL,
    PRIMARY KEY (mailbox, uid),
    UNIQUE KEY messages_id (id),
    KEY messages_modseq (mailbox, modseq),
    KEY messages_object (object),
    KEY messages_deleted (deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Each transaction that must not be doubled inserts its id; kept a day.
CREATE TABLE IF NOT EXISTS operations (
    id BINARY(16) NOT NULL PRIMARY KEY,
    committed_at BIGINT NOT NULL,
    KEY operations_committed (committed_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- What was delivered: the digest of the octets as received, of the sender and of the recipient; kept 7 days.
CREATE TABLE IF NOT EXISTS deliveries (
    account BIGINT NOT NULL,
    digest BINARY(32) NOT NULL,
    delivered_at BIGINT NOT NULL,
    PRIMARY KEY (account, digest),
    KEY deliveries_delivered (delivered_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS leases (
    name VARBINARY(255) NOT NULL PRIMARY KEY,
    owner VARBINARY(255) NOT NULL,
    fence BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS audit_log (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    happened_at BIGINT NOT NULL,
    actor VARBINARY(320) NOT NULL,
    action VARBINARY(64) NOT NULL,
    subject VARBINARY(1000) NOT NULL,
    detail BLOB NOT NULL,
    KEY audit_log_happened (happened_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

INSERT INTO store (id, schema_version, epoch)
    SELECT 1, 0, 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM store);

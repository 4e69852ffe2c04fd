-- Administration: names and passwords of accounts, tokens of the HTTP API, sessions, jobs, webhooks, calendars, and an audit log
-- that says from where, and of which domain.

-- What a person is called, for address books and greetings.
ALTER TABLE accounts ADD COLUMN full_name VARBINARY(320) NOT NULL DEFAULT '';
-- Pages of a domain's accounts.
ALTER TABLE accounts ADD INDEX accounts_of_domain (domain, address, deleted_at);

-- origin: the address of the HTTP client, or `console`. domain 0: the server as a whole.
ALTER TABLE audit_log ADD COLUMN origin VARBINARY(64) NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN domain BIGINT NOT NULL DEFAULT 0;
-- Pages of what was done in a domain, by somebody, to something.
ALTER TABLE audit_log ADD INDEX audit_log_domain (domain, id);
ALTER TABLE audit_log ADD INDEX audit_log_actor (actor, id);
ALTER TABLE audit_log ADD INDEX audit_log_subject (subject, id);

-- Who may use the HTTP API besides the token of the configuration. secret_sha256: the token itself is shown once and kept by its
-- owner; it is random, so one fast hash hides it. scopes: words with spaces between. domain 0: all domains. expires_at and
-- revoked_at 0: never, not.
CREATE TABLE IF NOT EXISTS api_tokens (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARBINARY(255) NOT NULL,
    secret_sha256 BINARY(32) NOT NULL,
    scopes VARBINARY(1000) NOT NULL,
    domain BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL DEFAULT 0,
    last_used_at BIGINT NOT NULL DEFAULT 0,
    revoked_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY api_tokens_name (name, revoked_at),
    UNIQUE KEY api_tokens_secret (secret_sha256)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Further passwords of an account, random and one for each of its owner's clients. protocols: words with spaces between.
CREATE TABLE IF NOT EXISTS app_passwords (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account BIGINT NOT NULL,
    name VARBINARY(255) NOT NULL,
    secret_sha256 BINARY(32) NOT NULL,
    protocols VARBINARY(255) NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL DEFAULT 0,
    last_used_from VARBINARY(64) NOT NULL DEFAULT '',
    UNIQUE KEY app_passwords_name (account, name),
    UNIQUE KEY app_passwords_secret (account, secret_sha256)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- The server processes that lately said that they run.
CREATE TABLE IF NOT EXISTS processes (
    id BINARY(16) NOT NULL PRIMARY KEY,
    hostname VARBINARY(255) NOT NULL,
    pid BIGINT NOT NULL,
    version VARBINARY(64) NOT NULL,
    started_at BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    KEY processes_heartbeat (heartbeat_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- The sessions of client connections, as their processes reported them some seconds ago. account 0: none, as in LMTP.
CREATE TABLE IF NOT EXISTS sessions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    process BINARY(16) NOT NULL,
    session VARBINARY(64) NOT NULL,
    account BIGINT NOT NULL,
    protocol VARBINARY(16) NOT NULL,
    address VARBINARY(64) NOT NULL,
    secure BIGINT NOT NULL,
    client VARBINARY(255) NOT NULL,
    opened_at BIGINT NOT NULL,
    UNIQUE KEY sessions_session (process, session),
    KEY sessions_account (account, id)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Who is to be disconnected, wherever he is: one session of a process, or (process '') all sessions of an account. Every
-- process reads them; kept a day.
CREATE TABLE IF NOT EXISTS session_ends (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    process VARBINARY(16) NOT NULL,
    session VARBINARY(64) NOT NULL,
    account BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    KEY session_ends_requested (requested_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Long work that an administrator asked for. arguments, progress and result are JSON; state is a word: queued, running, done,
-- failed, cancelled, interrupted. Secrets are never in here. reference: random, made by who asks, by which the new row is found.
-- process: who runs it, or who alone may, because it has a secret of it; NULL: anyone. cancel_requested_at 0: nobody wants it
-- cancelled.
CREATE TABLE IF NOT EXISTS jobs (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    reference BINARY(16) NOT NULL,
    kind VARBINARY(64) NOT NULL,
    domain BIGINT NOT NULL DEFAULT 0,
    requested_by VARBINARY(320) NOT NULL,
    origin VARBINARY(64) NOT NULL,
    arguments MEDIUMBLOB NOT NULL,
    state VARBINARY(16) NOT NULL,
    process BINARY(16) NULL,
    progress MEDIUMBLOB NOT NULL,
    result MEDIUMBLOB NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT NOT NULL DEFAULT 0,
    heartbeat_at BIGINT NOT NULL DEFAULT 0,
    cancel_requested_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY jobs_reference (reference),
    KEY jobs_state (state, id)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Events on their way to [webhook] url: gone once taken there, kept for a while once given up. account: whose events are told
-- in order; message: the id that the payload could not hold yet. next_at: not before; claimed_until: a process is at it.
CREATE TABLE IF NOT EXISTS webhook_queue (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id BINARY(16) NOT NULL,
    kind VARBINARY(64) NOT NULL,
    account BIGINT NULL,
    message BIGINT NULL,
    payload MEDIUMBLOB NOT NULL,
    created_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT NOT NULL DEFAULT 0,
    last_error VARBINARY(255) NOT NULL DEFAULT '',
    KEY webhook_queue_next (failed_at, next_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Calendars of accounts; their events' iCalendar texts are objects.
CREATE TABLE IF NOT EXISTS calendars (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account BIGINT NOT NULL,
    name VARBINARY(255) NOT NULL,
    description VARBINARY(1000) NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY calendars_name (account, name, deleted_at),
    KEY calendars_deleted (deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- uid: the UID of RFC 5545. starts_us and ends_us span all recurrences; ends_us NULL: without end. recurrence: JSON that tells
-- the recurrences, so that no listing opens an object.
CREATE TABLE IF NOT EXISTS calendar_events (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    calendar BIGINT NOT NULL,
    account BIGINT NOT NULL,
    uid VARBINARY(255) NOT NULL,
    object_key VARBINARY(255) NOT NULL,
    octets BIGINT NOT NULL,
    sha256 BINARY(32) NOT NULL,
    summary VARBINARY(1000) NOT NULL DEFAULT '',
    starts_us BIGINT NOT NULL,
    ends_us BIGINT NULL,
    all_day BIGINT NOT NULL DEFAULT 0,
    recurring BIGINT NOT NULL DEFAULT 0,
    recurrence MEDIUMBLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY calendar_events_uid (calendar, uid, deleted_at),
    KEY calendar_events_starts (calendar, starts_us),
    KEY calendar_events_deleted (deleted_at),
    KEY calendar_events_object (object_key)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Every object under `calendars/`, from before it is put. dropped_at 0: an event refers to it; else since when none does, and
-- the collector is to delete it.
CREATE TABLE IF NOT EXISTS calendar_objects (
    object_key VARBINARY(255) NOT NULL PRIMARY KEY,
    account BIGINT NOT NULL,
    octets BIGINT NOT NULL,
    dropped_at BIGINT NOT NULL DEFAULT 0,
    KEY calendar_objects_dropped (dropped_at),
    KEY calendar_objects_account (account)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

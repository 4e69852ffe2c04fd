-- Administration: names and passwords of accounts, tokens of the HTTP API, sessions, jobs, webhooks, calendars, and an audit log
-- that says from where, and of which domain.

-- What a person is called, for address books and greetings.
ALTER TABLE accounts ADD COLUMN full_name BLOB NOT NULL DEFAULT x'';
-- Pages of a domain's accounts.
CREATE INDEX IF NOT EXISTS accounts_of_domain ON accounts (domain, address, deleted_at);

-- origin: the address of the HTTP client, or `console`. domain 0: the server as a whole.
ALTER TABLE audit_log ADD COLUMN origin BLOB NOT NULL DEFAULT x'';
ALTER TABLE audit_log ADD COLUMN domain INTEGER NOT NULL DEFAULT 0;
-- Pages of what was done in a domain, by somebody, to something.
CREATE INDEX IF NOT EXISTS audit_log_domain ON audit_log (domain, id);
CREATE INDEX IF NOT EXISTS audit_log_actor ON audit_log (actor, id);
CREATE INDEX IF NOT EXISTS audit_log_subject ON audit_log (subject, id);

-- Who may use the HTTP API besides the token of the configuration. secret_sha256: the token itself is shown once and kept by its
-- owner; it is random, so one fast hash hides it. scopes: words with spaces between. domain 0: all domains. expires_at and
-- revoked_at 0: never, not.
CREATE TABLE IF NOT EXISTS api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name BLOB NOT NULL,
    secret_sha256 BLOB NOT NULL,
    scopes BLOB NOT NULL,
    domain INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL DEFAULT 0,
    last_used_at INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS api_tokens_name ON api_tokens (name, revoked_at);
CREATE UNIQUE INDEX IF NOT EXISTS api_tokens_secret ON api_tokens (secret_sha256);

-- Further passwords of an account, random and one for each of its owner's clients. protocols: words with spaces between.
CREATE TABLE IF NOT EXISTS app_passwords (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    name BLOB NOT NULL,
    secret_sha256 BLOB NOT NULL,
    protocols BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL DEFAULT 0,
    last_used_from BLOB NOT NULL DEFAULT x''
);
CREATE UNIQUE INDEX IF NOT EXISTS app_passwords_name ON app_passwords (account, name);
CREATE UNIQUE INDEX IF NOT EXISTS app_passwords_secret ON app_passwords (account, secret_sha256);

-- The server processes that lately said that they run.
CREATE TABLE IF NOT EXISTS processes (
    id BLOB NOT NULL PRIMARY KEY,
    hostname BLOB NOT NULL,
    pid INTEGER NOT NULL,
    version BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS processes_heartbeat ON processes (heartbeat_at);

-- The sessions of client connections, as their processes reported them some seconds ago. account 0: none, as in LMTP.
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    process BLOB NOT NULL,
    session BLOB NOT NULL,
    account INTEGER NOT NULL,
    protocol BLOB NOT NULL,
    address BLOB NOT NULL,
    secure INTEGER NOT NULL,
    client BLOB NOT NULL,
    opened_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS sessions_session ON sessions (process, session);
CREATE INDEX IF NOT EXISTS sessions_account ON sessions (account, id);

-- Who is to be disconnected, wherever he is: one session of a process, or (process x'') all sessions of an account. Every
-- process reads them; kept a day.
CREATE TABLE IF NOT EXISTS session_ends (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    process BLOB NOT NULL,
    session BLOB NOT NULL,
    account INTEGER NOT NULL,
    requested_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS session_ends_requested ON session_ends (requested_at);

-- Long work that an administrator asked for. arguments, progress and result are JSON; state is a word: queued, running, done,
-- failed, cancelled, interrupted. Secrets are never in here. reference: random, made by who asks, by which the new row is found.
-- process: who runs it, or who alone may, because it has a secret of it; NULL: anyone. cancel_requested_at 0: nobody wants it
-- cancelled.
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    reference BLOB NOT NULL,
    kind BLOB NOT NULL,
    domain INTEGER NOT NULL DEFAULT 0,
    requested_by BLOB NOT NULL,
    origin BLOB NOT NULL,
    arguments BLOB NOT NULL,
    state BLOB NOT NULL,
    process BLOB NULL,
    progress BLOB NOT NULL,
    result BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL DEFAULT 0,
    finished_at INTEGER NOT NULL DEFAULT 0,
    heartbeat_at INTEGER NOT NULL DEFAULT 0,
    cancel_requested_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_reference ON jobs (reference);
CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, id);

-- Events on their way to [webhook] url: gone once taken there, kept for a while once given up. account: whose events are told
-- in order; message: the id that the payload could not hold yet. next_at: not before; claimed_until: a process is at it.
CREATE TABLE IF NOT EXISTS webhook_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id BLOB NOT NULL,
    kind BLOB NOT NULL,
    account INTEGER NULL,
    message INTEGER NULL,
    payload BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    claimed_until INTEGER NOT NULL DEFAULT 0,
    failed_at INTEGER NOT NULL DEFAULT 0,
    last_error BLOB NOT NULL DEFAULT x''
);
CREATE INDEX IF NOT EXISTS webhook_queue_next ON webhook_queue (failed_at, next_at);

-- Calendars of accounts; their events' iCalendar texts are objects.
CREATE TABLE IF NOT EXISTS calendars (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    name BLOB NOT NULL,
    description BLOB NOT NULL DEFAULT x'',
    created_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS calendars_name ON calendars (account, name, deleted_at);
CREATE INDEX IF NOT EXISTS calendars_deleted ON calendars (deleted_at);

-- uid: the UID of RFC 5545. starts_us and ends_us span all recurrences; ends_us NULL: without end. recurrence: JSON that tells
-- the recurrences, so that no listing opens an object.
CREATE TABLE IF NOT EXISTS calendar_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    calendar INTEGER NOT NULL,
    account INTEGER NOT NULL,
    uid BLOB NOT NULL,
    object_key BLOB NOT NULL,
    octets INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    summary BLOB NOT NULL DEFAULT x'',
    starts_us INTEGER NOT NULL,
    ends_us INTEGER NULL,
    all_day INTEGER NOT NULL DEFAULT 0,
    recurring INTEGER NOT NULL DEFAULT 0,
    recurrence BLOB NOT NULL DEFAULT x'',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS calendar_events_uid ON calendar_events (calendar, uid, deleted_at);
CREATE INDEX IF NOT EXISTS calendar_events_starts ON calendar_events (calendar, starts_us);
CREATE INDEX IF NOT EXISTS calendar_events_deleted ON calendar_events (deleted_at);
CREATE INDEX IF NOT EXISTS calendar_events_object ON calendar_events (object_key);

-- Every object under `calendars/`, from before it is put. dropped_at 0: an event refers to it; else since when none does, and
-- the collector is to delete it.
CREATE TABLE IF NOT EXISTS calendar_objects (
    object_key BLOB NOT NULL PRIMARY KEY,
    account INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    dropped_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calendar_objects_dropped ON calendar_objects (dropped_at);
CREATE INDEX IF NOT EXISTS calendar_objects_account ON calendar_objects (account);

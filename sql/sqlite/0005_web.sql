-- The admin web: who administers besides the console and tokens, and who is signed in.

-- server 1: administers the server; 0: the domains in administrator_domains. totp_secret empty: the password is enough.
-- totp_step: the last time step whose code was taken, so that none is taken twice (RFC 6238 section 5.2).
CREATE TABLE IF NOT EXISTS administrators (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name BLOB NOT NULL,
    password_hash BLOB NOT NULL,
    server INTEGER NOT NULL,
    active INTEGER NOT NULL DEFAULT 1,
    totp_secret BLOB NOT NULL DEFAULT x'',
    totp_step INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    last_sign_in_at INTEGER NOT NULL DEFAULT 0,
    deleted_at INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS administrators_name ON administrators (name, deleted_at);

CREATE TABLE IF NOT EXISTS administrator_domains (
    administrator INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    PRIMARY KEY (administrator, domain)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS administrator_domains_domain ON administrator_domains (domain);

-- Who is signed in to the web: an administrator, or (administrator 0) the owner of an account. The cookie's SHA-256.
CREATE TABLE IF NOT EXISTS web_sessions (
    secret_sha256 BLOB NOT NULL PRIMARY KEY,
    administrator INTEGER NOT NULL,
    account INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    origin BLOB NOT NULL,
    browser BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS web_sessions_administrator ON web_sessions (administrator, account);
CREATE INDEX IF NOT EXISTS web_sessions_expires ON web_sessions (expires_at);

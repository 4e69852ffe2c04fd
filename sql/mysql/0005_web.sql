-- The admin web: who administers besides the console and tokens, and who is signed in.

-- server 1: administers the server; 0: the domains in administrator_domains. totp_secret empty: the password is enough.
-- totp_step: the last time step whose code was taken, so that none is taken twice (RFC 6238 section 5.2).
CREATE TABLE IF NOT EXISTS administrators (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARBINARY(255) NOT NULL,
    password_hash VARBINARY(512) NOT NULL,
    server BIGINT NOT NULL,
    active BIGINT NOT NULL DEFAULT 1,
    totp_secret VARBINARY(64) NOT NULL DEFAULT '',
    totp_step BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    last_sign_in_at BIGINT NOT NULL DEFAULT 0,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE KEY administrators_name (name, deleted_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

CREATE TABLE IF NOT EXISTS administrator_domains (
    administrator BIGINT NOT NULL,
    domain BIGINT NOT NULL,
    PRIMARY KEY (administrator, domain),
    KEY administrator_domains_domain (domain)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

-- Who is signed in to the web: an administrator, or (administrator 0) the owner of an account. The cookie's SHA-256.
CREATE TABLE IF NOT EXISTS web_sessions (
    secret_sha256 BINARY(32) NOT NULL PRIMARY KEY,
    administrator BIGINT NOT NULL,
    account BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    origin VARBINARY(64) NOT NULL,
    browser VARBINARY(255) NOT NULL,
    KEY web_sessions_administrator (administrator, account),
    KEY web_sessions_expires (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=binary;

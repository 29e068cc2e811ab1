-- Rules that tell somebody of lines in an app's log.
CREATE TABLE log_rules (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id),
    name          TEXT NOT NULL,
    -- What a line must have: words or a regular expression, never both.
    words         TEXT,
    regex         TEXT,
    dyno          TEXT,
    source        TEXT,
    -- Who is told: an address, or a sealed URL and a sealed secret.
    email         TEXT,
    webhook       BLOB,
    secret        BLOB,
    every_seconds BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    UNIQUE (app_id, name)
);

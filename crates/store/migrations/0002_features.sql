-- Switches of apps that somebody has set; all others are as they are by default.
CREATE TABLE app_features (
    app_id     TEXT NOT NULL REFERENCES apps (id),
    name       TEXT NOT NULL,
    enabled    BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, name)
);

-- Seconds a web dyno has to listen; NULL is the operator's number.
ALTER TABLE apps ADD COLUMN boot_timeout BIGINT;

-- Clients that are about to join a running dyno (`run:inside`). A row goes when its client comes.
CREATE TABLE visits (
    id          TEXT PRIMARY KEY,
    app_id      TEXT NOT NULL REFERENCES apps (id),
    dyno_id     TEXT NOT NULL,
    command     TEXT NOT NULL,
    env         BLOB NOT NULL,
    terminal    TEXT NOT NULL,
    secret_hash TEXT NOT NULL UNIQUE,
    actor_id    TEXT NOT NULL REFERENCES accounts (id),
    created_at  BIGINT NOT NULL
);
CREATE INDEX visits_app ON visits (app_id);

-- Log drains, telemetry drains, and licences to write into a log from outside. URLs and headers
-- hold passwords and keys, so they are sealed.

CREATE TABLE log_drains (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id),
    url        BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX log_drains_app ON log_drains (app_id);

CREATE TABLE telemetry_drains (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id),
    signals    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    endpoint   BLOB NOT NULL,
    headers    BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX telemetry_drains_app ON telemetry_drains (app_id);

CREATE TABLE log_inputs (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id),
    name       TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
CREATE INDEX log_inputs_app ON log_inputs (app_id);

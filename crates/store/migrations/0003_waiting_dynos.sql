-- Dynos of the formation that there is no memory for. Written as a whole by the dyno manager.
CREATE TABLE waiting_dynos (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL,
    process_type    TEXT NOT NULL,
    number          BIGINT NOT NULL,
    release_id      TEXT NOT NULL,
    release_version BIGINT NOT NULL,
    command         TEXT NOT NULL,
    size            TEXT NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE INDEX waiting_dynos_by_app ON waiting_dynos (app_id);

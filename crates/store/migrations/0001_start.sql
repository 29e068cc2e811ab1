-- The first schema. SQL kept to what both SQLite and Postgres take: ids are UUIDs as TEXT, times
-- are microseconds since 1970 as BIGINT, JSON is TEXT, secrets are encrypted BLOBs.

CREATE TABLE accounts (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    name          TEXT,
    password_hash TEXT,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

CREATE TABLE authorizations (
    id          TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL REFERENCES accounts (id),
    token_hash  TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    expires_at  BIGINT
);

CREATE TABLE apps (
    id                    TEXT PRIMARY KEY,
    name                  TEXT NOT NULL,
    owner_id              TEXT NOT NULL REFERENCES accounts (id),
    stack                 TEXT NOT NULL,
    build_stack           TEXT NOT NULL,
    maintenance           BOOLEAN NOT NULL DEFAULT FALSE,
    buildpack_description TEXT,
    config                BLOB NOT NULL,
    generation            BIGINT NOT NULL DEFAULT 1,
    observed_generation   BIGINT NOT NULL DEFAULT 0,
    repo_bytes            BIGINT,
    slug_bytes            BIGINT,
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL,
    released_at           BIGINT,
    deleted_at            BIGINT
);
-- A destroyed app's name is free at once, while reconcilers still empty it.
CREATE UNIQUE INDEX apps_name ON apps (name) WHERE deleted_at IS NULL;

CREATE TABLE domains (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id),
    hostname   TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    cname      TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX domains_app ON domains (app_id);

CREATE TABLE slugs (
    id                    TEXT PRIMARY KEY,
    app_id                TEXT NOT NULL REFERENCES apps (id),
    blob                  TEXT NOT NULL,
    bytes                 BIGINT NOT NULL,
    commit_sha            TEXT,
    buildpack_description TEXT,
    process_types         TEXT NOT NULL,
    stack                 TEXT NOT NULL,
    created_at            BIGINT NOT NULL
);
CREATE INDEX slugs_app ON slugs (app_id);

-- The ledger. A row never changes after it is written, except status, has_output and updated_at.
CREATE TABLE releases (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id),
    version       BIGINT NOT NULL,
    description   TEXT NOT NULL,
    actor_id      TEXT NOT NULL REFERENCES accounts (id),
    slug_id       TEXT REFERENCES slugs (id),
    config        BLOB NOT NULL,
    status        TEXT NOT NULL,
    has_output    BOOLEAN NOT NULL DEFAULT FALSE,
    previous_hash TEXT NOT NULL,
    hash          TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    UNIQUE (app_id, version)
);

CREATE INDEX releases_pending ON releases (app_id, version) WHERE status = 'pending';

CREATE TABLE formations (
    id           TEXT PRIMARY KEY,
    app_id       TEXT NOT NULL REFERENCES apps (id),
    process_type TEXT NOT NULL,
    command      TEXT NOT NULL,
    quantity     BIGINT NOT NULL,
    size         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (app_id, process_type)
);

-- A restart is data: dynos of `target` made before `not_before` are to be replaced.
-- `target` is `*` for the whole formation, a process type, or a dyno's name.
CREATE TABLE restarts (
    app_id     TEXT NOT NULL REFERENCES apps (id),
    target     TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    PRIMARY KEY (app_id, target)
);

-- Dynos that are wanted once. Rows stay after the dyno is gone, until the garbage reconciler.
CREATE TABLE one_offs (
    id            TEXT PRIMARY KEY,
    app_id        TEXT NOT NULL REFERENCES apps (id),
    process_type  TEXT NOT NULL,
    number        BIGINT NOT NULL,
    kind          TEXT NOT NULL,
    release_id    TEXT REFERENCES releases (id),
    command       TEXT NOT NULL,
    env           BLOB NOT NULL,
    mounts        TEXT NOT NULL,
    size          TEXT NOT NULL,
    terminal      TEXT NOT NULL,
    time_to_live  BIGINT NOT NULL,
    attach_secret BLOB,
    attach_hash   TEXT UNIQUE,
    actor_id      TEXT NOT NULL REFERENCES accounts (id),
    created_at    BIGINT NOT NULL,
    cancelled_at  BIGINT,
    finished_at   BIGINT
);
CREATE INDEX one_offs_app ON one_offs (app_id);

-- One life of one process each. Written by the dyno manager as it observes them.
CREATE TABLE dynos (
    id              TEXT PRIMARY KEY,
    app_id          TEXT NOT NULL REFERENCES apps (id),
    process_type    TEXT NOT NULL,
    number          BIGINT NOT NULL,
    kind            TEXT NOT NULL,
    release_id      TEXT,
    release_version BIGINT NOT NULL,
    command         TEXT NOT NULL,
    size            TEXT NOT NULL,
    state           TEXT NOT NULL,
    stop_reason     TEXT,
    address         TEXT,
    exit_status     BIGINT,
    out_of_memory   BOOLEAN NOT NULL DEFAULT FALSE,
    crashes         BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    up_at           BIGINT,
    ended_at        BIGINT,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX dynos_app ON dynos (app_id);

CREATE TABLE builds (
    id             TEXT PRIMARY KEY,
    app_id         TEXT NOT NULL REFERENCES apps (id),
    actor_id       TEXT NOT NULL REFERENCES accounts (id),
    status         TEXT NOT NULL,
    step           TEXT NOT NULL,
    source_blob    TEXT NOT NULL,
    source_version TEXT,
    buildpacks     TEXT NOT NULL,
    stack          TEXT NOT NULL,
    slug_id        TEXT REFERENCES slugs (id),
    release_id     TEXT REFERENCES releases (id),
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX builds_app ON builds (app_id);
CREATE INDEX builds_pending ON builds (created_at) WHERE status = 'pending';

-- A place to upload a source archive to; the id in its URL is the licence to write it once.
CREATE TABLE sources (
    id         TEXT PRIMARY KEY,
    app_id     TEXT REFERENCES apps (id),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    blob       TEXT,
    created_at BIGINT NOT NULL
);

CREATE TABLE buildpack_installations (
    app_id  TEXT NOT NULL REFERENCES apps (id),
    ordinal BIGINT NOT NULL,
    url     TEXT NOT NULL,
    PRIMARY KEY (app_id, ordinal)
);

-- The id in a session's URL is the licence to read.
CREATE TABLE log_sessions (
    id         TEXT PRIMARY KEY,
    app_id     TEXT NOT NULL REFERENCES apps (id),
    dyno       TEXT,
    source     TEXT,
    lines      BIGINT NOT NULL,
    tail       BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

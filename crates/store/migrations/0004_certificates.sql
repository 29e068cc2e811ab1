-- Certificates of domains (SNI endpoints) and automatic certificates.

-- A certificate with its key. Rows never change; a renewed certificate is another row.
CREATE TABLE certificates (
    id          TEXT PRIMARY KEY,
    chain       TEXT NOT NULL,
    private_key BLOB NOT NULL,
    names       TEXT NOT NULL,
    subject     TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    trust       TEXT NOT NULL,
    starts_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE sni_endpoints (
    id             TEXT PRIMARY KEY,
    app_id         TEXT NOT NULL REFERENCES apps (id),
    name           TEXT NOT NULL,
    origin         TEXT NOT NULL,
    certificate_id TEXT NOT NULL REFERENCES certificates (id),
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (app_id, name)
);

ALTER TABLE domains ADD COLUMN sni_endpoint_id TEXT REFERENCES sni_endpoints (id);
CREATE INDEX domains_sni_endpoint ON domains (sni_endpoint_id);

-- Whether custom domains get automatic certificates.
ALTER TABLE apps ADD COLUMN acm BOOLEAN NOT NULL DEFAULT FALSE;

-- Names that are to have an automatic certificate: of a domain, or of the platform itself (no
-- domain). An order under way is kept, so that the next server goes on with it.
CREATE TABLE acme_names (
    hostname       TEXT PRIMARY KEY,
    domain_id      TEXT UNIQUE REFERENCES domains (id),
    certificate_id TEXT REFERENCES certificates (id),
    status         TEXT NOT NULL,
    reason         TEXT,
    failures       BIGINT NOT NULL,
    next_at        BIGINT NOT NULL,
    order_url      TEXT,
    order_key      BLOB,
    token          TEXT,
    answer         TEXT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);

-- Our account at each authority.
CREATE TABLE acme_accounts (
    directory   TEXT PRIMARY KEY,
    credentials BLOB NOT NULL,
    created_at  BIGINT NOT NULL
);

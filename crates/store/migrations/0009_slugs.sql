-- Slugs that were removed, and slugs that are still to be made of an uploaded archive.
ALTER TABLE slugs ADD COLUMN removed_at BIGINT;

CREATE TABLE slug_uploads (
    id                    TEXT PRIMARY KEY,
    app_id                TEXT NOT NULL REFERENCES apps (id),
    process_types         TEXT NOT NULL,
    stack                 TEXT NOT NULL,
    commit_sha            TEXT,
    buildpack_description TEXT,
    checksum              TEXT,
    blob                  TEXT,
    failure               TEXT,
    created_at            BIGINT NOT NULL
);
CREATE INDEX slug_uploads_app ON slug_uploads (app_id);

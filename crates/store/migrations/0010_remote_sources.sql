-- Sources that a build has yet to fetch. While there is one, source_blob is empty.
ALTER TABLE builds ADD COLUMN remote BLOB;
ALTER TABLE builds ADD COLUMN remote_checksum TEXT;

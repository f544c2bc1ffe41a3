-- Random values of stream URLs that were used, until they expire.

CREATE TABLE stream_nonces (
    value TEXT NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX stream_nonces_expires ON stream_nonces (expires);

-- Payments, callbacks, connectors. Times are milliseconds since 1970; what is sealed is opaque here.

CREATE TABLE payments (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    call_sid TEXT NOT NULL,
    connector TEXT NOT NULL,
    led_by TEXT NOT NULL,
    operation TEXT NOT NULL,
    amount TEXT,
    currency TEXT NOT NULL,
    token_type TEXT,
    means TEXT NOT NULL,
    masked TEXT,
    brand TEXT,
    state TEXT NOT NULL,
    result TEXT,
    error_code BIGINT,
    error TEXT,
    confirmation_code TEXT,
    sends BIGINT NOT NULL,
    first_sent BIGINT,
    last_sent BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    sealed BYTEA,
    note BYTEA,
    node TEXT
);
CREATE INDEX payments_call ON payments (call_sid, place);
CREATE INDEX payments_connector ON payments (connector, place);
CREATE INDEX payments_state ON payments (state, place);
CREATE INDEX payments_created ON payments (created);
CREATE INDEX payments_open ON payments (node, place) WHERE sealed IS NOT NULL;

CREATE TABLE callbacks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    call_sid TEXT NOT NULL,
    payment_sid TEXT,
    kind TEXT NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    sealed BYTEA,
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    reason TEXT,
    since BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    node TEXT
);
CREATE INDEX callbacks_call ON callbacks (call_sid, id);
CREATE INDEX callbacks_payment ON callbacks (payment_sid, id) WHERE payment_sid IS NOT NULL;
-- Two that have no row in common: a query says which of them it means (callbacks.rs).
CREATE INDEX callbacks_open ON callbacks (node, id, state) WHERE state IN ('waiting', 'held');
CREATE INDEX callbacks_closed ON callbacks (state, updated) WHERE state NOT IN ('waiting', 'held');

CREATE TABLE connectors (
    name TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    withdrawn BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE TABLE connectors_revision (revision BIGINT NOT NULL);
INSERT INTO connectors_revision (revision) VALUES (0);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    seen BIGINT NOT NULL
);

CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY,
    text BYTEA NOT NULL
);

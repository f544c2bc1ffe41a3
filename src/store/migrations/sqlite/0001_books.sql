-- Payments, callbacks, connectors. Times are milliseconds since 1970; what is sealed is opaque here.

CREATE TABLE payments (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
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
    error_code INTEGER,
    error TEXT,
    confirmation_code TEXT,
    sends INTEGER NOT NULL,
    first_sent INTEGER,
    last_sent INTEGER,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    sealed BLOB,
    note BLOB,
    node TEXT
);
CREATE INDEX payments_call ON payments (call_sid, place);
CREATE INDEX payments_connector ON payments (connector, place);
CREATE INDEX payments_state ON payments (state, place);
CREATE INDEX payments_created ON payments (created);
CREATE INDEX payments_open ON payments (node, place) WHERE sealed IS NOT NULL;

CREATE TABLE callbacks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    call_sid TEXT NOT NULL,
    payment_sid TEXT,
    kind TEXT NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    sealed BLOB,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    reason TEXT,
    since INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    node TEXT
);
CREATE INDEX callbacks_call ON callbacks (call_sid, id);
CREATE INDEX callbacks_payment ON callbacks (payment_sid, id) WHERE payment_sid IS NOT NULL;
-- Two that have no row in common: a query says which of them it means (callbacks.rs).
CREATE INDEX callbacks_open ON callbacks (node, id, state) WHERE state IN ('waiting', 'held');
CREATE INDEX callbacks_closed ON callbacks (state, updated) WHERE state NOT IN ('waiting', 'held');

CREATE TABLE connectors (
    name TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    withdrawn INTEGER,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
);
CREATE TABLE connectors_revision (revision INTEGER NOT NULL);
INSERT INTO connectors_revision (revision) VALUES (0);

CREATE TABLE nodes (
    id TEXT NOT NULL PRIMARY KEY,
    seen INTEGER NOT NULL
);

CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY,
    text BLOB NOT NULL
);

-- Calls, and the Pay sessions of calls. Times are milliseconds since 1970; what is sealed is opaque here.

CREATE TABLE calls (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    sid TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    dialect TEXT NOT NULL,
    flow TEXT NOT NULL,
    from_number TEXT,
    to_number TEXT,
    direction TEXT NOT NULL,
    caller_name TEXT,
    forwarded_from TEXT,
    status TEXT NOT NULL,
    how TEXT,
    started INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    ended INTEGER,
    node TEXT
);
CREATE INDEX calls_from ON calls (from_number, place);
CREATE INDEX calls_started ON calls (started);
CREATE INDEX calls_open ON calls (node, place) WHERE status = 'in-progress';

CREATE TABLE sessions (
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
    state TEXT NOT NULL,
    result TEXT,
    error_code INTEGER,
    error TEXT,
    begun INTEGER NOT NULL,
    ended INTEGER,
    sealed BLOB,
    node TEXT
);
CREATE INDEX sessions_call ON sessions (call_sid, place);
CREATE INDEX sessions_begun ON sessions (begun);
CREATE INDEX sessions_open ON sessions (node, place) WHERE state = 'open';
CREATE INDEX sessions_listed ON sessions (place) WHERE state <> 'asked';

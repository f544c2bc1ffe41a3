-- Calls, and the Pay sessions of calls. Times are milliseconds since 1970; what is sealed is opaque here.

CREATE TABLE calls (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
    started BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    ended BIGINT,
    node TEXT
);
CREATE INDEX calls_from ON calls (from_number, place);
CREATE INDEX calls_started ON calls (started);
CREATE INDEX calls_open ON calls (node, place) WHERE status = 'in-progress';

CREATE TABLE sessions (
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
    state TEXT NOT NULL,
    result TEXT,
    error_code BIGINT,
    error TEXT,
    begun BIGINT NOT NULL,
    ended BIGINT,
    sealed BYTEA,
    node TEXT
);
CREATE INDEX sessions_call ON sessions (call_sid, place);
CREATE INDEX sessions_begun ON sessions (begun);
CREATE INDEX sessions_open ON sessions (node, place) WHERE state = 'open';
CREATE INDEX sessions_listed ON sessions (place) WHERE state <> 'asked';

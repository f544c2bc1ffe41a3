-- Sessions are listed without those whose gateway was asked: nobody looks for these by call or time, and each payment has one.

DROP INDEX sessions_call;
DROP INDEX sessions_begun;
CREATE INDEX sessions_call ON sessions (call_sid, place) WHERE state <> 'asked';
CREATE INDEX sessions_begun ON sessions (begun) WHERE state <> 'asked';

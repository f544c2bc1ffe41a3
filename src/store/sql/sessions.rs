//! Sessions in SQL, and the write that shows that there can be one.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::Sql;
use super::callbacks::Insert;
use super::failure::{Trouble, readable};
use super::nodes::{self, Claimable};
use super::statement::On;
use super::value::{
    Conditions, Narrowed, moment, number, places, some_moment, some_number, some_text, string, text, word,
};
use super::work::Work;
use crate::store::backend::{BackendError, CallbackRow, NewCallback, NewPayment, NodeId, SettledPayment};
use crate::store::record::led_by;
use crate::store::sessions::{LeftSession, NewSession, SessionBackend, SessionFilter, SessionRow, SessionState};
use crate::store::writable::ProbeBackend;

/// Every column of a [`SessionRow`].
const ROW: &str = "sid, call_sid, connector, led_by, operation, amount, currency, token_type, means, state, result, \
     error_code, error, begun, ended";

/// Sessions that nobody has told the end of.
const OPEN: Claimable = Claimable { table: "sessions", place: "place", open: "state = 'open'" };

/// What is left when a node is gone is nobody's.
pub(super) const RELEASE: &str = "UPDATE sessions SET node = NULL WHERE node = $1 AND state = 'open'";

/// How many rows one statement inserts: some six hundred values.
const ROWS_MAX: usize = 50;

/// Inserts sessions that have begun; of an open one of this node's it is written down anew where it is told.
pub(super) async fn write(on: &mut On<'_>, sessions: &[Arc<NewSession>], node: NodeId) -> Result<(), Trouble> {
    const COLUMNS: usize = 13;
    for sessions in sessions.chunks(ROWS_MAX) {
        let insert = format!(
            "INSERT INTO sessions (sid, call_sid, connector, led_by, operation, amount, currency, token_type, means, \
             state, begun, sealed, node) VALUES {} \
             ON CONFLICT (sid) DO UPDATE SET sealed = excluded.sealed \
             WHERE sessions.state = 'open' AND sessions.node = excluded.node",
            places(sessions.len(), COLUMNS)
        );
        let mut insert = sqlx::query(AssertSqlSafe(insert)).persistent(false);
        for session in sessions {
            insert = insert
                .bind(text(&session.sid))
                .bind(text(&session.call_sid))
                .bind(text(&session.connector))
                .bind(led_by(session.led_by))
                .bind(session.operation)
                .bind(some_text(session.amount.as_deref()))
                .bind(text(&session.currency))
                .bind(session.token_type)
                .bind(session.means)
                .bind(SessionState::Open.word())
                .bind(session.begun.as_millisecond())
                .bind(session.sealed.as_slice())
                .bind(nodes::text(node));
        }
        on.execute(insert).await?;
    }
    Ok(())
}

/// The gateway of a session is to be asked.
pub(super) async fn ask(on: &mut On<'_>, payment: &NewPayment, node: NodeId) -> Result<(), Trouble> {
    let insert = sqlx::query(
        "INSERT INTO sessions (sid, call_sid, connector, led_by, operation, amount, currency, token_type, means, state, \
         begun, node) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'asked', $10, $11) \
         ON CONFLICT (sid) DO UPDATE SET state = 'asked', sealed = NULL WHERE sessions.state <> 'ended'",
    )
    .bind(text(&payment.sid))
    .bind(text(&payment.call_sid))
    .bind(text(&payment.connector))
    .bind(led_by(payment.led_by))
    .bind(payment.operation)
    .bind(some_text(payment.amount.as_deref()))
    .bind(text(&payment.currency))
    .bind(payment.token_type)
    .bind(payment.means)
    .bind(payment.begun.as_millisecond())
    .bind(nodes::text(node));
    super::payments::changed(on.execute(insert).await?)
}

/// A session's outcome. One without a payment that has ended otherwise, or by another node, is refused.
pub(super) async fn end(
    on: &mut On<'_>,
    ended: &SettledPayment,
    has_payment: bool,
    node: NodeId,
    now: Timestamp,
) -> Result<(), Trouble> {
    let SettledPayment { sid, outcome, session, .. } = ended;
    // The same end by the same node is a repetition after a lost answer; any other one is refused.
    let (sql, session) = match session {
        Some(session) if !has_payment => (
            "INSERT INTO sessions (sid, result, error_code, error, ended, node, call_sid, connector, led_by, operation, \
             amount, currency, token_type, means, begun, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'ended') \
             ON CONFLICT (sid) DO UPDATE SET result = excluded.result, error_code = excluded.error_code, \
             error = excluded.error, ended = COALESCE(sessions.ended, excluded.ended), node = excluded.node, \
             sealed = NULL, state = CASE sessions.state WHEN 'open' THEN 'ended' ELSE sessions.state END \
             WHERE sessions.state <> 'ended' OR (sessions.node = excluded.node \
             AND sessions.result = excluded.result AND COALESCE(sessions.error, '') = COALESCE(excluded.error, ''))",
            Some(session),
        ),
        _ if has_payment => (
            "UPDATE sessions SET result = $2, error_code = $3, error = $4, ended = COALESCE(ended, $5), node = $6, \
             sealed = NULL, state = CASE state WHEN 'open' THEN 'ended' ELSE state END WHERE sid = $1",
            None,
        ),
        _ => (
            "UPDATE sessions SET result = $2, error_code = $3, error = $4, ended = COALESCE(ended, $5), node = $6, \
             sealed = NULL, state = CASE state WHEN 'open' THEN 'ended' ELSE state END \
             WHERE sid = $1 AND (state <> 'ended' OR (node = $6 AND result = $2 \
             AND COALESCE(error, '') = COALESCE($4, '')))",
            None,
        ),
    };
    let query = sqlx::query(sql)
        .bind(text(sid))
        .bind(outcome.result.word())
        .bind(outcome.code.map(|code| i64::from(code.number())))
        .bind(some_text(outcome.error.as_deref()))
        .bind(now.as_millisecond())
        .bind(nodes::text(node));
    let Some(session) = session else {
        // None: nobody has noted it, or another node has ended it.
        if on.execute(query).await? == 0 && !has_payment && one(on, sid).await?.is_some() {
            return Err(BackendError::NotFound.into());
        }
        return Ok(());
    };
    let query = query
        .bind(text(&session.call_sid))
        .bind(text(&session.connector))
        .bind(led_by(session.led_by))
        .bind(session.operation)
        .bind(some_text(session.amount.as_deref()))
        .bind(text(&session.currency))
        .bind(session.token_type)
        .bind(session.means)
        .bind(session.begun.as_millisecond());
    super::payments::changed(on.execute(query).await?)
}

/// See [`SessionBackend::claim_sessions`].
struct ClaimSessions {
    node: NodeId,
    limit: u32,
}

impl Work for ClaimSessions {
    type Done = Vec<LeftSession>;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            if !nodes::lock_claims(on).await? {
                return Ok(Vec::new());
            }
            let silent = OPEN.silent_for(on, self.node).await?;
            let mut free = OPEN.free(on, &silent, self.limit).await?;
            // Its own come last: many that cannot be told yet must not keep those of a dead server waiting.
            let left = self.limit.saturating_sub(u32::try_from(free.len()).unwrap_or(u32::MAX));
            free.extend(OPEN.places(on, Some(&nodes::text(self.node)), left).await?);
            let mut claimed = Vec::new();
            for row in OPEN.take(on, &free, self.node, ("", "place, sid, call_sid, sealed")).await? {
                let place: i64 = number(&row, "place")?;
                let sealed: Option<Vec<u8>> = row.try_get("sealed")?;
                let (sid, call_sid) = (string(&row, "sid")?, string(&row, "call_sid")?);
                claimed.push((place, LeftSession { sid, call_sid, sealed: sealed.unwrap_or_default() }));
            }
            // What an update returns is in no order.
            claimed.sort_unstable_by_key(|(place, _)| *place);
            Ok(claimed.into_iter().map(|(_, session)| session).collect())
        }
        .boxed()
    }
}

/// See [`SessionBackend::end_left_session`].
struct EndLeftSession {
    session: SettledPayment,
    callbacks: Vec<NewCallback>,
    node: NodeId,
    now: Timestamp,
}

impl Work for EndLeftSession {
    type Done = Option<Vec<CallbackRow>>;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            let SettledPayment { sid, outcome, .. } = &self.session;
            // Its gateway's being asked at the same time waits for the row, or is waited for.
            let update = sqlx::query(
                "UPDATE sessions SET state = 'ended', result = $2, error_code = $3, error = $4, ended = $5, node = $6, \
                 sealed = NULL WHERE sid = $1 AND state = 'open' \
                 AND NOT EXISTS (SELECT 1 FROM payments WHERE sid = $1)",
            )
            .bind(text(sid))
            .bind(outcome.result.word())
            .bind(outcome.code.map(|code| i64::from(code.number())))
            .bind(some_text(outcome.error.as_deref()))
            .bind(self.now.as_millisecond())
            .bind(nodes::text(self.node));
            if on.execute(update).await? == 0 && !self.is_repeated(on).await? {
                return Ok(None);
            }
            let stored = Insert { callbacks: &self.callbacks, node: self.node, now: self.now }.run(on).await?;
            Ok(Some(stored.into_iter().filter_map(|stored| stored.open_of(self.node)).collect()))
        }
        .boxed()
    }
}

impl EndLeftSession {
    /// Whether it was done before, and the answer lost.
    async fn is_repeated(&self, on: &mut On<'_>) -> Result<bool, Trouble> {
        let SettledPayment { sid, outcome, .. } = &self.session;
        let select =
            sqlx::query("SELECT error FROM sessions WHERE sid = $1 AND state = 'ended' AND node = $2 AND result = $3")
                .bind(text(sid))
                .bind(nodes::text(self.node))
                .bind(outcome.result.word());
        let Some(row) = on.row(select).await? else { return Ok(false) };
        let error: Option<String> = row.try_get("error")?;
        Ok(error == some_text(outcome.error.as_deref()))
    }
}

/// See [`ProbeBackend::probe`].
struct Probe;

impl Work for Probe {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            // Another value each time: a database may leave out what changes nothing.
            let write = sqlx::query(
                "INSERT INTO notes (name, text) VALUES ('probe', $1) ON CONFLICT (name) DO UPDATE SET text = excluded.text",
            );
            on.execute(write.bind(uuid::Uuid::new_v4().as_bytes().to_vec())).await?;
            Ok(())
        }
        .boxed()
    }
}

impl SessionBackend for Sql {
    fn claim_sessions(&self, node: NodeId, limit: u32) -> BoxFuture<'_, Result<Vec<LeftSession>, BackendError>> {
        self.keep_up(ClaimSessions { node, limit })
    }

    fn end_left_session(
        &self,
        session: SettledPayment,
        callbacks: Vec<NewCallback>,
        node: NodeId,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Vec<CallbackRow>>, BackendError>> {
        self.write(EndLeftSession { session, callbacks, node, now })
    }

    fn count_told<'a>(&'a self, call_sid: &'a str, sid: &'a str) -> BoxFuture<'a, Result<u64, BackendError>> {
        self.read(async move |on| count_told(on, call_sid, sid).await).boxed()
    }

    fn session<'a>(&'a self, sid: &'a str) -> BoxFuture<'a, Result<Option<SessionRow>, BackendError>> {
        self.read(async move |on| one(on, sid).await).boxed()
    }

    fn sessions(&self, filter: SessionFilter) -> BoxFuture<'_, Result<Vec<SessionRow>, BackendError>> {
        self.read(async move |on| list(on, filter).await).boxed()
    }
}

impl ProbeBackend for Sql {
    fn probe(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.keep_up(Probe)
    }
}

async fn count_told(on: &mut On<'_>, call_sid: &str, sid: &str) -> Result<u64, Trouble> {
    // The sessions of a call come one after the other, and so do their callbacks. Of what tells the end of one before only the
    // first counts: what is told of it late comes in between.
    let select = "SELECT COUNT(*) AS count FROM callbacks WHERE call_sid = $1 AND kind = 'status' \
         AND payment_sid IS NULL AND id > COALESCE((SELECT MAX(first) FROM (SELECT MIN(id) AS first FROM callbacks \
         WHERE call_sid = $1 AND kind = 'status' AND payment_sid IS NOT NULL AND payment_sid <> $2 \
         GROUP BY payment_sid) AS ends), 0)";
    let row = on.row(sqlx::query(select).bind(text(call_sid)).bind(text(sid))).await?;
    number(&row.ok_or(sqlx::Error::RowNotFound)?, "count")
}

async fn one(on: &mut On<'_>, sid: &str) -> Result<Option<SessionRow>, Trouble> {
    let select = format!("SELECT {ROW} FROM sessions WHERE sid = $1");
    let row = on.row(sqlx::query(AssertSqlSafe(select)).bind(text(sid))).await?;
    row.map(|row| read(&row)).transpose()
}

async fn list(on: &mut On<'_>, filter: SessionFilter) -> Result<Vec<SessionRow>, Trouble> {
    let SessionFilter { call_sid, connector, from, before, after_sid, limit } = filter;
    let narrowed = Narrowed { call_sid, connector, from, before, after_sid };
    let mut conditions = Conditions::of_list("sessions", "begun", narrowed);
    // As the indexes of lists have it: what was asked is in the payment's row.
    conditions.and_plain("state <> 'asked'");
    let select = format!("SELECT {ROW} FROM sessions");
    let rows = on.rows(conditions.query(&select, "place DESC", limit)).await?;
    Ok(rows.iter().filter_map(|row| readable("sid", row, read)).collect())
}

fn read(row: &AnyRow) -> Result<SessionRow, Trouble> {
    Ok(SessionRow {
        sid: string(row, "sid")?,
        call_sid: string(row, "call_sid")?,
        connector: string(row, "connector")?,
        led_by: string(row, "led_by")?,
        operation: string(row, "operation")?,
        amount: row.try_get("amount")?,
        currency: string(row, "currency")?,
        token_type: row.try_get("token_type")?,
        means: string(row, "means")?,
        state: word(row, "state", SessionState::parse)?,
        result: row.try_get("result")?,
        error_code: some_number(row, "error_code")?,
        error: row.try_get("error")?,
        begun: moment(row, "begun")?,
        ended: some_moment(row, "ended")?,
    })
}

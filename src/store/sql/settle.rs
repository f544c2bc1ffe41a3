//! A payment's outcome in SQL, and what is told of it.
//!
//! Shape:   nearly every outcome is the first one of a payment that is still its owner's. PostgreSQL writes that down in one
//!          statement ([`Work::at_once`]), SQLite's writer without a look at the payment before; everything else is decided
//!          by [`SettlingStep`].

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row};

use super::SqlDialect;
use super::callbacks::{self, Insert, Stored};
use super::failure::Trouble;
use super::statement::{On, SqlStatement};
use super::value::{some_number, some_text, text, word};
use super::work::Work;
use super::{nodes, sessions};
use crate::pay::outcome::Standing;
use crate::store::backend::{
    BackendError, CallbackRow, NewCallback, NodeId, PaymentState, Recorded, SettledPayment, Settling,
};
use crate::store::settling::{self, KnownPayment, SettlingStep};

/// How many parameters an outcome has, the payment's id among them.
const OUTCOME: usize = 7;

/// See [`crate::store::Backend::settle_payment`].
pub(super) struct SettlePayment {
    pub(super) payment: SettledPayment,
    pub(super) first: Vec<NewCallback>,
    pub(super) late: Vec<NewCallback>,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for SettlePayment {
    type Done = Settling;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            // What nearly every payment needs, without a look before. On PostgreSQL `at_once` has tried it.
            if on.dialect == SqlDialect::Sqlite && self.write_first(on).await? {
                self.end_session(on, true).await?;
                let stored = self.insert(on, &self.first).await?;
                return Ok(Settling { recorded: Recorded::First, callbacks: self.mine(stored) });
            }
            match self.step(on).await? {
                SettlingStep::Otherwise => Ok(Settling { recorded: Recorded::Otherwise, callbacks: Vec::new() }),
                SettlingStep::Unrecorded if !self.end_session(on, false).await? => {
                    Ok(Settling { recorded: Recorded::Otherwise, callbacks: Vec::new() })
                }
                SettlingStep::Unrecorded => {
                    let stored = self.insert(on, &self.first).await?;
                    Ok(Settling { recorded: Recorded::First, callbacks: self.mine(stored) })
                }
                SettlingStep::First => {
                    self.write(on).await?;
                    self.end_session(on, true).await?;
                    let stored = self.insert(on, &self.first).await?;
                    Ok(Settling { recorded: Recorded::First, callbacks: self.mine(stored) })
                }
                SettlingStep::Late => {
                    self.write(on).await?;
                    self.end_session(on, true).await?;
                    let stored = self.insert(on, &self.late).await?;
                    Ok(Settling { recorded: Recorded::Late, callbacks: self.mine(stored) })
                }
                SettlingStep::Again => {
                    let (first, late) = (self.stored(on, &self.first).await?, self.stored(on, &self.late).await?);
                    let recorded = if late.is_empty() { Recorded::First } else { Recorded::Late };
                    Ok(Settling { recorded, callbacks: self.mine(first.into_iter().chain(late)) })
                }
            }
        }
        .boxed()
    }

    /// The first outcome of a payment that is its owner's, which nearly every one is.
    fn at_once<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Option<Self::Done>, Trouble>> {
        async move {
            let insert = Insert { callbacks: &self.first, node: self.node, now: self.now };
            let sid = insert.bound().saturating_add(1);
            let (outcome, is_untold) = (self.outcome(sid), self.is_untold(sid));
            let number = |place: usize| sid.saturating_add(place);
            let (result, code, error) = (number(2), number(3), number(4));
            let (told, columns) = if self.first.is_empty() {
                (String::new(), String::new())
            } else {
                let (into, rows, new) = (callbacks::COLUMNS, insert.rows(), callbacks::NEW);
                (
                    // One row of the payment at most, so that the callbacks are stored as they stand here.
                    format!(
                        ", told AS (INSERT INTO callbacks ({into}) SELECT new.* FROM settled CROSS JOIN (VALUES {rows}) AS new \
                         ON CONFLICT (token) DO NOTHING RETURNING {new})"
                    ),
                    format!(", {new}"),
                )
            };
            let joined = if self.first.is_empty() { "" } else { " LEFT JOIN told ON TRUE" };
            let sql = format!(
                "WITH settled AS (UPDATE payments SET {outcome} WHERE {is_untold} RETURNING sid AS settled_sid), \
                 ended AS (UPDATE sessions SET result = ${result}, error_code = ${code}, error = ${error}, \
                 ended = COALESCE(ended, $1), node = $2, sealed = NULL, \
                 state = CASE state WHEN 'open' THEN 'ended' ELSE state END FROM settled WHERE sid = settled_sid){told} \
                 SELECT settled_sid{columns} FROM settled{joined}"
            );
            let statement = insert.bind(sqlx::query(AssertSqlSafe(sql)));
            let statement = self.bind_outcome(statement).bind(nodes::text(self.payment.owner));
            // All of them, so that the statement is run to its end.
            let rows = on.rows(statement).await?;
            if rows.is_empty() {
                return Ok(None);
            }
            let mut new = Vec::with_capacity(self.first.len());
            for row in &rows {
                // None: every token was known.
                if !self.first.is_empty() && row.try_get::<Option<i64>, _>("id")?.is_some() {
                    new.push(callbacks::New::read(row)?);
                }
            }
            let stored = insert.with_known(on, new).await?;
            Ok(Some(Settling { recorded: Recorded::First, callbacks: self.mine(stored) }))
        }
        .boxed()
    }
}

impl SettlePayment {
    /// What is to be done, by what the row says.
    async fn step(&self, on: &mut On<'_>) -> Result<SettlingStep, Trouble> {
        // Locked until the transaction is over: of two servers that settle at once the second sees what the first
        // wrote.
        let select = match on.dialect.locks_rows() {
            true => "SELECT state, node, result, error_code, confirmation_code FROM payments WHERE sid = $1 FOR UPDATE",
            false => "SELECT state, node, result, error_code, confirmation_code FROM payments WHERE sid = $1",
        };
        let row = on.row(sqlx::query(select).bind(text(&self.payment.sid))).await?;
        let Some(row) = row else { return Ok(SettlingStep::of(None, &self.payment)) };
        let known = KnownPayment {
            state: word(&row, "state", PaymentState::parse)?,
            node: nodes::read(&row)?,
            result: row.try_get("result")?,
            error_code: some_number(&row, "error_code")?,
            confirmation_code: row.try_get("confirmation_code")?,
        };
        Ok(SettlingStep::of(Some(&known), &self.payment))
    }

    async fn insert(&self, on: &mut On<'_>, callbacks: &[NewCallback]) -> Result<Vec<Stored>, Trouble> {
        Insert { callbacks, node: self.node, now: self.now }.run(on).await
    }

    async fn stored(&self, on: &mut On<'_>, callbacks: &[NewCallback]) -> Result<Vec<Stored>, Trouble> {
        let mut stored = Vec::with_capacity(callbacks.len());
        for callback in callbacks {
            stored.extend(callbacks::by_token(on, callback.token).await?);
        }
        Ok(stored)
    }

    /// Those that the writer has to see to.
    fn mine(&self, stored: impl IntoIterator<Item = Stored>) -> Vec<CallbackRow> {
        stored.into_iter().filter_map(|stored| stored.open_of(self.node)).collect()
    }

    /// Writes the outcome into the session's row. False: another node has ended it.
    async fn end_session(&self, on: &mut On<'_>, has_payment: bool) -> Result<bool, Trouble> {
        match sessions::end(on, &self.payment, has_payment, self.node, self.now).await {
            Ok(()) => Ok(true),
            Err(Trouble::Refused(BackendError::NotFound)) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes the outcome of a payment that nothing was told of, if it is its owner's. False: it is otherwise.
    async fn write_first(&self, on: &mut On<'_>) -> Result<bool, Trouble> {
        let update = format!("UPDATE payments SET {} WHERE {}", self.outcome(1), self.is_untold(1));
        let update = self.bind_outcome(sqlx::query(AssertSqlSafe(update))).bind(nodes::text(self.payment.owner));
        Ok(on.execute(update).await? > 0)
    }

    async fn write(&self, on: &mut On<'_>) -> Result<(), Trouble> {
        let update = format!("UPDATE payments SET {} WHERE sid = $1", self.outcome(1));
        on.execute(self.bind_outcome(sqlx::query(AssertSqlSafe(update)))).await?;
        Ok(())
    }

    /// What is set, with the parameters from `first` on; the first one is the payment.
    fn outcome(&self, first: usize) -> String {
        let place = |number: usize| first.saturating_add(number);
        let wiped = match self.payment.outcome.standing {
            // Whoever goes on looking for the outcome needs them.
            Standing::Unknown => "",
            Standing::Succeeded | Standing::Failed => ", sealed = NULL, note = NULL",
        };
        format!(
            "state = ${}, result = ${}, error_code = ${}, error = ${}, confirmation_code = ${}, updated = ${}{wiped}",
            place(1),
            place(2),
            place(3),
            place(4),
            place(5),
            place(6),
        )
    }

    /// Which payment it must be for [`SettlingStep::First`] to be certain, with the same parameters, and the owner after them.
    fn is_untold(&self, first: usize) -> String {
        let owner = first.saturating_add(OUTCOME);
        format!("sid = ${first} AND node = ${owner} AND state IN ('preparing', 'submitting')")
    }

    fn bind_outcome<'q>(&self, statement: SqlStatement<'q>) -> SqlStatement<'q> {
        let SettledPayment { sid, outcome, .. } = &self.payment;
        statement
            .bind(text(sid))
            .bind(settling::state(outcome.standing).word())
            .bind(outcome.result.word())
            .bind(outcome.code.map(|code| i64::from(code.number())))
            .bind(some_text(outcome.error.as_deref()))
            .bind(some_text(outcome.confirmation_code.as_deref()))
            .bind(self.now.as_millisecond())
    }
}

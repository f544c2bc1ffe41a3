//! Callbacks in SQL.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::failure::{Trouble, readable};
use super::nodes::{self, Claimable};
use super::payments::changed;
use super::statement::{On, SqlStatement};
use super::value::{Bound, Conditions, moment, number, some_text, string, text, uuid, word};
use super::work::Work;
use crate::store::CallbackKind;
use crate::store::backend::{
    BackendError, CallbackFilter, CallbackRow, CallbackState, Inserted, NewCallback, NodeId, PendingCallback,
};
use crate::twiml::Method;

/// Every column of a [`CallbackRow`].
const ROW: &str = "id, token, call_sid, payment_sid, kind, method, url, sealed, state, tries, reason, since, updated";

/// Every column of a [`PendingCallback`].
const PENDING: &str = "id, call_sid, kind, url, tries, reason, since";

/// Callbacks that are to be delivered.
const OPEN: Claimable = Claimable { table: "callbacks", place: "id", open: "state IN ('waiting', 'held')" };

/// The condition for a state, in the words by which SQLite finds the index: of those that are open, or of the others.
const fn is(state: CallbackState) -> &'static str {
    match state {
        CallbackState::Waiting => "state IN ('waiting', 'held') AND state = 'waiting'",
        CallbackState::Held => "state IN ('waiting', 'held') AND state = 'held'",
        CallbackState::Delivered => "state NOT IN ('waiting', 'held') AND state = 'delivered'",
        CallbackState::Parked => "state NOT IN ('waiting', 'held') AND state = 'parked'",
    }
}

/// A callback and whose it is.
pub(super) struct Stored {
    row: CallbackRow,
    node: Option<String>,
}

impl Stored {
    /// The callback, if `node` has to see to it.
    pub(super) fn open_of(self, node: NodeId) -> Option<CallbackRow> {
        let is_open = matches!(self.row.state, CallbackState::Waiting | CallbackState::Held);
        (is_open && self.node == Some(nodes::text(node))).then_some(self.row)
    }
}

/// What the database says of a callback that was stored just now; the rest is known.
pub(super) const NEW: &str = "id, token, node";

/// A row of [`NEW`].
pub(super) struct New {
    id: i64,
    token: Uuid,
    node: Option<String>,
}

impl New {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Trouble> {
        Ok(Self { id: number(row, "id")?, token: word(row, "token", uuid)?, node: row.try_get("node")? })
    }
}

/// Stores callbacks, each unless its token is known, in one statement.
pub(super) struct Insert<'a> {
    pub(super) callbacks: &'a [NewCallback],
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

/// Their columns, in the order of [`Insert::rows`].
pub(super) const COLUMNS: &str =
    "token, call_sid, payment_sid, kind, method, url, sealed, state, tries, since, updated, node";

/// How many values a callback has of its own.
const OWN: usize = 8;

impl Insert<'_> {
    /// Gives each, or the known one.
    pub(super) async fn run(&self, on: &mut On<'_>) -> Result<Vec<Stored>, Trouble> {
        if self.callbacks.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "INSERT INTO callbacks ({COLUMNS}) VALUES {} ON CONFLICT (token) DO NOTHING RETURNING {NEW}",
            self.rows()
        );
        // All of them, so that the statement is run to its end.
        let rows = on.rows(self.bind(sqlx::query(AssertSqlSafe(sql)))).await?;
        self.with_known(on, rows.iter().map(New::read).collect::<Result<_, _>>()?).await
    }

    /// Those that were stored just now, and those that were known, as they were given.
    pub(super) async fn with_known(&self, on: &mut On<'_>, mut new: Vec<New>) -> Result<Vec<Stored>, Trouble> {
        let mut all = Vec::with_capacity(self.callbacks.len());
        for callback in self.callbacks {
            all.push(match new.iter().position(|new| new.token == callback.token) {
                Some(place) => self.stored(callback, new.swap_remove(place)),
                None => by_token(on, callback.token).await?.ok_or(sqlx::Error::RowNotFound)?,
            });
        }
        Ok(all)
    }

    /// What was stored just now.
    fn stored(&self, callback: &NewCallback, New { id, node, .. }: New) -> Stored {
        // As a database keeps it.
        let now = Timestamp::from_millisecond(self.now.as_millisecond()).unwrap_or(self.now);
        let row = CallbackRow {
            id,
            token: callback.token,
            call_sid: text(&callback.call_sid),
            payment_sid: some_text(callback.payment_sid.as_deref()),
            kind: callback.kind,
            method: callback.method,
            url: text(&callback.url),
            sealed: Some(callback.sealed.clone()),
            state: callback.state,
            tries: 0,
            reason: None,
            since: now,
            updated: now,
        };
        Stored { row, node }
    }

    /// The rows, from the first parameter on: `($3, ...), ($11, ...)`.
    pub(super) fn rows(&self) -> String {
        let rows =
            self.callbacks.iter().enumerate().map(|(number, callback)| format!("({})", values(number, callback)));
        rows.collect::<Vec<_>>().join(", ")
    }

    /// Stores the only one, which tells the progress of a session, unless that session's end is another node's to tell.
    async fn run_for(&self, session: &str, on: &mut On<'_>) -> Result<Stored, Trouble> {
        let callback = self.callbacks.first().ok_or(BackendError::NotFound)?;
        let (values, sid, keep) = (values(0, callback), self.bound().saturating_add(1), on.dialect.keep_row());
        // Whoever takes the session over at the same time waits for this, or is waited for.
        let sql = format!(
            "WITH session AS (SELECT state, node FROM sessions WHERE sid = ${sid}{keep}) \
             INSERT INTO callbacks ({COLUMNS}) SELECT {values} WHERE NOT EXISTS (SELECT 1 FROM session \
             WHERE session.state <> 'asked' AND (session.node IS NULL OR session.node <> $2)) \
             ON CONFLICT (token) DO NOTHING RETURNING {NEW}"
        );
        // All of them, so that the statement is run to its end.
        let rows = on.rows(self.bind(sqlx::query(AssertSqlSafe(sql))).bind(text(session))).await?;
        match rows.first() {
            Some(row) => Ok(self.stored(callback, New::read(row)?)),
            // Stored before, and the answer was lost; or the session is another node's by now.
            None => Ok(by_token(on, callback.token).await?.ok_or(BackendError::NotFound)?),
        }
    }

    /// How many parameters [`Self::rows`] has.
    pub(super) fn bound(&self) -> usize {
        self.callbacks.len().saturating_mul(OWN).saturating_add(2)
    }

    /// Binds them.
    pub(super) fn bind<'q>(&self, statement: SqlStatement<'q>) -> SqlStatement<'q> {
        let mut statement = statement.bind(self.now.as_millisecond()).bind(nodes::text(self.node));
        for callback in self.callbacks {
            let NewCallback { token, call_sid, payment_sid, progress_of: _, kind, method, url, sealed, state } =
                callback;
            statement = statement
                .bind(token.to_string())
                .bind(text(call_sid))
                .bind(some_text(payment_sid.as_deref()))
                .bind(kind.word())
                .bind(method.to_string())
                .bind(text(url))
                .bind(sealed.as_slice())
                .bind(state.word());
        }
        statement
    }
}

/// The values of the `number`th callback, in the order of [`COLUMNS`].
fn values(number: usize, callback: &NewCallback) -> String {
    let first = number.saturating_mul(OWN).saturating_add(3);
    let own: Vec<String> = (first..).take(OWN).map(|number| format!("${number}")).collect();
    let node = match callback.kind {
        CallbackKind::Status => following(first.saturating_add(1)),
        CallbackKind::Action | CallbackKind::Document | CallbackKind::ErrorNotice => "$2".to_owned(),
    };
    format!("{}, 0, $1, $1, {node}", own.join(", "))
}

/// Whose a status callback is: nobody's if earlier ones of its call are another's, its keeper's included. The number is that of
/// the parameter that is the call.
fn following(call_sid: usize) -> String {
    format!(
        "CASE WHEN EXISTS (SELECT 1 FROM callbacks AS earlier WHERE earlier.call_sid = ${call_sid} \
         AND earlier.kind = 'status' AND earlier.state IN ('waiting', 'held') \
         AND (earlier.node IS NULL OR earlier.node <> $2)) THEN NULL ELSE $2 END"
    )
}

/// The callback with this token.
pub(super) async fn by_token(on: &mut On<'_>, token: Uuid) -> Result<Option<Stored>, Trouble> {
    let select = format!("SELECT node, {ROW} FROM callbacks WHERE token = $1");
    let row = on.row(sqlx::query(sqlx::AssertSqlSafe(select)).bind(token.to_string())).await?;
    row.map(|row| Ok(Stored { row: read(&row)?, node: row.try_get("node")? })).transpose()
}

/// See [`crate::store::Backend::insert_callback`].
pub(super) struct InsertCallback {
    pub(super) callback: NewCallback,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for InsertCallback {
    type Done = Inserted;
    // A known one is only read.
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Inserted, Trouble>> {
        async move {
            let insert = Insert { callbacks: std::slice::from_ref(&self.callback), node: self.node, now: self.now };
            let stored = match &self.callback.progress_of {
                Some(session) => insert.run_for(session, on).await?,
                None => insert.run(on).await?.pop().ok_or(sqlx::Error::RowNotFound)?,
            };
            Ok(Inserted { id: stored.row.id, is_own: stored.open_of(self.node).is_some() })
        }
        .boxed()
    }
}

/// See [`crate::store::Backend::claim_callbacks`].
pub(super) struct ClaimCallbacks {
    pub(super) keeper: NodeId,
    pub(super) node: NodeId,
    pub(super) limit: u32,
}

impl Work for ClaimCallbacks {
    type Done = Vec<PendingCallback>;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<Self::Done, Trouble>> {
        async move {
            if !nodes::lock_claims(on).await? {
                return Ok(Vec::new());
            }
            let own = [nodes::text(self.keeper), nodes::text(self.node)];
            let mut silent = OPEN.silent_for(on, self.node).await?;
            // Its own are never free, however late its heartbeat is.
            silent.retain(|node| !own.contains(node));
            let mut first = self.free(on, None, &silent).await?;
            // One owner at a time, as in `Claimable::free`.
            for owner in &silent {
                first.extend(self.free(on, Some(owner), &silent).await?);
            }
            first.sort_unstable();
            first.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
            let mut calls: Vec<String> = first.into_iter().map(|(_, call_sid)| call_sid).collect();
            calls.sort_unstable();
            calls.dedup();
            self.take(on, calls, silent).await
        }
        .boxed()
    }
}

impl ClaimCallbacks {
    /// The first free callbacks of a node that is silent, or of nobody: their ids and calls. Those of calls that another node
    /// sees to are passed over.
    async fn free(
        &self,
        on: &mut On<'_>,
        owner: Option<&String>,
        silent: &[String],
    ) -> Result<Vec<(i64, String)>, Trouble> {
        let whose = if owner.is_some() { "free.node = $4" } else { "free.node IS NULL" };
        let place = if owner.is_some() { 5 } else { 4 };
        let not_others: String = (place..).take(silent.len()).map(|number| format!(", ${number}")).collect();
        let select = format!(
            "SELECT free.id AS id, free.call_sid AS call_sid FROM callbacks AS free \
             WHERE free.state IN ('waiting', 'held') AND {whose} AND NOT EXISTS (SELECT 1 FROM callbacks AS other \
             WHERE other.call_sid = free.call_sid AND other.state IN ('waiting', 'held') \
             AND other.kind = 'status' AND other.node NOT IN ($2, $3{not_others})) ORDER BY free.id LIMIT $1"
        );
        let mut select = sqlx::query(AssertSqlSafe(select))
            // The text differs with the number of silent nodes: such statements are not kept prepared.
            .persistent(silent.is_empty())
            .bind(i64::from(self.limit))
            .bind(nodes::text(self.keeper))
            .bind(nodes::text(self.node));
        for node in owner.into_iter().chain(silent) {
            select = select.bind(node.as_str());
        }
        let rows = on.rows(select).await?;
        rows.iter().map(|row| Ok((number(row, "id")?, string(row, "call_sid")?))).collect()
    }

    /// Takes what is free of these calls. Nobody else claims meanwhile; a row that somebody changes is waited for, since
    /// without it the call would not be whole.
    async fn take(
        &self,
        on: &mut On<'_>,
        calls: Vec<String>,
        silent: Vec<String>,
    ) -> Result<Vec<PendingCallback>, Trouble> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = |from: usize, count: usize| {
            (from..).take(count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
        };
        let of_calls = numbers(2, calls.len());
        let of_silent = numbers(calls.len().saturating_add(2), silent.len());
        let is_silent = if silent.is_empty() { String::new() } else { format!(" OR node IN ({of_silent})") };
        let update = format!(
            "UPDATE callbacks SET node = $1, state = 'waiting' WHERE call_sid IN ({of_calls}) \
             AND state IN ('waiting', 'held') AND (node IS NULL{is_silent}) RETURNING {PENDING}"
        );
        // Its length differs: it is not kept among the prepared statements.
        let mut update = sqlx::query(AssertSqlSafe(update)).persistent(false).bind(nodes::text(self.keeper));
        for text in calls.into_iter().chain(silent) {
            update = update.bind(text);
        }
        let rows = on.rows(update).await?;
        let mut claimed: Vec<PendingCallback> = rows.iter().filter_map(|row| readable("id", row, pending)).collect();
        // What an update returns is in no order.
        claimed.sort_unstable_by_key(|callback| callback.id);
        Ok(claimed)
    }
}

/// See [`crate::store::Backend::claimed_callbacks`].
pub(super) async fn claimed(
    on: &mut On<'_>,
    keeper: NodeId,
    after_id: i64,
    limit: u32,
) -> Result<Vec<PendingCallback>, Trouble> {
    let select = format!(
        "SELECT {PENDING} FROM callbacks WHERE state IN ('waiting', 'held') AND state = 'waiting' AND node = $1 AND id > $2 \
         ORDER BY id LIMIT $3"
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(nodes::text(keeper)).bind(after_id).bind(i64::from(limit));
    Ok(on.rows(select).await?.iter().filter_map(|row| readable("id", row, pending)).collect())
}

/// A callback that is a node's to deliver.
pub(super) enum OpenedCallback {
    /// It can be sent.
    Own(Box<CallbackRow>),
    /// Earlier ones of its call are another's: whoever has them sees to it too.
    Following,
}

/// See [`crate::store::Backend::open_callback`].
pub(super) async fn open(on: &mut On<'_>, id: i64, node: NodeId) -> Result<Option<OpenedCallback>, Trouble> {
    let select = format!(
        "SELECT {ROW}, CASE WHEN kind = 'status' AND EXISTS (SELECT 1 FROM callbacks AS earlier \
         WHERE earlier.call_sid = callbacks.call_sid AND earlier.id < callbacks.id AND earlier.kind = 'status' \
         AND earlier.state IN ('waiting', 'held') AND (earlier.node IS NULL OR earlier.node NOT IN ($2, $3))) \
         THEN 1 ELSE 0 END AS follows \
         FROM callbacks WHERE id = $1 AND state IN ('waiting', 'held') AND node IN ($2, $3)"
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(id).bind(nodes::text(node)).bind(nodes::text(node.keeper()));
    let Some(row) = on.row(select).await? else { return Ok(None) };
    let follows: i64 = number(&row, "follows")?;
    Ok(Some(if follows == 0 { OpenedCallback::Own(Box::new(read(&row)?)) } else { OpenedCallback::Following }))
}

/// Leaves a callback to whoever has the earlier ones of its call.
pub(super) struct HandOver {
    pub(super) id: i64,
    pub(super) node: NodeId,
}

impl Work for HandOver {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let update =
                "UPDATE callbacks SET node = NULL WHERE id = $1 AND state IN ('waiting', 'held') AND node IN ($2, $3)";
            let update = sqlx::query(update).bind(self.id).bind(nodes::text(self.node));
            // None: somebody else has it by now.
            on.execute(update.bind(nodes::text(self.node.keeper()))).await?;
            Ok(())
        }
        .boxed()
    }
}

/// What becomes of a callback.
pub(super) enum Transition {
    /// See [`crate::store::Backend::mark_delivered`].
    Delivered,
    /// See [`crate::store::Backend::mark_failed`].
    Failed(String, u32),
    /// See [`crate::store::Backend::mark_parked`].
    Parked(String),
}

/// Writes down what becomes of a callback.
pub(super) struct Mark {
    pub(super) id: i64,
    pub(super) transition: Transition,
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
}

impl Work for Mark {
    type Done = ();
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<(), Trouble>> {
        let update = match &self.transition {
            Transition::Delivered => sqlx::query(
                "UPDATE callbacks SET state = 'delivered', sealed = NULL, reason = NULL, updated = $2 \
                 WHERE id = $1 AND node IN ($3, $4)",
            ),
            // The number, not one more, as a write whose answer was lost is repeated. A try may fail after another one
            // was answered: its fields are wiped by then.
            Transition::Failed(..) => sqlx::query(
                "UPDATE callbacks SET state = 'waiting', tries = CASE WHEN tries < $6 THEN $6 ELSE tries END, \
                 updated = $2, reason = $5 WHERE id = $1 AND node IN ($3, $4) AND state <> 'delivered'",
            ),
            Transition::Parked(_) => sqlx::query(
                "UPDATE callbacks SET state = 'parked', updated = $2, reason = $5 \
                 WHERE id = $1 AND node IN ($3, $4) AND state <> 'delivered'",
            ),
        };
        let update = update.bind(self.id).bind(self.now.as_millisecond());
        let update = update.bind(nodes::text(self.node)).bind(nodes::text(self.node.keeper()));
        let update = match &self.transition {
            Transition::Delivered => update,
            Transition::Failed(reason, number) => update.bind(text(reason)).bind(i64::from(*number)),
            Transition::Parked(reason) => update.bind(text(reason)),
        };
        async move { changed(on.execute(update).await?) }.boxed()
    }
}

/// See [`crate::store::Backend::retry_callbacks`].
pub(super) struct RetryCallbacks {
    pub(super) ids: Option<Vec<i64>>,
    pub(super) now: Timestamp,
}

impl Work for RetryCallbacks {
    type Done = u64;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<u64, Trouble>> {
        // As if never tried: what was tried counts as passed by the later ones of its call.
        // In the words of the index of those that are closed (`is`).
        const ALL: &str = "UPDATE callbacks SET state = 'waiting', node = NULL, tries = 0, reason = NULL, since = $1, \
             updated = $1 WHERE state NOT IN ('waiting', 'held') AND state = 'parked'";
        const ONE: &str = "UPDATE callbacks SET state = 'waiting', node = NULL, tries = 0, reason = NULL, since = $1, \
             updated = $1 WHERE id = $2 AND state = 'parked'";
        let now = self.now.as_millisecond();
        async move {
            let Some(ids) = &self.ids else { return on.execute(sqlx::query(ALL).bind(now)).await };
            let mut count = 0_u64;
            for id in ids {
                count = count.saturating_add(on.execute(sqlx::query(ONE).bind(now).bind(*id)).await?);
            }
            Ok(count)
        }
        .boxed()
    }
}

/// How many are forgotten at once: a statement has to end in time, however many there are.
const FORGOTTEN_MAX: u32 = 5000;

/// See [`crate::store::Backend::forget_delivered`].
pub(super) struct ForgetDelivered(pub(super) Timestamp);

impl Work for ForgetDelivered {
    type Done = u64;
    const SINGLE: bool = true;

    fn run<'a>(&'a self, on: &'a mut On<'_>) -> BoxFuture<'a, Result<u64, Trouble>> {
        async move {
            let delete = format!(
                "DELETE FROM callbacks WHERE id IN (SELECT id FROM callbacks WHERE {} AND updated < $1 LIMIT {FORGOTTEN_MAX})",
                is(CallbackState::Delivered)
            );
            on.execute(sqlx::query(sqlx::AssertSqlSafe(delete)).bind(self.0.as_millisecond())).await
        }
        .boxed()
    }
}

/// Callbacks, the oldest first.
pub(super) async fn list(on: &mut On<'_>, filter: CallbackFilter) -> Result<Vec<CallbackRow>, Trouble> {
    let CallbackFilter { call_sid, payment_sid, state, after_id, limit } = filter;
    let of = |some: Option<String>| some.map(|some| Bound::Text(text(&some)));
    let mut conditions = Conditions::default();
    conditions.and("call_sid = ?", of(call_sid));
    conditions.and("payment_sid = ?", of(payment_sid));
    if let Some(state) = state {
        conditions.and_plain(is(state));
    }
    conditions.and("id > ?", after_id.map(Bound::Number));
    let select = format!("SELECT {ROW} FROM callbacks");
    let rows = on.rows(conditions.query(&select, "id", limit)).await?;
    Ok(rows.iter().filter_map(|row| readable("id", row, read)).collect())
}

/// How many are in a state.
pub(super) async fn count(on: &mut On<'_>, state: CallbackState) -> Result<u64, Trouble> {
    let select = format!("SELECT COUNT(*) AS count FROM callbacks WHERE {}", is(state));
    let row = on.row(sqlx::query(sqlx::AssertSqlSafe(select))).await?.ok_or(sqlx::Error::RowNotFound)?;
    number(&row, "count")
}

fn read(row: &AnyRow) -> Result<CallbackRow, Trouble> {
    Ok(CallbackRow {
        id: number(row, "id")?,
        token: word(row, "token", uuid)?,
        call_sid: string(row, "call_sid")?,
        payment_sid: row.try_get("payment_sid")?,
        kind: word(row, "kind", kind)?,
        method: word(row, "method", method)?,
        url: string(row, "url")?,
        sealed: row.try_get("sealed")?,
        state: word(row, "state", CallbackState::parse)?,
        tries: number(row, "tries")?,
        reason: row.try_get("reason")?,
        since: moment(row, "since")?,
        updated: moment(row, "updated")?,
    })
}

fn pending(row: &AnyRow) -> Result<PendingCallback, Trouble> {
    let tries = number(row, "tries")?;
    let reason: Option<String> = row.try_get("reason")?;
    Ok(PendingCallback {
        id: number(row, "id")?,
        call_sid: string(row, "call_sid")?,
        kind: word(row, "kind", kind)?,
        url: string(row, "url")?,
        tries,
        was_tried: tries > 0 || reason.is_some(),
        since: moment(row, "since")?,
    })
}

fn kind(word: &str) -> Option<CallbackKind> {
    use CallbackKind::{Action, Document, ErrorNotice, Status};
    [Document, Action, Status, ErrorNotice].into_iter().find(|kind| kind.word() == word)
}

fn method(word: &str) -> Option<Method> {
    [Method::Get, Method::Post].into_iter().find(|method| method.to_string() == word)
}

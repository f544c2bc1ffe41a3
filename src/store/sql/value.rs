//! Texts, times and numbers on their way to a database and back.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::failure::{Trouble, unreadable};
use super::statement::SqlStatement;

/// A text as both databases take it: PostgreSQL refuses U+0000, which a platform or a gateway may send.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The same for one that may be absent.
pub(super) fn some_text(some: Option<&str>) -> Option<String> {
    some.map(text)
}

/// A column of texts.
pub(super) fn string(row: &AnyRow, column: &'static str) -> Result<String, Trouble> {
    Ok(row.try_get(column)?)
}

/// A column of words, numbers or ids, each read with `read`.
pub(super) fn word<T>(row: &AnyRow, column: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Trouble> {
    let text: &str = row.try_get(column)?;
    read(text).ok_or_else(|| unreadable(column))
}

/// A column of numbers that are not negative.
pub(super) fn number<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> Result<T, Trouble> {
    some_number(row, column)?.ok_or_else(|| unreadable(column))
}

/// The same, or nothing.
pub(super) fn some_number<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> Result<Option<T>, Trouble> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(|number| T::try_from(number).map_err(|_| unreadable(column))).transpose()
}

/// A column of moments.
pub(super) fn moment(row: &AnyRow, column: &'static str) -> Result<Timestamp, Trouble> {
    some_moment(row, column)?.ok_or_else(|| unreadable(column))
}

/// The same, or nothing.
pub(super) fn some_moment(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, Trouble> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(|number| Timestamp::from_millisecond(number).map_err(|_| unreadable(column))).transpose()
}

/// A UUID of a text.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

/// The places of the values of `rows` rows: `($1, $2), ($3, $4)`.
pub(super) fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let first = row.saturating_mul(columns).saturating_add(1);
        let numbers: Vec<String> = (first..first.saturating_add(columns)).map(|number| format!("${number}")).collect();
        format!("({})", numbers.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// A condition that narrows a list, with its numbered values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Bound>,
}

/// What a list of payments or sessions is narrowed by.
pub(super) struct Narrowed {
    pub(super) call_sid: Option<String>,
    pub(super) connector: Option<String>,
    pub(super) from: Option<Timestamp>,
    pub(super) before: Option<Timestamp>,
    pub(super) after_sid: Option<String>,
}

/// A value of a condition.
pub(super) enum Bound {
    /// A text.
    Text(String),
    /// A number or a moment.
    Number(i64),
}

impl Conditions {
    /// Adds a condition; `?` in it is the value.
    pub(super) fn and(&mut self, condition: &str, value: Option<Bound>) {
        let Some(value) = value else { return };
        self.values.push(value);
        self.and_plain(&condition.replace('?', &format!("${}", self.values.len())));
    }

    /// The conditions of a list of this table, whose rows began when this column says.
    pub(super) fn of_list(table: &str, began: &str, narrowed: Narrowed) -> Self {
        let Narrowed { call_sid, connector, from, before, after_sid } = narrowed;
        let of = |some: Option<String>| some.map(|some| Bound::Text(text(&some)));
        let at = |moment: Option<Timestamp>| moment.map(|moment| Bound::Number(moment.as_millisecond()));
        let mut conditions = Self::default();
        conditions.and("call_sid = ?", of(call_sid));
        conditions.and("connector = ?", of(connector));
        conditions.and(&format!("{began} >= ?"), at(from));
        conditions.and(&format!("{began} < ?"), at(before));
        // None of that id: nothing is passed over.
        let passed = format!("place < COALESCE((SELECT place FROM {table} WHERE sid = ?), 9223372036854775807)");
        conditions.and(&passed, of(after_sid));
        conditions
    }

    /// Adds a condition without a value.
    pub(super) fn and_plain(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    /// The whole query: `SELECT`, the conditions, the order, the limit.
    pub(super) fn query(self, select: &str, order: &str, limit: u32) -> SqlStatement<'static> {
        self.page(select, order, limit, 0)
    }

    /// The same, with so many rows passed over first.
    pub(super) fn page(self, select: &str, order: &str, limit: u32, offset: u32) -> SqlStatement<'static> {
        let Self { sql, values } = self;
        let last = values.len().saturating_add(1);
        let passed = if offset == 0 { String::new() } else { format!(" OFFSET {offset}") };
        // Made of this crate's own texts and a number alone; every value is bound.
        let sql = sqlx::AssertSqlSafe(format!("{select}{sql} ORDER BY {order} LIMIT ${last}{passed}"));
        let mut query = sqlx::query(sql);
        for value in values {
            query = match value {
                Bound::Text(text) => query.bind(text),
                Bound::Number(number) => query.bind(number),
            };
        }
        query.bind(i64::from(limit))
    }
}

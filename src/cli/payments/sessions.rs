//! Sessions whose gateway was not asked, as `touchtone payments` shows them.

use super::super::CommandFailure;
use super::super::store_options::{or_dash, plain, say, say_json, second, table};
use super::{amount, first, named, there_are_more, together};
use crate::rest::stored_payments::session::SessionView;
use crate::store::{Backend, SessionFilter, SessionRow};

/// What an empty list means.
const NONE: &str = "no sessions match; each payment whose gateway was asked is in the list without --sessions\n";

/// Lists them alone.
pub(super) async fn list(
    backend: &dyn Backend,
    filter: SessionFilter,
    limit: u32,
    json: bool,
) -> Result<bool, CommandFailure> {
    if json {
        let (rows, _) = listed(backend, filter, limit).await?;
        say_json(&rows.into_iter().map(SessionView::of).collect::<Vec<_>>())?;
    } else {
        say(told(backend, filter, limit).await?.as_deref().unwrap_or(NONE));
    }
    Ok(true)
}

async fn listed(
    backend: &dyn Backend,
    filter: SessionFilter,
    limit: u32,
) -> Result<(Vec<SessionRow>, bool), CommandFailure> {
    let page = async |after_sid| backend.sessions(SessionFilter { after_sid, ..filter.clone() }).await;
    first(limit, |row: &SessionRow| &row.sid, page).await
}

/// The first `limit` of them as a table; none: there are none.
pub(super) async fn told(
    backend: &dyn Backend,
    filter: SessionFilter,
    limit: u32,
) -> Result<Option<String>, CommandFailure> {
    let (rows, more) = listed(backend, filter, limit).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let head = ["BEGAN", "SESSION", "CALL", "CONNECTOR", "AMOUNT", "PAYS WITH", "STATE", "OUTCOME"];
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let mut told = "sessions whose gateway was not asked:\n".to_owned();
    told.push_str(&table(head, &cells));
    if more {
        told.push_str(&there_are_more(rows.len()));
    }
    Ok(Some(told))
}

fn cells(row: &SessionRow) -> [String; 8] {
    [
        second(row.begun),
        plain(&row.sid),
        plain(&row.call_sid),
        plain(&row.connector),
        amount(&row.amount, &row.currency, &row.token_type),
        plain(&row.means),
        row.state.word().to_owned(),
        outcome(row),
    ]
}

fn outcome(row: &SessionRow) -> String {
    let code = row.error_code.map(|code| code.to_string());
    together([row.result.as_deref(), code.as_deref(), row.error.as_deref()])
}

/// All that is known of one.
pub(super) fn lines(row: &SessionRow) -> String {
    let code = row.error_code.map(|code| code.to_string());
    named([
        ("session", plain(&row.sid)),
        ("state", row.state.word().to_owned()),
        ("call", plain(&row.call_sid)),
        ("led by", plain(&row.led_by)),
        ("connector", plain(&row.connector)),
        ("operation", plain(&row.operation)),
        ("amount", amount(&row.amount, &row.currency, &row.token_type)),
        ("pays with", plain(&row.means)),
        ("result", or_dash(row.result.as_deref())),
        ("error code", or_dash(code.as_deref())),
        ("error", or_dash(row.error.as_deref())),
        ("sent", "never: its gateway was not asked".to_owned()),
        ("began", second(row.begun)),
        ("ended", row.ended.map_or_else(|| "-".to_owned(), second)),
    ])
}

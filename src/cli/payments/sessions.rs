//! Sessions whose gateway was not asked, as `touchtone payments` shows them.

use super::super::Failure;
use super::super::books::{or_dash, plain, say, say_json, second, table, unusable};
use crate::rest::books::session::SessionView;
use crate::store::{Backend, PAGE_MAX, SessionFilter, SessionRow};

/// What an empty list means.
const NONE: &str = "no sessions match; each payment whose gateway was asked is in the list without --sessions\n";

/// Lists them alone.
pub(super) async fn list(
    backend: &dyn Backend,
    filter: SessionFilter,
    limit: u32,
    json: bool,
) -> Result<bool, Failure> {
    if json {
        let (rows, _) = first(backend, filter, limit).await?;
        say_json(&rows.into_iter().map(SessionView::of).collect::<Vec<_>>())?;
    } else {
        say(told(backend, filter, limit).await?.as_deref().unwrap_or(NONE));
    }
    Ok(true)
}

/// The first `limit` of them as a table; none: there are none.
pub(super) async fn told(backend: &dyn Backend, filter: SessionFilter, limit: u32) -> Result<Option<String>, Failure> {
    let (rows, more) = first(backend, filter, limit).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let head = ["BEGAN", "SESSION", "CALL", "CONNECTOR", "AMOUNT", "PAYS WITH", "STATE", "OUTCOME"];
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let mut told = "sessions whose gateway was not asked:\n".to_owned();
    told.push_str(&table(head, &cells));
    if more {
        told.push_str(&format!("there are more than these {}; --limit shows more\n", rows.len()));
    }
    Ok(Some(told))
}

/// The first `limit` sessions, and whether there are more.
async fn first(
    backend: &dyn Backend,
    mut filter: SessionFilter,
    limit: u32,
) -> Result<(Vec<SessionRow>, bool), Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    filter.limit = PAGE_MAX;
    let mut rows: Vec<SessionRow> = Vec::new();
    loop {
        let page = backend.sessions(filter.clone()).await.map_err(unusable)?;
        let is_last = page.len() < usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
        filter.after_sid = page.last().map(|row| row.sid.clone());
        rows.extend(page);
        if is_last || rows.len() > limit {
            let more = rows.len() > limit;
            rows.truncate(limit);
            return Ok((rows, more));
        }
    }
}

fn cells(row: &SessionRow) -> [String; 8] {
    [
        second(row.begun),
        plain(&row.sid),
        plain(&row.call_sid),
        plain(&row.connector),
        amount(row),
        plain(&row.means),
        row.state.word().to_owned(),
        outcome(row),
    ]
}

fn amount(row: &SessionRow) -> String {
    match (&row.amount, &row.token_type) {
        (Some(amount), _) => format!("{} {}", plain(amount), plain(&row.currency)),
        (None, Some(token_type)) => format!("{} token", plain(token_type)),
        (None, None) => "-".to_owned(),
    }
}

fn outcome(row: &SessionRow) -> String {
    let code = row.error_code.map(|code| code.to_string());
    let parts = [row.result.as_deref(), code.as_deref(), row.error.as_deref()];
    let told: Vec<String> = parts.into_iter().flatten().map(plain).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(" ") }
}

/// All that is known of one.
pub(super) fn lines(row: &SessionRow) -> String {
    let code = row.error_code.map(|code| code.to_string());
    let lines = [
        ("session", plain(&row.sid)),
        ("state", row.state.word().to_owned()),
        ("call", plain(&row.call_sid)),
        ("led by", plain(&row.led_by)),
        ("connector", plain(&row.connector)),
        ("operation", plain(&row.operation)),
        ("amount", amount(row)),
        ("pays with", plain(&row.means)),
        ("result", or_dash(row.result.as_deref())),
        ("error code", or_dash(code.as_deref())),
        ("error", or_dash(row.error.as_deref())),
        ("sent", "never: its gateway was not asked".to_owned()),
        ("began", second(row.begun)),
        ("ended", row.ended.map_or_else(|| "-".to_owned(), second)),
    ];
    lines.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect()
}

//! `touchtone callbacks`

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::CommandFailure;
use super::store_options::{StoreOptions, or_dash, plain, say, say_json, second, table, unusable};
use crate::http::shown;
use crate::rest::stored_payments::view::CallbackView;
use crate::store::{Backend, CallbackFilter, CallbackRow, CallbackState, PAGE_MAX};

#[derive(Debug, Args)]
pub(super) struct Callbacks {
    #[command(subcommand)]
    command: CallbacksCommand,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum CallbacksCommand {
    /// List callbacks, the oldest first
    List(CallbacksList),
    /// Have parked callbacks delivered after all
    Retry(Retry),
}

#[derive(Debug, Args)]
struct CallbacksList {
    /// Callbacks in this state only: parked, waiting, held or delivered (default: parked and waiting)
    #[arg(long, value_parser = state)]
    state: Option<CallbackState>,
    /// Callbacks of this call only
    #[arg(long, value_name = "SID")]
    call: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// A JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Retry {
    /// Their numbers, as `list` shows them
    #[arg(value_name = "ID")]
    ids: Vec<i64>,
    /// All that are parked
    #[arg(long)]
    all: bool,
}

fn state(word: &str) -> Result<CallbackState, String> {
    CallbackState::parse(word).ok_or_else(|| {
        let words: Vec<&str> = CallbackState::ALL.iter().map(|state| state.word()).collect();
        format!("there are {}", words.join(", "))
    })
}

impl Callbacks {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let Self { command, store } = self;
        store.read(async |backend| match command {
            CallbacksCommand::List(list) => list.run(&*backend).await,
            CallbacksCommand::Retry(retry) => retry.run(&*backend).await,
        })
    }
}

impl CallbacksList {
    async fn run(self, backend: &dyn Backend) -> Result<bool, CommandFailure> {
        let states = match self.state {
            Some(state) => vec![state],
            None => vec![CallbackState::Parked, CallbackState::Waiting],
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        for state in &states {
            let filter = CallbackFilter {
                call_sid: self.call.clone(),
                state: Some(*state),
                limit: PAGE_MAX,
                ..CallbackFilter::default()
            };
            rows.extend(first(backend, filter, limit).await?);
        }
        rows.sort_unstable_by_key(|row| row.id);
        let more = rows.len() > limit;
        rows.truncate(limit);
        if self.json {
            say_json(&rows.into_iter().map(CallbackView::of).collect::<Vec<_>>())?;
            return Ok(true);
        }
        if rows.is_empty() {
            let words: Vec<&str> = states.iter().map(|state| state.word()).collect();
            let of = if self.call.is_some() { " of this call" } else { "" };
            say(&format!("no callbacks{of} are {}\n", words.join(" or ")));
            return Ok(true);
        }
        let mut told =
            table(["CALLBACK", "KIND", "CALL", "STATE", "FAILED TRIES", "SINCE", "URL", "REASON"], &rows_of(&rows));
        if more {
            told.push_str(&format!("there are more than these {limit}; --limit shows more\n"));
        }
        if rows.iter().any(|row| row.state == CallbackState::Parked) {
            told.push_str("parked ones are given up; `touchtone callbacks retry ID` has them delivered after all\n");
        }
        say(&told);
        Ok(true)
    }
}

/// One more than `limit`, if there are so many.
async fn first(
    backend: &dyn Backend,
    mut filter: CallbackFilter,
    limit: usize,
) -> Result<Vec<CallbackRow>, CommandFailure> {
    let mut rows: Vec<CallbackRow> = Vec::new();
    loop {
        let page = backend.callbacks(filter.clone()).await.map_err(unusable)?;
        let is_last = page.len() < usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
        filter.after_id = page.last().map(|row| row.id);
        rows.extend(page);
        if is_last || rows.len() > limit {
            rows.truncate(limit.saturating_add(1));
            return Ok(rows);
        }
    }
}

fn rows_of(rows: &[CallbackRow]) -> Vec<[String; 8]> {
    let cells = |row: &CallbackRow| {
        [
            row.id.to_string(),
            row.kind.word().to_owned(),
            plain(&row.call_sid),
            row.state.word().to_owned(),
            row.tries.to_string(),
            second(row.since),
            plain(&shown(&row.url)),
            or_dash(row.reason.as_deref()),
        ]
    };
    rows.iter().map(cells).collect()
}

impl Retry {
    async fn run(self, backend: &dyn Backend) -> Result<bool, CommandFailure> {
        let now = Timestamp::now();
        if self.all {
            let count = backend.retry_callbacks(None, now).await.map_err(unusable)?;
            say(&tried(count));
            return Ok(true);
        }
        let (mut count, mut all) = (0_u64, true);
        let mut told = String::new();
        for id in self.ids {
            match backend.retry_callbacks(Some(vec![id]), now).await.map_err(unusable)? {
                0 => {
                    all = false;
                    told.push_str(&format!(
                        "{id} is not parked; `touchtone callbacks list --state parked` lists them\n"
                    ));
                }
                more => count = count.saturating_add(more),
            }
        }
        told.push_str(&tried(count));
        say(&told);
        Ok(all)
    }
}

fn tried(count: u64) -> String {
    match count {
        0 => "no callback is tried again\n".to_owned(),
        1 => "1 callback is tried again, by the server that runs on this database or the next one\n".to_owned(),
        count => {
            format!("{count} callbacks are tried again, by the server that runs on this database or the next one\n")
        }
    }
}

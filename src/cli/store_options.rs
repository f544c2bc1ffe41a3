//! What the commands about payments and callbacks share: where the store is, and how rows are shown.
//!
//! Secrets: what platforms, gateways and applications sent is shown without control characters: it cannot command the
//!          terminal.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::CommandFailure;
use crate::config::Config;
use crate::store::open::{OpenError, open_to_read};
use crate::store::sql::OpenDatabaseError;
use crate::store::{Backend, BackendError};

/// Between two columns.
const GAP: &str = "  ";

/// Where the store is.
#[derive(Debug, Args)]
pub(super) struct StoreOptions {
    /// The configuration file (default: touchtone.toml, if there is one)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder for what is kept (default: data)
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

impl StoreOptions {
    /// Opens the store and does something with it. It may be another process's at the same time.
    pub(super) fn read(
        &self,
        read: impl AsyncFnOnce(Arc<dyn Backend>) -> Result<bool, CommandFailure>,
    ) -> Result<bool, CommandFailure> {
        super::hardening::harden();
        let mut config = Config::load(self.config.as_deref()).map_err(CommandFailure::new)?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.map_err(CommandFailure::new)?.block_on(async {
            let backend = open_to_read(&config.store()).await.map_err(|error| match error {
                OpenError::Database(OpenDatabaseError::Missing(_)) => CommandFailure(format!(
                    "{error}; name another folder with --data, or a configuration with --config"
                )),
                error => CommandFailure::new(error),
            })?;
            read(backend).await
        })
    }
}

/// Why the store cannot be read.
pub(super) fn unusable(error: BackendError) -> CommandFailure {
    CommandFailure(format!("the database: {error}"))
}

/// Puts the columns of a table under each other.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let length = |text: &str| text.chars().count();
    let mut widths = head.map(length);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = length(cell).max(*width);
        }
    }
    let mut told = String::new();
    for row in std::iter::once(&head.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(length(cell))));
            line.push_str(GAP);
        }
        told.push_str(line.trim_end());
        told.push('\n');
    }
    told
}

/// A text of somebody else's, for a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same, or a dash.
pub(super) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), plain)
}

/// A moment in whole seconds.
pub(super) fn second(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}

/// So that nobody overlooks it, on a terminal.
pub(super) fn loud(text: &str) -> String {
    let is_shown = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if is_shown { format!("\u{1b}[1;31m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Says it.
pub(super) fn say(text: &str) {
    print!("{text}");
}

/// Says it to a program.
pub(super) fn say_json(value: &impl Serialize) -> Result<(), CommandFailure> {
    let mut text = serde_json::to_string_pretty(value).map_err(CommandFailure::new)?;
    text.push('\n');
    say(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_no_line_ends_in_blanks() {
        let rows = [["1".to_owned(), "é".to_owned()], ["22222".to_owned(), String::new()]];
        assert_eq!(table(["ID", "X"], &rows), "ID     X\n1      é\n22222\n");
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}

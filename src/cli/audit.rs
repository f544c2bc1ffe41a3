//! `touchtone audit`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::CommandFailure;
use super::store_options::{StoreOptions, plain, say, say_json, second, table, unusable};
use crate::store::audit::{AuditFilter, AuditRow};
use crate::store::{Backend, PAGE_MAX};

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List who did what, the newest first
    List(AuditList),
}

#[derive(Debug, Args)]
struct AuditList {
    /// What was done to this connector only
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// A JSON array, with what each thing was and became
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let Self { command: AuditCommand::List(list), store } = self;
        store.read(async |backend| list.run(&*backend).await)
    }
}

impl AuditList {
    async fn run(self, backend: &dyn Backend) -> Result<bool, CommandFailure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let target = self.connector.as_deref().map(crate::connector::audited::target);
        let mut rows: Vec<AuditRow> = Vec::new();
        // One more than is shown tells whether there are more.
        while rows.len() <= limit {
            let before_id = rows.last().map(|row| row.id);
            let page = backend.audit(AuditFilter { target: target.clone(), before_id, limit: PAGE_MAX }).await;
            let page = page.map_err(unusable)?;
            let is_last = page.len() < usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
            rows.extend(page);
            if is_last {
                break;
            }
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        if self.json {
            say_json(&rows.iter().map(object).collect::<Vec<_>>())?;
            return Ok(true);
        }
        if rows.is_empty() {
            say("nothing was done yet\n");
            return Ok(true);
        }
        let lines: Vec<[String; 6]> = rows
            .iter()
            .map(|row| {
                let [actor, action, target, origin] =
                    [&row.actor, &row.action, &row.target, &row.origin].map(|text| plain(text));
                [second(row.at), actor, action, target, origin, was(row)]
            })
            .collect();
        let mut told = table(["AT", "WHO", "WHAT", "TO WHAT", "FROM", "IT WAS"], &lines);
        if more {
            told.push_str(&format!("there are more than these {limit}; --limit shows more\n"));
        }
        say(&told);
        Ok(true)
    }
}

fn value(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn object(row: &AuditRow) -> Value {
    json!({
        "id": row.id,
        "at": row.at.to_string(),
        "who": row.actor,
        "what": row.action,
        "target": row.target,
        "from": row.origin,
        "was": value(row.old_value.as_deref()),
        "is": value(row.new_value.as_deref()),
    })
}

/// The mode, the kind and the address of before.
fn was(row: &AuditRow) -> String {
    let was = value(row.old_value.as_deref());
    let words: Vec<&str> = ["mode", "kind", "address"].iter().filter_map(|key| was.get(key)?.as_str()).collect();
    if words.is_empty() { "-".to_owned() } else { plain(&words.join(" ")) }
}

//! `touchtone payments`

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::CommandFailure;
use super::store_options::{StoreOptions, loud, or_dash, plain, say, say_json, second, table, unusable};
use crate::http::shown;
use crate::rest::stored_payments::session::SessionStory;
use crate::rest::stored_payments::view::{BookedPayment, PaymentStory};
use crate::store::moment::moment;
use crate::store::{
    Backend, BackendError, CallbackFilter, CallbackRow, PAGE_MAX, PaymentFilter, PaymentRow, PaymentState,
    SessionFilter,
};

mod sessions;

/// What an empty list means, where nothing narrows it.
const NONE_YET: &str = "no payments yet; one is written down here before its gateway is asked\n";

/// The same where something does.
const NONE_FOUND: &str =
    "no payments match; without --call, --state, --connector, --from and --before all are listed\n";

#[derive(Debug, Args)]
pub(super) struct Payments {
    #[command(subcommand)]
    command: PaymentsCommand,
    #[command(flatten)]
    store: StoreOptions,
}

#[derive(Debug, Subcommand)]
enum PaymentsCommand {
    /// List payments, the newest first
    List(PaymentsList),
    /// Show a payment and the callbacks that tell its outcome
    Show(Show),
}

#[derive(Debug, Args)]
struct PaymentsList {
    /// Payments of this call only
    #[arg(long, value_name = "SID")]
    call: Option<String>,
    /// Payments in this state only: preparing, submitting, succeeded, failed or unknown
    #[arg(long, value_parser = state)]
    state: Option<PaymentState>,
    /// Payments over this connector instance only
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Payments that began then or later: RFC 3339, or a date, which is its midnight in UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Payments that began before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<Timestamp>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only the sessions that ended before a gateway was to be asked, and those that are open
    #[arg(long, conflicts_with = "state")]
    sessions: bool,
    /// A JSON array, as `GET /v1/payments` has it under `payments` (with --sessions under `sessions`)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// The payment's id: PK and 32 hexadecimal digits
    #[arg(value_name = "SID")]
    sid: String,
    /// A JSON object, as `GET /v1/payments/SID` has it
    #[arg(long)]
    json: bool,
}

fn state(word: &str) -> Result<PaymentState, String> {
    PaymentState::parse(word).ok_or_else(|| {
        let words: Vec<&str> = PaymentState::ALL.iter().map(|state| state.word()).collect();
        format!("there are {}", words.join(", "))
    })
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    moment(text).ok_or("write 2026-11-22T10:00:00Z or 2026-11-22")
}

impl Payments {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let Self { command, store } = self;
        store.read(async |backend| match command {
            PaymentsCommand::List(list) => list.run(&*backend).await,
            PaymentsCommand::Show(show) => show.run(&*backend).await,
        })
    }
}

impl PaymentsList {
    async fn run(self, backend: &dyn Backend) -> Result<bool, CommandFailure> {
        let json = self.json;
        let filter = PaymentFilter {
            call_sid: self.call,
            state: self.state,
            connector: self.connector,
            from: self.from,
            before: self.before,
            after_sid: None,
            limit: PAGE_MAX,
        };
        let of_sessions = SessionFilter { limit: PAGE_MAX, ..SessionFilter::like(&filter) };
        if self.sessions {
            return sessions::list(backend, of_sessions, self.limit, json).await;
        }
        let is_narrow = filter.call_sid.is_some()
            || filter.state.is_some()
            || filter.connector.is_some()
            || filter.from.is_some()
            || filter.before.is_some();
        let wants_sessions = filter.state.is_none();
        let page = async |after_sid| backend.payments(PaymentFilter { after_sid, ..filter.clone() }).await;
        let (rows, more) = first(self.limit, |row: &PaymentRow| &row.sid, page).await?;
        if json {
            say_json(&rows.into_iter().map(BookedPayment::of).collect::<Vec<_>>())?;
            return Ok(true);
        }
        let told_sessions = match wants_sessions {
            true => sessions::told(backend, of_sessions, self.limit).await?,
            false => None,
        };
        if rows.is_empty() && told_sessions.is_none() {
            say(if is_narrow { NONE_FOUND } else { NONE_YET });
            return Ok(true);
        }
        if rows.is_empty() {
            say(&told_sessions.unwrap_or_default());
            return Ok(true);
        }
        let head = ["BEGAN", "PAYMENT", "CALL", "CONNECTOR", "AMOUNT", "PAYS WITH", "STATE", "OUTCOME"];
        let cells: Vec<_> = rows.iter().map(cells).collect();
        let mut told = table(head, &cells);
        if more {
            told.push_str(&there_are_more(rows.len()));
        }
        let unknown = rows.iter().filter(|row| row.state == PaymentState::Unknown).count();
        if unknown > 0 {
            let whether = "nobody knows whether money moved; look for the payment's id at the gateway";
            told.push_str(&format!("{}\n", loud(&format!("{unknown} of unknown outcome: {whether}"))));
        }
        if let Some(sessions) = told_sessions {
            told.push('\n');
            told.push_str(&sessions);
        }
        say(&told);
        Ok(true)
    }
}

/// The first `limit` rows of a list that comes in pages, each after the row of an id, and whether there are more.
async fn first<T>(
    limit: u32,
    sid: impl Fn(&T) -> &String,
    mut page: impl AsyncFnMut(Option<String>) -> Result<Vec<T>, BackendError>,
) -> Result<(Vec<T>, bool), CommandFailure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows: Vec<T> = Vec::new();
    loop {
        let page = page(rows.last().map(|row| sid(row).clone())).await.map_err(unusable)?;
        let is_last = page.len() < usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
        rows.extend(page);
        // One row more than is shown tells whether there are more.
        if is_last || rows.len() > limit {
            let more = rows.len() > limit;
            rows.truncate(limit);
            return Ok((rows, more));
        }
    }
}

/// What is said below a list that is not whole.
fn there_are_more(shown: usize) -> String {
    format!("there are more than these {shown}; --limit shows more\n")
}

fn cells(row: &PaymentRow) -> [String; 8] {
    [
        second(row.created),
        plain(&row.sid),
        plain(&row.call_sid),
        plain(&row.connector),
        amount(&row.amount, &row.currency, &row.token_type),
        means(row),
        word(row.state),
        outcome(row),
    ]
}

/// A payment whose outcome nobody knows stands out, in any output.
fn word(state: PaymentState) -> String {
    match state {
        PaymentState::Unknown => state.word().to_ascii_uppercase(),
        PaymentState::Preparing | PaymentState::Submitting | PaymentState::Succeeded | PaymentState::Failed => {
            state.word().to_owned()
        }
    }
}

fn amount(amount: &Option<String>, currency: &str, token_type: &Option<String>) -> String {
    match (amount, token_type) {
        (Some(amount), _) => format!("{} {}", plain(amount), plain(currency)),
        (None, Some(token_type)) => format!("{} token", plain(token_type)),
        (None, None) => "-".to_owned(),
    }
}

fn means(row: &PaymentRow) -> String {
    [row.brand.as_deref().unwrap_or(&row.means), row.masked.as_deref().unwrap_or_default()]
        .map(plain)
        .join(" ")
        .trim_end()
        .to_owned()
}

fn outcome(row: &PaymentRow) -> String {
    let code = row.error_code.map(|code| code.to_string());
    let told = [row.confirmation_code.as_deref(), code.as_deref(), row.error.as_deref()];
    if told == [None; 3] { or_dash(row.result.as_deref()) } else { together(told) }
}

/// What there is of several things.
fn together(parts: [Option<&str>; 3]) -> String {
    let told: Vec<String> = parts.into_iter().flatten().map(plain).collect();
    if told.is_empty() { or_dash(None) } else { told.join(" ") }
}

/// Things and their names, one a line.
fn named<const N: usize>(things: [(&str, String); N]) -> String {
    things.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect()
}

impl Show {
    async fn run(self, backend: &dyn Backend) -> Result<bool, CommandFailure> {
        let filter = CallbackFilter::of_payment(&self.sid, PAGE_MAX);
        let Some(row) = backend.payment(&self.sid).await.map_err(unusable)? else {
            let Some(session) = backend.session(&self.sid).await.map_err(unusable)? else {
                let sid = plain(&self.sid);
                return Err(CommandFailure(format!("there is no payment {sid}; `touchtone payments list` lists them")));
            };
            let callbacks = backend.callbacks(filter).await.map_err(unusable)?;
            if self.json {
                say_json(&SessionStory::of(session, callbacks))?;
            } else {
                let (lines, told) = (sessions::lines(&session), told_by(&callbacks));
                say(&format!("{lines}\n{told}"));
            }
            return Ok(true);
        };
        let callbacks = backend.callbacks(filter).await.map_err(unusable)?;
        if self.json {
            say_json(&PaymentStory::of(row, callbacks))?;
        } else {
            say(&told(&row, &callbacks));
        }
        Ok(true)
    }
}

fn told(row: &PaymentRow, callbacks: &[CallbackRow]) -> String {
    let code = row.error_code.map(|code| code.to_string());
    let sent = match (row.first_sent, row.last_sent) {
        (Some(first), Some(last)) if row.sends > 1 => {
            format!("{} times, from {} to {}", row.sends, second(first), second(last))
        }
        (Some(first), _) => format!("once, {}", second(first)),
        (None, _) => "not yet".to_owned(),
    };
    let lines = [
        ("payment", plain(&row.sid)),
        ("state", word(row.state)),
        ("call", plain(&row.call_sid)),
        ("led by", plain(&row.led_by)),
        ("connector", plain(&row.connector)),
        ("operation", plain(&row.operation)),
        ("amount", amount(&row.amount, &row.currency, &row.token_type)),
        ("pays with", means(row)),
        ("result", or_dash(row.result.as_deref())),
        ("error code", or_dash(code.as_deref())),
        ("error", or_dash(row.error.as_deref())),
        ("confirmation", or_dash(row.confirmation_code.as_deref())),
        ("sent", sent),
        ("began", second(row.created)),
        ("changed", second(row.updated)),
    ];
    let mut told = named(lines);
    if row.state == PaymentState::Unknown {
        let whether = "nobody knows whether money moved: look for this id at the gateway before charging anew";
        told.push_str(&format!("\n{}\n", loud(whether)));
    }
    told.push('\n');
    told.push_str(&told_by(callbacks));
    told
}

/// The callbacks that tell an outcome.
fn told_by(callbacks: &[CallbackRow]) -> String {
    if callbacks.is_empty() {
        return "no callbacks are kept that tell its outcome\n".to_owned();
    }
    let rows: Vec<_> = callbacks
        .iter()
        .map(|callback| {
            [
                callback.id.to_string(),
                callback.kind.word().to_owned(),
                callback.state.word().to_owned(),
                callback.tries.to_string(),
                second(callback.updated),
                plain(&shown(&callback.url)),
                or_dash(callback.reason.as_deref()),
            ]
        })
        .collect();
    table(["CALLBACK", "KIND", "STATE", "FAILED TRIES", "CHANGED", "URL", "REASON"], &rows)
}

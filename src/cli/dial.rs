//! `touchtone dial`: a phone in the terminal.
//!
//! Shape:   [`Dial::run`] chooses between a call in virtual time (piped keys), one in real time (a terminal, or `--live`)
//!          and one to a running server (`--url`). The first two run the call machine here, the third is its platform.
//!          All of them are told by [`Printer`].
//! Errors:  [`CommandFailure`]: what is wrong with the command, before the call; with a line of keys, after hanging up.
//! Secrets: no key is echoed or told. Standard input is the one place they come from.
//! Sources: spec/interface.md, `touchtone dial`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use self::caller::{Hearing, InputLine};
use self::input::Keyboard;
use self::outside::{LiveServices, Local};
use self::phone::Outside;
use self::printer::Printer;
use self::screen::{Ink, Mode, Screen};
use super::CommandFailure;
use crate::account::Account;
use crate::call::beginning;
use crate::config::Config;
use crate::flow::link::PlainHttp;
use crate::flow::{Call, Context, NextDocument, Wait};
use crate::form::{Form, Value};
use crate::library::Library;
use crate::pay::platform::Platform;
use crate::pay::session::Timer;
use crate::secret::Secret;

mod caller;
mod input;
mod outside;
mod phone;
mod piped;
mod playback;
mod printer;
mod screen;
mod stream;
mod target;

/// How often the line that changes is looked at.
const TICK: Duration = Duration::from_millis(100);

/// What can be done on a terminal.
const KEYS_HELP: &str = "0-9 * # A-D are the telephone's keys (a key cuts in on a prompt); h, q or Ctrl-C hangs up";

#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal every key is a telephone's key. Piped input has lines of keys, `wait 3s` and `hang up`, and takes no time:\n  \
  printf '25#\\n4242 4242 4242 4242\\n1230\\n94105\\n123\\n' | touchtone dial donate")]
pub(super) struct Dial {
    /// The flow to call
    #[arg(value_name = "FLOW", required_unless_present = "url")]
    flow: Option<String>,
    /// A custom parameter of the call, NAME=VALUE; may be given more than once
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// The folder of flow documents [default: flows]
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    flows: Option<PathBuf>,
    /// Really send requests and ask the configured connectors, in real time
    #[arg(long, conflicts_with = "url")]
    live: bool,
    /// With --live: the configuration [default: touchtone.toml if it exists]
    #[arg(long, value_name = "FILE", requires = "live")]
    config: Option<PathBuf>,
    /// With --live: the folder of the account that signs requests [default: data]
    #[arg(long, value_name = "DIR", requires = "live")]
    data: Option<PathBuf>,
    /// Dial a running server instead, as Twilio would: ws://HOST/media/twilio/FLOW, or ws://HOST/media/twilio and
    /// --param url=https://...
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// With --url: sign as the account with this token [env: TOUCHTONE_AUTH_TOKEN]
    #[arg(long, value_name = "TOKEN", requires = "url", value_parser = secret)]
    auth_token: Option<Secret>,
}

impl Dial {
    pub(super) fn run(mut self) -> Result<bool, CommandFailure> {
        if let Some(url) = &self.url {
            let names_url = self.parameters.iter().any(|(name, _)| name == beginning::URL);
            let target = target::DialTarget::read(url, self.flow.as_deref(), names_url)?;
            let environment = || std::env::var("TOUCHTONE_AUTH_TOKEN").ok().filter(|token| !token.is_empty());
            let token = self.auth_token.or_else(|| environment().map(Secret::new));
            return in_real_time(async move |inputs, printer| {
                stream::run(&target, &self.parameters, token.as_ref(), inputs, printer).await
            });
        }
        let flow = self.flow.take().unwrap_or_default();
        if self.live { self.dial_live(&flow) } else { self.dial_here(&flow) }
    }

    /// Nothing leaves this machine.
    fn dial_here(self, flow: &str) -> Result<bool, CommandFailure> {
        let (library, flow) = self.library(flow, Path::new("flows"));
        let context = context(self.parameters, jiff::tz::TimeZone::UTC);
        let first = first(&library, &flow, &context)?;
        let greeting = format!(
            "Calling {flow}. Nothing is sent: requests are shown, and the sandbox answers for every connector."
        );
        let outside = Local::new(library);
        if !std::io::stdin().is_terminal() {
            let lines = all_lines()?;
            let mut printer = Printer::new(Screen::new(Mode::Lines));
            printer.screen.line(Ink::Strong, &greeting);
            piped::run(Ok(first), context, outside, lines, &mut printer);
            return Ok(true);
        }
        in_real_time(async move |inputs, printer| {
            printer.screen.line(Ink::Strong, &greeting);
            printer.screen.line(Ink::Faint, KEYS_HELP);
            phone::run(Ok(first), context, Outside::Local(outside), inputs, printer).await.map_err(CommandFailure::new)
        })
    }

    /// With the configuration of a server.
    fn dial_live(self, flow: &str) -> Result<bool, CommandFailure> {
        let mut config = Config::load(self.config.as_deref()).map_err(CommandFailure::new)?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        let account = Account::open(&config).map_err(CommandFailure::new)?;
        let (library, flow) = self.library(flow, &config.flows);
        let mut context = context(self.parameters, config.time_zone.0.clone());
        let first = first(&library, &flow, &context)?;
        let random = u128::from_ne_bytes(*uuid::Uuid::new_v4().as_bytes());
        context.account_sid.clone_from(&account.sid);
        context.call_sid = format!("CA{}", uuid::Uuid::new_v4().simple());
        context.seed = random;
        context.plain_http = if config.allow_http_callbacks { PlainHttp::Always } else { PlainHttp::Loopback };
        in_real_time(async move |inputs, printer| {
            let live = LiveServices::open(&config, &account, library, &context.call_sid)?;
            printer.screen.line(Ink::Strong, &format!("Calling {flow}. Requests are sent, signed as {}.", account.sid));
            if config.connectors.is_empty() {
                let note = "No connector is configured: Default is a sandbox, and no money moves.";
                printer.screen.line(Ink::Doubtful, note);
            } else {
                printer.screen.line(Ink::Doubtful, "Payments go to the configured connectors.");
            }
            if printer.screen.has_status() {
                printer.screen.line(Ink::Faint, KEYS_HELP);
            }
            let outside = Outside::Live(Box::new(live));
            phone::run(Ok(first), context, outside, inputs, printer).await.map_err(CommandFailure::new)
        })
    }

    /// The flows folder and the name of a flow in it. A path to a file is both.
    fn library(&self, flow: &str, otherwise: &Path) -> (Library, String) {
        let path = Path::new(flow);
        if let (None, true, Some(folder), Some(name)) = (&self.flows, path.is_file(), path.parent(), flow_of_file(path))
        {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            return (Library::new(folder), name);
        }
        (Library::new(self.flows.as_deref().unwrap_or(otherwise)), flow.to_owned())
    }
}

fn flow_of_file(path: &Path) -> Option<String> {
    path.extension().filter(|extension| *extension == "xml")?;
    path.file_stem()?.to_str().map(str::to_owned)
}

/// A call in real time, its keys from the terminal or from lines.
fn in_real_time<F>(call: F) -> Result<bool, CommandFailure>
where
    F: AsyncFnOnce(tokio::sync::mpsc::Receiver<input::CallerInput>, &mut Printer) -> Result<(), CommandFailure>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandFailure::new)?;
    let (keyboard, inputs, mode) = if std::io::stdin().is_terminal() {
        let (keyboard, inputs) = Keyboard::open()?;
        (Some(keyboard), inputs, Mode::Raw)
    } else {
        (None, input::lines(), Mode::Lines)
    };
    let mut printer = Printer::new(Screen::new(mode));
    let done = runtime.block_on(call(inputs, &mut printer));
    printer.screen.status("");
    drop(keyboard);
    // A lookup of a name may still be under way; nobody waits for it.
    runtime.shutdown_background();
    done.map(|()| true)
}

/// Every line of standard input, before the first one is used: a slip in the last line is told before the call.
fn all_lines() -> Result<Vec<InputLine>, CommandFailure> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|error| CommandFailure(format!("standard input: {error}")))?;
    let lines = text.lines().enumerate().map(|(number, line)| caller::read(number + 1, line));
    lines.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(CommandFailure::new)
}

fn context(parameters: Vec<(String, String)>, time_zone: jiff::tz::TimeZone) -> Context {
    let parameters: BTreeMap<String, Value> =
        parameters.into_iter().map(|(name, value)| (name, Value::Plain(value))).collect();
    let mut caller = Form::new();
    caller.set("From", parameters.get("From").map_or("+15005550006", Value::expose));
    caller.set("To", parameters.get("To").map_or("+15005550001", Value::expose));
    let answered = jiff::Timestamp::now();
    Context {
        account_sid: format!("AC{:032x}", 1),
        call_sid: format!("CA{:032x}", 1),
        caller,
        parameters,
        answered_at: answered.to_zoned(time_zone).datetime(),
        answered_at_utc: answered.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        seed: 1,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Always,
    }
}

/// The document that the call begins with.
fn first(library: &Library, flow: &str, context: &Context) -> Result<NextDocument, CommandFailure> {
    // One call has this thread to itself.
    let loaded = crate::blocking::allowed(|| library.load(flow, &context.parameters));
    loaded.map_err(|failure| {
        let missing = failure.message.split_once("the parameter ").and_then(|(_, rest)| rest.split_once(" is missing"));
        match missing {
            Some((name, _)) => CommandFailure(format!("{failure}; or give it: --param {name}=...")),
            None => CommandFailure::new(failure),
        }
    })
}

/// What a caller hears of a call. `pressed_last`: nothing was said since the last key.
fn hearing(call: &Call, pressed_last: bool) -> Hearing {
    if !call.is_listening() {
        return Hearing::Busy;
    }
    match call.poll_timeout().map(|(_, wait)| wait) {
        // A number that is whole already: a caller has nothing to add and waits for what is said next.
        Some(Wait::Pay(Timer::AnotherDigit)) => Hearing::Busy,
        Some(Wait::Pay(Timer::NextDigit)) => Hearing::Open,
        Some(Wait::Gather) if pressed_last => Hearing::Open,
        _ => Hearing::Asked,
    }
}

/// The line that changes.
fn status_line(doing: &str, keys: &str) -> String {
    let keys = if keys.is_empty() { String::new() } else { format!("   you {keys}") };
    format!("          {doing}{keys}   ? help")
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, such as amount=20.45".to_owned()),
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

//! What is shown of a call, whatever runs it.
//!
//! Shape:   the [`Record`]s of a call in their order, lines on [`Screen`] out. [`Printer::flush`] after each batch.
//! Secrets: a key is `•`; secret fields are masked by [`Value::shown`], the rest of a form is masked where it is made.

use std::time::Duration;

use super::screen::{Ink, Screen};
use crate::flow::link::{ShownUrl, Target};
use crate::flow::{Ended, Fetch, Purpose, Wait, Warning};
use crate::form::{Form, Value};
use crate::pay::gateway::{Operation, PaymentRequest};
use crate::pay::session::{Progress, Timer, What};
use crate::pay::step::{PayResult, Step};
use crate::pay::submission::Ask;
use crate::simulate::{Record, words};
use crate::time::CallTime;
use crate::twiml::Method;

/// Fields that every request has: named once, then left out.
const IN_EVERY_REQUEST: [&str; 7] = ["AccountSid", "CallSid", "CallStatus", "ApiVersion", "Direction", "From", "To"];

/// Tells people what happens.
pub(super) struct Printer {
    pub(super) screen: Screen,
    /// Keys pressed since the last line.
    keys: ShownKeys,
    /// A status callback that is told below the step it tells of.
    callback: Option<(CallTime, String, Form)>,
    /// How a payment ended, unless its action tells so.
    outcome: Option<Form>,
    /// What the last status callback told.
    told: Form,
    standard_told: bool,
}

#[derive(Default)]
struct ShownKeys {
    since: CallTime,
    count: usize,
    cut_in: bool,
}

impl Printer {
    pub(super) fn new(screen: Screen) -> Self {
        Self {
            screen,
            keys: ShownKeys::default(),
            callback: None,
            outcome: None,
            told: Form::new(),
            standard_told: false,
        }
    }

    /// How many keys were pressed that no line tells of yet.
    pub(super) const fn keys_untold(&self) -> usize {
        self.keys.count
    }

    /// Tells what was held back.
    pub(super) fn flush(&mut self) {
        if let Some((at, callback, form)) = self.callback.take() {
            self.status_callback(at, &callback, &form);
        }
        if let Some(form) = self.outcome.take() {
            self.fields(&form);
        }
    }

    /// Tells of the keys pressed since the last line.
    pub(super) fn tell_keys(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        if keys.count > 0 {
            let cut_in = if keys.cut_in { "   (cutting in)" } else { "" };
            self.screen.entry(keys.since, "you", Ink::Caller, &format!("{}{cut_in}", "•".repeat(keys.count)));
        }
    }

    /// Something that has no [`Record`].
    pub(super) fn note(&mut self, at: CallTime, label: &str, ink: Ink, text: &str) {
        self.tell_keys();
        self.flush();
        self.screen.entry(at, label, ink, text);
    }

    /// A sound of a running server, which comes without words.
    pub(super) fn sound(&mut self, at: CallTime, length: Duration) {
        self.note(at, "says", Ink::Voice, &format!("(sound, {:.1} s)", length.as_secs_f64()));
    }

    /// Tells one thing that happened.
    pub(super) fn tell(&mut self, at: CallTime, record: &Record) {
        match record {
            Record::Pressed(_) => {
                if self.keys.count == 0 {
                    self.keys.since = at;
                }
                self.keys.count += 1;
                return;
            }
            Record::Cleared => {
                self.keys.cut_in = true;
                return;
            }
            // Nothing that a person would hear or wants to know.
            Record::Heard(_) | Record::LookedUp(_, Some(_)) | Record::StoreAway | Record::Begun(_) => return,
            _ => {}
        }
        self.tell_keys();
        if !matches!(record, Record::Reported(..)) {
            if let Record::Requested(fetch) = record
                && fetch.purpose == Purpose::Pay
            {
                self.outcome = None;
            }
            self.flush();
        }
        self.line(at, record);
    }

    fn line(&mut self, at: CallTime, record: &Record) {
        match record {
            Record::Said(_, heard) => {
                let text = words(heard);
                let text = if text.is_empty() { "(a pause)" } else { &text };
                self.screen.entry(at, "says", Ink::Voice, text);
            }
            Record::LookedUp(name, None) => {
                self.screen.entry(at, "gateway", Ink::Bad, &format!("there is no connector named {name}"));
            }
            Record::Asked(question, attempt) => match question.what {
                Ask::Prepare => {}
                Ask::Submit(_) => self.screen.entry(at, "gateway", Ink::Plain, &asked(attempt)),
                Ask::Resolve(_) => {
                    let text = format!("what became of {}?", attempt.transaction_id);
                    self.screen.entry(at, "gateway", Ink::Plain, &text);
                }
            },
            Record::Answered(_, "prepared") | Record::Acted(_) => {}
            Record::Answered(_, word) => {
                let ink = match *word {
                    "approved" => Ink::Good,
                    "declined" | "refused" => Ink::Bad,
                    _ => Ink::Doubtful,
                };
                self.screen.entry(at, "gateway", ink, word);
            }
            Record::Requested(fetch) => self.requested(at, fetch),
            Record::Fetched(what) if what == "not asked" => {
                self.screen.under(Ink::Faint, "not sent (--live sends it): the call goes on with the next verb");
            }
            // A failure has a warning of its own.
            Record::Fetched(_) => {}
            Record::Notified(url, method, form) => {
                let request = format!("{method} {}", ShownUrl(url));
                self.callback = Some((at, request, form.clone()));
            }
            Record::Reported(_, progress, form) => self.reported(at, progress, form),
            Record::Warned(warning) => self.warned(at, warning),
            Record::TimedOut(wait) => match wait {
                Wait::Gather | Wait::Pay(Timer::FirstDigit | Timer::NextDigit) => {
                    self.screen.entry(at, "silence", Ink::Faint, "no further key in time");
                }
                Wait::Speech | Wait::Pause | Wait::Fetch | Wait::Pay(_) | Wait::Agent(_) => {}
            },
            // Nobody leads a call from a terminal.
            Record::Commanded(..) | Record::Replied(..) | Record::Redirected(_) | Record::Completed => {}
            Record::HungUp => self.screen.entry(at, "you", Ink::Caller, "hang up"),
            Record::Ended(ended) => {
                let text = match ended {
                    Ended::Hangup => "hangup: the flow ended the call",
                    Ended::EndOfDocument => "end of document: nothing is left to do",
                    Ended::Caller => "caller: you hung up",
                };
                self.screen.entry(at, "ended", Ink::Plain, text);
            }
            Record::Pressed(_)
            | Record::Cleared
            | Record::Heard(_)
            | Record::LookedUp(_, Some(_))
            | Record::StoreAway
            | Record::Begun(_) => {}
        }
    }

    fn requested(&mut self, at: CallTime, fetch: &Fetch) {
        let label = match fetch.purpose {
            Purpose::Gather | Purpose::Pay => "action",
            Purpose::First => "first",
            Purpose::Redirect => "redirect",
        };
        let target = match fetch.target {
            Target::Flow(_) => fetch.target.to_string(),
            Target::Url(_) => request(fetch.method, &fetch.target),
        };
        self.screen.entry(at, label, Ink::Plain, &target);
        self.fields(&fetch.form);
    }

    fn reported(&mut self, at: CallTime, progress: &Progress, form: &Form) {
        let (step, attempt) = (progress.step, progress.attempt);
        let (ink, text) = match progress.what {
            What::Begun if step == Step::PaymentProcessing => (Ink::Plain, format!("{step}")),
            What::Begun => (Ink::Plain, format!("{step}, attempt {attempt}")),
            What::Failed(error) => (Ink::Doubtful, format!("{step}, attempt {attempt} failed: {error}")),
            What::Refused(error) => (Ink::Doubtful, format!("{step} refused: {error}")),
            What::Keyed => (Ink::Faint, format!("{step} is being keyed")),
            What::Captured => (Ink::Good, format!("{step} captured{}", captured(step, form))),
            What::Finished(PayResult::Success) => (Ink::Good, "finished: success".to_owned()),
            What::Finished(result) => (Ink::Bad, format!("finished: {result}")),
        };
        self.screen.entry(at, "pay", ink, &text);
        let has_callback = self.callback.is_some();
        self.flush();
        if let (What::Finished(_), false) = (progress.what, has_callback) {
            self.outcome = Some(form.clone());
        }
    }

    fn status_callback(&mut self, at: CallTime, callback: &str, form: &Form) {
        self.screen.entry(at, "callback", Ink::Plain, callback);
        let is_new = |name: &str, value: &Value| match self.told.value(name) {
            Some(old) => old.expose() != value.expose() || matches!(name, "For" | "Attempt" | "Result"),
            None => true,
        };
        let (mut news, mut as_before) = (Vec::new(), 0_usize);
        for (name, value) in form.iter().filter(|(name, _)| !IN_EVERY_REQUEST.contains(name)) {
            if is_new(name, value) {
                news.push(format!("{name}={}", value.shown()));
            } else {
                as_before += 1;
            }
        }
        self.told = form.clone();
        if as_before > 0 {
            news.push(format!("(and {as_before} as before)"));
        }
        self.screen.under(Ink::Faint, &news.join("  "));
        self.standard(form);
    }

    /// The fields of a request that are its own.
    fn fields(&mut self, form: &Form) {
        for (name, value) in form.iter().filter(|(name, _)| !IN_EVERY_REQUEST.contains(name)) {
            let ink = match (name, value.shown()) {
                ("Result", "success") => Ink::Good,
                ("Result" | "PaymentError" | "ErrorType", _) => Ink::Bad,
                _ => Ink::Plain,
            };
            self.screen.field(name, value.shown(), ink);
        }
        self.standard(form);
    }

    /// The fields that every request has, by name, once.
    fn standard(&mut self, form: &Form) {
        let names: Vec<&str> =
            form.iter().map(|(name, _)| name).filter(|name| IN_EVERY_REQUEST.contains(name)).collect();
        if !self.standard_told && names.len() == IN_EVERY_REQUEST.len() {
            self.standard_told = true;
            self.screen.under(Ink::Faint, &format!("and what each request has: {}", names.join(", ")));
        }
    }

    fn warned(&mut self, at: CallTime, warning: &Warning) {
        let place = warning.position.map(|position| format!("{position}: ")).unwrap_or_default();
        self.screen.entry(at, "warning", Ink::Doubtful, &format!("{place}{}", warning.message));
    }
}

fn request(method: Method, target: &Target) -> String {
    format!("{method} {target}")
}

fn asked(attempt: &PaymentRequest) -> String {
    let what = match attempt.operation {
        Operation::Charge(amount, currency) => format!("charge {} {}", amount.text(currency), currency.code()),
        Operation::Tokenize(kind) => format!("make a {kind} token"),
    };
    format!("{what} through {}, as {}", attempt.connector, attempt.transaction_id)
}

/// What a step captured, masked as callbacks show it.
fn captured(step: Step, form: &Form) -> String {
    let names: &[&str] = match step {
        Step::PaymentCardNumber => &["PaymentCardNumber", "PaymentCardType"],
        Step::ExpirationDate => &["ExpirationDate"],
        Step::PostalCode => &["PaymentCardPostalCode"],
        Step::SecurityCode => &["SecurityCode"],
        Step::BankRoutingNumber => &["BankRoutingNumber"],
        Step::BankAccountNumber => &["BankAccountNumber"],
        Step::PaymentProcessing => &[],
    };
    let values: Vec<&str> = names.iter().filter_map(|name| form.value(name)).map(Value::shown).collect();
    if values.is_empty() { String::new() } else { format!(": {}", values.join(" ")) }
}

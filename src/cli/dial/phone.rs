//! A call in real time: the call machine, a person or lines of keys, and the world outside.
//!
//! Units:   [`CallTime`] by the wall clock. A prompt takes as long as in virtual time; there is no sound here.
//! Errors:  [`BadLine`]; everything else is the call's own business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::caller::{BadLine, CallerAction, Hand};
use super::input::{CallerInput, Stop};
use super::outside::{LiveServices, Local};
use super::printer::Printer;
use super::screen::Ink;
use super::{TICK, hearing};
use crate::flow::{Action, Call, Context, Event, Fetch, FetchFailure, Fetched, NextDocument, Telling, TurnId, Wait};
use crate::form::Form;
use crate::pay::session::Timer;
use crate::simulate::{Record, World, length, reply_word};
use crate::time::CallTime;
use crate::twiml::{Method, Utterance};

/// What is around the call.
pub(super) enum Outside {
    Local(Local),
    Live(Box<LiveServices>),
}

/// A call under way.
pub(super) struct Phone<'a> {
    call: Call,
    outside: Outside,
    printer: &'a mut Printer,
    answered: Instant,
    /// What will have happened at a known time.
    inbox: BTreeMap<(CallTime, u64), Event>,
    sequence: u64,
    said_until: CallTime,
    /// What happens at a time that nobody knows.
    events: mpsc::UnboundedSender<Event>,
    /// Whether a key was the last thing heard or said.
    pressed_last: bool,
}

/// Calls and stays on the phone until the call is over.
pub(super) async fn run(
    first: Result<NextDocument, FetchFailure>,
    context: Context,
    outside: Outside,
    mut inputs: mpsc::Receiver<CallerInput>,
    printer: &mut Printer,
) -> Result<(), BadLine> {
    let (events, mut happened) = mpsc::unbounded_channel();
    let mut phone = Phone {
        call: Call::start(CallTime::ZERO, first, context),
        outside,
        printer,
        answered: Instant::now(),
        inbox: BTreeMap::new(),
        sequence: 0,
        said_until: CallTime::ZERO,
        events,
        pressed_last: false,
    };
    let (mut hand, mut stop, mut bad) = (Hand::new(), Stop::new(), None);
    // Whether there is more to read, and whether the caller is still there.
    let (mut open, mut there, mut left) = (true, true, false);
    loop {
        phone.drain();
        if left || phone.call.is_over() {
            break;
        }
        let now = phone.now();
        let mut wake = phone.due().unwrap_or(now + TICK);
        let mut read_on = false;
        match hand.act(now, hearing(&phone.call, phone.pressed_last)) {
            CallerAction::Press(key) => {
                phone.press(key);
                continue;
            }
            CallerAction::HangUp => {
                there = false;
                phone.hang_up();
                continue;
            }
            CallerAction::Until(then) => wake = wake.min(then),
            CallerAction::Listen => {}
            CallerAction::ReadOn => read_on = there,
        }
        if phone.printer.screen.has_status() {
            let line = phone.status(now);
            phone.printer.screen.status(&line);
            wake = wake.min(now + TICK);
        }
        tokio::select! { biased;
            // First: an input that is there beats a deadline of the same instant (spec/pay.md 3).
            input = inputs.recv(), if open && (read_on || !there) => match input {
                Some(CallerInput::HangUp) if !there => left = true,
                Some(_) if !there => {}
                Some(CallerInput::Key(key)) => phone.press(key),
                Some(CallerInput::Line(line)) => hand.take(phone.now(), Some(line)),
                Some(CallerInput::HangUp) => { there = false; phone.hang_up() }
                Some(CallerInput::Help) => phone.help(),
                Some(CallerInput::Bad(line)) => { there = false; bad = Some(line); phone.hang_up() }
                None => { open = false; if there { hand.take(phone.now(), None) } }
            },
            () = stop.asked() => if there { there = false; phone.hang_up() } else { left = true },
            Some(event) = happened.recv() => phone.deliver(event),
            () = sleep_until(phone.answered + Duration::from_millis(wake.as_millis())) => phone.turn_clock(),
        }
    }
    phone.finish(left).await;
    bad.map_or(Ok(()), Err)
}

impl Phone<'_> {
    fn now(&self) -> CallTime {
        CallTime::ZERO + self.answered.elapsed()
    }

    fn due(&self) -> Option<CallTime> {
        let input = self.inbox.keys().next().map(|(at, _)| *at);
        let deadline = self.call.poll_timeout().map(|(at, _)| at);
        input.into_iter().chain(deadline).min()
    }

    fn press(&mut self, key: crate::tone::Key) {
        self.pressed_last = true;
        self.tell(&Record::Pressed(key));
        self.call.handle_event(self.now(), Event::Key(key));
    }

    fn hang_up(&mut self) {
        self.tell(&Record::HungUp);
        self.inbox.clear();
        self.said_until = CallTime::ZERO;
        self.call.handle_event(self.now(), Event::HungUp);
    }

    /// What is due has happened; an input wins over a deadline.
    fn turn_clock(&mut self) {
        let now = self.now();
        if let Some(first) = self.inbox.first_entry()
            && first.key().0 <= now
        {
            let event = first.remove();
            return self.deliver(event);
        }
        if let Some((_, wait)) = self.call.poll_timeout().filter(|(at, _)| *at <= now) {
            self.tell(&Record::TimedOut(wait));
            self.call.handle_timeout(now);
        }
    }

    fn deliver(&mut self, event: Event) {
        match &event {
            Event::Replied(number, reply) => self.tell(&Record::Answered(*number, reply_word(reply))),
            Event::Fetched(_, Fetched::NotAsked) => self.tell(&Record::Fetched("not asked".to_owned())),
            _ => {}
        }
        self.call.handle_event(self.now(), event);
    }

    fn drain(&mut self) {
        let mut told = false;
        while let Some(action) = self.call.poll_action() {
            self.perform(action);
            told = true;
        }
        if told {
            self.printer.flush();
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Speak(turn, heard) => self.speak(turn, heard),
            Action::Clear => {
                self.inbox.retain(|_, event| !matches!(event, Event::Played(_)));
                self.said_until = self.now();
                self.tell(&Record::Cleared);
            }
            Action::FindConnector(name) => {
                let found = match &mut self.outside {
                    Outside::Local(local) => local.connector(&name),
                    Outside::Live(live) => live.connector(&name),
                };
                let shown = self.call.masked(&name);
                self.tell(&Record::LookedUp(shown, found.as_ref().map(|can| can.idempotency)));
                self.call.handle_event(self.now(), Event::ConnectorFound(found));
            }
            Action::Ask(question, attempt, instrument) => {
                self.tell(&Record::Asked(question.clone(), Arc::clone(&attempt)));
                match &mut self.outside {
                    Outside::Local(local) => {
                        let number = question.number;
                        if let Some((after, reply)) = local.gateway(&question, &attempt, &instrument) {
                            self.schedule(after, Event::Replied(number, reply));
                        }
                    }
                    Outside::Live(live) => live.ask(question, attempt, instrument, &self.events),
                }
            }
            Action::Fetch(fetch) => self.fetch(fetch),
            Action::Report(payment, progress, form) => self.tell(&Record::Reported(payment, progress, form)),
            // Nobody leads a payment from a terminal.
            Action::Answer(..) => {}
            // Nothing of a call in the terminal is kept.
            Action::Begin(_) | Action::Intend(_) => {}
            Action::Settle(settled) => {
                if let Some(Telling { url, method, form }) = settled.status {
                    self.notify(url, method, form);
                }
            }
            Action::Notify(url, method, form) => self.notify(url, method, form),
            Action::Warn(warning) => {
                if let Outside::Live(live) = &self.outside {
                    live.warn(&warning);
                }
                self.tell(&Record::Warned(warning));
            }
            Action::End(ended) => {
                self.inbox.clear();
                self.tell(&Record::Ended(ended));
            }
        }
    }

    fn speak(&mut self, turn: TurnId, heard: Vec<Utterance>) {
        let now = self.now();
        let length = heard.iter().map(length).fold(Duration::ZERO, Duration::saturating_add);
        self.said_until = self.said_until.max(now) + length;
        self.pressed_last = false;
        self.tell(&Record::Said(turn, heard));
        // Nothing is rendered here: a turn lasts as long as its words are taken to.
        self.call.handle_event(now, Event::SpeechReady(turn, length));
        let after = self.said_until - now;
        self.schedule(after, Event::Played(turn));
    }

    fn notify(&mut self, url: Url, method: Method, form: Form) {
        if let Outside::Live(live) = &self.outside {
            live.notify(&url, method, form.clone());
        }
        self.tell(&Record::Notified(url, method, form));
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.tell(&Record::Requested(Box::new(fetch.clone())));
        match &mut self.outside {
            Outside::Local(local) if fetch.answer_wanted => {
                let (after, fetched) = local.document(&fetch);
                self.schedule(after, Event::Fetched(fetch.id, fetched));
            }
            Outside::Local(_) => {}
            Outside::Live(live) => live.fetch(fetch, &self.events),
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.inbox.insert((self.now() + after, self.sequence), event);
    }

    fn tell(&mut self, record: &Record) {
        let now = self.now();
        self.printer.tell(now, record);
    }

    fn help(&mut self) {
        let now = self.now();
        self.printer.note(now, "help", Ink::Faint, super::KEYS_HELP);
    }

    /// What the call is doing right now.
    fn status(&self, now: CallTime) -> String {
        let keys = "•".repeat(self.printer.keys_untold());
        let left = |until: CallTime| format!("{} s", (until - now).as_millis().div_ceil(1000));
        let deadline = self.call.poll_timeout();
        let doing = if self.call.is_listening() {
            let until = deadline.map(|(until, _)| format!(" ({})", left(until))).unwrap_or_default();
            format!("listening{until}")
        } else if self.call.is_speaking() {
            format!("speaking, {} left", left(self.said_until))
        } else {
            match deadline {
                Some((until, Wait::Pause)) => format!("pausing, {} left", left(until)),
                Some((_, Wait::Pay(Timer::Gateway))) => "asking the gateway".to_owned(),
                Some((_, Wait::Fetch)) => "asking the application".to_owned(),
                _ => "one moment".to_owned(),
            }
        };
        super::status_line(&doing, &keys)
    }

    /// Waits for what is still being sent, unless the caller has left without waiting for the end of the call.
    async fn finish(self, left: bool) {
        self.printer.tell_keys();
        self.printer.flush();
        self.printer.screen.status("");
        if left {
            let text = "you left before the call was over: what the gateway or the application did is not known";
            let now = self.now();
            self.printer.note(now, "warning", Ink::Doubtful, text);
            return;
        }
        if let Outside::Live(live) = self.outside {
            let lost = live.finish().await;
            if lost > 0 {
                let at = CallTime::ZERO + self.answered.elapsed();
                self.printer.note(at, "warning", Ink::Doubtful, &format!("{lost} requests were not answered in time"));
            }
        }
    }
}

//! A call in virtual time: the same call machine that serves live calls, in a world of plain values.
//!
//! Shape:   [`Simulation`] carries the machine's actions out through a [`World`], keeps a [`Record`] of all that happened
//!          and lets a script or a fuzzer press keys, wait and hang up. Nothing here sleeps.
//! Units:   [`CallTime`]. A character is spoken in [`PER_CHARACTER`].
//! Limits:  [`STEPS_MAX`] events a call: a document that goes round for ever ends there.
//! Secrets: records mask keys and secret fields when they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::flow::link::Target;
use crate::flow::{
    Action, AgentCommand, Call, CommandId, Context, Ended, Event, Fetch, Fetched, First, PaymentId, Purpose,
    Redirection, TurnId, Wait, Warning,
};
use crate::form::Form;
use crate::pay::assisted::{AgentError, Capture, Command};
use crate::pay::gateway::{Answer, Attempt, Capabilities, Instrument, Preparation, Resolution};
use crate::pay::sandbox;
use crate::pay::session::{Progress, Timer, What};
use crate::pay::submission::{Ask, Question, Reply};
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{Method, PlaySource, Utterance};
use tape::Tape;

pub mod chance;
pub mod invariants;
mod leak;
pub mod tape;

/// How long a character takes to be said (spec/interface.md, "Call scripts").
pub const PER_CHARACTER: Duration = Duration::from_millis(60);

/// How long a recording takes, whatever it is: there is no sound here. Chosen freely.
pub const PER_RECORDING: Duration = Duration::from_secs(2);

/// The most events and deadlines of one call.
pub const STEPS_MAX: u32 = 200_000;

/// What is outside of the call.
pub trait World {
    /// The connector of that name.
    fn connector(&mut self, name: &str) -> Option<Capabilities>;

    /// How long looking a connector up takes.
    fn lookup_time(&self) -> Duration {
        Duration::ZERO
    }

    /// What the gateway answers and after how long; none: it is silent.
    fn gateway(&mut self, question: &Question, attempt: &Attempt, instrument: &Instrument)
    -> Option<(Duration, Reply)>;

    /// The document that is asked for, and after how long it is there.
    fn document(&mut self, fetch: &Fetch) -> (Duration, Fetched);

    /// What the document was made of that [`Self::document`] just gave, where the application sent it.
    fn source(&self, _fetch: &Fetch) -> Option<tape::Source> {
        None
    }

    /// How long the next turn lasts; none: as long as its words take.
    fn speech(&mut self) -> Option<Duration> {
        None
    }
}

/// The sandbox's reply to a question, as every world without a gateway of its own gives it.
#[must_use]
pub fn sandbox_reply(question: &Question, attempt: &Attempt, instrument: &Instrument) -> Reply {
    match question.what {
        Ask::Prepare => Reply::Prepared(Preparation::Nothing),
        Ask::Submit(_) => Reply::Submitted(sandbox::answer(attempt, instrument)),
        Ask::Resolve(_) => Reply::Resolved(Resolution::CannotTell),
    }
}

/// Something that happened in a call.
#[derive(Debug)]
pub enum Record {
    /// A key was pressed.
    Pressed(Key),
    /// Something is being said.
    Said(TurnId, Vec<Utterance>),
    /// It was heard to its end.
    Heard(TurnId),
    /// What was being said was cut.
    Cleared,
    /// A connector was looked up.
    LookedUp(String, bool),
    /// The gateway was asked.
    Asked(Question, Arc<Attempt>),
    /// It answered.
    Answered(u16, &'static str),
    /// A document was asked for.
    Requested(Box<Fetch>),
    /// It came, or did not.
    Fetched(String),
    /// A status callback was sent.
    Notified(Url, Method, Form),
    /// A Pay session went on.
    Reported(PaymentId, Progress, Form),
    /// An agent asked for something.
    Commanded(CommandId, AgentCommand),
    /// What the agent was answered.
    Replied(CommandId, Result<String, AgentError>),
    /// The application sent the call elsewhere.
    Redirected(Redirection),
    /// The application ended the call.
    Completed,
    /// Something is wrong with the document or the application.
    Warned(Warning),
    /// A deadline came.
    TimedOut(Wait),
    /// The caller hung up.
    HungUp,
    /// The call ended.
    Ended(Ended),
}

/// Everything said until the call listens or waits.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What was said, in words.
    pub text: String,
    /// Whether it is being said, was said, or was cut.
    pub state: TurnState,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// It is being said.
    Speaking,
    /// It was said to its end.
    Spoken,
    /// It was cut by a key.
    Cut,
}

/// An arrow of the machine's diagram: [`Call::stage_name`] and the kind of input that came then.
pub type Arrow = (&'static str, &'static str);

/// A call in virtual time.
pub struct Simulation<W> {
    call: Call,
    world: W,
    now: CallTime,
    /// When what is being said will have been said.
    said_until: CallTime,
    inbox: BTreeMap<(CallTime, u64), Event>,
    commands: u32,
    sequence: u64,
    steps: u32,
    records: Vec<(CallTime, Record)>,
    turns: Vec<Turn>,
    arrows: BTreeSet<Arrow>,
    /// Whether the next word said begins a new turn.
    turn_over: bool,
    tape: Option<Tape>,
}

impl<W: World> Simulation<W> {
    /// Answers a call.
    pub fn start(first: impl Into<First>, context: Context, world: W) -> Self {
        Self::begin(first, context, world, None)
    }

    /// As [`Self::start`], and takes the call down. `begins`: what `first` was read from.
    pub fn start_taped(first: impl Into<First>, begins: tape::First, context: Context, world: W) -> Self {
        let tape = Tape::new(begins, &context);
        Self::begin(first, context, world, Some(tape))
    }

    fn begin(first: impl Into<First>, context: Context, world: W, tape: Option<Tape>) -> Self {
        let mut call = Call::start(CallTime::ZERO, first, context);
        if tape.is_some() {
            call.note_destinations();
        }
        let mut simulation = Self {
            call,
            world,
            now: CallTime::ZERO,
            said_until: CallTime::ZERO,
            inbox: BTreeMap::new(),
            commands: 0,
            sequence: 0,
            steps: 0,
            records: Vec::new(),
            turns: Vec::new(),
            arrows: BTreeSet::new(),
            turn_over: true,
            tape,
        };
        simulation.drain();
        simulation.settle();
        simulation
    }

    /// The time of the call.
    pub const fn now(&self) -> CallTime {
        self.now
    }

    /// The machine.
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The world.
    pub const fn world(&self) -> &W {
        &self.world
    }

    /// All that happened.
    pub fn records(&self) -> &[(CallTime, Record)] {
        &self.records
    }

    /// What was taken down, if it was; the rest is over.
    pub fn into_tape(self) -> Option<Tape> {
        let mut tape = self.tape?;
        tape.destinations(self.call.destinations());
        Some(tape)
    }

    /// All that was said.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Every arrow that was taken.
    pub const fn arrows(&self) -> &BTreeSet<Arrow> {
        &self.arrows
    }

    /// How the call ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.records.iter().rev().find_map(|(_, record)| match record {
            Record::Ended(ended) => Some(*ended),
            _ => None,
        })
    }

    /// The caller presses a key now.
    pub fn press(&mut self, key: Key) {
        if self.call.is_over() {
            return;
        }
        self.record(Record::Pressed(key));
        self.handle(Event::Key(key));
        self.settle();
    }

    /// The caller hangs up now.
    pub fn hang_up(&mut self) {
        if self.call.is_over() {
            return;
        }
        self.record(Record::HungUp);
        self.silence();
        self.handle(Event::HungUp);
        self.settle();
    }

    /// An agent asks for something now; [`Self::answer`] tells what comes of it.
    pub fn command(&mut self, command: AgentCommand) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.record(Record::Commanded(id, command.clone()));
        self.handle(Event::Agent(id, command));
        self.settle();
        id
    }

    /// How often an agent asked for something.
    pub const fn commands(&self) -> u32 {
        self.commands
    }

    /// What an agent was answered, once there is an answer.
    pub fn answer(&self, id: CommandId) -> Option<&Result<String, AgentError>> {
        self.records.iter().rev().find_map(|(_, record)| match record {
            Record::Replied(answered, answer) if *answered == id => Some(answer),
            _ => None,
        })
    }

    /// The application sends the call elsewhere now.
    pub fn redirect(&mut self, redirection: Redirection) {
        if self.call.is_over() {
            return;
        }
        self.record(Record::Redirected(redirection.clone()));
        self.handle(Event::Redirected(redirection));
        self.settle();
    }

    /// The application ends the call now.
    pub fn complete(&mut self) {
        if self.call.is_over() {
            return;
        }
        self.record(Record::Completed);
        self.silence();
        self.handle(Event::Completed);
        self.settle();
    }

    /// Nobody hears the rest.
    fn silence(&mut self) {
        self.inbox.retain(|_, event| !matches!(event, Event::Played(_)));
        for turn in self.turns.iter_mut().filter(|turn| turn.state == TurnState::Speaking) {
            turn.state = TurnState::Cut;
        }
    }

    /// Lets time pass until `then`. What arrives at that very instant has arrived; a deadline of that instant has not come
    /// yet, as a key pressed now wins over it.
    pub fn advance_to(&mut self, then: CallTime) {
        while let Some((at, is_input)) = self.next() {
            if at > then || (at == then && !is_input) || !self.step() {
                break;
            }
        }
        self.now = self.now.max(then);
    }

    /// Lets the next thing happen. False: nothing will, ever, or the call has gone on for too long.
    pub fn step(&mut self) -> bool {
        let Some((at, is_input)) = self.next() else { return false };
        if self.steps >= STEPS_MAX {
            return false;
        }
        self.steps += 1;
        self.now = self.now.max(at);
        if is_input {
            if let Some((_, event)) = self.inbox.pop_first() {
                self.deliver(event);
            }
        } else {
            if let Some((_, wait)) = self.call.deadline() {
                self.arrows.insert((self.call.stage_name(), timeout_word(wait)));
                self.record(Record::TimedOut(wait));
                if let Some(tape) = &mut self.tape {
                    tape.timed_out(self.now, wait);
                }
            }
            self.call.handle_timeout(self.now);
            self.drain();
        }
        true
    }

    /// Lets everything happen that will without the caller. False: the call did not end.
    pub fn run_to_end(&mut self) -> bool {
        while !self.call.is_over() && self.step() {}
        self.call.is_over()
    }

    /// When the next thing happens without the caller, if anything does.
    pub fn next_moment(&self) -> Option<CallTime> {
        self.next().map(|(at, _)| at)
    }

    /// When the next thing happens, and whether it is an input (which wins) or a deadline.
    fn next(&self) -> Option<(CallTime, bool)> {
        let input = self.inbox.keys().next().map(|(at, _)| *at);
        let deadline = self.call.deadline().map(|(at, _)| at);
        match (input, deadline) {
            (Some(input), Some(deadline)) if deadline < input => Some((deadline, false)),
            (Some(input), _) => Some((input, true)),
            (None, Some(deadline)) => Some((deadline, false)),
            (None, None) => None,
        }
    }

    /// Delivers what has already arrived.
    fn settle(&mut self) {
        while self.inbox.keys().next().is_some_and(|(at, _)| *at <= self.now) && self.step() {}
    }

    fn deliver(&mut self, event: Event) {
        match &event {
            Event::Played(turn) => {
                let turn = *turn;
                self.record(Record::Heard(turn));
            }
            Event::Replied(number, reply) => {
                let (number, word) = (*number, reply_word(reply));
                self.record(Record::Answered(number, word));
            }
            Event::Fetched(_, fetched) => {
                let what = match fetched {
                    Fetched::Document(next) => format!("{} verbs", next.document.verbs.len()),
                    Fetched::Failed(failure) => failure.message.clone(),
                    Fetched::NotAsked => "not asked".to_owned(),
                };
                self.record(Record::Fetched(what));
            }
            Event::Key(_)
            | Event::SpeechReady(..)
            | Event::ConnectorFound(_)
            | Event::HungUp
            | Event::Agent(..)
            | Event::Redirected(_)
            | Event::Completed => {}
        }
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        self.tell(event);
        self.drain();
    }

    fn tell(&mut self, event: Event) {
        self.arrows.extend(event_word(&event).map(|word| (self.call.stage_name(), word)));
        if let Some(tape) = &mut self.tape {
            tape.event(self.now, &event);
        }
        self.call.handle(self.now, event);
    }

    /// Carries out what the machine wants.
    fn drain(&mut self) {
        while let Some(action) = self.call.next_action() {
            if let Some(tape) = &mut self.tape {
                tape.action(self.now, &action);
            }
            self.perform(action);
        }
        if !self.call.is_speaking() {
            self.turn_over = true;
            if let Some(turn) = self.turns.last_mut()
                && turn.state == TurnState::Speaking
            {
                turn.state = TurnState::Spoken;
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Speak(id, heard) => self.speak(id, heard),
            Action::Clear => {
                self.silence();
                self.said_until = self.now;
                self.turn_over = true;
                self.record(Record::Cleared);
            }
            Action::FindConnector(name) => {
                let found = self.world.connector(&name);
                self.record(Record::LookedUp(name, found.is_some()));
                // The lookup before it is given up.
                self.inbox.retain(|_, event| !matches!(event, Event::ConnectorFound(_)));
                let after = self.world.lookup_time();
                if after.is_zero() {
                    self.tell(Event::ConnectorFound(found));
                } else {
                    self.schedule(after, Event::ConnectorFound(found));
                }
            }
            Action::Ask(question, attempt, instrument) => {
                self.turn_over = true;
                let reply = self.world.gateway(&question, &attempt, &instrument);
                let number = question.number;
                self.record(Record::Asked(question, attempt));
                // The question before it is given up.
                self.inbox.retain(|_, event| !matches!(event, Event::Replied(..)));
                if let Some((after, reply)) = reply {
                    self.schedule(after, Event::Replied(number, reply));
                }
            }
            Action::Fetch(fetch) => {
                self.turn_over = true;
                let (after, fetched) = self.world.document(&fetch);
                if let Some(tape) = &mut self.tape
                    && let Some(source) = self.world.source(&fetch).filter(|_| fetch.answer_wanted)
                {
                    tape.source(self.now, fetch.id, source);
                }
                let (id, wanted) = (fetch.id, fetch.answer_wanted);
                self.record(Record::Requested(Box::new(fetch)));
                if wanted {
                    self.schedule(after, Event::Fetched(id, fetched));
                }
            }
            Action::Report(payment, progress, form) => self.record(Record::Reported(payment, progress, form)),
            Action::Answer(id, answer) => self.record(Record::Replied(id, answer)),
            Action::Notify(url, method, form) => self.record(Record::Notified(url, method, form)),
            Action::Warn(warning) => self.record(Record::Warned(warning)),
            Action::End(ended) => {
                self.inbox.clear();
                self.record(Record::Ended(ended));
            }
        }
    }

    fn speak(&mut self, id: TurnId, heard: Vec<Utterance>) {
        let words_take = || heard.iter().map(length).fold(Duration::ZERO, Duration::saturating_add);
        let length = self.world.speech().unwrap_or_else(words_take);
        let ends = self.said_until.max(self.now) + length;
        self.said_until = ends;
        let text = words(&heard);
        match self.turns.last_mut() {
            Some(turn) if !self.turn_over => {
                turn.text.push(' ');
                turn.text.push_str(&text);
                turn.state = TurnState::Speaking;
            }
            last => {
                // What goes on being said behind a gateway's back is still heard.
                if let Some(turn) = last
                    && turn.state == TurnState::Speaking
                {
                    turn.state = TurnState::Spoken;
                }
                self.turns.push(Turn { text, state: TurnState::Speaking });
            }
        }
        self.turn_over = false;
        self.record(Record::Said(id, heard));
        self.tell(Event::SpeechReady(id, length));
        let after = ends - self.now;
        self.schedule(after, Event::Played(id));
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.inbox.insert((self.now + after, self.sequence), event);
    }

    fn record(&mut self, record: Record) {
        self.records.push((self.now, record));
    }
}

/// How long something takes to be heard.
#[must_use]
pub fn length(utterance: &Utterance) -> Duration {
    match utterance {
        Utterance::Say(say) => {
            let characters = u32::try_from(say.text.chars().count()).unwrap_or(u32::MAX);
            PER_CHARACTER.saturating_mul(characters).saturating_mul(u32::from(say.times))
        }
        Utterance::Play(play) => {
            let once = match &play.source {
                PlaySource::Url(_) => PER_RECORDING,
                PlaySource::Digits(keys) => {
                    Duration::from_millis(200).saturating_mul(u32::try_from(keys.len()).unwrap_or(u32::MAX))
                }
            };
            once.saturating_mul(u32::from(play.times))
        }
        Utterance::Pause(pause) => pause.length,
    }
}

/// What is heard, in words.
#[must_use]
pub fn words(heard: &[Utterance]) -> String {
    let words: Vec<String> = heard
        .iter()
        .filter_map(|utterance| match utterance {
            Utterance::Say(say) => Some(say.text.clone()),
            Utterance::Play(play) => match &play.source {
                PlaySource::Url(link) => Some(format!("[{link}]")),
                PlaySource::Digits(keys) => Some(format!("[{} tones]", keys.len())),
            },
            Utterance::Pause(_) => None,
        })
        .collect();
    words.join(" ")
}

/// The kind of an input, for [`Arrow`]s; none: it only tells how long something takes to be said.
fn event_word(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Key(Key::Digit(_)) => "digit",
        Event::Key(Key::Star) => "star",
        Event::Key(Key::Pound) => "pound",
        Event::Key(Key::Letter(_)) => "letter",
        Event::SpeechReady(..) => return None,
        Event::Played(_) => "heard",
        Event::ConnectorFound(Some(_)) => "connector found",
        Event::ConnectorFound(None) => "no connector",
        Event::Replied(_, reply) => reply_word(reply),
        Event::Fetched(_, Fetched::Document(_)) => "document",
        Event::Fetched(_, Fetched::Failed(_)) => "no document",
        Event::Fetched(_, Fetched::NotAsked) => "not asked",
        Event::HungUp => "hang-up",
        Event::Agent(_, AgentCommand::Create(_)) => "agent creates",
        Event::Agent(_, AgentCommand::Update { form, .. }) => match Command::read(form) {
            Ok(Command::Capture(Capture { matcher: false, .. })) => "agent captures",
            Ok(Command::Capture(_)) => "agent captures again",
            Ok(Command::Complete) => "agent completes",
            Ok(Command::Cancel) => "agent cancels",
            Err(_) => "agent errs",
        },
        Event::Redirected(Redirection::Document(..)) => "sent to a document",
        Event::Redirected(Redirection::Url(..)) => "sent to a URL",
        Event::Completed => "completed",
    })
}

/// The kind of a deadline, for [`Arrow`]s.
const fn timeout_word(wait: Wait) -> &'static str {
    match wait {
        Wait::Speech => "speech timeout",
        Wait::Pause => "pause timeout",
        Wait::Gather => "gather timeout",
        Wait::Fetch => "fetch timeout",
        Wait::Pay(Timer::Connector) | Wait::Agent(Timer::Connector) => "connector timeout",
        Wait::Pay(Timer::FirstDigit) | Wait::Agent(Timer::FirstDigit) => "first digit timeout",
        Wait::Pay(Timer::NextDigit) | Wait::Agent(Timer::NextDigit) => "next digit timeout",
        Wait::Pay(Timer::AnotherDigit) | Wait::Agent(Timer::AnotherDigit) => "another digit timeout",
        Wait::Pay(Timer::Gateway) | Wait::Agent(Timer::Gateway) => "gateway timeout",
    }
}

/// A gateway's answer in a word or two.
#[must_use]
pub fn reply_word(reply: &Reply) -> &'static str {
    let answer = match reply {
        Reply::Prepared(Preparation::Nothing | Preparation::Note(_)) => return "prepared",
        Reply::Prepared(Preparation::Answered(answer))
        | Reply::Submitted(answer)
        | Reply::Resolved(Resolution::Answer(answer)) => answer,
        Reply::Resolved(Resolution::NotFound) => return "not found",
        Reply::Resolved(Resolution::CannotTell) => return "cannot tell",
        Reply::Panicked => return "panicked",
    };
    match answer {
        Answer::Approved(_) => "approved",
        Answer::Declined(_) => "declined",
        Answer::Refused(..) => "refused",
        Answer::NotSent { .. } => "not sent",
        Answer::Unknown { .. } => "unknown",
    }
}

impl fmt::Display for Record {
    /// One line, for people: keys and secret fields masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pressed(key) => write!(f, "key       {key:?}"),
            Self::Said(_, heard) => write!(f, "say       \"{}\"", words(heard)),
            Self::Heard(_) => write!(f, "heard"),
            Self::Cleared => write!(f, "cut"),
            Self::LookedUp(name, found) => {
                write!(f, "connector {name}{}", if *found { "" } else { " (there is none)" })
            }
            Self::Asked(question, attempt) => {
                let what = match question.what {
                    Ask::Prepare => "prepare",
                    Ask::Submit(_) => "submit",
                    Ask::Resolve(_) => "resolve",
                };
                write!(f, "gateway   {what} {}", attempt.transaction_id)
            }
            Self::Answered(_, word) => write!(f, "gateway   {word}"),
            Self::Requested(fetch) => {
                let purpose = match fetch.purpose {
                    Purpose::First => "first",
                    Purpose::Gather | Purpose::Pay => "action",
                    Purpose::Redirect => "redirect",
                };
                write!(f, "{purpose:<9} {} {}", shown(&fetch.target, fetch.method), fetch.form.shown())
            }
            Self::Fetched(what) => write!(f, "document  {what}"),
            Self::Notified(url, method, form) => {
                write!(f, "status    {} {}", shown(&Target::Url(url.clone()), *method), form.shown())
            }
            Self::Reported(_, progress, form) => write!(f, "pay       {} {}", step_line(progress), form.shown()),
            Self::Warned(warning) => match warning.position {
                Some(position) => write!(f, "warning   {position}: {}", warning.message),
                None => write!(f, "warning   {}", warning.message),
            },
            Self::TimedOut(wait) => write!(f, "timeout   {wait:?}"),
            Self::HungUp => write!(f, "caller hangs up"),
            Self::Commanded(_, AgentCommand::Create(form)) => write!(f, "agent     create {}", form.shown()),
            Self::Commanded(_, AgentCommand::Update { sid, form }) => {
                write!(f, "agent     update {sid} {}", form.shown())
            }
            Self::Replied(_, Ok(sid)) => write!(f, "answer    {sid}"),
            Self::Replied(_, Err(error)) => write!(f, "answer    {} {}: {error}", error.status, error.code),
            Self::Redirected(Redirection::Document(next, _)) => {
                write!(f, "elsewhere {} verbs", next.document.verbs.len())
            }
            Self::Redirected(Redirection::Url(url, method)) => {
                write!(f, "elsewhere {}", shown(&Target::Url(url.clone()), *method))
            }
            Self::Completed => write!(f, "the application ends the call"),
            Self::Ended(ended) => write!(f, "end       {}", ended.word()),
        }
    }
}

fn shown(target: &Target, method: Method) -> String {
    match target {
        Target::Flow(_) => target.to_string(),
        Target::Url(_) => format!("{method} {target}"),
    }
}

/// `payment-card-number attempt 1 captured`.
#[must_use]
pub fn step_line(progress: &Progress) -> String {
    let what = match progress.what {
        What::Begun => "begun".to_owned(),
        What::Keyed => "keyed".to_owned(),
        What::Refused(error) => format!("refused: {error}"),
        What::Failed(error) => error.to_string(),
        What::Captured => "captured".to_owned(),
        What::Finished(result) => format!("finished: {result}"),
    };
    format!("{} attempt {} {what}", progress.step, progress.attempt)
}

/// A text in YAML's double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a text cannot fail.
                let _ = fmt::Write::write_fmt(&mut quoted, format_args!("\\u{:04x}", u32::from(other)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

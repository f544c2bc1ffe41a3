//! A call in virtual time: the same call machine that serves live calls, in a world of plain values.
//!
//! Shape:   [`Simulation`] carries the machine's actions out through a [`World`], keeps a [`Record`] of all that happened
//!          and lets a script or a fuzzer press keys, wait and hang up. Nothing here sleeps.
//! Units:   [`CallTime`]. A character is spoken in [`PER_CHARACTER`].
//! Limits:  [`STEPS_MAX`] events a call: a document that goes round for ever ends there.
//! Secrets: records mask keys and secret fields when they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::flow::{
    Action, AgentCommand, Call, CommandId, Context, Ended, Event, Fetch, Fetched, First, Redirection, Telling, TurnId,
};
use crate::pay::assisted::AgentError;
use crate::pay::gateway::{Capabilities, Instrument, PaymentRequest, Preparation, Resolution};
use crate::pay::sandbox;
use crate::pay::submission::{Ask, Question, Reply};
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::Utterance;
use tape::Tape;

pub mod invariants;
mod leak;
pub mod random;
mod record;
pub mod tape;

#[cfg(all(test, feature = "shell"))]
pub(crate) use leak::repeats;
pub(crate) use record::quoted;
pub use record::{Arrow, Record, RecordedTurn, TurnState, length, reply_word, step_line, words};
use record::{event_word, timeout_word};

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

    /// Whether nothing can be written down when the connector is looked up that was asked for last.
    fn is_store_away(&self) -> bool {
        false
    }

    /// How long looking a connector up takes.
    fn lookup_time(&self) -> Duration {
        Duration::ZERO
    }

    /// What the gateway answers and after how long; none: it is silent.
    fn gateway(
        &mut self,
        question: &Question,
        payment_request: &PaymentRequest,
        instrument: &Instrument,
    ) -> Option<(Duration, Reply)>;

    /// How often the gateway has done what this transaction id asks for, whatever it answered: its ledger. A world without
    /// one: never, and the rule that needs it has nothing to judge.
    fn acts(&self, _transaction_id: &str) -> u32 {
        0
    }

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
pub fn sandbox_reply(question: &Question, payment_request: &PaymentRequest, instrument: &Instrument) -> Reply {
    match question.what {
        Ask::Prepare => Reply::Prepared(Preparation::Nothing),
        Ask::Submit(_) => Reply::Submitted(sandbox::answer(payment_request, instrument)),
        Ask::Resolve(_) => Reply::Resolved(Resolution::CannotTell),
    }
}

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
    turns: Vec<RecordedTurn>,
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
    pub fn start_taped(first: impl Into<First>, begins: tape::FirstDocument, context: Context, world: W) -> Self {
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
        self.into_arrows_and_tape().1
    }

    /// Every arrow that was taken, and what [`Self::into_tape`] gives.
    pub(crate) fn into_arrows_and_tape(self) -> (BTreeSet<Arrow>, Option<Tape>) {
        let tape = self.tape.map(|mut tape| {
            tape.destinations(self.call.destinations());
            tape
        });
        (self.arrows, tape)
    }

    /// All that was said.
    pub fn turns(&self) -> &[RecordedTurn] {
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

    /// What is going on cannot be written down any more.
    #[cfg(test)]
    pub(crate) fn cannot_be_written(&mut self) {
        self.handle(Event::StoreAway);
        self.settle();
    }

    /// Nobody hears the rest.
    fn silence(&mut self) {
        // The marks of turns that were cut never come back: the machine has forgotten them too.
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
            if let Some((_, wait)) = self.call.poll_timeout() {
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
        let deadline = self.call.poll_timeout().map(|(at, _)| at);
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
                    Fetched::Failed(failure) => self.call.masked(&failure.message),
                    Fetched::NotAsked => "not asked".to_owned(),
                };
                self.record(Record::Fetched(what));
            }
            Event::Key(_)
            | Event::SpeechReady(..)
            | Event::ConnectorFound(_)
            | Event::StoreAway
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
        self.call.handle_event(self.now, event);
    }

    /// Carries out what the machine wants.
    fn drain(&mut self) {
        while let Some(action) = self.call.poll_action() {
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
                let shown = self.call.masked(&name);
                self.record(Record::LookedUp(shown, found.as_ref().map(|can| can.idempotency)));
                // The lookup before it is given up.
                self.inbox.retain(|_, event| !matches!(event, Event::ConnectorFound(_) | Event::StoreAway));
                let event = if self.world.is_store_away() {
                    self.record(Record::StoreAway);
                    Event::StoreAway
                } else {
                    Event::ConnectorFound(found)
                };
                let after = self.world.lookup_time();
                if after.is_zero() {
                    self.tell(event);
                } else {
                    self.schedule(after, event);
                }
            }
            Action::Ask(question, payment_request, instrument) => {
                self.turn_over = true;
                // The ledger before and after shows whether this question made the gateway act.
                let before = self.world.acts(&payment_request.transaction_id);
                let reply = self.world.gateway(&question, &payment_request, &instrument);
                let acts = self.world.acts(&payment_request.transaction_id).saturating_sub(before);
                let number = question.number;
                self.record(Record::Asked(question, payment_request));
                for _ in 0..acts {
                    self.record(Record::Acted(number));
                }
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
            // What is written down is the shell's.
            Action::Begin(begun) => self.record(Record::Begun(begun.payment)),
            Action::Intend(_) => {}
            Action::Settle(settled) => {
                // The action request is the `Fetch` that follows.
                if let Some(Telling { url, method, form }) = settled.status {
                    self.record(Record::Notified(url, method, form));
                }
            }
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
                self.turns.push(RecordedTurn { text, state: TurnState::Speaking });
            }
        }
        self.turn_over = false;
        self.record(Record::Said(id, heard));
        self.tell(Event::SpeechReady(id, length));
        let after = ends - self.now;
        self.schedule(after, Event::Played(id));
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        // Events of one instant come in the order in which they were scheduled.
        self.sequence += 1;
        self.inbox.insert((self.now + after, self.sequence), event);
    }

    fn record(&mut self, record: Record) {
        self.records.push((self.now, record));
    }
}

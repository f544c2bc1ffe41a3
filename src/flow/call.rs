//! [`Call`]: the verbs in their order, and what happens to each.

use std::collections::VecDeque;

use super::chase::Chase;
use super::context::{Context, FETCH_LIMIT};
use super::event::{Action, Ended, Event, FetchId, First, Purpose, Redirection, Wait};
use super::gather::Listening;
use super::link::{Origin, Target};
use super::payment::RunningPayment;
use super::voice::Voice;
use crate::form::Form;
use crate::mask::{self, Numbers, refused};
use crate::pay::assisted::AssistedSession;
use crate::pay::keypad::{Destination, Keypad};
use crate::pay::session::Input;
use crate::pay::verb::PaySession;
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{Gather, Method, Placed, Position, Utterance, Verb};

mod fetching;
mod gathering;
mod paying;
mod speaking;
mod state;

/// A call being run.
#[derive(Debug)]
pub struct Call {
    pub(super) context: Context,
    /// The rest of the document.
    verbs: VecDeque<Placed<Verb>>,
    origin: Origin,
    stage: CallStage,
    /// The payment that an agent leads, beside whatever the document does.
    pub(super) assisting: Option<Box<RunningPayment<AssistedSession>>>,
    /// Where the application sends the call, as soon as the verb of the moment can be left.
    elsewhere: Option<Redirection>,
    pub(super) keypad: Keypad,
    /// What was keyed into `<Gather>`s and what paid: documents and gateways may put it anywhere, and nothing may repeat it.
    pub(super) numbers: Numbers,
    pub(super) voice: Voice,
    pub(super) payments: u32,
    /// The parameters that are the last payment's outcome.
    told_by_payment: Vec<String>,
    /// The number of the last question to a gateway.
    pub(super) questions: u16,
    fetches: u32,
    documents: Chase,
    pub(super) line: LineState,
    pub(super) actions: VecDeque<Action>,
}

/// Whether the caller is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineState {
    Up,
    /// No longer, and why.
    Down(Ended),
}

/// What the call is doing.
#[derive(Debug)]
enum CallStage {
    /// Between two verbs.
    Ready,
    /// Saying something that is waited for.
    Saying,
    Pausing {
        until: CallTime,
    },
    Gathering {
        listening: Listening,
        verb: Box<Gather>,
        position: Position,
    },
    Paying(Box<RunningPayment<PaySession>>),
    Fetching {
        id: FetchId,
        until: CallTime,
    },
    /// Letting what is being said be heard before the end.
    Ending(Ended),
    Over,
}

impl Call {
    /// Begins a call with its first document, with where to ask for it, or with the reason why there is none.
    #[must_use]
    pub fn start(now: CallTime, first: impl Into<First>, context: Context) -> Self {
        let mut call = Self {
            context,
            verbs: VecDeque::new(),
            origin: Origin::Flow(String::new()),
            stage: CallStage::Ready,
            assisting: None,
            elsewhere: None,
            keypad: Keypad::new(),
            numbers: Numbers::new(),
            voice: Voice::default(),
            payments: 0,
            told_by_payment: Vec::new(),
            questions: 0,
            fetches: 0,
            documents: Chase::default(),
            line: LineState::Up,
            actions: VecDeque::new(),
        };
        match first.into() {
            First::Document(next) => call.open(next),
            First::Url(url) => call.fetch(now, Purpose::First, Target::Url(url), Method::Post, Form::new()),
            First::Failed(failure) => call.apologize(now, failure.code, None, failure.message),
        }
        call.proceed(now);
        call
    }

    /// Takes what happened at `now`.
    pub fn handle_event(&mut self, now: CallTime, event: Event) {
        match event {
            Event::Key(key) => self.handle_key(now, key),
            Event::SpeechReady(turn, length) => self.voice.handle_ready(now, turn, length),
            Event::Played(turn) => {
                self.voice.handle_played(turn);
                self.handle_silence(now);
            }
            Event::ConnectorFound(found) => self.payment_input(now, Input::ConnectorFound(found)),
            Event::StoreAway => self.payment_input(now, Input::StoreAway),
            Event::Replied(number, reply) => self.payment_input(now, Input::Replied(number, reply)),
            Event::Fetched(id, fetched) => self.handle_fetched(now, id, fetched),
            Event::HungUp => self.handle_hang_up(now, Ended::Caller),
            Event::Completed => self.handle_hang_up(now, Ended::Hangup),
            Event::Agent(id, command) => self.handle_agent(now, id, command),
            Event::Redirected(redirection) => self.handle_redirection(now, redirection),
        }
        self.proceed(now);
    }

    /// Takes note that [`Self::poll_timeout`]'s moment has come. Before it, nothing happens.
    pub fn handle_timeout(&mut self, now: CallTime) {
        let Some((due, wait)) = self.poll_timeout() else { return };
        if now < due {
            return;
        }
        if wait == Wait::Speech {
            // As if it had been heard: a platform that loses a mark must not hang the call.
            self.voice.handle_timeout();
            self.handle_silence(now);
        } else if let Wait::Agent(_) = wait {
            self.assisted_timeout(now);
        } else {
            // Each arm puts a stage back, or leaves the call ready for its next verb.
            match std::mem::replace(&mut self.stage, CallStage::Ready) {
                CallStage::Gathering { mut listening, verb, position } => {
                    let gathered = listening.handle_timeout();
                    self.gathered(now, position, &verb, gathered);
                }
                CallStage::Fetching { .. } => {
                    let message = format!("the application did not answer within {} s", FETCH_LIMIT.as_secs());
                    self.apologize(now, 11200, None, message);
                }
                CallStage::Paying(mut paying) => {
                    paying.session.handle_timeout(now, &mut self.keypad);
                    self.stage = CallStage::Paying(paying);
                    self.drain_pay(now);
                }
                // A pause is simply over.
                stage @ (CallStage::Ready | CallStage::Saying | CallStage::Ending(_) | CallStage::Over) => {
                    self.stage = stage
                }
                CallStage::Pausing { .. } => {}
            }
        }
        self.proceed(now);
    }

    /// From now on notes where keys go: for whoever writes the call down.
    pub fn note_destinations(&mut self) {
        self.keypad.note_destinations();
    }

    /// Where each key went that was pressed since [`Self::note_destinations`], in order.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        self.keypad.destinations()
    }

    /// The next thing to be done, until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Until when the call waits, and for what. `None` only when it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(CallTime, Wait)> {
        let speech = self.voice.poll_timeout().map(|until| (until, Wait::Speech));
        let stage = match &self.stage {
            CallStage::Ready | CallStage::Saying | CallStage::Ending(_) | CallStage::Over => None,
            CallStage::Pausing { until } => Some((*until, Wait::Pause)),
            CallStage::Gathering { listening, .. } => listening.poll_timeout().map(|until| (until, Wait::Gather)),
            CallStage::Paying(paying) => paying.session.poll_timeout().map(|(until, timer)| (until, Wait::Pay(timer))),
            CallStage::Fetching { until, .. } => Some((*until, Wait::Fetch)),
        };
        if self.is_over() {
            return None;
        }
        // Of several for the same moment the verb's own comes first, and what has been heard last.
        let agent = self.assisting.as_ref().and_then(|assisting| assisting.session.poll_timeout());
        let agent = agent.map(|(until, timer)| (until, Wait::Agent(timer)));
        [stage, agent, speech].into_iter().flatten().min_by_key(|(until, _)| *until)
    }

    /// Runs verbs until one has to be waited for.
    fn proceed(&mut self, now: CallTime) {
        while let CallStage::Ready = self.stage {
            self.documents.stop(now);
            // Only between verbs, so that a payment that was cancelled has been told.
            match self.elsewhere.take() {
                Some(Redirection::Document(next, _)) => {
                    self.open(next);
                    continue;
                }
                Some(Redirection::Url(url, method)) => {
                    self.fetch(now, Purpose::Redirect, Target::Url(url), method, Form::new());
                    continue;
                }
                None => {}
            }
            match self.verbs.pop_front() {
                Some(Placed { position, item }) => self.run(now, position, item),
                None => self.end(Ended::EndOfDocument),
            }
        }
        // What an agent's session said may have been cut with what the document said.
        if self.voice.is_silent()
            && self.assisting.as_ref().is_some_and(|assisting| assisting.session.waits_to_be_heard())
        {
            self.assisted_input(now, Input::Heard);
        }
        if let CallStage::Ending(ended) = self.stage
            && (self.voice.is_silent() || self.line != LineState::Up)
        {
            // For a payment that an agent leads, the end of the call is a hang-up.
            self.assisted_input(now, Input::CallerHungUp);
            // A payment that is with the gateway is waited for: the call ends with its outcome (spec/pay.md 3).
            if self.assisting.is_none() {
                self.stage = CallStage::Over;
                self.actions.push_back(Action::End(ended));
            }
        }
        let dropped = self.keypad.take_dropped();
        if dropped > 0 && !self.is_over() {
            let kept = crate::pay::keypad::KEPT_MAX;
            let keys = if dropped == 1 { "a key was".to_owned() } else { format!("{dropped} keys were") };
            let message = format!("{keys} dropped: no verb asked for any, and {kept} are waiting already");
            self.warn(None, 13910, message);
        }
    }

    fn run(&mut self, now: CallTime, position: Position, verb: Verb) {
        match verb {
            Verb::Say(say) => self.say(now, vec![Utterance::Say(say)]),
            Verb::Play(play) => self.say(now, vec![Utterance::Play(play)]),
            Verb::Pause(pause) => {
                self.documents.start(now);
                self.stage = CallStage::Pausing { until: now + pause.length };
            }
            Verb::Gather(gather) => self.gather(now, position, gather),
            Verb::Pay(pay) => self.pay(now, position, &pay),
            Verb::Redirect(redirect) => self.redirect(now, position, &redirect),
            Verb::Hangup | Verb::Reject => self.end(Ended::Hangup),
            Verb::Unsupported { name, known } => {
                let why = if known { "needs the phone network itself" } else { "is no verb" };
                self.warn(Some(position), 12200, format!("<{}> {why}; it is skipped", refused(&name)));
            }
        }
    }

    fn handle_key(&mut self, now: CallTime, key: Key) {
        // Also where nobody takes the key: a tape counts every one.
        self.keypad.pressed();
        if self.line != LineState::Up {
            return;
        }
        // Whoever presses keys is there: the documents before were no loop.
        self.documents.documents = 0;
        // Beside an agent's payment no verb gets keys: those that no capture asked for are dropped (spec/pay.md 8).
        if self.is_assisted() {
            return self.assisted_input(now, Input::Key(now, key));
        }
        match &mut self.stage {
            CallStage::Gathering { .. } => self.gather_key(now, now, key),
            CallStage::Paying(_) => self.pay_input(now, Input::Key(now, key)),
            CallStage::Ready | CallStage::Saying | CallStage::Pausing { .. } | CallStage::Fetching { .. } => {
                // Letters are no input (spec/pay.md 3).
                if !matches!(key, Key::Letter(_)) {
                    self.keypad.keep(now, key);
                }
            }
            CallStage::Ending(_) | CallStage::Over => {}
        }
    }

    /// If everything has been heard, whoever waits for that goes on.
    pub(super) fn handle_silence(&mut self, now: CallTime) {
        if !self.voice.is_silent() {
            return;
        }
        self.assisted_input(now, Input::Heard);
        match &mut self.stage {
            CallStage::Saying => self.stage = CallStage::Ready,
            CallStage::Gathering { listening, .. } => listening.handle_heard(now),
            CallStage::Paying(_) => self.pay_input(now, Input::Heard),
            CallStage::Ready
            | CallStage::Pausing { .. }
            | CallStage::Fetching { .. }
            | CallStage::Ending(_)
            | CallStage::Over => {}
        }
    }

    /// The caller is gone, or the application lets the caller go.
    fn handle_hang_up(&mut self, now: CallTime, why: Ended) {
        if self.line != LineState::Up || self.is_over() {
            return;
        }
        // Without an `Action::Clear`: nobody is left to hear the rest.
        self.voice.clear();
        self.line = LineState::Down(why);
        self.elsewhere = None;
        self.assisted_input(now, Input::CallerHungUp);
        match &self.stage {
            CallStage::Over => {}
            CallStage::Paying(_) => self.pay_input(now, Input::CallerHungUp),
            CallStage::Ready
            | CallStage::Saying
            | CallStage::Pausing { .. }
            | CallStage::Gathering { .. }
            | CallStage::Fetching { .. }
            | CallStage::Ending(_) => {
                // `end` puts the reason that `line` has in its place.
                self.end(Ended::Caller);
            }
        }
    }

    /// Tells whichever session there is; a call has one at a time.
    fn payment_input(&mut self, now: CallTime, input: Input) {
        if self.is_assisted() {
            self.assisted_input(now, input);
        } else {
            self.pay_input(now, input);
        }
    }

    /// The application sends the call elsewhere. A payment is cancelled first: one that is on its way is waited for.
    fn handle_redirection(&mut self, now: CallTime, redirection: Redirection) {
        // Once an agent's payment was told that the call ends, it does.
        let ends = matches!(self.stage, CallStage::Ending(_)) && self.voice.is_silent();
        if self.line != LineState::Up || self.is_over() || ends {
            return;
        }
        self.documents = Chase::default();
        self.elsewhere = Some(redirection);
        self.verbs.clear();
        match &self.stage {
            CallStage::Paying(_) => self.pay_input(now, Input::Cancelled),
            CallStage::Ready
            | CallStage::Saying
            | CallStage::Pausing { .. }
            | CallStage::Gathering { .. }
            | CallStage::Fetching { .. }
            | CallStage::Ending(_)
            | CallStage::Over => {
                self.clear();
                self.stage = CallStage::Ready;
            }
        }
    }

    /// `text` without the numbers that were keyed in this call: for whoever shows what it deals with.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        // Not `mask::text`: the words are ours, and what they quote is masked already.
        mask::identifier(text, &self.numbers).into_owned()
    }

    fn end(&mut self, ended: Ended) {
        let ended = if let LineState::Down(why) = self.line { why } else { ended };
        self.verbs.clear();
        self.stage = CallStage::Ending(ended);
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }
}

//! [`Call`]: the verbs in their order, and what happens to each.

use super::chase::Chase;
use super::event::{
    Action, Ended, Event, Fetch, FetchId, Fetched, First, NextDocument, Purpose, Redirection, Unwritten, Wait, Warning,
};
use super::gather::{self, Gathered, Listening};
use super::link::{Origin, Target};
use super::payment::RunningPayment;
use super::voice::Voice;
use super::{Context, FETCH_LIMIT, LOOP_LIMIT, Queue};
use crate::form::Form;
use crate::mask::{self, Numbers, refused};
use crate::pay::assisted::AssistedSession;
use crate::pay::keypad::{Destination, Keypad};
use crate::pay::prompts::{BuiltIn, Language};
use crate::pay::session::Input;
use crate::pay::verb::PaySession;
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{
    Document, Gather, Method, Placed, Play, PlaySource, Position, Redirect, Say, Severity, Utterance, Verb,
};

/// The most faults of one document that are told.
const FAULTS_TOLD: usize = 20;

/// A call being run.
#[derive(Debug)]
pub struct Call {
    pub(super) context: Context,
    /// The rest of the document.
    verbs: Queue<Placed<Verb>>,
    origin: Origin,
    stage: Stage,
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
    pub(super) line: Line,
    pub(super) actions: Queue<Action>,
}

/// Whether the caller is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Up,
    /// No longer, and why.
    Down(Ended),
}

/// What the call is doing.
#[derive(Debug)]
enum Stage {
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
            verbs: Queue::new(),
            origin: Origin::Flow(String::new()),
            stage: Stage::Ready,
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
            line: Line::Up,
            actions: Queue::new(),
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
            self.voice.handle_timeout();
            self.handle_silence(now);
        } else if let Wait::Agent(_) = wait {
            self.assisted_timeout(now);
        } else {
            match std::mem::replace(&mut self.stage, Stage::Ready) {
                Stage::Gathering { mut listening, verb, position } => {
                    let gathered = listening.handle_timeout();
                    self.gathered(now, position, &verb, gathered);
                }
                Stage::Fetching { .. } => {
                    let message = format!("the application did not answer within {} s", FETCH_LIMIT.as_secs());
                    self.apologize(now, 11200, None, message);
                }
                Stage::Paying(mut paying) => {
                    paying.session.handle_timeout(now, &mut self.keypad);
                    self.stage = Stage::Paying(paying);
                    self.drain_pay(now);
                }
                // A pause is simply over.
                stage @ (Stage::Ready | Stage::Saying | Stage::Ending(_) | Stage::Over) => self.stage = stage,
                Stage::Pausing { .. } => {}
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
            Stage::Ready | Stage::Saying | Stage::Ending(_) | Stage::Over => None,
            Stage::Pausing { until } => Some((*until, Wait::Pause)),
            Stage::Gathering { listening, .. } => listening.poll_timeout().map(|until| (until, Wait::Gather)),
            Stage::Paying(paying) => paying.session.poll_timeout().map(|(until, timer)| (until, Wait::Pay(timer))),
            Stage::Fetching { until, .. } => Some((*until, Wait::Fetch)),
        };
        if self.is_over() {
            return None;
        }
        // Of several for the same moment the verb's own comes first, and what has been heard last.
        let agent = self.assisting.as_ref().and_then(|assisting| assisting.session.poll_timeout());
        let agent = agent.map(|(until, timer)| (until, Wait::Agent(timer)));
        [stage, agent, speech].into_iter().flatten().min_by_key(|(until, _)| *until)
    }

    /// Whether the call is over: it wants nothing more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether something is being said.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        !self.voice.is_silent()
    }

    /// Whether the next key is taken as it comes and nothing is being said: the moment a caller would press it.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        let listens = match (&self.stage, &self.assisting) {
            (_, Some(assisting)) => assisting.session.is_listening(),
            (Stage::Gathering { .. }, None) => true,
            (Stage::Paying(paying), None) => paying.session.is_listening(),
            _ => false,
        };
        listens && self.voice.is_silent()
    }

    /// Whether digits are being entered, so that one that is lost would make another number: a field, a `<Gather>`, or what
    /// was begun ahead of either.
    #[must_use]
    pub fn is_entering(&self) -> bool {
        match (&self.stage, &self.assisting) {
            (_, Some(assisting)) => assisting.session.is_capturing(),
            (Stage::Gathering { .. }, None) => true,
            (Stage::Paying(paying), None) => paying.session.is_capturing() || !self.keypad.is_empty(),
            (Stage::Ready | Stage::Saying | Stage::Pausing { .. } | Stage::Fetching { .. }, None) => {
                !self.keypad.is_empty()
            }
            (Stage::Ending(_) | Stage::Over, None) => false,
        }
    }

    /// Whether the gateway is being asked.
    #[must_use]
    pub fn is_processing(&self) -> bool {
        let assisted = self.assisting.as_ref().is_some_and(|assisting| assisting.session.is_processing());
        assisted || matches!(&self.stage, Stage::Paying(paying) if paying.session.is_processing())
    }

    /// Where the call is, in a word or two: for traces and for counting what tests have passed through.
    #[must_use]
    pub fn stage_name(&self) -> &'static str {
        if let Some(assisting) = &self.assisting {
            return assisting.session.phase_name();
        }
        match &self.stage {
            Stage::Ready => "ready",
            Stage::Saying => "saying",
            Stage::Pausing { .. } => "pausing",
            Stage::Gathering { .. } => "gathering",
            Stage::Paying(paying) => paying.session.phase_name(),
            Stage::Fetching { .. } => "fetching",
            Stage::Ending(_) => "ending",
            Stage::Over => "over",
        }
    }

    /// Runs verbs until one has to be waited for.
    fn proceed(&mut self, now: CallTime) {
        while let Stage::Ready = self.stage {
            self.documents.stop(now);
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
        if let Stage::Ending(ended) = self.stage
            && (self.voice.is_silent() || self.line != Line::Up)
        {
            // For a payment that an agent leads, the end of the call is a hang-up.
            self.assisted_input(now, Input::CallerHungUp);
            if self.assisting.is_none() {
                self.stage = Stage::Over;
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
                self.stage = Stage::Pausing { until: now + pause.length };
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

    fn say(&mut self, now: CallTime, heard: Vec<Utterance>) {
        self.documents.start(now);
        self.stage = Stage::Saying;
        self.speak(now, heard);
        self.handle_silence(now);
    }

    fn gather(&mut self, now: CallTime, position: Position, mut gather: Gather) {
        self.documents.start(now);
        let listening = Listening::new(&gather);
        let prompts = std::mem::take(&mut gather.prompts);
        self.stage = Stage::Gathering { listening, verb: Box::new(gather), position };
        while let Stage::Gathering { .. } = self.stage {
            let Some((pressed, key)) = self.keypad.take() else { break };
            self.gather_key(now, pressed, key);
        }
        // Keys that were here already make the prompt needless.
        if let Stage::Gathering { listening, .. } = &self.stage
            && listening.is_prompting()
        {
            self.speak(now, prompts);
            self.handle_silence(now);
        }
    }

    fn gather_key(&mut self, now: CallTime, pressed: CallTime, key: Key) {
        let Stage::Gathering { listening, .. } = &mut self.stage else { return };
        match listening.handle_key(now, pressed, key, &mut self.keypad) {
            gather::Next::Wait => {}
            gather::Next::Clear => self.clear(),
            gather::Next::Over(gathered) => {
                self.clear();
                if let Stage::Gathering { verb, position, .. } = std::mem::replace(&mut self.stage, Stage::Ready) {
                    self.gathered(now, position, &verb, gathered);
                }
            }
        }
    }

    /// A `<Gather>` is over: its keys go to the action, or the next verb runs.
    fn gathered(&mut self, now: CallTime, position: Position, verb: &Gather, gathered: Gathered) {
        if gathered.empty && !verb.action_on_empty_result {
            return;
        }
        self.numbers.extend(gathered.digits.expose());
        let mut form = Form::new();
        form.set("Digits", gathered.digits);
        form.set_some("FinishedOnKey", gathered.finished_on.map(|key| key.symbol().to_string()));
        self.remember(&form);
        let target = match (&verb.action, &self.origin) {
            (Some(action), origin) => origin.resolve(action, self.context.plain_http),
            (None, Origin::Url(url)) => Ok(Target::Url(url.clone())),
            (None, Origin::Flow(_)) => return,
        };
        match target {
            Ok(target) => self.fetch(now, Purpose::Gather, target, verb.method, form),
            Err(error) => {
                let action = refused(verb.action.as_deref().unwrap_or_default());
                self.apologize(now, 11100, Some(position), format!("<Gather action=\"{action}\">: {error}"));
            }
        }
    }

    fn redirect(&mut self, now: CallTime, position: Position, redirect: &Redirect) {
        match self.origin.resolve(&redirect.url, self.context.plain_http) {
            Ok(target) => self.fetch(now, Purpose::Redirect, target, redirect.method, Form::new()),
            Err(error) => {
                let message = format!("<Redirect>{}</Redirect>: {error}", refused(&redirect.url));
                self.apologize(now, 11100, Some(position), message);
            }
        }
    }

    /// Asks for a document and waits for it.
    pub(super) fn fetch(&mut self, now: CallTime, purpose: Purpose, target: Target, method: Method, form: Form) {
        self.fetch_told(now, purpose, target, method, (form, None));
    }

    /// The same, with what is told of a payment for as long as its outcome is not written down.
    fn fetch_told(
        &mut self,
        now: CallTime,
        purpose: Purpose,
        target: Target,
        method: Method,
        told: (Form, Option<Unwritten>),
    ) {
        let id = self.request(purpose, target, method, told);
        if self.line == Line::Up && self.elsewhere.is_none() {
            self.documents.stop(now);
            self.stage = Stage::Fetching { id, until: now + FETCH_LIMIT };
        } else if self.line != Line::Up {
            self.end(Ended::Caller);
        }
    }

    fn request(
        &mut self,
        purpose: Purpose,
        target: Target,
        method: Method,
        (form, unwritten): (Form, Option<Unwritten>),
    ) -> FetchId {
        self.fetches = self.fetches.saturating_add(1);
        let id = FetchId(self.fetches);
        let standard = self.context.standard(if self.line == Line::Up { "in-progress" } else { "completed" });
        let whole = |form: &Form| {
            let mut fields = standard.clone();
            fields.extend(form);
            fields
        };
        let unwritten = unwritten.map(|told| Box::new(Unwritten { form: whole(&told.form), ..told }));
        let answer_wanted = self.line == Line::Up && self.elsewhere.is_none();
        // A flow that nobody hears is not run, but its request is still told.
        let parameters = self.context.parameters.clone();
        self.actions.push_back(Action::Fetch(Fetch {
            id,
            purpose,
            target,
            method,
            form: whole(&form),
            parameters,
            unwritten,
            answer_wanted,
        }));
        id
    }

    /// What a request tells joins the parameters that later flow documents are rendered with.
    pub(super) fn remember(&mut self, form: &Form) {
        for (name, value) in form.iter() {
            self.context.parameters.insert(name.to_owned(), value.clone());
        }
    }

    fn handle_fetched(&mut self, now: CallTime, fetched_id: FetchId, fetched: Fetched) {
        if !matches!(&self.stage, Stage::Fetching { id, .. } if *id == fetched_id) {
            return;
        }
        self.stage = Stage::Ready;
        match fetched {
            Fetched::Document(next) => {
                self.documents.documents = self.documents.documents.saturating_add(1);
                if self.documents.documents > LOOP_LIMIT {
                    let message =
                        format!("{LOOP_LIMIT} documents in a row sent the call on without a word; it is cut here");
                    return self.apologize(now, 12400, None, message);
                }
                self.open(next);
            }
            Fetched::Failed(failure) => self.apologize(now, failure.code, None, failure.message),
            Fetched::NotAsked => {}
        }
    }

    /// A document takes over.
    fn open(&mut self, next: NextDocument) {
        let Document { verbs, faults } = next.document;
        self.verbs = verbs.into();
        self.origin = next.origin;
        let errors = faults.into_iter().filter(|fault| fault.severity == Severity::Error);
        for fault in errors.take(FAULTS_TOLD) {
            self.warn(Some(fault.position), 12200, fault.message);
        }
    }

    fn handle_key(&mut self, now: CallTime, key: Key) {
        self.keypad.pressed();
        if self.line != Line::Up {
            return;
        }
        self.documents.documents = 0;
        if self.is_assisted() {
            return self.assisted_input(now, Input::Key(now, key));
        }
        match &mut self.stage {
            Stage::Gathering { .. } => self.gather_key(now, now, key),
            Stage::Paying(_) => self.pay_input(now, Input::Key(now, key)),
            Stage::Ready | Stage::Saying | Stage::Pausing { .. } | Stage::Fetching { .. } => {
                if !matches!(key, Key::Letter(_)) {
                    self.keypad.keep(now, key);
                }
            }
            Stage::Ending(_) | Stage::Over => {}
        }
    }

    /// If everything has been heard, whoever waits for that goes on.
    pub(super) fn handle_silence(&mut self, now: CallTime) {
        if !self.voice.is_silent() {
            return;
        }
        self.assisted_input(now, Input::Heard);
        match &mut self.stage {
            Stage::Saying => self.stage = Stage::Ready,
            Stage::Gathering { listening, .. } => listening.handle_heard(now),
            Stage::Paying(_) => self.pay_input(now, Input::Heard),
            Stage::Ready | Stage::Pausing { .. } | Stage::Fetching { .. } | Stage::Ending(_) | Stage::Over => {}
        }
    }

    /// The caller is gone, or the application lets the caller go.
    fn handle_hang_up(&mut self, now: CallTime, why: Ended) {
        if self.line != Line::Up || self.is_over() {
            return;
        }
        self.voice.clear();
        self.line = Line::Down(why);
        self.elsewhere = None;
        self.assisted_input(now, Input::CallerHungUp);
        match &self.stage {
            Stage::Over => {}
            Stage::Paying(_) => self.pay_input(now, Input::CallerHungUp),
            Stage::Ready
            | Stage::Saying
            | Stage::Pausing { .. }
            | Stage::Gathering { .. }
            | Stage::Fetching { .. }
            | Stage::Ending(_) => {
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

    fn pay_input(&mut self, now: CallTime, input: Input) {
        if let Stage::Paying(paying) = &mut self.stage {
            paying.session.handle_input(now, input, &mut self.keypad);
            self.drain_pay(now);
        }
    }

    /// Does what the Pay session wants; goes on when it is over.
    fn drain_pay(&mut self, now: CallTime) {
        let Stage::Paying(mut paying) = std::mem::replace(&mut self.stage, Stage::Ready) else { return };
        let mut outcome = None;
        while let Some(output) = paying.session.poll_output() {
            outcome = self.carry_out(now, output, &mut paying.recipients).or(outcome);
        }
        let Some(outcome) = outcome else {
            self.stage = Stage::Paying(paying);
            // A prompt of no words has been heard as soon as it is said.
            if matches!(&self.stage, Stage::Paying(paying) if paying.session.waits_to_be_heard()) {
                self.handle_silence(now);
            }
            return;
        };
        // What an earlier payment told is not this one's.
        for name in std::mem::take(&mut self.told_by_payment) {
            self.context.parameters.remove(&name);
        }
        self.told_by_payment = outcome.iter().map(|(name, _)| name.to_owned()).collect();
        let unwritten = paying.recipients.unwritten.take().map(|form| {
            let mut parameters = self.context.parameters.clone();
            parameters.extend(form.iter().map(|(name, value)| (name.to_owned(), value.clone())));
            Unwritten { form, parameters }
        });
        self.remember(&outcome);
        match paying.recipients.action {
            Some((target, method)) => self.fetch_told(now, Purpose::Pay, target, method, (outcome, unwritten)),
            None if self.line != Line::Up => self.end(Ended::Caller),
            None => {}
        }
    }

    /// The application sends the call elsewhere. A payment is cancelled first: one that is on its way is waited for.
    fn handle_redirection(&mut self, now: CallTime, redirection: Redirection) {
        // Once an agent's payment was told that the call ends, it does.
        let ends = matches!(self.stage, Stage::Ending(_)) && self.voice.is_silent();
        if self.line != Line::Up || self.is_over() || ends {
            return;
        }
        self.documents = Chase::default();
        self.elsewhere = Some(redirection);
        self.verbs.clear();
        match &self.stage {
            Stage::Paying(_) => self.pay_input(now, Input::Cancelled),
            Stage::Ready
            | Stage::Saying
            | Stage::Pausing { .. }
            | Stage::Gathering { .. }
            | Stage::Fetching { .. }
            | Stage::Ending(_)
            | Stage::Over => {
                self.clear();
                self.stage = Stage::Ready;
            }
        }
    }

    /// Whether a `<Pay>` is running.
    pub(super) const fn is_paying(&self) -> bool {
        matches!(self.stage, Stage::Paying(_))
    }

    /// Begins to run a `<Pay>`.
    pub(super) fn begin_paying(&mut self, now: CallTime, paying: RunningPayment<PaySession>) {
        self.documents.start(now);
        self.stage = Stage::Paying(Box::new(paying));
        self.drain_pay(now);
    }

    /// Says something, with the addresses of recordings made absolute. Nothing audible is not said.
    pub(super) fn speak(&mut self, now: CallTime, heard: Vec<Utterance>) {
        let heard: Vec<Utterance> =
            heard.into_iter().filter(is_audible).map(|utterance| self.located(utterance)).collect();
        if !heard.is_empty() && self.line == Line::Up {
            let turn = self.voice.begin(now);
            self.actions.push_back(Action::Speak(turn, heard));
        }
    }

    fn located(&self, utterance: Utterance) -> Utterance {
        match (utterance, &self.origin) {
            (Utterance::Play(Play { source: PlaySource::Url(link), times }), Origin::Url(base)) => {
                let link = base.join(&link).map_or(link, String::from);
                Utterance::Play(Play { source: PlaySource::Url(link), times })
            }
            (other, _) => other,
        }
    }

    pub(super) fn clear(&mut self) {
        if !self.voice.is_silent() {
            self.voice.clear();
            self.actions.push_back(Action::Clear);
        }
    }

    /// `text` without the numbers that were keyed in this call: for whoever shows what it deals with.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        mask::identifier(text, &self.numbers).into_owned()
    }

    pub(super) fn warn(&mut self, position: Option<Position>, code: u32, message: String) {
        let message = self.masked(&message);
        self.actions.push_back(Action::Warn(Warning { position, code, message }));
    }

    /// The call cannot go on: the caller is told so, and the merchant why.
    fn apologize(&mut self, now: CallTime, code: u32, position: Option<Position>, message: String) {
        self.warn(position, code, message);
        let language = Language::EnUs;
        let text = BuiltIn::of(language).sentence("apology").to_owned();
        let say = Say { text, voice: None, language: Some(language.word().to_owned()), times: 1 };
        self.speak(now, vec![Utterance::Say(say)]);
        self.end(Ended::Hangup);
    }

    fn end(&mut self, ended: Ended) {
        let ended = if let Line::Down(why) = self.line { why } else { ended };
        self.verbs.clear();
        self.stage = Stage::Ending(ended);
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }
}

fn is_audible(utterance: &Utterance) -> bool {
    match utterance {
        Utterance::Say(say) => !say.text.trim().is_empty(),
        Utterance::Play(Play { source: PlaySource::Digits(keys), .. }) => !keys.is_empty(),
        Utterance::Play(Play { source: PlaySource::Url(link), .. }) => !link.is_empty(),
        Utterance::Pause(pause) => !pause.length.is_zero(),
    }
}

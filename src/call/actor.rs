//! The task of one call: a socket, a call machine, and the answers that come back.
//!
//! Shape:   [`run`] reads the stream's messages, hands them to the machine as events, and carries out what it wants. It
//!          never waits for anything but the next thing to happen.
//! Limits:  [`START_LIMIT`] for the stream to start; `idle_timeout` without a message; [`SEND_LIMIT`] for the platform to
//!          take one; above `max_messages_per_second` the stream is read more slowly.
//! Errors:  whatever the other side does wrong ends this call as a hang-up does, with a reason in the log. A payment that
//!          is on its way is still waited for and told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::beginning::{Beginning, NoUrl};
use super::clock::{Arrival, Clock};
use super::gateway::Asking;
use super::playback::{Piece, Playback};
use super::recorder::Recorder;
use super::registry::{CallPlace, Command, Order, StreamPlace, Summons};
use super::render::render;
use super::{House, metrics};
use crate::audio::Clip;
use crate::callback::{
    self, Application, CallbackKind, CallbackQueue, CallbackRequest, FetchError, FetchedDocument, Written,
};
use crate::flow::link::Target;
use crate::flow::{
    Action, Call, CommandId, Context, Ended, Event, Fetch, FetchFailure, FetchId, Fetched, NextDocument, Purpose,
    Settled, TurnId,
};
use crate::form::{Form, Value};
use crate::media::{self, Dialect, Frame, Incoming, MarkName, MediaCommand, MediaError, MediaEvent, Start, Stream};
use crate::pay::assisted::AgentError;
use crate::pay::submission::Reply;
use crate::simulate::tape;
use crate::store::{self, Hold, Occasion};
use crate::time::CallTime;

/// How long a platform may take to start its stream. Chosen freely: they send `start` at once.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a platform may take to read what we send. Chosen freely: they buffer.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// How long the platform has to close its side once we have closed ours.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How long the application is not told of an outcome because it is not on disk yet. Chosen freely: a busy
/// disk takes a second.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How many answers may wait for the actor. The machine asks for few things at a time; one that has to wait, waits.
const ANSWERS_MAX: usize = 64;

/// Custom parameters that are the call's standard parameters.
const STANDARD: &[&str] = &["From", "To", "ForwardedFrom", "CallerName", "Direction"];

/// Something that came back to the actor.
pub(super) enum Answered {
    /// A turn was rendered.
    Rendered(TurnId, Clip),
    /// The gateway answered.
    Replied(u16, Reply),
    /// A document came, or did not; what it was made of, if it came from the application.
    Fetched(FetchId, Fetched, Option<tape::Source>),
}

/// Runs the call of one stream. Returns when the call is over and everything it had to tell is on its way.
pub async fn run(socket: WebSocket, dialect: Dialect, beginning: Beginning, house: Arc<House>, place: StreamPlace) {
    let flow = beginning.flow();
    let (sink, source) = socket.split();
    let mut line = Line { sink: Some(sink), stream: Stream::new(dialect) };
    let mut ear = Ear::new(source, &house);
    let start = match begin(&mut line, &mut ear).await {
        Ok(start) => start,
        Err(why) => {
            tracing::warn!(dialect = dialect.name(), flow, reason = %why, "stream ended before its call began");
            return line.refuse(why).await;
        }
    };
    let span = tracing::info_span!("call", call_sid = start.call_sid, flow);
    let context = context(&house, &start);
    let first = match beginning.first(&house, &context.parameters) {
        Ok(first) => first,
        Err(why) => {
            tracing::warn!(parent: &span, reason = %why, "stream refused");
            return line.refuse(why.into()).await;
        }
    };
    let Some((registered, summons)) = CallPlace::take(&house, &start) else {
        tracing::warn!(parent: &span, "a call of this id is live already; this stream is ended");
        return line.refuse(Refusal::Duplicate).await;
    };
    let Summons { ender, orders } = summons;
    let begins = beginning.taken_down(&context.parameters);
    let recorder = house.recordings.as_ref().map(|recordings| Recorder::begin(recordings, begins, &context));
    let mut call = Call::start(CallTime::ZERO, first, context);
    if recorder.is_some() {
        call.note_destinations();
    }
    let actor = Actor::new(house, start, call, recorder, line, registered, orders);
    tracing::Instrument::instrument(actor.run(ear, ender), span).await;
    drop(place);
}

/// Why the other side's stream is ended.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Media(#[from] MediaError),
    #[error("no start within {} s", START_LIMIT.as_secs())]
    NoStart,
    #[error("no message for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("a call of this id is live already")]
    Duplicate,
    #[error(transparent)]
    NoUrl(#[from] NoUrl),
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("the platform closed the stream")]
    Closed,
    #[error("the platform did not take a message within {} s", SEND_LIMIT.as_secs())]
    Stuck,
    #[error("the server is being stopped")]
    Stopping,
    /// No fault of anybody's.
    #[error("the application ended the call")]
    Completed,
}

impl Refusal {
    /// The metric's label.
    const fn word(&self) -> &'static str {
        match self {
            Self::Media(_) => "protocol",
            Self::NoStart => "no_start",
            Self::Idle(_) => "idle",
            Self::Duplicate => "duplicate",
            Self::NoUrl(_) => "no_url",
            Self::Lost(_) => "lost",
            Self::Closed => "closed",
            Self::Stuck => "stuck",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
        }
    }
}

/// Reads until the stream starts.
async fn begin(line: &mut Line, ear: &mut Ear) -> Result<Start, Refusal> {
    let started = async {
        loop {
            let message = ear.source.next().await;
            match heard(&mut line.stream, message)? {
                Some(MediaEvent::Started(start)) => return Ok(start),
                Some(MediaEvent::Stopped) => return Err(Refusal::Closed),
                Some(MediaEvent::Ignored(why)) => metrics::message_ignored(why.name()),
                _ => {}
            }
        }
    };
    timeout(START_LIMIT, started).await.unwrap_or(Err(Refusal::NoStart))
}

/// What a WebSocket message means. None: nothing.
fn heard(
    stream: &mut Stream,
    message: Option<Result<Message, axum::Error>>,
) -> Result<Option<MediaEvent<'_>>, Refusal> {
    match message {
        Some(Ok(Message::Text(text))) => {
            // The event borrows from the stream only, never from the message.
            Ok(Some(stream.decode(Incoming::Text(text.as_str()))?))
        }
        Some(Ok(Message::Binary(bytes))) => Ok(Some(stream.decode(Incoming::Binary(&bytes))?)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(Refusal::Closed),
        Some(Err(error)) => Err(Refusal::Lost(error.to_string())),
    }
}

/// The reading side: how fast, and how long without a word.
struct Ear {
    source: SplitStream<WebSocket>,
    idle: Duration,
    idle_at: Instant,
    rate: u32,
    window: Instant,
    taken: u32,
}

impl Ear {
    fn new(source: SplitStream<WebSocket>, house: &House) -> Self {
        let media = &house.config.media;
        let now = Instant::now();
        Self {
            source,
            idle: media.idle_timeout,
            idle_at: now + media.idle_timeout,
            rate: media.max_messages_per_second,
            window: now,
            taken: 0,
        }
    }

    /// A message came.
    fn count(&mut self, now: Instant) {
        self.idle_at = now + self.idle;
        if now.duration_since(self.window) >= Duration::from_secs(1) {
            self.window = now;
            self.taken = 0;
        }
        self.taken = self.taken.saturating_add(1);
    }

    /// Until when nothing is read, as too much was read this second.
    fn resting_until(&self) -> Option<Instant> {
        (self.rate > 0 && self.taken >= self.rate)
            .then(|| self.window + Duration::from_secs(1))
            .filter(|until| *until > Instant::now())
    }
}

/// The writing side, until it is lost.
struct Line {
    sink: Option<SplitSink<WebSocket, Message>>,
    stream: Stream,
}

impl Line {
    async fn send(&mut self, command: MediaCommand<'_>) -> Result<(), Refusal> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let message = match self.stream.encode(command) {
            Ok(Frame::Text(text)) => Message::Text(text.into()),
            Ok(Frame::Binary(bytes)) => Message::Binary(bytes.into()),
            Ok(Frame::Close) => close(close_code::NORMAL, ""),
            // The platform has stopped the stream: there is nobody to tell.
            Err(_) => return Ok(()),
        };
        match timeout(SEND_LIMIT, sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Refusal::Lost(error.to_string())),
            Err(_) => Err(Refusal::Stuck),
        }
    }

    /// Ends the stream for a fault of the other side.
    async fn refuse(&mut self, why: Refusal) {
        metrics::stream_refused(why.word());
        let code = match why {
            Refusal::Media(MediaError::TooLong { .. }) => close_code::SIZE,
            Refusal::Media(_) => close_code::PROTOCOL,
            Refusal::Stopping => close_code::AWAY,
            _ => close_code::POLICY,
        };
        self.close(code, &why.to_string()).await;
    }

    async fn close(&mut self, code: u16, reason: &str) {
        if let Some(mut sink) = self.sink.take() {
            // The platform may be gone; then it needs no goodbye.
            let _ = timeout(CLOSE_LIMIT, async {
                let _ = sink.send(close(code, reason)).await;
                let _ = sink.close().await;
            })
            .await;
        }
    }
}

fn close(code: u16, reason: &str) -> Message {
    // A close frame has room for 123 bytes of reason (RFC 6455, section 5.5).
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// A call and everything it uses.
struct Actor {
    house: Arc<House>,
    call: Call,
    clock: Clock,
    recorder: Option<Recorder>,
    line: Line,
    playback: Playback,
    asking: Asking,
    callbacks: CallbackQueue,
    call_sid: String,
    registered: CallPlace,
    /// What others want of this call.
    orders: mpsc::Receiver<Order>,
    /// Agents' requests that are not answered yet, by number. The registry lets in one at a time.
    asked: BTreeMap<u32, oneshot::Sender<Result<String, AgentError>>>,
    asked_last: u32,
    answers: mpsc::Sender<Answered>,
    inbox: mpsc::Receiver<Answered>,
    /// The payment whose outcome the next action request tells, and whether it is written down.
    settled: Option<(String, Written)>,
    /// Requests whose answer nobody waits for, but which must be made.
    last_words: JoinSet<()>,
    ended: Option<Ended>,
}

impl Actor {
    fn new(
        house: Arc<House>,
        start: Start,
        call: Call,
        recorder: Option<Recorder>,
        line: Line,
        registered: CallPlace,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let (answers, inbox) = mpsc::channel(ANSWERS_MAX);
        let callbacks = house.deliveries.queue(&start.call_sid);
        Self {
            call,
            clock: Clock::start(),
            recorder,
            line,
            playback: Playback::default(),
            asking: Asking::default(),
            callbacks,
            call_sid: start.call_sid,
            registered,
            orders,
            asked: BTreeMap::new(),
            asked_last: 0,
            answers,
            inbox,
            settled: None,
            last_words: JoinSet::new(),
            ended: None,
            house,
        }
    }

    /// Tells the machine what happened just now, and the recorder before it.
    fn tell(&mut self, arrival: Arrival, event: Event) {
        let now = self.clock.stamp(arrival, self.call.deadline().map(|(at, _)| at));
        self.tell_at(now, event);
    }

    fn tell_at(&mut self, at: CallTime, event: Event) {
        if let Some(recorder) = &mut self.recorder {
            recorder.tape.event(at, &event);
        }
        self.call.handle(at, event);
    }

    /// The machine's deadline has come.
    fn come_due(&mut self) {
        let Some((due, wait)) = self.call.deadline() else { return };
        let now = self.clock.came_due(due);
        if let Some(recorder) = &mut self.recorder {
            recorder.tape.timed_out(now, wait);
        }
        self.call.handle_timeout(now);
    }

    async fn run(mut self, mut ear: Ear, mut ender: watch::Receiver<bool>) {
        tracing::info!("call began");
        let mut attached = true;
        loop {
            if let Err(why) = self.carry_out().await {
                self.lose(why).await;
                attached = false;
                continue;
            }
            if self.call.is_over() {
                break;
            }
            match self.next(&mut ear, &mut ender, attached).await {
                Ok(()) => {}
                Err(why) => {
                    self.lose(why).await;
                    attached = false;
                }
            }
        }
        self.retire();
        if let Some(mut recorder) = self.recorder.take() {
            recorder.tape.destinations(self.call.destinations());
            let writing = recorder.finish(self.house.library.clone(), self.house.chance.uuid().as_u64_pair().0);
            self.last_words.spawn(tracing::Instrument::in_current_span(writing));
        }
        self.line.close(close_code::NORMAL, "").await;
        let how = self.ended.unwrap_or(Ended::Caller);
        metrics::call_ended(how);
        tracing::info!(how = how.word(), seconds = self.clock.reading().as_millis() / 1000, "call ended");
        // Reading on lets the platform finish its closing handshake.
        let _ = timeout(CLOSE_LIMIT, async { while let Some(Ok(_)) = ear.source.next().await {} }).await;
        while self.last_words.join_next().await.is_some() {}
    }

    /// Waits for the next thing to happen and tells the machine. What has already arrived beats a deadline.
    async fn next(&mut self, ear: &mut Ear, ender: &mut watch::Receiver<bool>, attached: bool) -> Result<(), Refusal> {
        let deadline =
            self.call.deadline().map(|(at, _)| self.clock.answered() + Duration::from_millis(at.as_millis()));
        let sound = self.playback.wake_at(Instant::now()).filter(|_| attached);
        let resting = ear.resting_until();
        let idle_at = ear.idle_at;
        tokio::select! {
            biased;
            message = ear.source.next(), if attached && resting.is_none() => {
                ear.count(Instant::now());
                self.take(message)?;
            }
            Some(answer) = self.inbox.recv() => self.answer(answer),
            Some(order) = self.orders.recv(), if attached => self.obey(order)?,
            _ = ender.changed(), if attached => return Err(Refusal::Stopping),
            () = until(deadline) => self.come_due(),
            () = until(sound) => {}
            () = until(resting) => {}
            () = sleep_until(idle_at), if attached => return Err(Refusal::Idle(ear.idle)),
        }
        Ok(())
    }

    /// A message of the stream.
    fn take(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Refusal> {
        match heard(&mut self.line.stream, message)? {
            Some(MediaEvent::Key(key)) => self.tell(Arrival::Caller, Event::Key(key)),
            Some(MediaEvent::Played(mark)) => {
                if let Some(turn) = turn_of(&mark).and_then(|turn| self.playback.heard(turn)) {
                    self.tell(Arrival::Other, Event::Played(turn));
                }
            }
            Some(MediaEvent::Stopped) => return Err(Refusal::Closed),
            Some(MediaEvent::Ignored(why)) => metrics::message_ignored(why.name()),
            Some(MediaEvent::Connected | MediaEvent::Started(_) | MediaEvent::Audio(_)) | None => {}
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answered) {
        match answer {
            Answered::Rendered(turn, sound) => {
                let length = sound.duration();
                if self.playback.supply(turn, sound) {
                    self.tell(Arrival::Other, Event::SpeechReady(turn, length));
                }
            }
            Answered::Replied(number, reply) => self.tell(Arrival::Other, Event::Replied(number, reply)),
            Answered::Fetched(id, fetched, source) => {
                if let (Some(recorder), Some(source)) = (&mut self.recorder, source) {
                    recorder.tape.source(self.clock.moment(), id, source);
                }
                self.tell(Arrival::Other, Event::Fetched(id, fetched));
            }
        }
    }

    /// Does what somebody else wants of this call; the machine decides what that means for it.
    fn obey(&mut self, order: Order) -> Result<(), Refusal> {
        match order {
            Order::Agent(command, answer) => {
                self.asked_last = self.asked_last.wrapping_add(1);
                self.asked.insert(self.asked_last, answer);
                self.tell(Arrival::Caller, Event::Agent(CommandId(self.asked_last), command));
            }
            // Who asked may have given up.
            Order::Command(Command::Redirect(redirection), done) => {
                self.tell(Arrival::Caller, Event::Redirected(redirection));
                let _ = done.send(());
            }
            Order::Command(Command::Complete, done) => {
                self.tell(Arrival::Caller, Event::Completed);
                // Whoever asks from now on, learns that the call is over.
                self.registered.ended();
                let _ = done.send(());
                return Err(Refusal::Completed);
            }
        }
        Ok(())
    }

    /// The caller is gone: nothing more is wanted of this call.
    fn retire(&mut self) {
        self.registered.ended();
        self.orders.close();
        // Orders that are dropped say so to whoever gave them.
        while self.orders.try_recv().is_ok() {}
    }

    /// The stream is gone: for the machine the caller hung up.
    async fn lose(&mut self, why: Refusal) {
        self.retire();
        match &why {
            Refusal::Closed => tracing::info!("the platform ended the stream"),
            Refusal::Completed => tracing::info!("the application ended the call"),
            why => {
                metrics::stream_refused(why.word());
                tracing::warn!(reason = %why, "the stream is ended");
            }
        }
        match why {
            Refusal::Closed | Refusal::Lost(_) | Refusal::Stuck | Refusal::Completed => {
                self.line.close(close_code::NORMAL, "").await
            }
            why => self.line.refuse(why).await,
        }
        self.playback.clear(Instant::now());
        self.tell(Arrival::Caller, Event::HungUp);
    }

    /// Does what the machine wants, then sends the sound that is due.
    async fn carry_out(&mut self) -> Result<(), Refusal> {
        while let Some(action) = self.call.next_action() {
            if let Some(recorder) = &mut self.recorder {
                recorder.tape.action(self.clock.moment(), &action);
            }
            self.perform(action).await?;
        }
        while let Some(piece) = self.playback.next(Instant::now()) {
            match piece {
                Piece::Frame(frame) => self.line.send(MediaCommand::Audio(media::MuLaw(&frame))).await?,
                Piece::Mark(turn) => {
                    if let Some(mark) = mark_of(turn) {
                        self.line.send(MediaCommand::Mark(&mark)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<(), Refusal> {
        match action {
            Action::Speak(turn, heard) => {
                self.playback.begin(turn);
                let (house, answers) = (Arc::clone(&self.house), self.answers.clone());
                tokio::spawn(async move {
                    let sound = render(house, heard).await;
                    let _ = answers.send(Answered::Rendered(turn, sound)).await;
                });
            }
            Action::Clear => {
                if self.playback.clear(Instant::now()) {
                    self.line.send(MediaCommand::Clear).await?;
                }
            }
            Action::FindConnector(name) => {
                let found = self.house.connectors.find(&name).map(|connector| connector.capabilities());
                self.tell_at(self.clock.moment(), Event::ConnectorFound(found));
            }
            Action::Ask(question, attempt, instrument) => {
                let subject = (attempt, instrument);
                self.asking.ask(&self.house, &self.callbacks, question, subject, self.answers.clone());
            }
            Action::Report(payment, progress, told) => {
                self.registered.reported(&payment, &told);
                metrics::pay(&progress);
                tracing::info!(step = progress.step.word(), attempt = progress.attempt, what = ?progress.what, "pay");
            }
            Action::Intend(intended) => self.asking.intend(Arc::from(intended)),
            Action::Settle(settled) => {
                let settled = Arc::<Settled>::from(settled);
                let written = self.callbacks.settle(Arc::clone(&settled), Hold::Yes);
                self.asking.settled(&self.house, &settled, written.clone());
                if settled.action.is_some() {
                    self.settled = Some((settled.payment.sid.clone(), written));
                }
            }
            Action::Notify(url, method, form) => {
                self.callbacks.send(CallbackRequest { kind: CallbackKind::Status, method, url: url.into(), form })
            }
            Action::Fetch(fetch) => self.fetch(fetch),
            Action::Answer(CommandId(id), answer) => {
                if let Some(asked) = self.asked.remove(&id) {
                    // Who asked may have given up.
                    let _ = asked.send(answer);
                }
            }
            Action::Warn(warning) => {
                let place = warning.position.map(|position| position.to_string()).unwrap_or_default();
                tracing::warn!(code = warning.code, place, "{}", warning.message);
                if let Some(url) = &self.house.config.error_url {
                    let place = warning.position.map(|position| format!("{position}: ")).unwrap_or_default();
                    let message = format!("{place}{}", warning.message);
                    self.house.deliveries.notice(url.as_str(), &self.call_sid, warning.code, &message);
                }
            }
            Action::End(ended) => {
                self.ended = Some(ended);
                self.asking.give_up();
            }
        }
        Ok(())
    }

    fn fetch(&mut self, fetch: Fetch) {
        let (house, answers) = (Arc::clone(&self.house), self.answers.clone());
        let telling = match (&fetch.purpose, &fetch.target) {
            (Purpose::Pay, Target::Url(_)) => self.settled.take().map(|(payment_sid, written)| Outcome {
                payment_sid,
                written,
                books: self.callbacks.another(),
            }),
            _ => None,
        };
        if fetch.answer_wanted {
            tokio::spawn(async move {
                let id = fetch.id;
                let (fetched, text) = fetched(&house, fetch, telling).await;
                let fetched = fetched.map_or_else(Fetched::Failed, Fetched::Document);
                let _ = answers.send(Answered::Fetched(id, fetched, text)).await;
            });
        } else if let Target::Url(_) = fetch.target {
            // The caller is gone; the application is told all the same.
            self.last_words.spawn(async move {
                if let (Err(failure), _) = fetched(&house, fetch, telling).await {
                    tracing::warn!(reason = failure.message, "the action of a caller who is gone");
                }
            });
        }
    }
}

/// Waits until a moment; for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// An outcome that the action request tells.
struct Outcome {
    payment_sid: String,
    written: Written,
    books: CallbackQueue,
}

impl Outcome {
    /// Makes the request once the outcome is on disk, and has what did not arrive delivered from there.
    async fn tell(self, application: &Application, request: &CallbackRequest) -> Result<FetchedDocument, FetchError> {
        let Self { payment_sid, written, books } = self;
        // A disk that is away must not keep a caller waiting; the books learn of it later.
        let _ = timeout(WRITE_LIMIT, written.is_done()).await;
        let token = store::token(&payment_sid, Occasion::First, CallbackKind::Action);
        let answer = application.ask_as(request, token).await;
        books.action_tried(&payment_sid, callback::tried(&answer));
        answer
    }
}

/// Gets a document, and what it was made of if the application gave it.
async fn fetched(
    house: &Arc<House>,
    fetch: Fetch,
    telling: Option<Outcome>,
) -> (Result<NextDocument, FetchFailure>, Option<tape::Source>) {
    let url = match fetch.target {
        Target::Flow(name) => {
            let library = house.library.clone();
            let loading = tokio::task::spawn_blocking(move || library.load(&name, &fetch.parameters));
            let broken = |_| Err(FetchFailure::not_readable("reading the flow broke down"));
            return (loading.await.unwrap_or_else(broken), None);
        }
        Target::Url(url) => url,
    };
    let kind = match fetch.purpose {
        Purpose::Gather | Purpose::Pay => CallbackKind::Action,
        Purpose::First | Purpose::Redirect => CallbackKind::Document,
    };
    let request = CallbackRequest { kind, method: fetch.method, url: url.to_string(), form: fetch.form };
    let answer = match telling {
        Some(outcome) => outcome.tell(&house.application, &request).await,
        None => house.application.ask(&request).await,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Err(error.failure(&url)), None),
    };
    let source = tape::Source {
        text: String::from_utf8_lossy(&answer.body).into_owned(),
        content_type: answer.content_type.clone(),
        from: (answer.url != url).then(|| answer.url.clone()),
    };
    (answer.read(), Some(source))
}

/// What the machine is told of the call.
fn context(house: &House, start: &Start) -> Context {
    let mut caller = Form::new();
    for name in STANDARD {
        caller.set_some(*name, start.custom_parameters.get(*name).cloned());
    }
    let parameters =
        start.custom_parameters.iter().map(|(name, value)| (name.clone(), Value::Plain(value.clone()))).collect();
    let zone = house.config.time_zone.0.clone();
    let seed = house.chance.u128();
    // A recording's clock has seconds.
    let now = house.wall.now();
    let answered = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    Context {
        account_sid: start.account_sid.clone().unwrap_or_else(|| house.account.sid.clone()),
        call_sid: start.call_sid.clone(),
        caller,
        parameters,
        answered_at: answered.to_zoned(zone).datetime(),
        answered_at_utc: answered.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        seed,
        telnyx: false,
        plain_http: house.plain_http,
    }
}

fn mark_of(turn: TurnId) -> Option<MarkName> {
    MarkName::parse(&format!("p-{}", turn.0))
}

fn turn_of(mark: &MarkName) -> Option<TurnId> {
    mark.as_str().strip_prefix("p-")?.parse().ok().map(TurnId)
}

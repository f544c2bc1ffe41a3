//! The task of one call: a socket, a call machine, and the answers that come back.
//!
//! Shape:   [`run`] reads the stream's messages, hands them to the machine as events, and carries out what it wants. It
//!          never waits for anything but the next thing to happen.
//! Limits:  `idle_timeout` without a message; those of the stream are in [`super::stream`].
//! Errors:  whatever the other side does wrong ends this call as a hang-up does, with a reason in the log. A payment that
//!          is on its way is still waited for and told.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::coop::{has_budget_remaining, unconstrained};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::answered::Answered;
use super::beginning::Beginning;
use super::clock::{Arrival, CallClock};
use super::context::context;
use super::fetching::{ActionOutcome, LeftUntold, fetched};
use super::gateway::Asking;
use super::metrics;
use super::place::{CallPlace, StreamPlace};
use super::playback::{Playback, PlaybackPiece, mark_of, turn_of};
use super::progress;
use super::recorder::Recorder;
use super::registry::{CallHandle, PendingCommand};
use super::render::Renderer;
use super::report::FinalReport;
use super::services::CallServices;
use super::socket::{CallSocket, Heard, SocketError};
use super::stream::{CLOSE_LIMIT, StreamReader, StreamRefusal, StreamWriter, begin, until};
use crate::callback::{CallbackKind, CallbackQueue, CallbackRequest};
use crate::flow::link::Target;
use crate::flow::{Action, Begun, Call, CommandId, Ended, Event, Fetch, Fetched, LedBy, PaymentId, Purpose, Settled};
use crate::media::{Ignored, MediaCommand, MediaError, MediaEvent, MediaSession, MuLaw, Start};
use crate::pay::assisted::AgentError;
use crate::pay::session::What;
use crate::store::Hold;
use crate::time::CallTime;

/// How many answers may wait for the actor. The machine asks for few things at a time; one that has to wait, waits.
const ANSWERS_MAX: usize = 64;

/// How much of what is there already is taken before a deadline that has passed: ten seconds of a platform's messages. What
/// has arrived beats a deadline (spec/pay.md, section 3), but a flood must not put it off for ever.
const IN_A_ROW_MAX: u32 = 500;

/// Runs the call of one stream. Returns when the call is over and everything it had to tell is on its way.
pub async fn run(
    socket: CallSocket,
    session: MediaSession,
    beginning: Beginning,
    services: Arc<CallServices>,
    place: StreamPlace,
) {
    let (flow, dialect) = (beginning.flow(), session.dialect());
    let (sink, source) = socket.split();
    let mut line = StreamWriter::new(sink, session);
    let mut reader = StreamReader::new(source, &services.settings);
    let start = match begin(&mut line, &mut reader).await {
        Ok(start) => start,
        Err(why) => {
            let odd = line.session.odd();
            tracing::warn!(
                dialect = dialect.name,
                flow,
                reason = %why,
                ignored = %odd,
                "stream ended before its start message; no call begins"
            );
            return line.refuse(why).await;
        }
    };
    let span = tracing::info_span!("call", call_sid = start.call_sid, flow);
    let context = context(&services, &start, dialect.pay_rules);
    let first = match beginning.first(&services.documents, &services.settings, &context.parameters).await {
        Ok(first) => first,
        Err(why) => {
            tracing::warn!(parent: &span, reason = %why, "stream refused: it names no document");
            return line.refuse(why.into()).await;
        }
    };
    // Not before: a stream that is refused above leaves no record of a call.
    let Some((registered, handle)) = CallPlace::take(&services, &start, dialect.name, flow) else {
        tracing::warn!(parent: &span, "stream refused: a call with its CallSid is live");
        return line.refuse(StreamRefusal::Duplicate).await;
    };
    let CallHandle { ender, commands } = handle;
    let begins = beginning.taken_down(&context.parameters);
    let recorder = services.recordings.as_ref().map(|recordings| Recorder::begin(recordings, begins, &context));
    let mut call = Call::start(CallTime::ZERO, first, context);
    if recorder.is_some() {
        call.note_destinations();
    }
    let actor = CallActor::new(services, start, call, recorder, line, registered, commands);
    tracing::Instrument::instrument(actor.run(reader, ender), span).await;
    // Held until the call has nothing left to do: a server that drains waits for this place.
    drop(place);
}

/// A call and everything it uses.
struct CallActor {
    services: Arc<CallServices>,
    call: Call,
    clock: CallClock,
    recorder: Option<Recorder>,
    line: StreamWriter,
    playback: Playback,
    renderer: Renderer,
    asking: Asking,
    callbacks: CallbackQueue,
    call_sid: String,
    registered: CallPlace,
    /// What others want of this call.
    commands: mpsc::Receiver<PendingCommand>,
    /// Agents' requests that are not answered yet, by number. The registry lets in one at a time.
    asked: BTreeMap<u32, oneshot::Sender<Result<String, AgentError>>>,
    asked_last: u32,
    answers: mpsc::Sender<Answered>,
    inbox: mpsc::Receiver<Answered>,
    /// The session that was last noted for the store.
    noted: Option<Arc<Begun>>,
    /// The one whose end another server has taken over.
    lost: watch::Receiver<Option<String>>,
    /// The outcome that the next action tells.
    settled: Option<ActionOutcome>,
    /// Requests whose answer nobody waits for, but which must be made.
    last_words: JoinSet<()>,
    ended: Option<Ended>,
    /// How many things were taken one after the other that were there already.
    taken_in_a_row: u32,
}

impl CallActor {
    fn new(
        services: Arc<CallServices>,
        start: Start,
        call: Call,
        recorder: Option<Recorder>,
        line: StreamWriter,
        registered: CallPlace,
        commands: mpsc::Receiver<PendingCommand>,
    ) -> Self {
        let (answers, inbox) = mpsc::channel(ANSWERS_MAX);
        let callbacks = services.payments.deliveries.queue(&start.call_sid);
        Self {
            call,
            clock: CallClock::start(),
            lost: callbacks.lost_session(),
            recorder,
            line,
            playback: Playback::default(),
            renderer: Renderer::default(),
            asking: Asking::default(),
            callbacks,
            call_sid: start.call_sid,
            registered,
            commands,
            asked: BTreeMap::new(),
            asked_last: 0,
            answers,
            inbox,
            noted: None,
            settled: None,
            last_words: JoinSet::new(),
            ended: None,
            taken_in_a_row: 0,
            services,
        }
    }

    /// Tells the machine what happened just now, and the recorder before it.
    fn tell(&mut self, arrival: Arrival, event: Event) {
        let now = self.clock.stamp(arrival, self.call.poll_timeout().map(|(at, _)| at));
        self.tell_at(now, event);
    }

    fn tell_at(&mut self, at: CallTime, event: Event) {
        // The tape has an event before the actions that it brings about.
        if let Some(recorder) = &mut self.recorder {
            recorder.tape.event(at, &event);
        }
        self.call.handle_event(at, event);
    }

    /// The machine's deadline has come.
    fn come_due(&mut self) {
        let Some((due, wait)) = self.call.poll_timeout() else { return };
        // After a stop every timer has run out at once: what has arrived meanwhile is read first.
        if self.clock.was_stopped(due) {
            return tracing::warn!("process was suspended; the call goes on where it was");
        }
        let now = self.clock.came_due(due);
        if let Some(recorder) = &mut self.recorder {
            recorder.tape.timed_out(now, wait);
        }
        self.call.handle_timeout(now);
    }

    async fn run(mut self, mut reader: StreamReader, mut ender: watch::Receiver<bool>) {
        tracing::info!("call began");
        let mut attached = true;
        loop {
            if let Err(why) = self.carry_out().await {
                self.lose(why).await;
                attached = false;
                // The hang-up has actions of its own: they are carried out before anything is waited for.
                continue;
            }
            if self.call.is_over() {
                break;
            }
            match self.next(&mut reader, &mut ender, attached).await {
                Ok(()) => {}
                Err(why) => {
                    self.lose(why).await;
                    attached = false;
                }
            }
        }
        // Before the socket is closed, which may take seconds: the CallSid may come back at once with another stream.
        self.retire(self.ended.unwrap_or(Ended::Caller).word());
        if let Some(mut recorder) = self.recorder.take() {
            recorder.tape.destinations(self.call.destinations());
            let writing =
                recorder.finish(self.services.documents.library.clone(), self.services.rng.uuid().as_u64_pair().0);
            // With the last requests: a server that stops waits for the file, too.
            self.last_words.spawn(tracing::Instrument::in_current_span(writing));
        }
        self.line.close(CloseCode::Normal, "").await;
        let how = self.ended.unwrap_or(Ended::Caller);
        let odd = self.line.session.odd();
        if odd.total() > 0 {
            tracing::warn!(ignored = %odd, "ignored messages of the stream");
        }
        metrics::call_ended(how);
        tracing::info!(reason = how.word(), seconds = self.clock.reading().as_millis() / 1000, "call ended");
        // Reading on lets the platform finish its closing handshake.
        let _ = timeout(CLOSE_LIMIT, async { while let Some(Ok(_)) = reader.source.next().await {} }).await;
        while self.last_words.join_next().await.is_some() {}
    }

    /// Waits for the next thing to happen and tells the machine. What has already arrived beats a deadline, but not for ever.
    async fn next(
        &mut self,
        reader: &mut StreamReader,
        ender: &mut watch::Receiver<bool>,
        attached: bool,
    ) -> Result<(), StreamRefusal> {
        // Without a budget tokio says of everything that it is not there yet.
        if !has_budget_remaining() {
            yield_now().await;
        }
        let deadline = self.call.poll_timeout().map(|(at, _)| self.clock.instant(at));
        let resting = reader.resting_until();
        let reads = attached && resting.is_none();
        if self.taken_in_a_row < IN_A_ROW_MAX {
            self.taken_in_a_row = self.taken_in_a_row.saturating_add(1);
            if reads && let Some(message) = reader.source.next().now_or_never() {
                let now = Instant::now();
                reader.count(now);
                return self.take(now, message);
            }
            if let Some(told) = unconstrained(self.told(ender, attached)).now_or_never() {
                return told;
            }
        } else if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.taken_in_a_row = 0;
            self.come_due();
            return Ok(());
        } else if let Some(told) = unconstrained(self.told(ender, attached)).now_or_never() {
            self.taken_in_a_row = 0;
            return told;
        }
        self.taken_in_a_row = 0;
        let sound = self.playback.wake_at(Instant::now()).filter(|_| attached);
        let media = self.line.due().filter(|_| attached);
        let (idle, idle_at) = (reader.idle, reader.idle_at);
        // A message that never ends uses the budget up, too: the others have their turn all the same.
        tokio::select! {
            biased;
            message = reader.source.next(), if reads => {
                let now = Instant::now();
                reader.count(now);
                self.take(now, message)?;
            }
            told = unconstrained(self.told(ender, attached)) => return told,
            () = unconstrained(until(deadline)) => self.come_due(),
            () = unconstrained(until(media)) => self.media_due(Instant::now())?,
            // Nothing for the machine: `carry_out` sends the sound that is due.
            () = unconstrained(until(sound)) => {}
            // The next turn reads again.
            () = unconstrained(until(resting)) => {}
            () = unconstrained(sleep_until(idle_at)), if attached => return Err(StreamRefusal::Idle(idle)),
        }
        Ok(())
    }

    /// Takes what others than the platform have for the call.
    async fn told(&mut self, ender: &mut watch::Receiver<bool>, attached: bool) -> Result<(), StreamRefusal> {
        tokio::select! {
            biased;
            Some(answer) = self.inbox.recv() => self.answer(answer),
            Some(order) = self.commands.recv(), if attached => self.handle_command(order)?,
            Ok(()) = self.lost.changed() => self.session_lost(),
            // Without its stream the call has hung up already: it goes on until its gateway has answered.
            _ = ender.changed(), if attached => return Err(StreamRefusal::Stopping),
        }
        Ok(())
    }

    /// A message of the stream.
    fn take(&mut self, now: Instant, message: Option<Result<Heard, SocketError>>) -> Result<(), StreamRefusal> {
        // Messages that keep coming must not put the stream's own deadlines off, and those were earlier.
        self.media_due(now)?;
        let event = self.line.heard(now, message)?;
        event.and_then(MediaEvent::without_sound).map_or(Ok(()), |event| self.happened(event))
    }

    /// What the stream had to do by itself.
    fn media_due(&mut self, now: Instant) -> Result<(), StreamRefusal> {
        self.line.come_due(now)?;
        while let Some(event) = self.line.session.poll_event() {
            self.happened(event)?;
        }
        Ok(())
    }

    /// Something that happened on the stream.
    fn happened(&mut self, event: MediaEvent<'static>) -> Result<(), StreamRefusal> {
        match event {
            MediaEvent::Key(key) => self.tell(Arrival::Caller, Event::Key(key)),
            MediaEvent::Played(mark) => {
                if let Some(turn) = turn_of(&mark).and_then(|turn| self.playback.heard(turn)) {
                    self.tell(Arrival::Other, Event::Played(turn));
                }
            }
            MediaEvent::Stopped => return Err(StreamRefusal::Closed),
            // Without it the number that is being keyed would be another one.
            MediaEvent::KeyLost if self.call.is_entering() => return Err(MediaError::NotAKey.into()),
            MediaEvent::KeyLost => metrics::message_ignored(Ignored::UnreadableKey.name()),
            MediaEvent::Ignored(why) => metrics::message_ignored(why.name()),
            MediaEvent::Connected | MediaEvent::Started(_) | MediaEvent::Audio(_) | MediaEvent::Handled => {}
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answered) {
        match answer {
            Answered::Rendered(turn, sound) => {
                self.renderer.rendered(turn, &self.services.sound, &self.answers);
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

    /// Another server has taken a session of this call over: its payment cannot be made here any more.
    fn session_lost(&mut self) {
        let noted = self.noted.as_ref().map(|begun| &begun.payment.sid);
        let is_going_on = self.lost.borrow_and_update().as_ref() == noted;
        if is_going_on {
            self.tell(Arrival::Other, Event::StoreAway);
        }
    }

    /// Does what somebody else wants of this call; the machine decides what that means for it.
    fn handle_command(&mut self, order: PendingCommand) -> Result<(), StreamRefusal> {
        match order {
            PendingCommand::Agent(command, answer) => {
                self.asked_last = self.asked_last.wrapping_add(1);
                self.asked.insert(self.asked_last, answer);
                // Stamped as the caller's: a script has it as a step between the caller's.
                self.tell(Arrival::Caller, Event::Agent(CommandId(self.asked_last), command));
            }
            // Who asked may have given up.
            PendingCommand::Redirect(redirection, done) => {
                self.tell(Arrival::Caller, Event::Redirected(redirection));
                let _ = done.send(());
            }
            PendingCommand::Complete(done) => {
                self.tell(Arrival::Caller, Event::Completed);
                // Whoever asks from now on, learns that the call is over.
                self.registered.give_up(StreamRefusal::Completed.word());
                let _ = done.send(());
                return Err(StreamRefusal::Completed);
            }
        }
        Ok(())
    }

    /// The caller is gone, or is let go: nothing more is wanted of this call.
    fn retire(&mut self, how: &str) {
        self.registered.give_up(how);
        self.commands.close();
        // Orders that are dropped say so to whoever gave them.
        while self.commands.try_recv().is_ok() {}
    }

    /// The stream is gone: for the machine the caller hung up.
    async fn lose(&mut self, why: StreamRefusal) {
        // First: the platform may dial again before this call has ended.
        self.retire(why.word());
        match &why {
            StreamRefusal::Closed => tracing::info!("platform closed the stream"),
            StreamRefusal::Completed => tracing::info!("application completed the call"),
            why => tracing::warn!(reason = %why, "closing the stream; the call goes on as after a hang-up"),
        }
        match why {
            // Nobody is at fault.
            StreamRefusal::Closed | StreamRefusal::Completed => self.line.close(CloseCode::Normal, "").await,
            // Nobody reads the reason any more.
            why @ (StreamRefusal::Lost(_) | StreamRefusal::Stuck) => {
                metrics::stream_refused(why.word());
                self.line.close(CloseCode::Normal, "").await;
            }
            // Counts it, too.
            why => self.line.refuse(why).await,
        }
        // Nor does anything happen on it any more.
        while self.line.session.poll_event().is_some() {}
        self.playback.clear(Instant::now());
        self.renderer.clear();
        self.tell(Arrival::Caller, Event::HungUp);
    }

    /// Does what the machine wants, then sends the sound that is due; again, if that brought something about.
    async fn carry_out(&mut self) -> Result<(), StreamRefusal> {
        loop {
            while let Some(action) = self.call.poll_action() {
                if let Some(recorder) = &mut self.recorder {
                    recorder.tape.action(self.clock.moment(), &action);
                }
                self.perform(action).await?;
            }
            while let Some(piece) = self.playback.next(Instant::now()) {
                match piece {
                    PlaybackPiece::Frame(frame) => self.line.send(MediaCommand::Audio(MuLaw(&frame))).await?,
                    PlaybackPiece::Mark(turn) => {
                        if let Some(mark) = mark_of(turn) {
                            self.line.send(MediaCommand::Mark(&mark)).await?;
                        }
                    }
                }
            }
            // A message may be answered by the session itself.
            self.line.flush().await?;
            let Some(event) = self.line.session.poll_event() else { return Ok(()) };
            self.happened(event)?;
        }
    }

    async fn perform(&mut self, action: Action) -> Result<(), StreamRefusal> {
        match action {
            Action::Speak(turn, heard) => {
                self.playback.begin(turn);
                self.renderer.add(turn, heard);
                self.renderer.go_on(&self.services.sound, &self.answers);
            }
            Action::Clear => {
                self.renderer.clear();
                if self.playback.clear(Instant::now()) {
                    self.line.send(MediaCommand::Clear).await?;
                }
            }
            Action::FindConnector(name) => {
                let found = self.asking.find(&self.services.payments, name);
                // Found out before the caller is asked for a digit (spec/cluster.md 3).
                let writable = self.services.payments.store.is_writable();
                let event = if writable { Event::ConnectorFound(found) } else { Event::StoreAway };
                // At the same moment: a replay looks the connector up without time passing.
                self.tell_at(self.clock.moment(), event);
            }
            Action::Ask(question, attempt, instrument) => {
                let subject = (attempt, instrument);
                self.asking.ask(&self.services.payments, &self.callbacks, question, subject, self.answers.clone());
            }
            Action::Report(payment, progress, told) => {
                // An end is shown once it is written down (`FinalReport`).
                if !matches!(progress.what, What::Finished(_)) {
                    self.registered.reported(&payment, &told);
                }
                self.services.feed.publish(|| progress::event(&self.call_sid, &payment, &progress, &told));
                metrics::pay(&progress);
                progress::log(&payment, &progress);
            }
            Action::Begin(mut begun) => {
                // Whoever tells the session after a crash has no jar but this.
                begun.cookies = self.callbacks.cookies().to_text();
                self.callbacks.session_begun(&begun);
                self.noted = Some(Arc::from(begun));
            }
            Action::Intend(mut intended) => {
                intended.cookies = self.callbacks.cookies().to_text();
                self.asking.intend(Arc::from(intended));
            }
            Action::Settle(mut settled) => {
                settled.cookies = self.callbacks.cookies().to_text();
                let settled = Arc::<Settled>::from(settled);
                // Read first: if others take the outcome over from here on, the epoch has changed.
                let epoch = self.services.payments.store.epoch();
                let report = FinalReport::begin(&self.services.calls, &self.call_sid, &settled);
                let shown = Arc::clone(&report);
                let pending_outcome =
                    self.callbacks.settle(Arc::clone(&settled), Hold::Yes, move |recorded| shown.recorded(recorded));
                if settled.shown.unwritten.is_some() {
                    // A task: the call goes on while the store takes its time.
                    tokio::spawn(report.wait(pending_outcome.clone()));
                }
                // Before `Asking::settled`, which forgets what it was asked about.
                let left = self.left(&settled.payment);
                self.asking.settled(&self.services.payments, &settled, pending_outcome.clone());
                // An agent's payment has no action: the next fetch of its call tells something else.
                if settled.payment.led_by == LedBy::Document {
                    let callbacks = self.callbacks.another();
                    self.settled = Some(ActionOutcome { settled, pending_outcome, left, epoch, callbacks });
                }
            }
            Action::Notify(url, method, form) => {
                let (kind, cookies) = (CallbackKind::Status, self.callbacks.cookies());
                self.callbacks.send(CallbackRequest { kind, method, url: url.into(), form, cookies });
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
                tracing::warn!(
                    code = warning.code,
                    position = place,
                    reason = warning.message,
                    "call raised a warning"
                );
                if let Some(url) = &self.services.settings.error_url {
                    let place = warning.position.map(|position| format!("{position}: ")).unwrap_or_default();
                    let message = format!("{place}{}", warning.message);
                    self.services.payments.deliveries.notice(url.as_str(), &self.call_sid, warning.code, &message);
                }
            }
            Action::End(ended) => {
                self.ended = Some(ended);
                self.asking.give_up();
            }
        }
        Ok(())
    }

    /// What the store may know of a payment whose outcome is not written down.
    fn left(&self, payment: &PaymentId) -> LeftUntold {
        match &self.noted {
            _ if self.asking.is_about(payment) => LeftUntold::Payment,
            Some(begun) if begun.payment == *payment => LeftUntold::Session(Arc::clone(begun)),
            Some(_) | None => LeftUntold::Nothing,
        }
    }

    fn fetch(&mut self, fetch: Fetch) {
        let (documents, answers) = (Arc::clone(&self.services.documents), self.answers.clone());
        let cookies = self.callbacks.cookies();
        let telling = match fetch.purpose {
            Purpose::Pay => self.settled.take(),
            Purpose::First | Purpose::Gather | Purpose::Redirect => None,
        };
        if fetch.answer_wanted {
            tokio::spawn(async move {
                let id = fetch.id;
                let (fetched, text) = fetched(&documents, fetch, telling, cookies).await;
                let fetched = fetched.map_or_else(Fetched::Failed, Fetched::Document);
                // The call may be over; then nobody waits for this.
                let _ = answers.send(Answered::Fetched(id, fetched, text)).await;
            });
        } else if let Target::Url(_) = fetch.target {
            // The caller is gone; the application is told all the same.
            self.last_words.spawn(async move {
                if let (Err(failure), _) = fetched(&documents, fetch, telling, cookies).await {
                    tracing::warn!(error = failure.message, "could not request the action of a call that is over");
                }
            });
        }
    }
}

//! A payment that an agent leads, beside whatever the document of the call does.

use url::Url;

use super::call::{Call, LineState};
use super::event::{Action, AgentCommand, CommandId};
use super::payment::{Recipients, RunningPayment, transaction_id};
use crate::form::{Form, Value};
use crate::mask::refused;
use crate::pay::assisted::{AgentError, AgentRequest, AssistedSession};
use crate::pay::session::{Input, Output};
use crate::pay::settings::request::Requested;
use crate::pay::settings::{Reading, Refusal};
use crate::pay::step::{PayErrorCode, SessionError};
use crate::time::CallTime;
use crate::twiml::{Method, Position};

impl Call {
    /// Whether an agent leads a payment.
    pub(super) const fn is_assisted(&self) -> bool {
        self.assisting.is_some()
    }

    /// An agent asks for something.
    pub(super) fn handle_agent(&mut self, now: CallTime, id: CommandId, command: AgentCommand) {
        let refused = match command {
            _ if self.line != LineState::Up || self.is_over() => Err(AgentError::over()),
            AgentCommand::Create(form) => self.create(now, id, &form),
            AgentCommand::Update { sid, form } => self.update(now, &sid, &form).map(|()| {
                self.actions.push_back(Action::Answer(id, Ok(sid)));
            }),
        };
        if let Err(error) = refused {
            self.actions.push_back(Action::Answer(id, Err(self.without_numbers(error))));
        }
    }

    /// Starts a session; the answer follows when its connector is found.
    fn create(&mut self, now: CallTime, id: CommandId, form: &Form) -> Result<(), AgentError> {
        // First, because the refusal beside another session is told to this address (spec/pay.md 8).
        let status_callback = self.told_to(form)?;
        let mut requested = Requested::read(form);
        for warning in std::mem::take(&mut requested.reading.warnings) {
            self.warn(None, 12200, warning.message);
        }
        if self.is_assisted() || self.is_paying() {
            self.tell_in_progress(&requested, status_callback);
            return Err(AgentError::operation("a payment is in progress on this call"));
        }
        let around = self.surroundings();
        let recipients = Recipients::of_agent(around.transaction_id.clone(), status_callback, id);
        let session = AssistedSession::start(now, requested, around)?;
        self.assisting = Some(Box::new(RunningPayment { session, recipients }));
        self.drain_assisted(now);
        Ok(())
    }

    fn update(&mut self, now: CallTime, sid: &str, form: &Form) -> Result<(), AgentError> {
        if !self.is_payment(sid) {
            return Err(AgentError::not_found(sid));
        }
        let status_callback = self.told_to(form)?;
        let command = AgentRequest::read(form)?;
        let Some(assisting) = self.assisting.as_mut().filter(|assisting| assisting.session.sid() == sid) else {
            let message = "this payment takes no update: it is over, or a document leads it";
            return Err(AgentError::operation(message));
        };
        let before = assisting.recipients.status_callback.replace(status_callback);
        let done = assisting.session.handle_command(now, command);
        self.drain_assisted(now);
        // The command has ended the session.
        let Some(mut assisting) = self.assisting.take() else { return done };
        let recipients = &mut assisting.recipients;
        match &done {
            // What is not done changes nothing; a callback about it went to whoever asked.
            Err(_) => recipients.status_callback = before,
            // Once the gateway is asked, what was written down then is what counts.
            Ok(()) if recipients.status_callback != before && !assisting.session.is_processing() => {
                self.begin(recipients, assisting.session.start_now());
            }
            Ok(()) => {}
        }
        self.assisting = Some(assisting);
        done
    }

    /// Whether `sid` is a payment of this call: ids are counted up from the seed.
    fn is_payment(&self, sid: &str) -> bool {
        let number = sid.strip_prefix("PK").and_then(|hex| u128::from_str_radix(hex, 16).ok());
        number.is_some_and(|number| {
            // An id below the seed wraps to a number that is too large. The comparison refuses other spellings of the same
            // number.
            number.wrapping_sub(self.context.seed) < u128::from(self.payments) && sid == transaction_id(number)
        })
    }

    /// Where a request wants progress told. Every request names it, and its idempotency key.
    fn told_to(&self, form: &Form) -> Result<(Url, Method), AgentError> {
        let needed = |name: &str| {
            let value = form.value(name).map(Value::expose).filter(|value| !value.trim().is_empty());
            value.ok_or_else(|| AgentError::of(PayErrorCode::ParameterMissing, format!("{name} is missing")))
        };
        // Only that it is there: `call::idempotency` recognizes repeats before they come here.
        needed("IdempotencyKey")?;
        let link = needed("StatusCallback")?;
        match self.origin().resolve_url(link, self.context.plain_http) {
            Ok(url) => Ok((url, Method::Post)),
            Err(error) => {
                let message = format!("StatusCallback=\"{}\" is not allowed: {error}", refused(link));
                Err(AgentError::of(PayErrorCode::InvalidParameter, message))
            }
        }
    }

    /// Tells the application of a session that could not begin beside another one.
    fn tell_in_progress(&mut self, requested: &Requested, (url, method): (Url, Method)) {
        let settings = &requested.reading.settings;
        let mut form = self.ids();
        // The only callback of a session that never began.
        form.set("SequenceNumber", "0");
        form.set("For", settings.first_step().word());
        form.set("ErrorType", SessionError::SessionInProgress.word());
        form.set("Attempt", "1");
        form.set("PaymentMethod", settings.payment_method.word());
        form.set("PaymentConnector", &settings.connector);
        form.set("PayErrorCode", PayErrorCode::InvalidOperation.number().to_string());
        let form = self.told(form);
        self.actions.push_back(Action::Notify(url, method, form));
    }

    /// A `<Pay>` cannot begin while an agent leads a payment.
    pub(super) fn refuse_beside_agent(&self, reading: &mut Reading, position: Position) {
        if self.is_assisted() {
            let message = "<Pay>: an agent leads a payment on this call; it must be over first".to_owned();
            let refusal = Refusal::new(position, message, PayErrorCode::InvalidOperation);
            // In front, because the first refusal is the one that is told.
            reading.refusals.insert(0, Refusal { error_type: Some(SessionError::SessionInProgress), ..refusal });
        }
    }

    /// Tells the session what happened, if there is one.
    pub(super) fn assisted_input(&mut self, now: CallTime, input: Input) {
        if let Some(assisting) = &mut self.assisting {
            assisting.session.handle_input(now, input, &mut self.keypad);
            self.drain_assisted(now);
        }
    }

    /// The session's deadline has come.
    pub(super) fn assisted_timeout(&mut self, now: CallTime) {
        if let Some(assisting) = &mut self.assisting {
            assisting.session.handle_timeout(now, &mut self.keypad);
            self.drain_assisted(now);
        }
    }

    /// Does what the session wants, and lets it go when it is over.
    fn drain_assisted(&mut self, now: CallTime) {
        let Some(mut assisting) = self.assisting.take() else { return };
        let mut may_be_silent = false;
        while let Some(output) = assisting.session.poll_output() {
            may_be_silent |= match output {
                Output::Speak(_) => true,
                Output::Clear => self.is_speaking(),
                _ => false,
            };
            self.carry_out(now, output, &mut assisting.recipients);
        }
        if !assisting.session.is_finished() {
            self.assisting = Some(assisting);
        }
        // Who waits for what was cut, goes on; and a prompt of no words has been heard as soon as it is said.
        if may_be_silent {
            self.handle_silence(now);
        }
    }
}

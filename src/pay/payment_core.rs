//! What every session of a payment has and does, whoever leads it: the connector is found, fields are judged and captured, the
//! gateway is asked, the outcome is settled.
//!
//! Shape:   [`PaymentCore`] is the part that [`super::verb`] and [`super::assisted`] have in common. It decides nothing about
//!          what is asked for next, and makes no fields of callbacks: in these the two differ.
//! Units:   `CallTime`.
//! Secrets: holds what was keyed; it leaves in an `Instrument` only.
//! Sources: spec/pay.md, sections 3, 4, 6 and 7.

use std::collections::VecDeque;
use std::time::Duration;

use super::admission::admit;
use super::captured::Captured;
use super::captured_fields::CapturedFields;
use super::card::{Brand, YearMonth};
use super::field::Field;
use super::gateway::{Capabilities, Means};
use super::gateway_exchange::{ExchangeStep, GatewayExchange};
use super::intent::{CallbackFields, Intent, SessionStart, Told};
use super::outcome::Ending;
use super::session::{Output, Progress, What};
use super::settings::{PostalCode, Settings};
use super::step::{EntryError, PayErrorCode, Step};
use super::submission::Question;
use super::surroundings::Surroundings;
use super::test_numbers::AcceptedNumbers;
use crate::form::Form;
use crate::mask::refused;
use crate::secret::Digits;
use crate::time::CallTime;

/// How long the shell may take to find a connector.
const FIND_LIMIT: Duration = Duration::from_secs(5);

/// A payment, as far as it is the same in every kind of session.
#[derive(Debug)]
pub(super) struct PaymentCore {
    pub(super) settings: Settings,
    pub(super) around: Surroundings,
    /// What the connector can do, from when it is found until the gateway is asked.
    limits: Option<Capabilities>,
    pub(super) captured: Captured,
    pub(super) captured_fields: CapturedFields,
    /// The step and attempt that callbacks name.
    pub(super) at: (Step, u8),
    /// When the last key was pressed that was input.
    pub(super) last_key: Option<CallTime>,
    /// How many changes were told.
    pub(super) told: u32,
    pub(super) outputs: VecDeque<Output>,
}

impl PaymentCore {
    /// Nothing was asked for yet.
    pub(super) fn new(settings: Settings, around: Surroundings) -> Self {
        // Told from the first callback on, like a captured field. A bank account has no such field.
        let postal_code = match &settings.postal_code {
            PostalCode::Given(code) if settings.asks_for_card() => Some(code.clone()),
            PostalCode::Given(_) | PostalCode::Asked | PostalCode::Left => None,
        };
        let at = (settings.first_step(), 1);
        Self {
            settings,
            around,
            limits: None,
            captured: Captured::default(),
            captured_fields: CapturedFields { postal_code, ..CapturedFields::default() },
            at,
            last_key: None,
            told: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Has the connector looked up. Until when that may take.
    pub(super) fn find_connector(&mut self, now: CallTime) -> CallTime {
        self.outputs.push_back(Output::FindConnector(self.settings.connector.clone()));
        now + FIND_LIMIT
    }

    /// The connector was looked up. Whether it can do what is wanted is known here, before the caller keys a digit.
    ///
    /// # Errors
    /// There is none of that name, or it cannot: the code, and a sentence for `PaymentError`.
    pub(super) fn connector_found(&mut self, found: Option<Capabilities>) -> Result<(), (PayErrorCode, String)> {
        let Some(limits) = found else {
            let error = format!("there is no connector named {}", refused(&self.settings.connector));
            return Err((PayErrorCode::UnknownConnector, error));
        };
        admit(&self.settings, &limits)?;
        self.limits = Some(limits);
        Ok(())
    }

    /// Which numbers are right when they are keyed. Where the platform has no rule of its own, one that the connector does not
    /// take is refused at submission (spec/pay.md, section 10).
    pub(super) fn numbers_at_entry(&self) -> AcceptedNumbers {
        let at_entry = self.limits.as_ref().filter(|_| self.around.platform.rules().refuses_numbers_at_entry);
        at_entry.map_or(AcceptedNumbers::Any, |limits| limits.accepted_numbers)
    }

    /// Whether an entry that is over is right; `first`: what a second entry is to repeat.
    ///
    /// # Errors
    /// What is wrong, and the brand where a card number names one.
    pub(super) fn judge(
        &self,
        field: Field,
        digits: &Digits,
        first: Option<&Digits>,
        today: YearMonth,
        numbers: AcceptedNumbers,
    ) -> Result<(), (EntryError, Option<Brand>)> {
        match first {
            // An empty entry is silence, also where `#` ended it (spec/pay.md 3).
            _ if digits.is_empty() => Err((EntryError::InputTimeout, self.captured.brand())),
            Some(first) if first != digits => Err((EntryError::InputMatchingFailed, self.captured.brand())),
            // The first entry was judged, and this one is the same.
            Some(_) => Ok(()),
            None => field.judge(digits, &self.settings, self.captured.brand(), today, numbers),
        }
    }

    /// Takes an entry that was found right.
    pub(super) fn capture(&mut self, field: Field, digits: Digits, today: YearMonth) {
        self.captured.take(field, digits, &self.settings, today, &mut self.captured_fields);
    }

    /// The session has begun: has what is told should it be cut off written down.
    pub(super) fn begin(&mut self, callback_fields: CallbackFields) {
        let start = SessionStart::new(&self.settings, callback_fields);
        self.outputs.push_back(Output::Begin(Box::new(start)));
    }

    /// Has a change told.
    pub(super) fn report(&mut self, what: What, form: Form) {
        self.told = self.told.saturating_add(1);
        self.outputs.push_back(Output::Report(self.progress(what), form));
    }

    const fn progress(&self, what: What) -> Progress {
        Progress { step: self.at.0, attempt: self.at.1, what }
    }

    /// Every field is valid: what was captured leaves for the gateway. Reached once a session, nothing leads back from here.
    ///
    /// # Errors
    /// The ending of a payment that must not reach the gateway.
    pub(super) fn submit(
        &mut self,
        now: CallTime,
        callback_fields: CallbackFields,
    ) -> Result<(GatewayExchange, Question), Box<Ending>> {
        // Taken out, so that nothing is left here that could be sent a second time.
        let captured = std::mem::take(&mut self.captured);
        let (exchange, question) =
            GatewayExchange::begin(now, captured, &self.settings, &self.around, self.limits.take())?;
        let (payment_request, instrument) = exchange.subject();
        let intent = Intent {
            payment_request,
            means: Means::from(&*instrument),
            captured_fields: self.captured_fields.clone(),
            callback_fields,
        };
        // Written down before the first question leaves: a server that dies in between knows what may have been charged.
        self.outputs.push_back(Output::Intend(Box::new(intent)));
        Ok((exchange, question))
    }

    /// Has the gateway asked.
    pub(super) fn ask(&mut self, exchange: &GatewayExchange, question: Question) {
        let (attempt, instrument) = exchange.subject();
        self.outputs.push_back(Output::Ask(question, attempt, instrument));
    }

    /// Does what the payment wants next. Its ending, if it has come.
    pub(super) fn advance(&mut self, exchange: &GatewayExchange, next: ExchangeStep) -> Option<Box<Ending>> {
        match next {
            ExchangeStep::Waiting => None,
            ExchangeStep::Asking(question) => {
                self.ask(exchange, question);
                None
            }
            ExchangeStep::Over(ending) => Some(ending),
        }
    }

    /// The outcome is known: has it told and written down. What was keyed is not needed any more.
    pub(super) fn settle(&mut self, ending: &Ending, told: Told) {
        self.told = self.told.saturating_add(1);
        self.captured = Captured::default();
        let progress = self.progress(What::Finished(ending.result));
        self.outputs.push_back(Output::Settle(progress, ending.outcome(), Box::new(told)));
    }
}

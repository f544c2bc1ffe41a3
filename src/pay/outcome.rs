//! How a session ended, and the fields that tell it.
//!
//! Shape:   [`Receipt`] (what was captured, masked) and [`Ending`] (what came of it) become [`Form`] fields.
//! Secrets: masks are made when a value is captured; what a gateway sends back is scrubbed here of what was keyed.
//! Sources: spec/pay.md, sections 6, 7 and 9.

use super::card::{Brand, grouped};
use super::field::Field;
use super::gateway::{Approval, Denial, Instrument, Operation, PaymentMethod};
use super::intent::Means;
use super::settings::Settings;
use super::step::{PayErrorCode, PayResult, SessionError, Step, words};
use super::submission::Verdict;
use crate::form::Form;
use crate::secret::Secret;

/// The most parameters of a gateway's answer that are passed on, and the longest value, in characters.
const PARAMETERS_MAX: usize = 64;
const PARAMETER_LENGTH_MAX: usize = 1024;

/// What was captured, masked: nothing here is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The number with all but the last four digits hidden, and the brand.
    pub card: Option<(String, Brand)>,
    /// `MMYY`.
    pub expiration: Option<String>,
    /// One `x` a digit.
    pub security_code: Option<String>,
    /// The postal code, keyed or given.
    pub postal_code: Option<String>,
    /// The routing number.
    pub routing_number: Option<String>,
    /// The account number with all but the last two digits hidden.
    pub account_number: Option<String>,
}

/// How many digits of a number in a row are hidden. Eight name a card's issuer, and a reference may have a few in common.
const HIDDEN: usize = 9;

/// How a card number's mask is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// With hyphens, as the card prints it: `action`.
    Grouped,
    /// Without: `statusCallback`.
    Plain,
}

impl Receipt {
    /// Gives a field's value up: it is keyed again.
    pub fn forget(&mut self, field: Field) {
        match field {
            Field::CardNumber => self.card = None,
            Field::ExpirationDate => self.expiration = None,
            Field::PostalCode => self.postal_code = None,
            Field::SecurityCode => self.security_code = None,
            Field::RoutingNumber => self.routing_number = None,
            Field::AccountNumber => self.account_number = None,
        }
    }

    /// The same but for one field.
    #[must_use]
    pub fn without(&self, field: Field) -> Self {
        let mut less = self.clone();
        less.forget(field);
        less
    }

    /// Adds what was captured.
    pub fn tell(&self, form: &mut Form, mask: Mask, settings: &Settings) {
        if let Some((number, brand)) = &self.card {
            let shown = match mask {
                Mask::Grouped => grouped(number, *brand),
                Mask::Plain => number.clone(),
            };
            form.set("PaymentCardNumber", shown);
            form.set("PaymentCardType", brand.word());
        }
        form.set_some("ExpirationDate", self.expiration.clone());
        form.set_some("SecurityCode", self.security_code.clone());
        form.set_some("PaymentCardPostalCode", self.postal_code.clone());
        form.set_some("BankRoutingNumber", self.routing_number.clone());
        form.set_some("BankAccountNumber", self.account_number.clone());
        if settings.payment_method == PaymentMethod::AchDebit {
            form.set("BankAccountType", settings.bank_account_type.word());
        }
    }
}

words! {
    /// Whether money moved, or a token was made.
    Standing {
        /// It did.
        Succeeded = "succeeded",
        /// It did not.
        Failed = "failed",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

/// How a session ended, without anything secret: for whoever keeps books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether money moved.
    pub standing: Standing,
    /// The word for it.
    pub result: PayResult,
    /// The number for it.
    pub code: Option<PayErrorCode>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The charge's confirmation code.
    pub confirmation_code: Option<String>,
}

/// How a session ended.
#[derive(Debug)]
pub struct Ending {
    /// Whether money moved.
    pub standing: Standing,
    /// The word for it.
    pub result: PayResult,
    /// The number for it.
    pub code: Option<PayErrorCode>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// What a status callback's `ErrorType` says of it, where that is not about an entry.
    pub error_type: Option<SessionError>,
    /// The gateway's own code.
    pub connector_error: Option<String>,
    /// What an approval brought.
    pub approval: Approval,
    /// What else the gateway sent back.
    pub parameters: Vec<(String, String)>,
    /// Whether a submission has reached the gateway, or may have.
    pub was_sent: bool,
}

impl Ending {
    /// An ending that needs no explanation.
    #[must_use]
    pub fn plain(result: PayResult) -> Self {
        Self {
            standing: if result == PayResult::Success { Standing::Succeeded } else { Standing::Failed },
            result,
            code: None,
            error: None,
            error_type: None,
            connector_error: None,
            approval: Approval::default(),
            parameters: Vec::new(),
            was_sent: false,
        }
    }

    /// Nobody knows whether money moved.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            standing: Standing::Unknown,
            parameters: vec![("outcome".to_owned(), "unknown".to_owned())],
            was_sent: true,
            ..Self::fault(PayResult::PaymentConnectorError, PayErrorCode::ServiceUnavailable, "outcome unknown")
        }
    }

    /// An ending with a code and words.
    #[must_use]
    pub fn fault(result: PayResult, code: PayErrorCode, error: impl Into<String>) -> Self {
        Self { code: Some(code), error: Some(error.into()), ..Self::plain(result) }
    }

    /// A fault of ours before anything was sent.
    #[must_use]
    pub fn broken_down(error: &str) -> Self {
        Self {
            error: Some(error.to_owned()),
            error_type: Some(SessionError::InternalError),
            ..Self::plain(PayResult::InternalError)
        }
    }

    /// What the gateway's verdict means for the session; `interrupted` is what the caller did meanwhile. Nobody is told
    /// that nothing was taken when money was taken or may have been.
    #[must_use]
    pub fn of_verdict(
        verdict: Verdict,
        interrupted: Option<PayResult>,
        operation: Operation,
        keyed: &Keyed<'_>,
    ) -> Self {
        let scrub = Scrub(keyed);
        match (verdict, interrupted) {
            (Verdict::Approved(approval), _) => {
                let confirmation_code = approval.confirmation_code.map(|code| scrub.number(&code));
                let parameters = scrub.parameters(approval.parameters);
                let hidden = |id: Secret| Secret::new(scrub.number(id.expose()));
                let approval = Approval {
                    confirmation_code,
                    token: approval.token.map(hidden),
                    profile_id: approval.profile_id.map(hidden),
                    parameters: Vec::new(),
                };
                Self { approval, parameters, ..Self::plain(PayResult::Success) }
            }
            (Verdict::Unknown, _) => Self::unknown(),
            (
                Verdict::Declined(_)
                | Verdict::Refused(..)
                | Verdict::Unavailable
                | Verdict::BrokenDown
                | Verdict::Stopped,
                Some(result),
            ) => Self::plain(result),
            (Verdict::Declined(denial), None) => Self::denied(rejection(operation, keyed.means()), denial, &scrub),
            (Verdict::Refused(code, denial), None) => Self::denied(code, denial, &scrub),
            (Verdict::Unavailable, None) => Self::fault(
                PayResult::PaymentConnectorError,
                PayErrorCode::ServiceUnavailable,
                "the payment gateway could not be reached; nothing was taken",
            ),
            (Verdict::BrokenDown | Verdict::Stopped, None) => {
                Self::broken_down("the connector broke down before anything was sent")
            }
        }
    }

    fn denied(code: PayErrorCode, denial: Denial, scrub: &Scrub<'_>) -> Self {
        Self {
            standing: Standing::Failed,
            result: PayResult::PaymentConnectorError,
            code: Some(code),
            error: denial.message.map(|message| scrub.text(&message)),
            error_type: None,
            connector_error: denial.code.map(|code| scrub.text(&code)),
            approval: Approval::default(),
            parameters: scrub.parameters(denial.parameters),
            was_sent: false,
        }
    }

    /// How it ended, for whoever keeps books.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            standing: self.standing,
            result: self.result,
            code: self.code,
            error: self.error.clone(),
            confirmation_code: self.approval.confirmation_code.clone(),
        }
    }

    /// Adds how it ended.
    pub fn tell(&self, form: &mut Form) {
        form.set("Result", self.result.word());
        form.set_some("PaymentConfirmationCode", self.approval.confirmation_code.clone());
        form.set_some("PaymentToken", self.approval.token.clone());
        form.set_some("ProfileId", self.approval.profile_id.clone());
        form.set_some("PaymentError", self.error.clone());
        form.set_some("PayErrorCode", self.code.map(|code| code.number().to_string()));
        form.set_some("ConnectorError", self.connector_error.clone());
        for (name, value) in &self.parameters {
            form.set(format!("PayConnector_{name}"), value.clone());
        }
    }

    /// Adds the fields that a Telnyx application looks for.
    pub fn tell_telnyx(&self, form: &mut Form, step: Step) {
        form.set("PayResult", if self.result == PayResult::Success { "success" } else { "failed" });
        form.set_some("ChargeId", self.approval.confirmation_code.clone());
        form.set_some("TokenId", self.approval.token.clone());
        form.set("PaymentStep", step.word());
        form.set_some("ErrorCode", self.code.map(|code| code.number().to_string()));
    }
}

/// Which code a decline has: the card's, or that of the charge or token where a bank account or token was refused.
fn rejection(operation: Operation, means: Means) -> PayErrorCode {
    match (means, operation) {
        (Means::Card, _) => PayErrorCode::CardRejected,
        (Means::BankAccount | Means::Token, Operation::Charge(..)) => PayErrorCode::ChargeRejected,
        (Means::BankAccount | Means::Token, Operation::Tokenize(_)) => PayErrorCode::TokenRejected,
    }
}

/// What is known of what the caller keyed when the outcome comes.
#[derive(Debug)]
pub enum Keyed<'a> {
    /// All of it.
    Known(&'a Instrument),
    /// Its mask: the call is over.
    Gone(Means, &'a Receipt),
}

impl Keyed<'_> {
    fn means(&self) -> Means {
        match self {
            Self::Known(instrument) => (*instrument).into(),
            Self::Gone(means, _) => *means,
        }
    }
}

/// Takes out of a gateway's words what the caller keyed: some gateways quote it back.
struct Scrub<'a>(&'a Keyed<'a>);

impl Scrub<'_> {
    /// Hides the card or account number, however it is grouped; for values that must else stay as they are.
    fn number(&self, text: &str) -> String {
        let secret = match self.0 {
            Keyed::Known(Instrument::Card(card)) => card.number.expose(),
            Keyed::Known(Instrument::BankAccount(account)) => account.account_number.expose(),
            Keyed::Known(Instrument::Token(token)) => return text.replace(token.expose(), "xxxx"),
            Keyed::Gone(_, receipt) => match (&receipt.card, &receipt.account_number) {
                (Some((mask, _)), _) | (None, Some(mask)) => mask,
                (None, None) => return text.to_owned(),
            },
        };
        hide(text, secret, false)
    }

    /// Hides the number, and the security code where it stands alone.
    fn text(&self, text: &str) -> String {
        let text = self.number(text);
        let code = match self.0 {
            Keyed::Known(Instrument::Card(card)) => card.security_code.as_ref().map(|code| code.expose()),
            Keyed::Known(Instrument::BankAccount(_) | Instrument::Token(_)) => None,
            Keyed::Gone(_, receipt) => receipt.security_code.as_deref(),
        };
        match code {
            Some(code) => hide(&text, code, true),
            None => text,
        }
    }

    fn parameters(&self, parameters: Vec<(String, String)>) -> Vec<(String, String)> {
        let cut = |text: String| text.chars().take(PARAMETER_LENGTH_MAX).collect::<String>();
        parameters
            .into_iter()
            .take(PARAMETERS_MAX)
            .map(|(name, value)| (cut(self.text(&name)), cut(self.text(&value))))
            .collect()
    }
}

/// Replaces every run of digits in `text` that spells `secret`, or [`HIDDEN`] digits of it, by `x`s. Up to two characters
/// that are no letters and no digits do not break a run. `alone`: the whole secret only, and only where no digit is beside it.
/// What is no digit in `secret`, as in a mask, stands for any digit; then too it is the whole that counts.
fn hide(text: &str, secret: &str, alone: bool) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let mut chars: Vec<char> = text.chars().collect();
    let digits: Vec<(usize, char)> = chars.iter().copied().enumerate().filter(|(_, c)| c.is_ascii_digit()).collect();
    let separates = |from: usize, to: usize| {
        chars
            .get(from + 1..to)
            .is_some_and(|between| between.len() <= 2 && between.iter().all(|c| !c.is_alphanumeric()))
    };
    let secret: Vec<char> = secret.chars().collect();
    let is_whole = alone || !secret.iter().all(char::is_ascii_digit);
    let length = if is_whole { secret.len() } else { secret.len().min(HIDDEN) };
    let mut hidden = Vec::new();
    for (first, window) in digits.windows(length).enumerate() {
        let joined = window.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if separates(*a, *b)));
        let spells = secret
            .windows(length)
            .any(|part| window.iter().zip(part).all(|((_, c), known)| c == known || !known.is_ascii_digit()));
        let touches = |index: Option<usize>, place: usize| {
            index.and_then(|index| digits.get(index)).is_some_and(|(other, _)| other.abs_diff(place) == 1)
        };
        let (Some((start, _)), Some((end, _))) = (window.first(), window.last()) else { continue };
        let beside = touches(first.checked_sub(1), *start) || touches(Some(first + length), *end);
        if spells && joined && !(alone && beside) {
            hidden.extend(window.iter().map(|(place, _)| *place));
        }
    }
    for place in hidden {
        if let Some(c) = chars.get_mut(place) {
            *c = 'x';
        }
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::card::{Expiration, YearMonth};
    use crate::pay::gateway::{Card, TokenType};
    use crate::secret::{CardNumber, Digits};

    #[test]
    fn a_number_that_a_gateway_quotes_back_is_hidden_however_it_is_written() {
        let number = "4242424242424242";
        for (text, shown) in [
            ("card 4242424242424242 declined", "card xxxxxxxxxxxxxxxx declined"),
            ("card 4242 4242-4242.4242!", "card xxxx xxxx-xxxx.xxxx!"),
            ("id 94242424242424242", "id 9xxxxxxxxxxxxxxxx"),
            ("ends in 4242", "ends in 4242"),
            ("42424242 issued it", "42424242 issued it"),
            ("card 424242424242424", "card xxxxxxxxxxxxxxx"),
            ("4242/4242_4242, 4242", "xxxx/xxxx_xxxx, xxxx"),
            ("", ""),
        ] {
            assert_eq!(hide(text, number, false), shown);
        }
        assert_eq!(hide("cvv 123 wrong, ref 51234, 123", "123", true), "cvv xxx wrong, ref 51234, xxx");
        assert_eq!(hide("größer 123", "123", true), "größer xxx");
        assert_eq!(hide("account 820461 or 82046", "820461", false), "account xxxxxx or 82046");
    }

    #[test]
    fn a_token_that_holds_the_number_is_not_passed_on_as_it_is() {
        let number = "4242424242424242";
        let instrument = Instrument::Card(Card {
            number: CardNumber::checked(Digits::of(number)),
            brand: Brand::Visa,
            expiration: Expiration::read(&Digits::of("0829"), YearMonth { year: 2026, month: 6 }).unwrap(),
            security_code: None,
            postal_code: None,
        });
        let secret = |text: &str| Some(Secret::new(text.to_owned()));
        let approval =
            Approval { token: secret("tok_4242424242424242"), profile_id: secret("cus_1"), ..Approval::default() };
        let operation = Operation::Tokenize(TokenType::OneTime);
        let Approval { token, profile_id, .. } =
            Ending::of_verdict(Verdict::Approved(approval), None, operation, &Keyed::Known(&instrument)).approval;
        assert_eq!(token.unwrap().expose(), "tok_xxxxxxxxxxxxxxxx");
        assert_eq!(profile_id.unwrap().expose(), "cus_1");
    }

    #[test]
    fn what_only_its_mask_is_known_of_is_hidden_all_the_same() {
        let mask = "xxxxxxxxxxxx4242";
        for (text, shown) in [
            ("card 5555-5555 5555.4242 declined", "card xxxx-xxxx xxxx.xxxx declined"),
            ("ref 5555555555554243", "ref 5555555555554243"),
            ("ends in 4242", "ends in 4242"),
        ] {
            assert_eq!(hide(text, mask, false), shown);
        }
        assert_eq!(hide("cvv 737 wrong, HTTP 42", "xxx", true), "cvv xxx wrong, HTTP 42");
    }
}

//! Attributes become settings: what each may be, and what is said of one that may not.
//!
//! Shape:   [`SettingsReader`] goes through a verb's attributes and notes what it refuses; the JSON attributes and prompts are in files of
//!          their own.
//! Errors:  [`Refusal`]s, which name the attribute, the value and what is allowed.
//! Sources: spec/pay.md, section 2.

use std::time::Duration;

use super::{POSTAL_DIGITS_MAX, PostalCode, Reading, Refusal, Settings};
use crate::mask::refused;
use crate::money::{Amount, Currency};
use crate::pay::card::{AcceptedBrands, Brand};
use crate::pay::gateway::{BankAccountType, Operation, PaymentMethod, TokenType};
use crate::pay::platform::{Platform, Rules};
use crate::pay::prompts::{Language, PromptBook};
use crate::pay::step::{PayErrorCode, SessionError};
use crate::secret::Secret;
use crate::twiml::{Attribute, Fault, Method, Pay, Position, misspelt, nearest};

mod json;
mod prompt;

/// Twilio's `timeout`, in seconds.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

impl Settings {
    /// Reads a verb that stands at `position`, by the rules of the platform that carries the call.
    #[must_use]
    pub fn read(verb: &Pay, position: Position, platform: Platform) -> Reading {
        SettingsReader::read(verb, position, platform)
    }

    /// Whether a verb has an attribute of this name.
    #[must_use]
    pub fn knows(name: &str) -> bool {
        KNOWN.contains(&name)
    }
}

/// How values are named to whoever wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    /// Attributes of a verb.
    Verb,
    /// Parameters of a REST request: the same names with a capital letter.
    Request,
}

impl Wording {
    /// What the writer calls the attribute `name`.
    fn name(self, name: &str) -> String {
        let mut letters = name.chars();
        match (self, name) {
            (Self::Verb, _) => name.to_owned(),
            // The one parameter whose REST name is not the attribute's (spec/pay.md 8).
            (Self::Request, "parameters") => "Parameter".to_owned(),
            (Self::Request, _) => {
                letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
            }
        }
    }
}

/// Every attribute this engine knows.
const KNOWN: &[&str] = &[
    "input",
    "action",
    "method",
    "statusCallback",
    "statusCallbackMethod",
    "paymentMethod",
    "bankAccountType",
    "timeout",
    "interDigitTimeout",
    "maxAttempts",
    "securityCode",
    "postalCode",
    "minPostalCodeLength",
    "paymentConnector",
    "tokenType",
    "chargeAmount",
    "currency",
    "language",
    "voice",
    "description",
    "validCardTypes",
    "parameters",
    "prompts",
    "metadata",
    "confirmation",
    "transactionType",
    "paymentToken",
];

pub(super) struct SettingsReader<'a> {
    verb: &'a Pay,
    position: Position,
    wording: Wording,
    refusals: Vec<Refusal>,
    warnings: Vec<Fault>,
}

impl<'a> SettingsReader<'a> {
    fn read(verb: &'a Pay, position: Position, platform: Platform) -> Reading {
        let mut reader = Self::new(verb, position, Wording::Verb);
        let settings = reader.settings(platform.rules());
        reader.name_unknown_attributes();
        reader.reading(settings)
    }

    pub(super) const fn new(verb: &'a Pay, position: Position, wording: Wording) -> Self {
        Self { verb, position, wording, refusals: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn reading(self, settings: Settings) -> Reading {
        Reading { settings, refusals: self.refusals, warnings: self.warnings }
    }

    pub(super) fn settings(&mut self, rules: &Rules) -> Settings {
        // Judged only: there is no other value to choose.
        self.one_of("input", "dtmf", |value| value.eq_ignore_ascii_case("dtmf").then_some(()));
        let method = self.method("method");
        let status_callback_method = self.method("statusCallbackMethod");
        let payment_method =
            self.word("paymentMethod", PaymentMethod::ALL, PaymentMethod::parse).unwrap_or(PaymentMethod::CreditCard);
        let bank_account_type = self.bank_account_type(payment_method);
        let timeout = self.seconds("timeout").unwrap_or(TIMEOUT_DEFAULT);
        let inter_digit_timeout = self.seconds("interDigitTimeout").unwrap_or(timeout);
        let attempts: u8 = self.whole("maxAttempts", 1, 3).unwrap_or(1);
        let currency = self
            .one_of("currency", "a three-letter ISO 4217 code such as usd", |value| value.parse().ok())
            .unwrap_or(Currency::USD);
        let language = self.word("language", Language::ALL, Language::nearest).unwrap_or(Language::EnUs);
        let payment_token = self.payment_token();
        let token_type = self.word("tokenType", TokenType::ALL, TokenType::parse).unwrap_or(TokenType::Reusable);
        let operation = self.operation(currency, token_type, payment_token.is_some());
        let voice = self.text("voice");
        let custom = self.prompts();
        Settings {
            action: self.text("action"),
            method,
            status_callback: self.text("statusCallback"),
            status_callback_method,
            payment_method,
            bank_account_type,
            timeout,
            inter_digit_timeout,
            tries: rules.attempts.tries(attempts),
            security_code: self.boolean("securityCode").unwrap_or(true),
            postal_code: self.postal_code(),
            // 0 is allowed and means none (spec/pay.md 2).
            min_postal_code_length: self
                .whole("minPostalCodeLength", 0, POSTAL_DIGITS_MAX as u16)
                .filter(|length| *length > 0),
            connector: self.connector(),
            operation,
            currency,
            token_type,
            description: self.text("description"),
            accepted: self.accepted(),
            parameters: self.parameters(),
            metadata: self.json_pairs("metadata"),
            prompts: PromptBook { custom, language, voice },
            confirmation: self.boolean("confirmation").unwrap_or(false),
            payment_token,
        }
    }

    fn bank_account_type(&mut self, payment_method: PaymentMethod) -> BankAccountType {
        let refused = self.refusals.len();
        let given = self.word("bankAccountType", BankAccountType::ALL, BankAccountType::parse);
        if given.is_some() && payment_method == PaymentMethod::CreditCard {
            let (name, method) = (self.wording.name("bankAccountType"), self.wording.name("paymentMethod"));
            let message = format!("{name} goes with {method}=\"ach-debit\" only; remove it or pay by bank account");
            self.refuse("bankAccountType", message, PayErrorCode::BankAccountTypeWithCard);
        }
        // Both faults have this `ErrorType`: an unknown word, and an account type beside a card.
        for refusal in self.refusals.iter_mut().skip(refused) {
            refusal.error_type = Some(SessionError::InvalidBankAccountType);
        }
        given.unwrap_or(BankAccountType::ConsumerChecking)
    }

    fn operation(&mut self, currency: Currency, token_type: TokenType, has_token: bool) -> Operation {
        let amount = self
            .find("chargeAmount")
            .map(|attribute| attribute.value.trim())
            .map(|value| (value.to_owned(), Amount::parse(value, currency)));
        let amount = match amount {
            Some((_, Ok(amount))) => Some(amount),
            Some((value, Err(error))) => {
                let message = format!("{}=\"{}\": {error}", self.wording.name("chargeAmount"), refused(&value));
                self.refuse("chargeAmount", message, PayErrorCode::InvalidChargeAmount);
                None
            }
            None => None,
        };
        // 0 is as good as absent: it tokenizes (spec/pay.md 1).
        let charged = amount.filter(|amount| !amount.is_zero());
        let wants = self.one_of("transactionType", "charge or tokenize", |value| {
            ["charge", "tokenize"].into_iter().find(|known| known.eq_ignore_ascii_case(value))
        });
        if wants == Some("charge") && charged.is_none() {
            let message = "transactionType=\"charge\" needs a chargeAmount above 0".to_owned();
            self.refuse("transactionType", message, PayErrorCode::InvalidChargeAmount);
        } else if has_token && wants == Some("tokenize") {
            let message = "paymentToken is a token already: transactionType=\"tokenize\" goes without it".to_owned();
            self.refuse("paymentToken", message, PayErrorCode::InvalidParameter);
        } else if has_token && charged.is_none() {
            self.refuse(
                "paymentToken",
                "paymentToken needs a chargeAmount above 0".to_owned(),
                PayErrorCode::InvalidChargeAmount,
            );
        }
        match (wants, charged) {
            // The word wins over what the amount implies (spec/pay.md 1).
            (Some("tokenize"), _) | (_, None) => Operation::Tokenize(token_type),
            (_, Some(amount)) => Operation::Charge(amount, currency),
        }
    }

    fn payment_token(&self) -> Option<Secret> {
        self.find("paymentToken").map(|attribute| Secret::new(attribute.value.trim().to_owned()))
    }

    fn postal_code(&mut self) -> PostalCode {
        self.one_of(
            "postalCode",
            "true, false, or a postal code of at most 10 letters, digits, blanks and hyphens",
            |value| {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '-';
                match value.to_ascii_lowercase().as_str() {
                    "true" | "1" => Some(PostalCode::Asked),
                    "false" | "0" => Some(PostalCode::Left),
                    // Letters too: a given code is passed on and never keyed.
                    code => (code.len() <= POSTAL_DIGITS_MAX && code.chars().all(plain))
                        .then(|| PostalCode::Given(value.to_owned())),
                }
            },
        )
        .unwrap_or(PostalCode::Asked)
    }

    fn connector(&self) -> String {
        // Used where none is named; an unknown name never falls back on it (spec/pay.md 9).
        self.text("paymentConnector").unwrap_or_else(|| "Default".to_owned())
    }

    fn accepted(&mut self) -> AcceptedBrands {
        let allowed = format!("a list, separated by blanks, of {}", list(Brand::ALL.iter().map(|brand| brand.word())));
        self.one_of("validCardTypes", &allowed, |value| {
            value.split_whitespace().map(Brand::parse).collect::<Option<_>>().map(AcceptedBrands::new)
        })
        .unwrap_or_default()
    }

    fn method(&mut self, name: &'static str) -> Method {
        self.one_of(name, "POST or GET", |value| match value.to_ascii_uppercase().as_str() {
            "POST" => Some(Method::Post),
            "GET" => Some(Method::Get),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.one_of(name, "true or false", flag)
    }

    fn seconds(&mut self, name: &'static str) -> Option<Duration> {
        self.whole(name, 1, 600).map(|seconds: u16| Duration::from_secs(u64::from(seconds)))
    }

    fn whole<N: TryFrom<u16>>(&mut self, name: &'static str, least: u16, most: u16) -> Option<N> {
        self.one_of(name, &format!("a whole number from {least} to {most}"), |value| {
            // `parse` takes a leading `+`.
            let digits = value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse::<u16>().ok().filter(|number| digits && (least..=most).contains(number))?;
            N::try_from(number).ok()
        })
    }

    fn word<W: Copy + std::fmt::Display>(
        &mut self,
        name: &'static str,
        all: &[W],
        parse: impl Fn(&str) -> Option<W>,
    ) -> Option<W> {
        self.one_of(name, &format!("one of {}", list(all.iter())), parse)
    }

    /// The value of an attribute, or a refusal that says what is allowed.
    fn one_of<T>(&mut self, name: &'static str, allowed: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.find(name)?.value.trim().to_owned();
        let found = read(&value);
        if found.is_none() {
            let shown = self.wording.name(name);
            let message = format!("{shown}=\"{}\" is not allowed: {shown} is {allowed}", refused(&value));
            self.refuse(name, message, PayErrorCode::InvalidParameter);
        }
        found
    }

    fn text(&self, name: &str) -> Option<String> {
        self.find(name).map(|attribute| attribute.value.trim().to_owned())
    }

    /// An attribute; one with a blank value is as good as absent.
    fn find(&self, name: &str) -> Option<&Attribute> {
        self.verb.attributes.iter().find(|attribute| attribute.name == name && !attribute.value.trim().is_empty())
    }

    fn refuse(&mut self, name: &str, message: String, code: PayErrorCode) {
        let position = self.find(name).map_or(self.position, |attribute| attribute.position);
        let message = match self.wording {
            Wording::Verb => format!("<Pay>: {message}"),
            Wording::Request => message,
        };
        self.refusals.push(Refusal::new(position, message, code));
    }

    fn name_unknown_attributes(&mut self) {
        for attribute in self.verb.attributes.iter().filter(|attribute| !Settings::knows(&attribute.name)) {
            let message = format!("<Pay> has no attribute {}", refused(&attribute.name));
            self.name_unknown(attribute.position, &attribute.name, message, KNOWN);
        }
    }

    /// Says of `name`, one that is not `known`, that there is none. One that is nearly another's is refused: a misspelt
    /// `chargeAmount` would make a token where money was meant.
    pub(super) fn name_unknown(&mut self, position: Position, name: &str, message: String, known: &[&str]) {
        if let Some(word) = misspelt(name, known) {
            let message = format!("{message}: did you mean {word}?");
            self.refusals.push(Refusal::new(position, message, PayErrorCode::InvalidParameter));
        } else {
            let hint = nearest(name, known).map_or_else(String::new, |word| format!(" (did you mean {word}?)"));
            self.warnings.push(Fault::warning(position, format!("{message}{hint}; it is passed over")));
        }
    }
}

/// `true` or `false`, which may be `1` or `0`.
fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// `a, b, c or d`.
fn list<W: std::fmt::Display>(words: impl Iterator<Item = W>) -> String {
    let mut words: Vec<String> = words.map(|word| word.to_string()).collect();
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        only => only.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;

//! What a session and a gateway say to each other.
//!
//! Shape:   plain values. Nothing here knows HTTP; a connector translates, `pay::submission` decides when to ask again.
//! Secrets: an [`Instrument`] holds the card or account; it has no `Clone` and its `Debug` is masked. Texts that a
//!          gateway sends are scrubbed of what the caller keyed before they go anywhere (`pay::outcome`).
//! Sources: spec/connectors.md, section 19.

use std::time::Duration;

use super::card::{Brand, Expiration};
use super::step::{PayErrorCode, words};
use super::test_numbers::AcceptedNumbers;
use crate::money::{Amount, Currency};
use crate::secret::{AccountNumber, CardNumber, Secret, SecurityCode};

words! {
    /// How the caller pays.
    PaymentMethod {
        /// By card.
        CreditCard = "credit-card",
        /// From a bank account, by ACH.
        AchDebit = "ach-debit",
    }
}

words! {
    /// What kind of token is asked for.
    TokenType {
        /// Good for one payment.
        OneTime = "one-time",
        /// Good for many payments.
        Reusable = "reusable",
        /// The gateway's own payment-method object (Stripe).
        PaymentMethod = "payment-method",
    }
}

words! {
    /// What kind of bank account.
    BankAccountType {
        /// A person's current account.
        ConsumerChecking = "consumer-checking",
        /// A person's savings account.
        ConsumerSavings = "consumer-savings",
        /// A company's current account.
        CommercialChecking = "commercial-checking",
        /// A company's savings account. Not in Twilio's manual, but in its libraries.
        CommercialSavings = "commercial-savings",
    }
}

/// What the gateway is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Take money.
    Charge(Amount, Currency),
    /// Keep the instrument for later.
    Tokenize(TokenType),
}

/// One payment, as the gateway is told of it. Holds nothing of the card: it may be stored and printed.
#[derive(Clone, Debug)]
pub struct PaymentRequest {
    /// `PK` and 32 hex digits; the idempotency key of every request about this payment.
    pub transaction_id: String,
    /// The call it belongs to.
    pub call_sid: String,
    /// The connector instance's unique name.
    pub connector: String,
    /// Charge or tokenize.
    pub operation: Operation,
    /// The currency of the verb, also where nothing is charged.
    pub currency: Currency,
    /// The token type of the verb, also where it is charged: SignalWire's contract names it in every request.
    pub token_type: TokenType,
    /// The verb's `description`.
    pub description: Option<String>,
    /// The verb's `<Parameter>`s (and Telnyx's `parameters`), in order.
    pub parameters: Vec<(String, String)>,
    /// Telnyx's `metadata`, in order.
    pub metadata: Vec<(String, String)>,
}

/// What pays.
#[derive(Debug)]
pub enum Instrument {
    /// A card.
    Card(Card),
    /// A bank account.
    BankAccount(BankAccount),
    /// A token made earlier (Telnyx's `paymentToken`).
    Token(Secret),
}

words! {
    /// What kind of thing pays.
    Means {
        /// A card.
        Card = "card",
        /// A bank account.
        BankAccount = "bank-account",
        /// A token made earlier.
        Token = "token",
    }
}

impl From<&Instrument> for Means {
    fn from(instrument: &Instrument) -> Self {
        match instrument {
            Instrument::Card(_) => Self::Card,
            Instrument::BankAccount(_) => Self::BankAccount,
            Instrument::Token(_) => Self::Token,
        }
    }
}

impl Instrument {
    /// Whether it is one of the numbers that a connector takes.
    #[must_use]
    pub fn is_among(&self, numbers: AcceptedNumbers) -> bool {
        match self {
            Self::Card(card) => numbers.takes_card(card.number.expose()),
            Self::BankAccount(account) => numbers.takes_account(account.account_number.expose()),
            Self::Token(token) => numbers.takes_token(token.expose()),
        }
    }
}

/// A card as keyed in and checked.
#[derive(Debug)]
pub struct Card {
    /// Its number.
    pub number: CardNumber,
    /// Its brand.
    pub brand: Brand,
    /// When it expires.
    pub expiration: Expiration,
    /// Its security code, if it was asked for.
    pub security_code: Option<SecurityCode>,
    /// The postal code, if it was asked for or given in the document.
    pub postal_code: Option<String>,
}

/// A bank account as keyed in and checked.
#[derive(Debug)]
pub struct BankAccount {
    /// The bank's routing number: nine digits, not secret.
    pub routing_number: String,
    /// The account number.
    pub account_number: AccountNumber,
    /// Its kind.
    pub account_type: BankAccountType,
}

/// For how long gateways with idempotency keys give the first answer again: Stripe promises 24 h (spec/connectors.md,
/// section 4); an hour is left for clocks that differ.
pub const REPLAY_WINDOW: Duration = Duration::from_secs(23 * 60 * 60);

/// What a gateway makes of a repeat: the same transaction id with the same body, sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// It may act a second time: nothing that may have arrived is sent again.
    None,
    /// It acts once. A repeat may be answered with an error that says so ("duplicate"): such a no says nothing of the first
    /// request.
    ActsOnce,
    /// It acts once, and a repeat is answered with the first result.
    FirstResult,
}

impl Idempotency {
    /// Whether a request that may have arrived can be sent again.
    #[must_use]
    pub const fn allows_repeats(self) -> bool {
        match self {
            Self::None => false,
            Self::ActsOnce | Self::FirstResult => true,
        }
    }

    /// Whether the answer to a repeat is also that to the requests before it, of which nobody knows what became.
    ///
    /// An approval always is: the gateway acts once. A decline is where the first result is given again. A refusal never
    /// is: credentials and the form of a request are judged before anybody looks whether it is a repeat, and may be judged
    /// otherwise than the first time.
    #[must_use]
    pub const fn settles(self, answer: &Answer) -> bool {
        match (answer, self) {
            (Answer::Approved(_), _) | (Answer::Declined(_), Self::FirstResult) => true,
            (Answer::Declined(_), Self::None | Self::ActsOnce)
            | (Answer::Refused(..) | Answer::NotSent { .. } | Answer::Unknown { .. }, _) => false,
        }
    }
}

/// What a connector instance can do and how patient one is with it. The machine checks a verb against it before the
/// caller keys a digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether the gateway no longer lets this instance in, until it is authorized anew.
    pub withdrawn: bool,
    /// Takes charges by card.
    pub charge_card: bool,
    /// Takes charges from bank accounts.
    pub charge_bank: bool,
    /// Takes charges on a token made earlier.
    pub charge_token: bool,
    /// Token types it makes of cards.
    pub tokenize_card: Vec<TokenType>,
    /// Token types it makes of bank accounts.
    pub tokenize_bank: Vec<TokenType>,
    /// The currencies it takes; `None`: all.
    pub currencies: Option<Vec<Currency>>,
    /// Whether a bank payment needs the holder's name in the `AVSName` parameter.
    pub bank_needs_holder_name: bool,
    /// Other parameters without which it cannot work.
    pub needed_parameters: Vec<String>,
    /// Which numbers may reach the gateway: in test mode, published test numbers only.
    pub accepted_numbers: AcceptedNumbers,
    /// What the gateway makes of a repeat.
    pub idempotency: Idempotency,
    /// For how long it knows that one is. A repeat without the caller is made within this time only.
    pub replay_window: Duration,
    /// Whether the gateway can be asked what became of a transaction id.
    pub looks_up: bool,
    /// How long one request may go unanswered.
    pub answer_timeout: Duration,
    /// How long the gateway itself may still be at work on a request that is not answered, at the most: only then does it
    /// count that a payment is not found. Not less than what the gateway takes, however short `answer_timeout` is.
    pub settles_after: Duration,
    /// How often a request is repeated at most.
    pub repeats: u8,
    /// How long all requests of one payment may take together.
    pub overall: Duration,
}

/// A gateway's answer: one of five, no sixth. What a connector cannot map is [`Answer::Unknown`].
#[derive(Debug)]
pub enum Answer {
    /// Final yes.
    Approved(Approval),
    /// Final no, by issuer, bank or risk; nothing stands.
    Declined(Denial),
    /// Final no, by the gateway or by us, not about the card; nothing stands.
    Refused(PayErrorCode, Denial),
    /// The request did not leave, or the gateway guarantees that it did nothing.
    NotSent {
        /// What was in the way, for the log: no digits, no body.
        reason: String,
        /// When to try again, if the gateway said so.
        retry_after: Option<Duration>,
    },
    /// It may or may not have happened.
    Unknown {
        /// What was seen, for the log: a status, never a body.
        reason: String,
        /// When to ask again, if the gateway said so.
        retry_after: Option<Duration>,
    },
}

impl Answer {
    /// It may or may not have happened, and the gateway did not say when to ask again. `reason`: as in [`Self::Unknown`].
    #[must_use]
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into(), retry_after: None }
    }
}

/// What an approval carries.
#[derive(Debug, Default)]
pub struct Approval {
    /// The charge's confirmation code.
    pub confirmation_code: Option<String>,
    /// The token made.
    pub token: Option<Secret>,
    /// The gateway's customer object.
    pub profile_id: Option<Secret>,
    /// What else the gateway sent back: `PayConnector_<name>`.
    pub parameters: Vec<(String, String)>,
}

/// What a no carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// The gateway's code.
    pub code: Option<String>,
    /// The gateway's words.
    pub message: Option<String>,
    /// What else the gateway sent back: `PayConnector_<name>`.
    pub parameters: Vec<(String, String)>,
}

/// What `prepare` found: a step before the submission that moves no money.
#[derive(Debug)]
pub enum Preparation {
    /// There is nothing to prepare.
    Nothing,
    /// A printable, card-free note that makes the submission repeatable after a restart.
    Note(RecoveryNote),
    /// An answer already: declined or refused at this stage.
    Answered(Answer),
}

/// What a connector remembers between preparation and submission: holds no card data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryNote(pub String);

/// What became of a transaction id.
#[derive(Debug)]
pub enum Resolution {
    /// This.
    Answer(Answer),
    /// The gateway has never seen it.
    NotFound,
    /// This gateway cannot tell.
    CannotTell,
}

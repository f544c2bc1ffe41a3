//! The words of a Pay session: its steps, what can be wrong with an entry, how it ends.
//!
//! Shape:   closed enums with Twilio's spelling of each.
//! Sources: Twilio, "TwiML Voice: `<Pay>`" and "`<Prompt>`"; the error dictionary, 640xx.

/// Makes an enum whose every variant has one spelling in the outside world.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one, in the order of this list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word the outside world uses for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What `word` names, in any case.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.word().eq_ignore_ascii_case(word))
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// A step of a session as `For` names it.
    Step {
        /// The card number.
        PaymentCardNumber = "payment-card-number",
        /// The card's expiration date.
        ExpirationDate = "expiration-date",
        /// The postal code of the card's bill.
        PostalCode = "postal-code",
        /// The card's security code.
        SecurityCode = "security-code",
        /// The bank's routing number.
        BankRoutingNumber = "bank-routing-number",
        /// The account number at that bank.
        BankAccountNumber = "bank-account-number",
        /// The gateway is being asked.
        PaymentProcessing = "payment-processing",
    }
}

words! {
    /// A moment that has a prompt: the steps, the confirmation, and SignalWire's three at the end.
    Moment {
        /// Asking for the card number.
        PaymentCardNumber = "payment-card-number",
        /// Asking for the expiration date.
        ExpirationDate = "expiration-date",
        /// Asking for the postal code.
        PostalCode = "postal-code",
        /// Asking for the security code.
        SecurityCode = "security-code",
        /// Asking for the routing number.
        BankRoutingNumber = "bank-routing-number",
        /// Asking for the account number.
        BankAccountNumber = "bank-account-number",
        /// Reading back the last digits.
        Confirmation = "confirmation",
        /// While the gateway is being asked.
        PaymentProcessing = "payment-processing",
        /// After a success; silent without a prompt of the document's own.
        PaymentCompleted = "payment-completed",
        /// After a failure; silent without a prompt of the document's own.
        PaymentFailed = "payment-failed",
        /// After a cancellation; silent without a prompt of the document's own.
        PaymentCanceled = "payment-canceled",
    }
}

impl From<Step> for Moment {
    fn from(step: Step) -> Self {
        match step {
            Step::PaymentCardNumber => Self::PaymentCardNumber,
            Step::ExpirationDate => Self::ExpirationDate,
            Step::PostalCode => Self::PostalCode,
            Step::SecurityCode => Self::SecurityCode,
            Step::BankRoutingNumber => Self::BankRoutingNumber,
            Step::BankAccountNumber => Self::BankAccountNumber,
            Step::PaymentProcessing => Self::PaymentProcessing,
        }
    }
}

words! {
    /// What was wrong with an entry, as a callback's `ErrorType` names it.
    EntryError {
        /// Nothing was keyed. `<Prompt errorType>` calls it `timeout`.
        InputTimeout = "input-timeout",
        /// Wrong length, unknown brand, or the Luhn check fails.
        InvalidCardNumber = "invalid-card-number",
        /// A good number of a brand that `validCardTypes` does not list.
        InvalidCardType = "invalid-card-type",
        /// No month, past, or too far ahead.
        InvalidDate = "invalid-date",
        /// Too short.
        InvalidSecurityCode = "invalid-security-code",
        /// Too short.
        InvalidPostalCode = "invalid-postal-code",
        /// Length, checksum or district is wrong.
        InvalidBankRoutingNumber = "invalid-bank-routing-number",
        /// Too short.
        InvalidBankAccountNumber = "invalid-bank-account-number",
        /// The second entry differs from the first.
        InputMatchingFailed = "input-matching-failed",
    }
}

impl EntryError {
    /// What `<Prompt errorType>` calls it.
    #[must_use]
    pub const fn prompt_word(self) -> &'static str {
        match self {
            Self::InputTimeout => "timeout",
            other => other.word(),
        }
    }

    /// The error that `<Prompt errorType>` names; the callback's spelling of `timeout` is understood too.
    #[must_use]
    pub fn parse_prompt_word(word: &str) -> Option<Self> {
        if word.eq_ignore_ascii_case("timeout") { Some(Self::InputTimeout) } else { Self::parse(word) }
    }
}

words! {
    /// What a status callback's `ErrorType` says beside what is wrong with an entry.
    SessionError {
        /// `bankAccountType` is none of the known ones, or was given with a card.
        InvalidBankAccountType = "invalid-bank-account-type",
        /// An agent asked for the security code before the card number, whose brand says how long it is.
        SecurityCodeBeforeCardNumber = "invalid-card-number-security-code-capture-sequence",
        /// The call has a session already.
        SessionInProgress = "session-in-progress",
        /// A fault of ours.
        InternalError = "internal-error",
    }
}

words! {
    /// How a session ended, as `Result` names it.
    PayResult {
        /// Charged or tokenized.
        Success = "success",
        /// A step failed as often as it may.
        TooManyFailedAttempts = "too-many-failed-attempts",
        /// The gateway, or what the connector can do, stood in the way.
        PaymentConnectorError = "payment-connector-error",
        /// The caller pressed `*`.
        CallerInterruptedWithStar = "caller-interrupted-with-star",
        /// The caller hung up.
        CallerHungUp = "caller-hung-up",
        /// The verb was written wrongly.
        ValidationError = "validation-error",
        /// A fault of ours before anything was sent.
        InternalError = "internal-error",
        /// The agent, or the caller at the confirmation, cancelled.
        TransactionCancelled = "transaction-cancelled",
    }
}

/// `PayErrorCode`: Twilio's number for what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum PayErrorCode {
    /// The connector's configuration is wrong: credentials refused, settings missing.
    Configuration = 64001,
    /// The gateway could not be reached, or nobody knows the outcome.
    ServiceUnavailable = 64002,
    /// `chargeAmount` is no amount, or one that cannot be charged.
    InvalidChargeAmount = 64003,
    /// No connector instance of that name.
    UnknownConnector = 64004,
    /// The connector cannot tokenize.
    TokenizeUnsupported = 64005,
    /// The connector cannot make that token type.
    TokenTypeUnsupported = 64006,
    /// The connector cannot charge.
    ChargeUnsupported = 64007,
    /// The gateway rejected the charge, not the card.
    ChargeRejected = 64008,
    /// Authorization to the gateway was withdrawn.
    AuthorizationWithdrawn = 64009,
    /// The gateway rejected the token's creation.
    TokenRejected = 64010,
    /// The connector does not take that currency.
    CurrencyUnsupported = 64011,
    /// The gateway rejected the card.
    CardRejected = 64012,
    /// The connector does not take that payment method.
    MethodUnsupported = 64013,
    /// Bank payments through this connector need the `AVSName` parameter.
    AvsNameNeeded = 64014,
    /// A parameter the connector needs is missing.
    ParameterMissing = 64015,
    /// `action` is no usable URL.
    InvalidActionUrl = 64016,
    /// `bankAccountType` was given with a card.
    BankAccountTypeWithCard = 64017,
    /// An agent's update has neither `Capture` nor `Status`.
    NothingToDo = 64018,
    /// An agent completes a session while something is still missing.
    Incomplete = 64019,
    /// An attribute's or parameter's value is not allowed.
    InvalidParameter = 64020,
    /// Not possible in this state.
    InvalidOperation = 64021,
    /// In test mode only the documented numbers pass.
    NotATestNumber = 64022,
    /// The connector is not approved for live payments.
    NotApprovedForLive = 64024,
}

impl PayErrorCode {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::Configuration,
        Self::ServiceUnavailable,
        Self::InvalidChargeAmount,
        Self::UnknownConnector,
        Self::TokenizeUnsupported,
        Self::TokenTypeUnsupported,
        Self::ChargeUnsupported,
        Self::ChargeRejected,
        Self::AuthorizationWithdrawn,
        Self::TokenRejected,
        Self::CurrencyUnsupported,
        Self::CardRejected,
        Self::MethodUnsupported,
        Self::AvsNameNeeded,
        Self::ParameterMissing,
        Self::InvalidActionUrl,
        Self::BankAccountTypeWithCard,
        Self::NothingToDo,
        Self::Incomplete,
        Self::InvalidParameter,
        Self::InvalidOperation,
        Self::NotATestNumber,
        Self::NotApprovedForLive,
    ];

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

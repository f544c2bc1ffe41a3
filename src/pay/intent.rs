//! What a payment leaves behind before the gateway is asked, so that its outcome can be told without its call.
//!
//! Shape:   plain values. A session makes an [`Intent`] once, before its first question; whoever learns of the outcome,
//!          the session itself or `pay::recovery`, makes the requests' fields of it: [`Statement::told`].
//! Secrets: none of the card or account: what the caller keyed is there as its mask only. It may be stored.
//! Sources: design.md, "A payment's path through disk"; spec/pay.md, sections 6 and 7.

use std::sync::Arc;

use super::gateway::{Attempt, Instrument};
use super::outcome::{Ending, Receipt};
use super::step::{SessionError, Step, words};
use crate::form::Form;

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

/// A payment that is about to be made.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What the gateway will be told of it.
    pub attempt: Arc<Attempt>,
    /// What pays.
    pub means: Means,
    /// What the caller keyed, masked.
    pub receipt: Receipt,
    /// What the application will be told beside the outcome.
    pub statement: Statement,
}

/// The fields of the last requests about a payment that do not depend on its outcome.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Of the last status callback.
    pub status: Form,
    /// Of the action request.
    pub action: Form,
    /// Whether the platform is Telnyx, whose applications look for fields of their own.
    pub telnyx: bool,
    /// The step at which the session ends.
    pub step: Step,
}

/// The fields of the last requests about a payment.
#[derive(Clone, Debug)]
pub struct Told {
    /// Of the status callback.
    pub status: Form,
    /// Of the action request.
    pub action: Form,
}

impl Statement {
    /// The fields with the outcome.
    #[must_use]
    pub fn told(&self, ending: &Ending) -> Told {
        let (mut status, mut action) = (self.status.clone(), self.action.clone());
        status.set_some("ErrorType", ending.error_type.map(SessionError::word));
        for form in [&mut status, &mut action] {
            ending.tell(form);
            if self.telnyx {
                ending.tell_telnyx(form, self.step);
            }
        }
        Told { status, action }
    }
}

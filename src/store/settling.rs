//! What an outcome becomes in the store: the one rule for every database.
//!
//! Shape:   pure; what the row says and what is to be written in, a [`SettlingStep`] out.

use super::backend::{NodeId, PaymentRow, PaymentState, SettledPayment};
use crate::pay::outcome::{Outcome, Standing};

/// What the store says of a payment that is to be settled.
#[derive(Clone, Debug)]
pub(super) struct KnownPayment<'a> {
    /// How far it is.
    pub(super) state: PaymentState,
    /// Whose it is, as it is stored.
    pub(super) node: Option<NodeId>,
    /// The word for how it ended.
    pub(super) result: Option<&'a str>,
    /// The number for how it ended.
    pub(super) error_code: Option<u16>,
    /// The charge's confirmation code.
    pub(super) confirmation_code: Option<&'a str>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettlingStep {
    /// There is no such payment: only the first callbacks are stored.
    Unrecorded,
    /// Write it, and insert the first callbacks.
    First,
    /// Write it, and insert the late callbacks.
    Late,
    /// The store says so already: insert nothing.
    Again,
    /// Leave everything as it is.
    Otherwise,
}

impl SettlingStep {
    /// Decides.
    pub(super) fn of(known: Option<&KnownPayment<'_>>, payment: &SettledPayment) -> Self {
        let Some(known) = known else { return Self::Unrecorded };
        let standing = payment.outcome.standing;
        // Somebody else may be asking the gateway by now, so that nothing is certain but that money was taken.
        let may_write = known.node == Some(payment.owner) || standing == Standing::Succeeded;
        match (known.state, standing) {
            (PaymentState::Succeeded, Standing::Succeeded) | (PaymentState::Failed, Standing::Failed)
                if known.says(&payment.outcome) =>
            {
                Self::Again
            }
            (PaymentState::Succeeded | PaymentState::Failed, _) => Self::Otherwise,
            (PaymentState::Unknown, Standing::Unknown) => Self::Again,
            (PaymentState::Unknown, _) if may_write => Self::Late,
            (PaymentState::Preparing | PaymentState::Submitting, _) if may_write => Self::First,
            (PaymentState::Unknown | PaymentState::Preparing | PaymentState::Submitting, _) => Self::Otherwise,
        }
    }
}

impl KnownPayment<'_> {
    fn says(&self, outcome: &Outcome) -> bool {
        self.result == Some(outcome.result.word())
            && self.error_code == outcome.code.map(|code| code.number())
            && self.confirmation_code == outcome.confirmation_code.as_deref()
    }
}

/// Whether the store says this outcome of a payment.
pub(super) fn says(row: &PaymentRow, outcome: &Outcome) -> bool {
    let known = KnownPayment {
        state: row.state,
        node: None,
        result: row.result.as_deref(),
        error_code: row.error_code,
        confirmation_code: row.confirmation_code.as_deref(),
    };
    row.state == state(outcome.standing) && known.says(outcome)
}

/// The state that a payment of this standing is in.
pub(super) const fn state(standing: Standing) -> PaymentState {
    match standing {
        Standing::Succeeded => PaymentState::Succeeded,
        Standing::Failed => PaymentState::Failed,
        Standing::Unknown => PaymentState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::step::{PayErrorCode, PayResult};

    const OURS: NodeId = NodeId(uuid::Uuid::from_u128(1));
    const THEIRS: NodeId = NodeId(uuid::Uuid::from_u128(2));

    fn payment(standing: Standing) -> SettledPayment {
        let (result, code) = match standing {
            Standing::Succeeded => (PayResult::Success, None),
            Standing::Failed => (PayResult::PaymentConnectorError, Some(PayErrorCode::CardRejected)),
            Standing::Unknown => (PayResult::PaymentConnectorError, Some(PayErrorCode::ServiceUnavailable)),
        };
        let outcome = Outcome { standing, result, code, error: None, confirmation_code: None };
        SettledPayment { sid: "PK1".to_owned(), outcome, owner: OURS, session: None }
    }

    fn entry(state: PaymentState, node: Option<NodeId>, standing: Standing) -> SettlingStep {
        let said = payment(match state {
            PaymentState::Succeeded => Standing::Succeeded,
            PaymentState::Failed => Standing::Failed,
            PaymentState::Preparing | PaymentState::Submitting | PaymentState::Unknown => Standing::Unknown,
        });
        let known = KnownPayment {
            state,
            node,
            result: Some(said.outcome.result.word()),
            error_code: said.outcome.code.map(|code| code.number()),
            confirmation_code: None,
        };
        SettlingStep::of(Some(&known), &payment(standing))
    }

    #[test]
    fn what_somebody_else_has_taken_over_is_theirs_to_find_out_but_money_that_was_taken_is_written_down() {
        use PaymentState::{Preparing, Submitting, Unknown};
        for state in [Preparing, Submitting] {
            for standing in [Standing::Succeeded, Standing::Failed, Standing::Unknown] {
                assert_eq!(entry(state, Some(OURS), standing), SettlingStep::First);
            }
            for node in [Some(THEIRS), None] {
                assert_eq!(entry(state, node, Standing::Succeeded), SettlingStep::First);
                assert_eq!(entry(state, node, Standing::Failed), SettlingStep::Otherwise);
                assert_eq!(entry(state, node, Standing::Unknown), SettlingStep::Otherwise);
            }
        }
        assert_eq!(entry(Unknown, Some(OURS), Standing::Failed), SettlingStep::Late);
        assert_eq!(entry(Unknown, Some(THEIRS), Standing::Failed), SettlingStep::Otherwise);
        assert_eq!(entry(Unknown, Some(THEIRS), Standing::Succeeded), SettlingStep::Late);
        assert_eq!(entry(Unknown, Some(THEIRS), Standing::Unknown), SettlingStep::Again, "it says what they said");
    }

    #[test]
    fn a_known_outcome_never_becomes_another_one() {
        use PaymentState::{Failed, Succeeded};
        for node in [Some(OURS), Some(THEIRS), None] {
            assert_eq!(entry(Succeeded, node, Standing::Succeeded), SettlingStep::Again);
            assert_eq!(entry(Failed, node, Standing::Failed), SettlingStep::Again);
            for (state, standing) in [
                (Succeeded, Standing::Failed),
                (Succeeded, Standing::Unknown),
                (Failed, Standing::Succeeded),
                (Failed, Standing::Unknown),
            ] {
                assert_eq!(entry(state, node, standing), SettlingStep::Otherwise);
            }
        }
        let known = KnownPayment {
            state: Failed,
            node: Some(OURS),
            result: Some(PayResult::InternalError.word()),
            error_code: None,
            confirmation_code: None,
        };
        let declined = SettlingStep::of(Some(&known), &payment(Standing::Failed));
        assert_eq!(declined, SettlingStep::Otherwise, "it failed for another reason");
    }
}

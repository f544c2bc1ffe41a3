//! Payments in the store: written down before their gateway is asked, settled, and taken over without an outcome.

use std::sync::Arc;

use jiff::Timestamp;

use super::backend::{
    CallbackFilter, CallbackState, NewCallback, Recorded, Resealed, SettledPayment, Settling, Unsettled,
};
use super::lease::Epoch;
use super::record;
use super::request::{CallbackKind, CallbackRequest};
use super::seal::SealedPlace;
use super::sessions::{NewSession, SessionState};
use super::settling;
use super::{Hold, Holder, Occasion, Open, PAGE_MAX, Store, StoreError, StoredCallback, token};
use crate::flow::{Intended, Settled, Telling};
use crate::http::Jar;
use crate::pay::gateway::RecoveryNote;
use crate::secret::Secret;

impl Store {
    /// Writes down that a gateway is about to be asked, for a session that began at `begun`.
    ///
    /// # Errors
    /// [`StoreError`]: then it must not be asked.
    pub async fn intend(&self, intended: &Intended, begun: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let sealed = self.seal.close(&record::intended(intended), SealedPlace::payment(&intended.payment.sid))?;
        let payment = record::new_payment(intended, begun, sealed);
        self.seen(self.backend.insert_payment(payment, self.node, now).await)
    }

    /// Writes down that the `number`th submission is about to leave.
    ///
    /// # Errors
    /// [`StoreError`]: then it must not leave. [`super::BackendError::NotFound`] if somebody else has taken the payment over.
    pub async fn sending(
        &self,
        sid: &str,
        note: Option<&RecoveryNote>,
        number: u32,
        holder: Holder,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let close = |note: &RecoveryNote| self.seal.close(&Secret::new(note.0.clone()), SealedPlace::payment_note(sid));
        let note = note.map(close).transpose()?;
        self.seen(self.backend.mark_sending(sid, note, number, self.holder(holder), now).await)
    }

    /// Writes an outcome down and queues what is to be told of it, at once. A second outcome of a payment queues nothing
    /// new, unless the first one was `unknown` and this one is not: then the application is told once more, by the status
    /// callback if there is one, else by the action. A call that makes the action request itself makes that one too.
    /// `session`: what was noted when it began.
    ///
    /// # Errors
    /// [`StoreError`]: try again.
    pub async fn settle(
        &self,
        settled: &Settled,
        session: Option<Arc<NewSession>>,
        hold_action: Hold,
        holder: Holder,
        call_sid: &str,
        now: Timestamp,
    ) -> Result<(Recorded, Vec<StoredCallback>), StoreError> {
        let sid = &settled.payment.sid;
        let held = if hold_action == Hold::Yes { CallbackState::Held } else { CallbackState::Waiting };
        // Both are made: which of them are stored is decided in the transaction (`SettlingStep`).
        let first = self.tellings(settled, Occasion::First, held, call_sid)?;
        let mut late = self.tellings(settled, Occasion::Late, held, call_sid)?;
        if hold_action == Hold::No {
            // By the status callback, and by the action where there is none.
            late.truncate(1);
        }
        let outcome = settled.outcome.clone();
        let payment = SettledPayment { sid: sid.clone(), outcome, owner: self.holder(holder), session };
        let epoch = self.epoch();
        let settling = self.seen(self.backend.settle_payment(payment, first, late, self.node, now).await)?;
        let Settling { recorded, callbacks } = settling;
        if recorded == Recorded::Otherwise {
            tracing::error!(
                payment = sid,
                call_sid,
                state = settled.outcome.standing.word(),
                "outcome differs from the persisted one; another server has seen to this payment"
            );
        }
        let callbacks = callbacks.into_iter().map(|row| self.stored_callback(row, epoch)).collect::<Result<_, _>>()?;
        Ok((recorded, callbacks))
    }

    /// What tells an outcome: the status callback, then the action request, which starts as `action` says.
    pub(super) fn tellings(
        &self,
        settled: &Settled,
        occasion: Occasion,
        action: CallbackState,
        call_sid: &str,
    ) -> Result<Vec<NewCallback>, StoreError> {
        let sid = &settled.payment.sid;
        let new = |telling: &Telling, kind, state| {
            let (method, form, url) = (telling.method, telling.form.clone(), telling.url.to_string());
            let cookies = settled.cookies.as_ref().map(|text| Jar::of_text(text).snapshot(&url)).unwrap_or_default();
            let request = CallbackRequest { kind, method, url, form, cookies };
            let row = self.new_callback(&request, token(sid, occasion, kind), call_sid, state)?;
            Ok(NewCallback { payment_sid: Some(sid.clone()), ..row })
        };
        let status = settled.status.iter().map(|telling| new(telling, CallbackKind::Status, CallbackState::Waiting));
        status.chain(settled.action.iter().map(|telling| new(telling, CallbackKind::Action, action))).collect()
    }

    /// Reads what became of an outcome of which nobody knows whether it was written down. None: the store does not say it.
    ///
    /// # Errors
    /// [`StoreError`]: still nobody knows.
    pub async fn look_up(&self, settled: &Settled) -> Result<Option<Recorded>, StoreError> {
        let sid = &settled.payment.sid;
        let row = self.backend.payment(sid).await?;
        let filter = CallbackFilter::of_payment(sid, PAGE_MAX);
        let callbacks = self.backend.callbacks(filter).await?;
        let is_stored = |occasion| {
            let tokens = [CallbackKind::Status, CallbackKind::Action].map(|kind| token(sid, occasion, kind));
            callbacks.iter().any(|row| tokens.contains(&row.token))
        };
        Ok(match row {
            Some(row) if !settling::says(&row, &settled.outcome) => None,
            // The row has the outcome alone: on which occasion it is told, the tokens say.
            Some(_) if is_stored(Occasion::Late) => Some(Recorded::Late),
            Some(_) => Some(Recorded::First),
            None => match self.backend.session(sid).await? {
                Some(row) if row.state != SessionState::Ended => None,
                Some(row) if row.says(&settled.outcome) => Some(Recorded::First),
                Some(_) => Some(Recorded::Otherwise),
                // One that nobody noted: whether its callbacks are stored does not say who has told it.
                None => None,
            },
        })
    }

    /// Takes over payments without an outcome that are nobody's or whose node is gone, at most `limit`: those being
    /// asked for, then those unknown that may still be found out ([`super::Backend::claim_payments`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_payments(&self, limit: u32, now: Timestamp) -> Result<Vec<Open>, StoreError> {
        let rows = self.backend.claim_payments(self.keeper, limit.min(PAGE_MAX), now).await?;
        Ok(self.read_payments(rows).await)
    }

    /// What this process has claimed and may still be found out, after the payment of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claimed_payments(
        &self,
        after_sid: Option<String>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Open>, StoreError> {
        let rows = self.backend.claimed_payments(self.keeper, after_sid, limit.min(PAGE_MAX), now).await?;
        Ok(self.read_payments(rows).await)
    }

    async fn read_payments(&self, rows: Vec<Unsettled>) -> Vec<Open> {
        let mut open = Vec::new();
        for payment in rows {
            let sid = payment.row.sid.clone();
            match self.read_payment(payment).await {
                Ok(payment) => open.push(payment),
                // It stays as it is, for a person: nobody can say whom to tell.
                Err(error) => {
                    tracing::error!(
                        payment = sid,
                        %error,
                        "payment without an outcome is unreadable; leaving it to a person"
                    )
                }
            }
        }
        open
    }

    async fn read_payment(&self, unsettled: Unsettled) -> Result<Open, StoreError> {
        let Unsettled { row, sent, sealed, note } = unsettled;
        let text = self.opened(&sealed, Resealed::Payment(row.sid.clone())).await?;
        let intended = record::read_intended(&text)?;
        let note = match note {
            Some(note) => Some(self.opened(&note, Resealed::PaymentNote(row.sid.clone())).await?),
            None => None,
        };
        Ok(Open { row, sent, intended, note: note.map(|note| RecoveryNote(note.expose().to_owned())) })
    }

    /// Whether a submission may leave that was written down in `epoch` ([`Self::sending`]). Where nobody heard of this server
    /// since, that is written down again: somebody else may have taken the payment over, and asked about it.
    ///
    /// # Errors
    /// [`StoreError`]: then it must not leave.
    pub async fn still_sending(
        &self,
        (epoch, holder): (Epoch, Holder),
        sid: &str,
        note: Option<&RecoveryNote>,
        number: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut epoch = epoch;
        while !self.holds_since(epoch) {
            epoch = self.heard().await;
            self.sending(sid, note, number, holder, now).await?;
        }
        Ok(())
    }
}

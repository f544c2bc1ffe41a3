//! The connector is found, the gateway is asked, and whoever wants the session ended is heard.
//!
//! Sources: spec/pay.md, section 3, "Keys"; spec/connectors.md, section 19.

use super::{PaySession, VerbPhase};
use crate::pay::gateway::Capabilities;
use crate::pay::gateway_exchange::ExchangeStep;
use crate::pay::outcome::Ending;
use crate::pay::session::{Output, What};
use crate::pay::step::{Moment, PayResult, Step};
use crate::pay::submission::Reply;
use crate::time::CallTime;

impl PaySession {
    pub(super) fn handle_connector(&mut self, now: CallTime, found: Option<Capabilities>) {
        // One that comes late was given up already.
        if !matches!(self.phase, VerbPhase::Finding { .. }) {
            return;
        }
        match self.core.connector_found(found) {
            Ok(()) => {
                let callback_fields = self.callback_fields();
                self.core.begin(callback_fields);
                self.next_field(now);
            }
            Err((code, error)) => self.finish(Ending::fault(PayResult::PaymentConnectorError, code, error)),
        }
    }

    /// Asks the gateway. Reached once: every field is valid, and nothing leads back from here.
    pub(super) fn process(&mut self, now: CallTime) {
        self.core.at = (Step::PaymentProcessing, 1);
        self.report(What::Begun);
        // After the report, so that `SequenceNumber` is that of the next callback, the last one.
        let callback_fields = self.callback_fields();
        match self.core.submit(now, callback_fields) {
            Ok((exchange, question)) => {
                // Not waited for: the gateway is asked while it is being said.
                let heard = self.heard_at(Moment::PaymentProcessing);
                self.core.outputs.push_back(Output::Speak(heard));
                self.core.ask(&exchange, question);
                self.phase = VerbPhase::Processing(exchange);
            }
            Err(ending) => self.finish(*ending),
        }
    }

    pub(super) fn handle_reply(&mut self, now: CallTime, number: u16, reply: Reply) {
        if let VerbPhase::Processing(exchange) = &mut self.phase {
            let next = exchange.handle_reply(now, number, reply);
            self.advance(next);
        }
    }

    /// Does what the payment wants next.
    pub(super) fn advance(&mut self, next: ExchangeStep) {
        let VerbPhase::Processing(exchange) = &self.phase else { return };
        if let Some(ending) = self.core.advance(exchange, next) {
            self.finish(*ending);
        }
    }

    /// The caller or the application ends it, unless the outcome is already on its way.
    pub(super) fn interrupt(&mut self, result: PayResult) {
        match &mut self.phase {
            VerbPhase::Finding { .. } | VerbPhase::Asking(_) | VerbPhase::Confirming(_) => {
                self.finish(Ending::plain(result))
            }
            // What was sent cannot be taken back: nobody is told that nothing was taken before that is known.
            VerbPhase::Processing(exchange) => {
                let next = exchange.handle_interrupt(result);
                self.advance(next);
            }
            // Nobody hears the rest of the closing prompt.
            VerbPhase::Closing { .. } if self.caller_gone => self.close(),
            VerbPhase::Closing { .. } | VerbPhase::Finished => {}
        }
    }
}

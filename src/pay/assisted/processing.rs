//! The gateway is asked, and whoever wants the session ended is heard.
//!
//! Sources: spec/pay.md, sections 3 and 8.

use super::{AssistedPhase, AssistedSession};
use crate::pay::command::AgentError;
use crate::pay::gateway_exchange::ExchangeStep;
use crate::pay::outcome::Ending;
use crate::pay::session::{Output, What};
use crate::pay::step::{PayResult, Step};
use crate::time::CallTime;

impl AssistedSession {
    /// Asks the gateway.
    pub(super) fn process(&mut self, now: CallTime) {
        self.updated = now;
        self.core.at = (Step::PaymentProcessing, 1);
        self.report(What::Begun);
        // After the report, so that `SequenceNumber` is that of the next callback, the last one.
        let callback_fields = self.callback_fields();
        match self.core.submit(now, callback_fields) {
            Ok((exchange, question)) => {
                self.core.ask(&exchange, question);
                self.phase = AssistedPhase::Processing(Box::new(exchange));
            }
            Err(ending) => self.finish(*ending),
        }
    }

    pub(super) fn advance(&mut self, now: CallTime, next: ExchangeStep) {
        let AssistedPhase::Processing(exchange) = &self.phase else { return };
        if let Some(ending) = self.core.advance(exchange, next) {
            self.updated = now;
            self.finish(*ending);
        }
    }

    /// The caller or the agent ends it, unless the outcome is already on its way.
    pub(super) fn interrupt(&mut self, now: CallTime, result: PayResult) {
        self.updated = now;
        match &mut self.phase {
            // The request that opens the session has no answer yet: this refusal is it.
            AssistedPhase::Finding { .. } => self.refuse(AgentError::over()),
            AssistedPhase::Idle | AssistedPhase::Capturing { .. } | AssistedPhase::Confirming(_) => {
                self.cut_short(Ending::plain(result))
            }
            // What was sent cannot be taken back: nobody is told that nothing was taken before that is known.
            AssistedPhase::Processing(exchange) => {
                let next = exchange.handle_interrupt(result);
                self.advance(now, next);
            }
            AssistedPhase::Finished => {}
        }
    }

    /// Ends it before the gateway is asked.
    pub(super) fn cut_short(&mut self, ending: Ending) {
        // Only a confirmation says anything: what the document says goes on.
        if let AssistedPhase::Confirming(_) = self.phase {
            self.core.outputs.push_back(Output::Clear);
        }
        self.finish(ending);
    }

    /// The one place where a session's outcome is decided.
    pub(super) fn finish(&mut self, ending: Ending) {
        self.phase = AssistedPhase::Finished;
        let told = self.callback_fields().told(&ending);
        self.core.settle(&ending, told);
        // They hold digits; `settle` has dropped the rest of what was keyed.
        self.firsts.clear();
    }
}

//! The verb `<Pay>` as a stage of the call: its session is told what happens, and the call goes on when it is over.

use super::{Call, CallStage, LineState};
use crate::flow::event::{Ended, Purpose, Unwritten};
use crate::flow::payment::RunningPayment;
use crate::pay::session::Input;
use crate::pay::verb::PaySession;
use crate::time::CallTime;

impl Call {
    pub(super) fn pay_input(&mut self, now: CallTime, input: Input) {
        if let CallStage::Paying(paying) = &mut self.stage {
            paying.session.handle_input(now, input, &mut self.keypad);
            self.drain_pay(now);
        }
    }

    /// Does what the Pay session wants; goes on when it is over.
    pub(super) fn drain_pay(&mut self, now: CallTime) {
        let CallStage::Paying(mut paying) = std::mem::replace(&mut self.stage, CallStage::Ready) else { return };
        let mut outcome = None;
        while let Some(output) = paying.session.poll_output() {
            outcome = self.carry_out(now, output, &mut paying.recipients).or(outcome);
        }
        let Some(outcome) = outcome else {
            self.stage = CallStage::Paying(paying);
            // A prompt of no words has been heard as soon as it is said.
            if matches!(&self.stage, CallStage::Paying(paying) if paying.session.waits_to_be_heard()) {
                self.handle_silence(now);
            }
            return;
        };
        // What an earlier payment told is not this one's.
        for name in std::mem::take(&mut self.told_by_payment) {
            self.context.parameters.remove(&name);
        }
        self.told_by_payment = outcome.iter().map(|(name, _)| name.to_owned()).collect();
        // Before the outcome joins the parameters: a flow that is rendered while it is not on disk must not see it.
        let unwritten = paying.recipients.unwritten.take().map(|form| {
            let mut parameters = self.context.parameters.clone();
            parameters.extend(form.parameters());
            Unwritten { form, parameters }
        });
        self.remember(&outcome);
        match paying.recipients.action {
            Some((target, method)) => self.fetch_told(now, Purpose::Pay, target, method, (outcome, unwritten)),
            None if self.line != LineState::Up => self.end(Ended::Caller),
            None => {}
        }
    }

    /// Whether a `<Pay>` is running.
    pub(in crate::flow) const fn is_paying(&self) -> bool {
        matches!(self.stage, CallStage::Paying(_))
    }

    /// Begins to run a `<Pay>`.
    pub(in crate::flow) fn begin_paying(&mut self, now: CallTime, paying: RunningPayment<PaySession>) {
        self.documents.start(now);
        self.stage = CallStage::Paying(Box::new(paying));
        self.drain_pay(now);
    }
}

//! A `<Gather>` inside a call: its keys and what they lead to.

use super::{Call, CallStage};
use crate::flow::event::Purpose;
use crate::flow::gather::{self, Gathered, Listening};
use crate::flow::link::{Origin, Target};
use crate::form::Form;
use crate::mask::refused;
use crate::time::CallTime;
use crate::tone::Key;
use crate::twiml::{Gather, Position};

impl Call {
    pub(super) fn gather(&mut self, now: CallTime, position: Position, mut gather: Gather) {
        self.documents.start(now);
        let listening = Listening::new(&gather);
        let prompts = std::mem::take(&mut gather.prompts);
        self.stage = CallStage::Gathering { listening, verb: Box::new(gather), position };
        while let CallStage::Gathering { .. } = self.stage {
            let Some((pressed, key)) = self.keypad.take() else { break };
            self.gather_key(now, pressed, key);
        }
        // Keys that were here already make the prompt needless.
        if let CallStage::Gathering { listening, .. } = &self.stage
            && listening.is_prompting()
        {
            self.speak(now, prompts);
            // A prompt without sound has been heard as soon as it is said.
            self.handle_silence(now);
        }
    }

    pub(super) fn gather_key(&mut self, now: CallTime, pressed: CallTime, key: Key) {
        let CallStage::Gathering { listening, .. } = &mut self.stage else { return };
        match listening.handle_key(now, pressed, key, &mut self.keypad) {
            gather::GatherStep::Wait => {}
            gather::GatherStep::Clear => self.clear(),
            gather::GatherStep::Over(gathered) => {
                self.clear();
                if let CallStage::Gathering { verb, position, .. } =
                    std::mem::replace(&mut self.stage, CallStage::Ready)
                {
                    self.gathered(now, position, &verb, gathered);
                }
            }
        }
    }

    /// A `<Gather>` is over: its keys go to the action, or the next verb runs.
    pub(super) fn gathered(&mut self, now: CallTime, position: Position, verb: &Gather, gathered: Gathered) {
        // Twilio goes on with the next verb then, unless `actionOnEmptyResult` is set.
        if gathered.empty && !verb.action_on_empty_result {
            return;
        }
        self.numbers.extend(gathered.digits.expose());
        let mut form = Form::new();
        form.set("Digits", gathered.digits);
        form.set_some("FinishedOnKey", gathered.finished_on.map(|key| key.symbol().to_string()));
        self.remember(&form);
        let target = match (&verb.action, &self.origin) {
            (Some(action), origin) => origin.resolve(action, self.context.plain_http),
            (None, Origin::Url(url)) => Ok(Target::Url(url.clone())),
            // A flow has no URL to go back to: the next verb runs, and the keys stay parameters.
            (None, Origin::Flow(_)) => return,
        };
        match target {
            Ok(target) => self.fetch(now, Purpose::Gather, target, verb.method, form),
            Err(error) => {
                let action = refused(verb.action.as_deref().unwrap_or_default());
                self.apologize(now, 11100, Some(position), format!("<Gather action=\"{action}\">: {error}"));
            }
        }
    }
}

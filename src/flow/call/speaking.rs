//! What the caller hears, and what the merchant is warned of.

use super::{Call, CallStage, LineState};
use crate::flow::event::{Action, Ended, Warning};
use crate::flow::link::Origin;
use crate::pay::prompts::{BuiltIn, Language};
use crate::time::CallTime;
use crate::twiml::{Play, PlaySource, Position, Say, Utterance};

impl Call {
    pub(super) fn say(&mut self, now: CallTime, heard: Vec<Utterance>) {
        self.documents.start(now);
        self.stage = CallStage::Saying;
        self.speak(now, heard);
        self.handle_silence(now);
    }

    /// Says something, with the addresses of recordings made absolute. Utterances without sound are skipped.
    pub(in crate::flow) fn speak(&mut self, now: CallTime, heard: Vec<Utterance>) {
        let heard: Vec<Utterance> =
            heard.into_iter().filter(is_audible).map(|utterance| self.located(utterance)).collect();
        if !heard.is_empty() && self.line == LineState::Up {
            let turn = self.voice.begin(now);
            self.actions.push_back(Action::Speak(turn, heard));
        }
    }

    fn located(&self, utterance: Utterance) -> Utterance {
        match (utterance, &self.origin) {
            (Utterance::Play(Play { source: PlaySource::Url(link), times }), Origin::Url(base)) => {
                let link = base.join(&link).map_or(link, String::from);
                Utterance::Play(Play { source: PlaySource::Url(link), times })
            }
            (other, _) => other,
        }
    }

    pub(in crate::flow) fn clear(&mut self) {
        if !self.voice.is_silent() {
            self.voice.clear();
            self.actions.push_back(Action::Clear);
        }
    }

    pub(in crate::flow) fn warn(&mut self, position: Option<Position>, code: u32, message: String) {
        // Every warning comes through here: whatever a document's fault quotes, it holds no keyed number.
        let message = self.masked(&message);
        self.actions.push_back(Action::Warn(Warning { position, code, message }));
    }

    /// The call cannot go on: the caller is told so, and the merchant why.
    pub(super) fn apologize(&mut self, now: CallTime, code: u32, position: Option<Position>, message: String) {
        self.warn(position, code, message);
        let language = Language::EnUs;
        let text = BuiltIn::of(language).sentence("apology").to_owned();
        let say = Say { text, voice: None, language: Some(language.word().to_owned()), times: 1 };
        self.speak(now, vec![Utterance::Say(say)]);
        self.end(Ended::Hangup);
    }
}

fn is_audible(utterance: &Utterance) -> bool {
    match utterance {
        Utterance::Say(say) => !say.text.trim().is_empty(),
        Utterance::Play(Play { source: PlaySource::Digits(keys), .. }) => !keys.is_empty(),
        Utterance::Play(Play { source: PlaySource::Url(link), .. }) => !link.is_empty(),
        Utterance::Pause(pause) => !pause.length.is_zero(),
    }
}

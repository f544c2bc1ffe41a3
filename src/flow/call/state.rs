//! Where a call is, for whoever runs or watches it.

use super::{Call, CallStage};

impl Call {
    /// Whether the call is over: it wants nothing more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, CallStage::Over)
    }

    /// Whether something is being said.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        !self.voice.is_silent()
    }

    /// Whether the next key is taken as it comes and nothing is being said: the moment a caller would press it.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        let listens = match (&self.stage, &self.assisting) {
            (_, Some(assisting)) => assisting.session.is_listening(),
            (CallStage::Gathering { .. }, None) => true,
            (CallStage::Paying(paying), None) => paying.session.is_listening(),
            _ => false,
        };
        listens && self.voice.is_silent()
    }

    /// Whether digits are being entered, so that one that is lost would make another number: a field, a `<Gather>`, or what
    /// was begun ahead of either.
    #[must_use]
    pub fn is_entering(&self) -> bool {
        match (&self.stage, &self.assisting) {
            // An agent's session drops what no capture asked for, so that kept keys do not matter.
            (_, Some(assisting)) => assisting.session.is_capturing(),
            (CallStage::Gathering { .. }, None) => true,
            (CallStage::Paying(paying), None) => paying.session.is_capturing() || !self.keypad.is_empty(),
            (CallStage::Ready | CallStage::Saying | CallStage::Pausing { .. } | CallStage::Fetching { .. }, None) => {
                !self.keypad.is_empty()
            }
            (CallStage::Ending(_) | CallStage::Over, None) => false,
        }
    }

    /// Whether the gateway is being asked.
    #[must_use]
    pub fn is_processing(&self) -> bool {
        let assisted = self.assisting.as_ref().is_some_and(|assisting| assisting.session.is_processing());
        assisted || matches!(&self.stage, CallStage::Paying(paying) if paying.session.is_processing())
    }

    /// Where the call is, in a word or two: for traces and for counting what tests have passed through.
    #[must_use]
    pub fn stage_name(&self) -> &'static str {
        if let Some(assisting) = &self.assisting {
            return assisting.session.phase_name();
        }
        match &self.stage {
            CallStage::Ready => "ready",
            CallStage::Saying => "saying",
            CallStage::Pausing { .. } => "pausing",
            CallStage::Gathering { .. } => "gathering",
            CallStage::Paying(paying) => paying.session.phase_name(),
            CallStage::Fetching { .. } => "fetching",
            CallStage::Ending(_) => "ending",
            CallStage::Over => "over",
        }
    }
}

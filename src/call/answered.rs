//! What comes back to a call from the tasks that it began.

use crate::audio::Clip;
use crate::flow::{FetchId, Fetched, TurnId};
use crate::pay::submission::Reply;
use crate::simulate::tape;

/// Something that came back to the actor.
pub(super) enum Answered {
    /// A turn was rendered.
    Rendered(TurnId, Clip),
    /// The gateway answered.
    Replied(u16, Reply),
    /// A document came, or did not; what it was made of, if it came from the application.
    Fetched(FetchId, Fetched, Option<tape::Source>),
}

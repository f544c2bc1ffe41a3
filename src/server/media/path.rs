//! What the path of a stream says: its dialect, what its call begins with, and what stands behind that.
//!
//! Secrets: the secret of a stream may be in its path.

use serde::Deserialize;

use crate::call::beginning::Beginning;
use crate::secret::Secret;

/// What stands for a flow in the log that there is not: its name could be a secret at the wrong place.
pub(super) const NO_SUCH_FLOW: &str = "(none of that name)";

/// What stands for a flow in a path that ends with a secret and names none.
const NO_FLOW: &str = "~";

/// The parameters of any path of a stream, by their names in its route.
#[derive(Deserialize)]
pub(super) struct StreamPath {
    pub(super) dialect: String,
    flow: Option<String>,
    secret: Option<Secret>,
    expires: Option<String>,
    random: Option<String>,
}

/// What stands behind the flow in a path.
pub(super) enum PathEnding {
    None,
    Secret(Secret),
    /// An expiry and a random value, as they were written.
    Nonce(String, String),
}

impl StreamPath {
    /// The dialect, what the call begins with, and what stands behind it.
    pub(super) fn into_parts(self) -> (String, Beginning, PathEnding) {
        let ending = match (self.secret, self.expires, self.random) {
            (Some(secret), _, _) => PathEnding::Secret(secret),
            (None, Some(expires), Some(random)) => PathEnding::Nonce(expires, random),
            (None, _, _) => PathEnding::None,
        };
        let beginning = match (self.flow, &ending) {
            (None, _) => Beginning::Url,
            (Some(flow), PathEnding::Secret(_) | PathEnding::Nonce(..)) if flow == NO_FLOW => Beginning::Url,
            (Some(flow), _) => Beginning::Flow(flow),
        };
        (self.dialect, beginning, ending)
    }
}

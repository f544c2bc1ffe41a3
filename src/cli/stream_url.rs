//! `touchtone stream-url`: a stream's address that is good for one call.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::CommandFailure;
use crate::config::Config;
use crate::flow::link::is_flow_name;
use crate::media::nonce::AGE_MAX;
use crate::media::upgrade::dialed;

/// How long an address is good where neither the command nor `media.max_age` says.
const VALID: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(super) struct StreamUrl {
    /// The flow; without one the stream's parameter `url` names its document
    #[arg(value_name = "FLOW")]
    flow: Option<String>,
    /// How long it is good (default: media.max_age, else 300)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    valid: Option<u32>,
    /// The configuration file (default: touchtone.toml, if there is one)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl StreamUrl {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let config = Config::load(self.config.as_deref()).map_err(CommandFailure::new)?;
        let flow = match self.flow {
            Some(flow) if !is_flow_name(&flow) => {
                return Err(CommandFailure(format!("{flow} cannot be a flow's name: letters, digits, - and _")));
            }
            Some(flow) => flow,
            None => "~".to_owned(),
        };
        let max_age = config.media.max_age;
        let valid = self.valid.map(|seconds| Duration::from_secs(seconds.into())).or(max_age).unwrap_or(VALID);
        let limit = max_age.unwrap_or(AGE_MAX);
        if valid > limit {
            return Err(CommandFailure(format!(
                "a server takes no address that is good for more than {} s",
                limit.as_secs()
            )));
        }
        // 32 characters of Base64; a server wants 22 at least (`media::nonce`).
        let mut random = [0; 24];
        getrandom::fill(&mut random)
            .map_err(|error| CommandFailure(format!("the system has no random numbers: {error}")))?;
        let now = Timestamp::now();
        let expires = now
            .checked_add(SignedDuration::try_from(valid).map_err(CommandFailure::new)?)
            .map_err(CommandFailure::new)?;
        let path = format!("/media/twilio/{flow}/{}/{}", expires.as_second(), URL_SAFE_NO_PAD.encode(random));
        let public_url =
            config.dialed().ok_or_else(|| CommandFailure("set public_url to what the platform dials".to_owned()))?;
        println!("{}", dialed(&public_url, &path).map_err(CommandFailure::new)?);
        Ok(true)
    }
}

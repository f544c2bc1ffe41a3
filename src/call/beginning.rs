//! What a stream's call begins with: a flow that its path names, or a document at a URL that its parameters name.
//!
//! Errors:  [`NoUrl`] for a stream that names neither. A URL that is not allowed is no such error: its caller is apologized
//!          to, as with a document that cannot be had.

use std::collections::BTreeMap;

use super::services::{CallSettings, DocumentServices};
use crate::flow::First;
use crate::flow::flow_urls;
use crate::form::Value;
use crate::simulate::tape;

/// The custom parameter that names the document of a stream whose path names no flow.
pub const URL: &str = "url";

/// Where the first document of a stream's call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// In the flows folder, under this name.
    Flow(String),
    /// At the URL in the custom parameter [`URL`].
    Url,
}

/// The stream names no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the start message has no custom parameter named url, and the path names no flow")]
pub struct NoUrl;

impl Beginning {
    /// The flow's name in logs; `(url)` for a document that the stream has yet to name.
    #[must_use]
    pub fn flow(&self) -> &str {
        match self {
            Self::Flow(name) => name,
            Self::Url => "(url)",
        }
    }

    /// The same, for who takes the call down.
    #[must_use]
    pub fn taken_down(&self, parameters: &BTreeMap<String, Value>) -> tape::FirstDocument {
        match self {
            Self::Flow(name) => tape::FirstDocument::Flow(name.clone()),
            Self::Url => {
                tape::FirstDocument::Url(parameters.get(URL).map(Value::expose).unwrap_or_default().to_owned())
            }
        }
    }

    /// What the call machine begins with.
    ///
    /// # Errors
    /// [`NoUrl`].
    pub async fn first(
        &self,
        documents: &DocumentServices,
        settings: &CallSettings,
        parameters: &BTreeMap<String, Value>,
    ) -> Result<First, NoUrl> {
        match self {
            Self::Flow(name) => Ok(documents.library.fetch(name.clone(), parameters.clone()).await.into()),
            Self::Url => {
                let url = parameters.get(URL).map(Value::expose).filter(|url| !url.trim().is_empty()).ok_or(NoUrl)?;
                Ok(flow_urls::first(url, &settings.flow_urls, settings.plain_http))
            }
        }
    }
}

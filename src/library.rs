//! The flow documents of a folder: read, rendered, parsed.
//!
//! Shape:   [`Library::load`] gives the call machine its next document.
//! Errors:  [`FetchFailure`]: no such flow (with the ones there are), a template or document fault with its place.
//! Secrets: parameters are shown to the template only; errors name them, never their values.
#![allow(clippy::disallowed_methods, reason = "it reads files, on threads that may be held up")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::blocking;
use crate::flow::link::{Origin, is_flow_name};
use crate::flow::{FetchFailure, NextDocument};
use crate::form::Value;
use crate::mask::refused;
use crate::twiml;
use crate::twiml::encoding::decode;

/// A folder of flow documents. Files are read when they are needed, so an edit counts for the next call: what reads them
/// blocks.
#[derive(Clone, Debug)]
pub struct Library {
    folder: PathBuf,
}

impl Library {
    /// The documents of `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The names of all flows, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        blocking::assert_allowed();
        // A folder that is not there has no flows.
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "xml") && path.is_file())
            .filter_map(|path| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned))
            .filter(|name| is_flow_name(name))
            .collect();
        names.sort();
        names
    }

    /// Whether there is a flow of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        blocking::assert_allowed();
        is_flow_name(name) && self.path(name).is_file()
    }

    /// The file of a flow.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.xml"))
    }

    /// The template of a flow as it is in its file.
    ///
    /// # Errors
    /// When there is no such flow or its file cannot be read.
    pub fn source(&self, name: &str) -> Result<String, FetchFailure> {
        blocking::assert_allowed();
        if !self.contains(name) {
            let known = self.names();
            let hint = if known.is_empty() {
                format!("the folder {} has no flow documents", self.folder.display())
            } else {
                format!("there are {}", known.join(", "))
            };
            return Err(FetchFailure::not_retrieved(format!("there is no flow named {}; {hint}", refused(name))));
        }
        let path = self.path(name);
        // Looked at before it is read: the folder may hold anything.
        let too_long = std::fs::metadata(&path).is_ok_and(|file| file.len() > twiml::SIZE_MAX as u64);
        if too_long {
            let message = format!("{}: longer than {} bytes", path.display(), twiml::SIZE_MAX);
            return Err(FetchFailure::not_readable(message));
        }
        let bytes = std::fs::read(&path)
            .map_err(|error| FetchFailure::not_retrieved(format!("{}: {error}", path.display())))?;
        decode(&bytes, None).map_err(|fault| FetchFailure::not_readable(format!("{}: {fault}", path.display())))
    }

    /// A flow, rendered with `parameters` and parsed.
    ///
    /// # Errors
    /// When it cannot be had or read, with file, line and column.
    pub fn load(&self, name: &str, parameters: &BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure> {
        read_flow(&self.path(name).display().to_string(), name, &self.source(name)?, parameters)
    }

    /// As [`Self::load`], for who must not be held up by a disk or a template.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn fetch(&self, name: String, parameters: BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure> {
        let library = self.clone();
        blocking::run(move || library.load(&name, &parameters))
            .await
            .unwrap_or_else(|_| Err(FetchFailure::not_readable("reading the flow broke down")))
    }

    /// As [`Self::contains`], for who must not be held up by a disk.
    pub async fn has(&self, name: &str) -> bool {
        let (library, name) = (self.clone(), name.to_owned());
        blocking::run(move || library.contains(&name)).await.unwrap_or(false)
    }
}

/// Renders and parses the source of a flow; faults are placed in `file`.
///
/// # Errors
/// When it cannot be rendered or read.
pub fn read_flow(
    file: &str,
    name: &str,
    source: &str,
    parameters: &BTreeMap<String, Value>,
) -> Result<NextDocument, FetchFailure> {
    let plain: BTreeMap<&str, &str> = parameters.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let failure = |fault: twiml::Fault| FetchFailure::not_readable(format!("{file}:{fault}"));
    let text = twiml::template::render(name, source, &plain).map_err(failure)?;
    let document = twiml::parse_rendered(&text).map_err(failure)?;
    Ok(NextDocument { document, origin: Origin::Flow(name.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twiml::Verb;

    #[test]
    fn a_flow_is_read_in_the_encoding_that_its_file_names() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(folder.path());
        let text = "<Response><Say>Grüße, {{ name }}</Say></Response>";
        let latin = format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{text}");
        let latin: Vec<u8> = latin.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        let utf_16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        let parameters = BTreeMap::from([("name".to_owned(), Value::from("Zoë"))]);
        for (name, bytes) in [("latin", &latin[..]), ("wide", &utf_16), ("plain", text.as_bytes())] {
            std::fs::write(folder.path().join(format!("{name}.xml")), bytes).unwrap();
            let document = library.load(name, &parameters).unwrap().document;
            let Verb::Say(say) = &document.verbs[0].item else { panic!("{name}: {document:?}") };
            assert_eq!(say.text, "Grüße, Zoë", "{name}");
        }
        std::fs::write(folder.path().join("broken.xml"), b"<Response>\xfc</Response>").unwrap();
        let failure = library.load("broken", &parameters).unwrap_err();
        assert!(failure.message.contains("broken.xml: byte 11 is not UTF-8"), "{failure}");
    }
}

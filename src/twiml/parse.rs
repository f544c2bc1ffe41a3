//! Reads a document: from text to elements ([`tree`]), from elements to verbs ([`verbs`]).
//!
//! Shape:   three ways in, which differ in what is judged and quoted ([`Manner`]).
//! Limits:  [`SIZE_MAX`] bytes, [`DEPTH_MAX`] elements deep; one pass over the text, so time grows with its length only.
//! Errors:  a [`Fault`] for what cannot be read at all; everything else is in [`Document::faults`].
//! Sources: W3C, "Extensible Markup Language (XML) 1.0 (Fifth Edition)".

use super::place::START;
use super::{Document, Fault};

mod judge;
mod speech;
mod tree;
mod verbs;

pub(super) use tree::is_xml_character;

/// The longest document, in bytes: what Twilio takes.
pub const SIZE_MAX: usize = 64 * 1024;

/// The deepest nesting, `<Response>` being 1. Chosen by us: TwiML has 4 levels, SSML in them a few more.
pub const DEPTH_MAX: usize = 16;

/// How a document came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As somebody wrote it: judged, and quoted in messages.
    Plain,
    /// As [`super::template::check_view`] made it: what contains `{{` is not judged, and both branches of a condition
    /// are there.
    View,
    /// As [`super::template::render`] made it: judged, but its values may be secrets and are quoted nowhere.
    Rendered,
}

/// Reads a document as somebody sent it. Messages quote its values.
///
/// # Errors
/// The [`Fault`] that makes it unreadable: empty, too long, too deep, not well-formed, a document type declaration, or
/// no `<Response>`.
pub fn parse(source: &str) -> Result<Document, Fault> {
    read(source, Manner::Plain)
}

/// Reads a document that [`super::template::render`] made: like [`parse`], but no message quotes an attribute's value,
/// for it may be what a caller keyed. Places are those of the rendered text.
///
/// # Errors
/// As [`parse`].
pub fn parse_rendered(source: &str) -> Result<Document, Fault> {
    read(source, Manner::Rendered)
}

/// Reads a view that [`super::template::check_view`] made of a template: like [`parse`], but a value that contains `{{`
/// is not judged (its verb has the default), and what the branches of a condition may write only once in one document
/// may stand there more often: attributes and `<Response>` itself. An element must begin and end in the same branch.
///
/// # Errors
/// As [`parse`].
pub fn parse_view(source: &str) -> Result<Document, Fault> {
    read(source, Manner::View)
}

fn read(source: &str, manner: Manner) -> Result<Document, Fault> {
    if source.len() > SIZE_MAX {
        let message = format!("the document is {} bytes long; at most {SIZE_MAX} are read", source.len());
        return Err(Fault::error(START, message));
    }
    let roots = tree::read(source, manner)?;
    Ok(verbs::document(roots, manner))
}

#[cfg(test)]
mod tests;

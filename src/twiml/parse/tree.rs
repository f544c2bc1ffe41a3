//! Text to elements with their places: XML, and nothing of TwiML but the name of the root.
//!
//! Shape:   [`read`]. quick-xml finds the markup; what it leaves unchecked (names, blanks between attributes, characters
//!          XML does not have) is checked here.
//! Limits:  [`super::DEPTH_MAX`]. No document type declaration: the only entities are XML's own five.
//! Sources: W3C, XML 1.0 (Fifth Edition); the numbers at the checks are its productions and constraints.

use quick_xml::errors::{Error as XmlError, IllFormedError};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::AttrError;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::super::place::{PlaceFinder, START};
use super::super::{Attribute, Fault, Position};
use super::judge::{did_you_mean, shown};
use super::{DEPTH_MAX, Manner};

/// The name of a document's root.
const ROOT: &str = "Response";

/// What a document without one is told.
const EMPTY: &str = "an empty document: expected <Response>";

/// An element as written.
#[derive(Debug)]
pub(super) struct Element {
    /// Where its `<` is.
    pub(super) position: Position,
    /// Its name, with a prefix if it has one.
    pub(super) name: String,
    /// Its attributes in order.
    pub(super) attributes: Vec<Attribute>,
    /// What is in it.
    pub(super) children: Vec<Node>,
}

/// A part of an element's content.
#[derive(Debug)]
pub(super) enum Node {
    /// An element.
    Element(Element),
    /// Text, references resolved and CDATA included, with the place of its first character that is not blank.
    Text(Position, String),
}

/// The root, or in a [`Manner::View`] none or several.
pub(super) fn read(source: &str, manner: Manner) -> Result<Vec<Element>, Fault> {
    // A byte order mark belongs to the file, not to the document, and has no column.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut tree = Tree { source, places: PlaceFinder::new(source), manner, open: Vec::new(), roots: Vec::new() };
    if let Some((offset, character)) = source.char_indices().find(|(_, character)| !is_xml_character(*character)) {
        return tree.fail(offset, format!("the character U+{:04X} cannot stand in XML", u32::from(character)));
    }
    // The reader would pass over this second mark and report every later place too early.
    if source.starts_with('\u{feff}') {
        return tree.fail(0, format!("expected <{ROOT}>, found a second byte order mark"));
    }
    tree.read()?;
    Ok(tree.roots)
}

/// What has been read so far.
struct Tree<'s> {
    source: &'s str,
    places: PlaceFinder<'s>,
    manner: Manner,
    open: Vec<Element>,
    roots: Vec<Element>,
}

impl Tree<'_> {
    fn read(&mut self) -> Result<(), Fault> {
        let mut reader = Reader::from_str(self.source);
        loop {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            match reader.read_event() {
                Ok(Event::Start(tag)) => self.open(at, &tag)?,
                Ok(Event::Empty(tag)) => {
                    self.open(at, &tag)?;
                    self.close();
                }
                Ok(Event::End(_)) => self.close(),
                Ok(Event::Text(text)) => self.text(at, &text)?,
                Ok(Event::CData(text)) => self.cdata(at, &text)?,
                Ok(Event::GeneralRef(reference)) => self.reference(at, &reference)?,
                Ok(Event::Comment(comment)) => {
                    // [15]: `--` does not occur, so neither does `--->`.
                    if comment.contains("--") || comment.ends_with('-') {
                        return self.fail(at, "a comment cannot contain -- before its end");
                    }
                }
                Ok(Event::Decl(declaration)) => self.declaration(at, &declaration)?,
                Ok(Event::PI(instruction)) => {
                    // [17]: any name but `xml`.
                    if !is_name(instruction.target()) || instruction.target().eq_ignore_ascii_case("xml") {
                        return self.fail(at, "<? is not followed by the name of a processing instruction");
                    }
                }
                Ok(Event::DocType(_)) => return self.document_type(at),
                Ok(Event::Eof) => break,
                Err(error) => return self.unreadable(at, &error),
            }
        }
        if let Some(element) = self.open.last() {
            return Err(Fault::error(element.position, format!("<{}> is never closed", shown(&element.name))));
        }
        // A view may stand for a template that writes the whole document in an expression.
        if self.roots.is_empty() && !(self.manner == Manner::View && self.source.contains("{{")) {
            return Err(Fault::error(START, EMPTY));
        }
        Ok(())
    }

    fn fail<T>(&mut self, offset: usize, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::error(self.places.at(offset), message))
    }

    fn document_type<T>(&mut self, at: usize) -> Result<T, Fault> {
        self.fail(at, "a document type declaration (<!DOCTYPE ...>) is not accepted: TwiML has none")
    }

    fn declaration(&mut self, at: usize, declaration: &BytesDecl<'_>) -> Result<(), Fault> {
        if at != 0 {
            return self.fail(at, "<?xml ...?> stands at the very beginning of a document or not at all");
        }
        match declaration.version() {
            // [26]: later versions are read as this one.
            Ok(version) if version.strip_prefix("1.").is_some_and(|minor| minor.parse::<u8>().is_ok()) => Ok(()),
            _ => self.fail(at, "<?xml ...?> begins with version=\"1.0\""),
        }
    }

    /// A start tag at `at`.
    fn open(&mut self, at: usize, tag: &BytesStart<'_>) -> Result<(), Fault> {
        let position = self.places.at(at);
        let name = tag.name().into_inner();
        if !self.accepts_name(name) {
            return Err(Fault::error(position, "< is not followed by an element's name; a plain < is written &lt;"));
        }
        if self.open.is_empty() {
            if !self.roots.is_empty() && self.manner != Manner::View {
                let message = format!("nothing may follow </{ROOT}>, but <{}> does", shown(name));
                return Err(Fault::error(position, message));
            }
            // In a view an expression may write the root.
            if name != ROOT && !self.is_unjudged(name) {
                let hint = did_you_mean(name, &[ROOT]);
                let message = format!("expected <{ROOT}>, found <{}>{hint}", shown(name));
                return Err(Fault::error(position, message));
            }
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Fault::error(position, format!("elements are nested more than {DEPTH_MAX} deep")));
        }
        let attributes = self.attributes(at, name, tag)?;
        self.open.push(Element { position, name: name.to_owned(), attributes, children: Vec::new() });
        Ok(())
    }

    /// The end of the innermost element; the reader has compared the names.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.roots.push(element),
        }
    }

    fn attributes(&mut self, at: usize, element: &str, tag: &BytesStart<'_>) -> Result<Vec<Attribute>, Fault> {
        let element = shown(element);
        let mut attributes = tag.attributes();
        // Both branches of a condition may write the same attribute.
        attributes.with_checks(self.manner != Manner::View);
        let mut found = Vec::new();
        for attribute in attributes {
            let attribute = match attribute {
                Ok(attribute) => attribute,
                Err(error) => {
                    let (offset, message) = attribute_fault(&element, &error);
                    // The reader counts from behind the `<`.
                    return self.fail(at.saturating_add(offset).saturating_add(1), message);
                }
            };
            let name = attribute.key.into_inner();
            let offset = offset_in(self.source, name);
            if !self.accepts_name(name) {
                // Of a rendered document, even this may be a value.
                let found = match self.manner {
                    Manner::Rendered => "something else".to_owned(),
                    Manner::Plain | Manner::View => format!("\"{}\"", shown(name)),
                };
                return self.fail(offset, format!("<{element}>: expected the name of an attribute, found {found}"));
            }
            // [40]: blanks before each attribute.
            if !self.source.get(..offset).is_some_and(|before| before.ends_with(is_blank)) {
                return self.fail(offset, format!("<{element}>: a blank belongs before the attribute {}", shown(name)));
            }
            let position = self.places.at(offset);
            let value = self.value(&element, offset_in(self.source, &attribute.value), &attribute.value)?;
            found.push(Attribute { position, name: name.to_owned(), value });
        }
        Ok(found)
    }

    /// An attribute's value at `at`: references resolved, each blank a plain one (section 3.3.3).
    fn value(&mut self, element: &str, at: usize, raw: &str) -> Result<String, Fault> {
        let mut value = String::with_capacity(raw.len());
        let mut characters = raw.char_indices().peekable();
        while let Some((offset, character)) = characters.next() {
            match character {
                '<' => {
                    let message = format!("<{element}>: < in an attribute's value is written &lt;");
                    return self.fail(at.saturating_add(offset), message);
                }
                '&' => {
                    let name = raw.get(offset.saturating_add(1)..).and_then(|rest| rest.split_once(';'));
                    let Some((name, _)) = name else {
                        return self.fail(at.saturating_add(offset), UNCLOSED_REFERENCE);
                    };
                    match self.resolve(name) {
                        Ok(character) => value.push(character),
                        Err(message) => return self.fail(at.saturating_add(offset), message),
                    }
                    let end = offset.saturating_add(name.len()).saturating_add(1);
                    while characters.next_if(|(offset, _)| *offset <= end).is_some() {}
                }
                '\r' => {
                    // A carriage return and a line feed are one line end (section 2.11).
                    characters.next_if(|(_, next)| *next == '\n');
                    value.push(' ');
                }
                '\n' | '\t' => value.push(' '),
                other => value.push(other),
            }
        }
        Ok(value)
    }

    /// The character that `&name;` stands for, or what is wrong with it.
    fn resolve(&self, name: &str) -> Result<char, String> {
        // In a rendered document the name may be made of a value.
        let quoted = if self.manner == Manner::Rendered { String::new() } else { format!(" (&{};)", shown(name)) };
        if name.starts_with('#') {
            return match BytesRef::new(name).resolve_char_ref() {
                Ok(Some(character)) if is_xml_character(character) => Ok(character),
                _ => Err(format!("this is not the number of a character in XML{quoted}")),
            };
        }
        resolve_predefined_entity(name).and_then(|text| text.chars().next()).ok_or_else(|| {
            format!("only &amp; &lt; &gt; &quot; &apos; and numbers as in &#233; are known here{quoted}")
        })
    }

    fn text(&mut self, at: usize, text: &str) -> Result<(), Fault> {
        // [14]: `]]>` ends CDATA only.
        if let Some(offset) = text.find("]]>") {
            return self.fail(at.saturating_add(offset), "]]> in text is written ]]&gt;");
        }
        self.append(at, text)
    }

    fn cdata(&mut self, at: usize, text: &str) -> Result<(), Fault> {
        if self.open.is_empty() {
            return self.outside(at);
        }
        self.append(at.saturating_add("<![CDATA[".len()), text)
    }

    fn reference(&mut self, at: usize, name: &str) -> Result<(), Fault> {
        if self.open.is_empty() {
            return self.outside(at);
        }
        match self.resolve(name) {
            Ok(character) => self.append(at, character.encode_utf8(&mut [0; 4])),
            Err(message) => self.fail(at, message),
        }
    }

    /// Adds text that is at `at` to what is open, joining it with the text before it.
    fn append(&mut self, at: usize, text: &str) -> Result<(), Fault> {
        let solid = text.find(|character| !is_blank(character));
        let position = self.places.at(at.saturating_add(solid.unwrap_or(0)));
        let Some(parent) = self.open.last_mut() else {
            return if solid.is_some() && !self.is_unjudged(text) {
                self.outside(at.saturating_add(solid.unwrap_or(0)))
            } else {
                Ok(())
            };
        };
        if let Some(Node::Text(begin, before)) = parent.children.last_mut() {
            if before.chars().all(is_blank) {
                *begin = position;
            }
            before.push_str(text);
        } else {
            parent.children.push(Node::Text(position, text.to_owned()));
        }
        Ok(())
    }

    /// Text before or behind the root.
    fn outside<T>(&mut self, at: usize) -> Result<T, Fault> {
        let message = if self.roots.is_empty() {
            format!("expected <{ROOT}>, found text")
        } else {
            format!("nothing may follow </{ROOT}>, but text does")
        };
        self.fail(at, message)
    }

    /// The fault for markup at `at` that the reader cannot make sense of.
    fn unreadable<T>(&mut self, at: usize, error: &XmlError) -> Result<T, Fault> {
        let rest = self.source.get(at..).unwrap_or_default();
        // A declaration that breaks off is an error of the reader and no event.
        if rest.get(..9).is_some_and(|begin| begin.eq_ignore_ascii_case("<!doctype")) {
            return self.document_type(at);
        }
        let message = match error {
            XmlError::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
                let opened = self.open.last().map_or(START, |element| element.position);
                let hint = match self.manner {
                    Manner::View => " (an element must begin and end in the same branch of a condition)",
                    Manner::Plain | Manner::Rendered => "",
                };
                let (expected, found) = (shown(expected), shown(found));
                format!("expected </{expected}>, which closes the <{expected}> of {opened}, found </{found}>{hint}")
            }
            XmlError::IllFormed(IllFormedError::UnmatchedEndTag(name)) => {
                format!("</{}> closes nothing", shown(name))
            }
            XmlError::IllFormed(IllFormedError::UnclosedReference) => UNCLOSED_REFERENCE.to_owned(),
            _ if rest.starts_with("<!--") => "this comment is never closed: --> is missing".to_owned(),
            _ if rest.starts_with("<![CDATA[") => "this CDATA is never closed: ]]> is missing".to_owned(),
            _ if rest.starts_with("<!") => "<! is neither a comment (<!--) nor CDATA (<![CDATA[)".to_owned(),
            _ if rest.starts_with("<?") => "this processing instruction is never closed: ?> is missing".to_owned(),
            _ => "this tag is never closed: its > is missing, or the quote behind an attribute's value".to_owned(),
        };
        self.fail(at, message)
    }

    /// Whether `text` is, in a view, made by a template's expression.
    fn is_unjudged(&self, text: &str) -> bool {
        self.manner == Manner::View && text.contains("{{")
    }

    fn accepts_name(&self, name: &str) -> bool {
        is_name(name) || self.is_unjudged(name)
    }
}

const UNCLOSED_REFERENCE: &str = "& begins a reference such as &amp; but no ; ends it; a plain & is written &amp;";

/// Where and what is wrong with an attribute, counted as the reader does.
fn attribute_fault(element: &str, error: &AttrError) -> (usize, String) {
    match error {
        AttrError::ExpectedEq(offset) => (*offset, format!("<{element}>: an attribute is written name=\"value\"")),
        AttrError::ExpectedValue(offset) => (*offset, format!("<{element}>: an attribute's value is missing")),
        AttrError::UnquotedValue(offset) => {
            (*offset, format!("<{element}>: an attribute's value is written in quotes"))
        }
        AttrError::ExpectedQuote(offset, _) => {
            (*offset, format!("<{element}>: the quote behind an attribute's value is missing"))
        }
        AttrError::Duplicated(offset, _) => (*offset, format!("<{element}> has the same attribute twice")),
    }
}

/// Where `part`, a slice of `whole`, begins in it. The reader hands out slices of its source and not their offsets.
fn offset_in(whole: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(whole.as_ptr().addr())
}

/// Production 3
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Production 2
pub(in super::super) fn is_xml_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Production 5
fn is_name(text: &str) -> bool {
    text.starts_with(is_name_start) && text.chars().all(|character| is_name_start(character) || is_name_more(character))
}

/// Production 4
fn is_name_start(character: char) -> bool {
    matches!(character,
        ':' | 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// Production 4a, besides production 4.
fn is_name_more(character: char) -> bool {
    matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

//! Flow documents are minijinja templates: rendered with a call's parameters before they are parsed.
//!
//! Shape:   [`render`] for a call; [`check_view`] for `touchtone check`, which has no parameters.
//! Limits:  [`SIZE_MAX`] bytes of template and of rendered text; `FUEL` steps and `RECURSION_MAX` levels, so that no
//!          template runs for ever; those of `view`, so that none ends the stack. The text that expressions build in
//!          between is not limited: a flow document is its operator's own, only the parameters are strangers'.
//! Errors:  a [`Fault`] at the place in the template.
//! Secrets: a parameter may be what a caller keyed. Values go to the rendered text and nowhere else: no message has one.
//! Sources: minijinja's documentation; Jinja2, "Template Designer Documentation".

use std::collections::BTreeMap;
use std::io;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::parse::is_xml_character;
use super::place::{PlaceFinder, START};
use super::{Fault, Position, SIZE_MAX};

mod view;

/// The most steps of a rendering. Chosen arbitrarily: a document of [`SIZE_MAX`] bytes of nothing but `{{ x }}` needs
/// 30,000.
const FUEL: u64 = 50_000;

/// The deepest nesting of loops, conditions and macro calls while rendering. Chosen by us: far more than a document
/// needs, far less than a thread's stack holds.
const RECURSION_MAX: usize = 64;

/// What `{% include %}` and its kind are told.
const NO_OTHER_TEMPLATE: &str = "a flow document cannot use other templates";

/// Renders a flow document: `name` is the flow's, `source` its text, `parameters` the call's.
///
/// Values are escaped for XML, also where a filter or macro made them. A parameter that is missing and has no
/// `| default(...)` is an error, except as a condition, where it is false.
///
/// # Errors
/// A [`Fault`] at its place in `source`: a syntax error, a missing parameter, an expression that cannot be worked out,
/// or a template that runs or writes too long. It repeats no value.
pub fn render(name: &str, source: &str, parameters: &BTreeMap<&str, &str>) -> Result<String, Fault> {
    let (source, _) = readable(source)?;
    let environment = environment();
    let template = environment.template_from_named_str(name, source).map_err(|error| fault(source, &error))?;
    let context = Value::from_pairs(parameters.iter().map(|(name, value)| (*name, *value)));
    let mut rendered = BoundedText(Vec::new());
    template.render_captured_to(context, &mut rendered).map_err(|error| fault(source, &error))?;
    String::from_utf8(rendered.0).map_err(|_| Fault::error(START, "the rendered document is not UTF-8"))
}

/// What [`super::parse_view`] can judge of a template without parameters: statements, comments and the bodies of macros
/// are blanks, an expression is a stand-in that begins with `{{` and ends with `}}`, and so is a statement inside an
/// attribute's value. Every character that remains is at the line and column that it has in `source`.
///
/// # Errors
/// A [`Fault`] at its place in `source`: a syntax error, a filter or test that there is none of, a tag that asks for
/// another template, or a template that is too long.
pub fn check_view(source: &str) -> Result<String, Fault> {
    let (source, pieces) = readable(source)?;
    let environment = environment();
    // minijinja says what is wrong with a template; the pieces know only where tags begin and end.
    environment.template_from_str(source).map_err(|error| fault(source, &error))?;
    let pieces =
        pieces.ok_or_else(|| Fault::error(START, "the template cannot be read: a tag in it is never closed"))?;
    if let Some((offset, keyword)) = pieces.iter().find_map(view::TemplatePiece::other_template) {
        return Err(Fault::error(
            PlaceFinder::new(source).at(offset),
            format!("{{% {keyword} %}}: {NO_OTHER_TEMPLATE}"),
        ));
    }
    for (offset, kind, name) in pieces.iter().flat_map(view::TemplatePiece::names_used) {
        if !knows(&environment, kind, name) {
            let message = format!("there is no {} {name} in templates", kind.word());
            return Err(Fault::error(PlaceFinder::new(source).at(offset), message));
        }
    }
    Ok(view::of(&pieces))
}

/// `source` without its byte order mark, unless it passes a limit, and its pieces, unless minijinja will refuse it.
fn readable(source: &str) -> Result<(&str, Option<Vec<view::TemplatePiece<'_>>>), Fault> {
    if source.len() > SIZE_MAX {
        let message = format!("the document is {} bytes long; at most {SIZE_MAX} are read", source.len());
        return Err(Fault::error(START, message));
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    match view::pieces(source) {
        Ok(pieces) => Ok((source, Some(pieces))),
        Err(unreadable) => match unreadable.limit() {
            Some((offset, message)) => Err(Fault::error(PlaceFinder::new(source).at(offset), message)),
            None => Ok((source, None)),
        },
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // A missing parameter is an error, except in a condition (spec/interface.md, "Flow documents").
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    // So that an error knows which parameter is missing. What else it then knows, values among it, is never printed.
    environment.set_debug(true);
    // Text that is captured (macros, `{% set %}` blocks) counts as escaped; `escaped` does the escaping.
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(escaped);
    // A parameter is never markup, and never printed by accident.
    environment.remove_filter("safe");
    environment.remove_global("debug");
    environment
}

/// Writes a value so that XML reads it as it is, in text and in attributes, blanks and line ends included. Characters
/// that XML does not have become blanks.
fn escaped(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let owned;
    let text = match value.as_str() {
        Some(text) => text,
        None => {
            owned = value.to_string();
            &owned
        }
    };
    if value.is_safe() {
        return Ok(out.write_str(text)?);
    }
    for character in text.chars() {
        match character {
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '&' => out.write_str("&amp;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&apos;")?,
            // Written as they are, XML would make blanks of them in attributes (section 3.3.3).
            '\t' | '\n' | '\r' => write!(out, "&#{};", u32::from(character))?,
            _ if is_xml_character(character) => out.write_str(character.encode_utf8(&mut [0; 4]))?,
            _ => out.write_str(" ")?,
        }
    }
    Ok(())
}

/// Whether there is a filter or test of this name.
fn knows(environment: &Environment<'_>, kind: view::HelperKind, name: &str) -> bool {
    // The template language can be asked itself; the name holds letters, digits and underscores only.
    environment
        .compile_expression_owned(format!("'{name}' is {}", kind.word()))
        .and_then(|question| question.eval(()))
        .is_ok_and(|answer| answer.is_true())
}

/// The rendered text, no more than [`SIZE_MAX`] bytes of it.
struct BoundedText(Vec<u8>);

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > SIZE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fault for what the template engine reports. Its words are passed on only where they can be about nothing but
/// the template itself; everything else may repeat a value.
fn fault(source: &str, error: &Error) -> Fault {
    let position = match (error.range(), error.line()) {
        (Some(range), _) => PlaceFinder::new(source).at(range.start),
        (None, Some(line)) => Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 },
        (None, None) => START,
    };
    let words = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let message = match error.kind() {
        ErrorKind::UndefinedError => missing(&words),
        ErrorKind::SyntaxError | ErrorKind::BadEscape => format!("the template cannot be read: {words}"),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction => {
            format!("{words} in templates")
        }
        ErrorKind::TemplateNotFound => NO_OTHER_TEMPLATE.to_owned(),
        ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        ErrorKind::WriteFailure => format!("the rendered document is longer than {SIZE_MAX} bytes"),
        kind => format!("an expression of the template cannot be worked out: {kind}"),
    };
    Fault::error(position, message)
}

/// The message for a missing parameter, which the engine's `detail` names as "`name` is undefined".
fn missing(detail: &str) -> String {
    let named = detail.split_once("` is undefined").and_then(|(before, _)| before.rsplit_once('`'));
    match named {
        Some((_, name)) if name.chars().all(|character| character.is_alphanumeric() || character == '_') => {
            format!("the parameter {name} is missing; {{{{ {name} | default(\"...\") }}}} does without it")
        }
        Some((_, expression)) => format!("{expression} is missing"),
        None => "a value is missing".to_owned(),
    }
}

#[cfg(test)]
mod tests;

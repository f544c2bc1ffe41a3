//! A template taken apart into text and tags, and put together again without its logic.
//!
//! Shape:   [`pieces`] agrees with minijinja's lexer on where tags begin and end, up to the first thing that minijinja
//!          refuses; [`of`] makes the view. The tests hold both against minijinja itself.
//! Limits:  [`TOKENS_MAX`], [`STATEMENTS_MAX`].
//! Units:   offsets in bytes of the source.

/// The most words and signs in one tag, and the most statements in one template. Chosen by us, far above what a document
/// needs: minijinja works and drops long chains (`a.b.c ...`, `{% elif %}`) by recursion, which ends with the stack.
const TOKENS_MAX: usize = 500;
const STATEMENTS_MAX: usize = 500;

/// A stretch of a template; all of them together are the template.
#[derive(Debug)]
pub(super) struct TemplatePiece<'s> {
    shape: Shape,
    text: &'s str,
    tokens: Vec<Token<'s>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Written as it is.
    Text,
    /// `{{ ... }}`
    Expression,
    /// `{% ... %}`
    Statement,
    /// `{# ... #}`
    Comment,
}

/// What matters of a tag's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'s> {
    /// A name, keyword or number, and its offset.
    Word(usize, &'s str),
    /// A string.
    String,
    /// Any other character, and how many brackets are open before it.
    Mark(char, u32),
}

/// What kind of helper a name in an expression names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelperKind {
    /// `| name`
    Filter,
    /// `is name`
    Test,
}

impl HelperKind {
    /// Its name, in messages as in the template language.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Test => "test",
        }
    }
}

/// Why a template cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnreadableTemplate {
    /// A tag is never closed, or its brackets do not match: minijinja refuses it too, and says why.
    Broken,
    /// The tag at this offset has more than [`TOKENS_MAX`] words and signs.
    LongTag(usize),
    /// The statement at this offset is the first after [`STATEMENTS_MAX`].
    ManyStatements(usize),
}

impl UnreadableTemplate {
    /// The offset and the words for a limit that is passed.
    pub(super) fn limit(self) -> Option<(usize, String)> {
        match self {
            Self::Broken => None,
            Self::LongTag(offset) => Some((offset, format!("this tag has more than {TOKENS_MAX} words and signs"))),
            Self::ManyStatements(offset) => {
                Some((offset, format!("the template has more than {STATEMENTS_MAX} {{% ... %}}")))
            }
        }
    }
}

impl<'s> TemplatePiece<'s> {
    /// A stretch in which no tokens were looked for.
    fn bare(shape: Shape, text: Option<&'s str>) -> Self {
        Self { shape, text: text.unwrap_or_default(), tokens: Vec::new() }
    }

    /// The filters and tests that a tag names, with their offsets.
    pub(super) fn names_used(&self) -> impl Iterator<Item = (usize, HelperKind, &'s str)> {
        // `{% filter name %}` names a filter without a bar.
        let block = matches!(self.statement(), Some("filter"));
        let starts = self.tokens.iter().copied().enumerate();
        starts.filter_map(move |(index, token)| {
            let (kind, mut next) = match token {
                Token::Mark('|', _) => (HelperKind::Filter, index.saturating_add(1)),
                Token::Word(_, "filter") if block && index == 0 => (HelperKind::Filter, 1),
                Token::Word(_, "is") => (HelperKind::Test, index.saturating_add(1)),
                _ => return None,
            };
            if kind == HelperKind::Test && matches!(self.tokens.get(next), Some(Token::Word(_, "not"))) {
                next = next.saturating_add(1);
            }
            match self.tokens.get(next) {
                Some(Token::Word(offset, name)) => Some((*offset, kind, *name)),
                _ => None,
            }
        })
    }

    /// The keyword, with its offset, of a statement that asks for another template.
    pub(super) fn other_template(&self) -> Option<(usize, &'s str)> {
        match (self.shape, self.tokens.first()) {
            (Shape::Statement, Some(Token::Word(offset, word @ ("include" | "import" | "from" | "extends")))) => {
                Some((*offset, word))
            }
            _ => None,
        }
    }

    /// The keyword of a statement.
    fn statement(&self) -> Option<&'s str> {
        match (self.shape, self.tokens.first()) {
            (Shape::Statement, Some(Token::Word(_, word))) => Some(word),
            _ => None,
        }
    }

    /// How many more (1) or fewer (-1) bodies are open behind a statement whose text is not written where it stands:
    /// `{% macro %}` and a `{% set %}` without a value.
    fn hides(&self) -> i32 {
        match self.statement() {
            Some("macro") => 1,
            Some("endmacro" | "endset") => -1,
            Some("set") if !self.tokens.contains(&Token::Mark('=', 0)) => 1,
            _ => 0,
        }
    }
}

/// `source` in pieces.
pub(super) fn pieces(source: &str) -> Result<Vec<TemplatePiece<'_>>, UnreadableTemplate> {
    let mut pieces: Vec<TemplatePiece<'_>> = Vec::new();
    let mut statements = 0_usize;
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let begin = at.saturating_add(tag_begin(rest));
        if begin > at {
            pieces.push(TemplatePiece::bare(Shape::Text, source.get(at..begin)));
        }
        let Some(tag) = source.get(begin..).filter(|tag| !tag.is_empty()) else { break };
        at = if let Some(inside) = tag.strip_prefix("{#") {
            // The sign behind `{#` is not part of `#}`.
            let skipped = 2 + usize::from(inside.starts_with(['-', '+']));
            let length = tag.get(skipped..).and_then(|body| body.find("#}")).ok_or(UnreadableTemplate::Broken)?;
            let end = begin.saturating_add(skipped).saturating_add(length).saturating_add(2);
            pieces.push(TemplatePiece::bare(Shape::Comment, source.get(begin..end)));
            end
        } else if let Some(length) = tag.strip_prefix("{%").and_then(|inside| bare_tag(inside, "raw")) {
            let body = begin.saturating_add(2).saturating_add(length);
            let (end, after) = raw_end(source, body).ok_or(UnreadableTemplate::Broken)?;
            pieces.push(TemplatePiece::bare(Shape::Statement, source.get(begin..body)));
            pieces.push(TemplatePiece::bare(Shape::Text, source.get(body..end)));
            pieces.push(TemplatePiece::bare(Shape::Statement, source.get(end..after)));
            after
        } else {
            let (shape, close) =
                if tag.starts_with("{{") { (Shape::Expression, "}}") } else { (Shape::Statement, "%}") };
            statements = statements.saturating_add(usize::from(shape == Shape::Statement));
            if statements > STATEMENTS_MAX {
                return Err(UnreadableTemplate::ManyStatements(begin));
            }
            let (end, tokens) = tag_end(source, begin, close)?;
            pieces.push(TemplatePiece { tokens, ..TemplatePiece::bare(shape, source.get(begin..end)) });
            end
        };
    }
    Ok(pieces)
}

/// Where the first tag in `text` begins, or its length.
fn tag_begin(text: &str) -> usize {
    ["{{", "{%", "{#"].iter().filter_map(|open| text.find(open)).min().unwrap_or(text.len())
}

/// The length of `raw %}` in `inside`, what follows a `{%`.
fn bare_tag(inside: &str, name: &str) -> Option<usize> {
    let rest = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let rest = rest.trim_ascii_start().strip_prefix(name)?.trim_ascii_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    inside.len().checked_sub(rest.len())
}

/// Where the `{% endraw %}` of a raw block whose body begins at `body` begins and ends.
fn raw_end(source: &str, body: usize) -> Option<(usize, usize)> {
    let mut at = body;
    loop {
        let begin = at.checked_add(source.get(at..)?.find("{%")?)?;
        at = begin.checked_add(2)?;
        if let Some(length) = bare_tag(source.get(at..)?, "endraw") {
            return Some((begin, at.checked_add(length)?));
        }
    }
}

/// The end of the tag that begins at `begin` and is closed by `close`, and what is in it.
fn tag_end<'s>(source: &'s str, begin: usize, close: &str) -> Result<(usize, Vec<Token<'s>>), UnreadableTemplate> {
    let mut tokens = Vec::new();
    let mut open = 0_u32;
    let inside = source.get(begin.saturating_add(2)..).unwrap_or_default();
    let mut rest = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    loop {
        let offset = source.len().saturating_sub(rest.len());
        // Inside brackets `}}` may be the ends of two maps.
        if open == 0 {
            let unsigned = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if let Some(after) = unsigned.strip_prefix(close) {
                return Ok((source.len().saturating_sub(after.len()), tokens));
            }
        }
        let character = rest.chars().next().ok_or(UnreadableTemplate::Broken)?;
        let length = match character {
            '"' | '\'' => {
                tokens.push(Token::String);
                string_length(rest, character).ok_or(UnreadableTemplate::Broken)?
            }
            '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' => {
                let length = rest.find(|next: char| next != '_' && !next.is_ascii_alphanumeric()).unwrap_or(rest.len());
                tokens.push(Token::Word(offset, rest.get(..length).unwrap_or_default()));
                length
            }
            _ => {
                if !character.is_whitespace() {
                    tokens.push(Token::Mark(character, open));
                }
                open = match character {
                    '(' | '[' | '{' => open.saturating_add(1),
                    ')' | ']' | '}' => open.checked_sub(1).ok_or(UnreadableTemplate::Broken)?,
                    _ => open,
                };
                character.len_utf8()
            }
        };
        if tokens.len() > TOKENS_MAX {
            return Err(UnreadableTemplate::LongTag(begin));
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// The length of the string that `text` begins with, quotes included.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (offset, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return offset.checked_add(1),
            _ => {}
        }
    }
    None
}

/// The view of a template; see [`super::check_view`].
pub(super) fn of(pieces: &[TemplatePiece<'_>]) -> String {
    let mut view = String::new();
    let mut markup = Markup::Text;
    let mut hidden = 0_i32;
    for piece in pieces {
        let change = piece.hides();
        let hide = hidden > 0 || change > 0;
        // minijinja has refused an end without its beginning, so that it never goes below.
        hidden = hidden.saturating_add(change).max(0);
        match piece.shape {
            _ if hide => blank(&mut view, piece.text),
            Shape::Text => {
                markup = markup.after(piece.text);
                view.push_str(piece.text);
            }
            Shape::Expression => stand_in(&mut view, piece.text),
            // Of `loop="{% if often %}3{% else %}1{% endif %}"` nobody knows the value.
            Shape::Statement if matches!(markup, Markup::Value(_)) => stand_in(&mut view, piece.text),
            Shape::Statement | Shape::Comment => blank(&mut view, piece.text),
        }
    }
    view
}

/// `text` as blanks.
fn blank(view: &mut String, text: &str) {
    view.extend(text.chars().map(|character| if matches!(character, '\n' | '\r') { character } else { ' ' }));
}

/// `text`, a tag of at least four characters, as something XML takes for plain text.
fn stand_in(view: &mut String, text: &str) {
    let last = text.chars().count().saturating_sub(2);
    view.extend(text.chars().enumerate().map(|(index, character)| match character {
        '\n' | '\r' => character,
        _ if index < 2 => '{',
        _ if index >= last => '}',
        _ => 'x',
    }));
}

/// Where in the XML a stretch of text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Markup {
    /// Between tags.
    Text,
    /// Between tags, where nothing but this begins markup again.
    Until(&'static str),
    /// In a tag.
    Tag,
    /// In an attribute's value, in these quotes.
    Value(char),
}

impl Markup {
    /// Where one is behind `text`.
    fn after(self, text: &str) -> Self {
        let mut markup = self;
        let mut rest = text;
        loop {
            let (end, next) = match markup {
                Self::Text => match rest.find('<').and_then(|at| rest.get(at..)) {
                    Some(tag) if tag.starts_with("<!--") => ("<!--", Self::Until("-->")),
                    Some(tag) if tag.starts_with("<![CDATA[") => ("<![CDATA[", Self::Until("]]>")),
                    _ => ("<", Self::Tag),
                },
                Self::Until(end) => (end, Self::Text),
                Self::Tag => match rest.chars().find(|character| matches!(character, '>' | '"' | '\'')) {
                    Some('"') => ("\"", Self::Value('"')),
                    Some('\'') => ("'", Self::Value('\'')),
                    _ => (">", Self::Text),
                },
                Self::Value('"') => ("\"", Self::Tag),
                Self::Value(_) => ("'", Self::Tag),
            };
            match rest.split_once(end) {
                Some((_, after)) => {
                    markup = next;
                    rest = after;
                }
                None => return markup,
            }
        }
    }
}

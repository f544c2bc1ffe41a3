//! The files of a crate as far as their imports go: a text scan that knows comments, literals, `use` trees and what is there
//! in tests only. No macros are expanded and scopes are not told apart: a name imported in a function counts for its file.

use std::collections::{BTreeMap, BTreeSet};

/// A crate's files that are not test modules, by module path: `["call", "actor"]`; the root is empty.
#[derive(Debug)]
pub struct Crate {
    pub files: BTreeMap<Vec<String>, File>,
    /// The text of `src/lib.rs`.
    pub front: String,
}

/// A file.
#[derive(Debug)]
pub struct File {
    pub name: String,
    /// What it imports.
    pub uses: Vec<Use>,
    /// The paths of two segments or more that stand in it elsewhere.
    pub paths: Vec<Named>,
    /// Every word that stands in it outside of imports.
    pub words: BTreeSet<String>,
}

/// An import.
#[derive(Clone, Debug)]
pub struct Use {
    pub path: Named,
    /// What it is called in this file; `*` for everything.
    pub name: String,
    /// Whether it is there for others.
    pub is_public: bool,
}

/// A path and where it stands.
#[derive(Clone, Debug)]
pub struct Named {
    pub segments: Vec<String>,
    pub line: usize,
}

impl Crate {
    /// Reads files by name (`src/...`).
    pub fn read(files: &BTreeMap<String, String>) -> Self {
        let mut read = BTreeMap::new();
        let mut tests = BTreeSet::new();
        for (name, text) in files {
            let Some(module) = module_of(name) else { continue };
            let mut text: Vec<char> = without_literals(text);
            for declared in take_tests(&mut text) {
                tests.insert([module.clone(), vec![declared]].concat());
            }
            read.insert(module, File::read(name, &text));
        }
        read.retain(|module, _| !(1..=module.len()).any(|length| tests.contains(&module[..length])));
        Self { files: read, front: files["src/lib.rs"].clone() }
    }

    /// The names of the modules, sorted.
    pub fn modules(&self) -> Vec<String> {
        let mut modules: Vec<String> =
            self.files.keys().filter(|module| module.len() == 1).map(|m| m[0].clone()).collect();
        modules.sort_unstable();
        modules
    }
}

impl File {
    fn read(name: &str, text: &[char]) -> Self {
        let mut tokens = tokens(text);
        let uses = take_uses(&mut tokens);
        let words = tokens.iter().filter(|token| is_word(&token.text)).map(|token| token.text.clone()).collect();
        Self { name: name.to_owned(), uses, paths: paths(&tokens), words }
    }
}

/// None for the program's `main.rs`, which is another crate.
fn module_of(name: &str) -> Option<Vec<String>> {
    let path = name.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    match module.last().map(String::as_str) {
        Some("main") if module.len() == 1 => return None,
        Some("lib") if module.len() == 1 => module.clear(),
        Some("mod") => drop(module.pop()),
        _ => {}
    }
    Some(module)
}

/// The text with blanks for comments and literals, so that every line stays where it is.
fn without_literals(text: &str) -> Vec<char> {
    let mut text: Vec<char> = text.chars().collect();
    let at = |text: &[char], place: usize| text.get(place).copied().unwrap_or('\0');
    let mut place = 0;
    while place < text.len() {
        let (this, next) = (text[place], at(&text, place + 1));
        let before = place.checked_sub(1).map_or(' ', |before| text[before]);
        let end = match (this, next) {
            ('/', '/') => (place..text.len()).find(|end| text[*end] == '\n').unwrap_or(text.len()),
            ('/', '*') => block_end(&text, place),
            ('"', _) => literal_end(&text, place + 1, '"'),
            ('r', '"' | '#') if !is_word_character(before) || before == 'b' => match raw_end(&text, place + 1) {
                Some(end) => end,
                None => place + 1,
            },
            // A character, not a lifetime.
            ('\'', '\\') => literal_end(&text, place + 1, '\''),
            ('\'', _) if at(&text, place + 2) == '\'' => place + 3,
            _ => {
                place += 1;
                continue;
            }
        };
        for letter in &mut text[place..end] {
            if *letter != '\n' && (this != 'r' || end > place + 1) {
                *letter = ' ';
            }
        }
        place = end;
    }
    text
}

fn block_end(text: &[char], begin: usize) -> usize {
    let (mut depth, mut place) = (0, begin);
    while place + 1 < text.len() {
        match (text[place], text[place + 1]) {
            ('/', '*') => (depth, place) = (depth + 1, place + 2),
            ('*', '/') => (depth, place) = (depth - 1, place + 2),
            _ => place += 1,
        }
        if depth == 0 {
            return place;
        }
    }
    text.len()
}

fn literal_end(text: &[char], mut place: usize, quote: char) -> usize {
    while place < text.len() {
        match text[place] {
            '\\' => place += 2,
            letter if letter == quote => return place + 1,
            _ => place += 1,
        }
    }
    text.len()
}

/// The end of `#"..."#` behind an `r`; none if it is no such literal.
fn raw_end(text: &[char], begin: usize) -> Option<usize> {
    let marks = text[begin..].iter().take_while(|letter| **letter == '#').count();
    if text.get(begin + marks) != Some(&'"') {
        return None;
    }
    let closes = |place: &usize| {
        text[*place] == '"' && text[place + 1..].iter().take(marks).filter(|letter| **letter == '#').count() == marks
    };
    Some((begin + marks + 1..text.len()).find(closes).map_or(text.len(), |end| end + 1 + marks))
}

/// Takes out every item that is there in tests only; gives the names of the modules among them that have a file.
fn take_tests(text: &mut [char]) -> Vec<String> {
    let mut modules = Vec::new();
    let mut place = 0;
    while place < text.len() {
        let Some(end) = attribute_end(text, place) else {
            place += 1;
            continue;
        };
        let attribute: String = text[place..end].iter().filter(|letter| !letter.is_whitespace()).collect();
        if !is_for_tests(&attribute) {
            place = end;
            continue;
        }
        let mut item = end;
        loop {
            while text.get(item).is_some_and(|letter| letter.is_whitespace()) {
                item += 1;
            }
            match attribute_end(text, item) {
                Some(end) => item = end,
                None => break,
            }
        }
        let item_end = item_end(text, item);
        let words: String = text[item..item_end].iter().collect();
        if let Some((_, name)) = words.rsplit_once("mod ").filter(|_| words.ends_with(';')) {
            modules.push(name.trim_end_matches(';').trim().to_owned());
        }
        for letter in text[place..item_end].iter_mut().filter(|letter| **letter != '\n') {
            *letter = ' ';
        }
        place = item_end;
    }
    modules
}

/// `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
fn is_for_tests(attribute: &str) -> bool {
    let condition = attribute.strip_prefix("#[cfg(").and_then(|rest| rest.strip_suffix(")]"));
    condition.is_some_and(|condition| condition == "test" || condition.starts_with("all(test,"))
}

/// The end of an outer attribute that begins here.
fn attribute_end(text: &[char], begin: usize) -> Option<usize> {
    if text.get(begin..begin + 2)? != ['#', '['] {
        return None;
    }
    closing(text, begin + 1)
}

/// Behind the bracket that closes the one that stands here.
fn closing(text: &[char], begin: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, letter) in text.iter().enumerate().skip(begin) {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place + 1);
        }
    }
    None
}

/// Items end with `;` or with a block; a list in braces of a `use` is no block.
fn item_end(text: &[char], begin: usize) -> usize {
    let mut place = begin;
    while place < text.len() {
        match text[place] {
            ';' => return place + 1,
            '{' => {
                let end = closing(text, place).unwrap_or(text.len());
                let mut rest = text[end..].iter().enumerate().skip_while(|(_, letter)| letter.is_whitespace());
                return match rest.next() {
                    Some((after, ';')) => end + after + 1,
                    _ => end,
                };
            }
            '(' | '[' => place = closing(text, place).unwrap_or(text.len()),
            _ => place += 1,
        }
    }
    text.len()
}

#[derive(Clone, Debug)]
struct Token {
    /// A word, `::`, or one other character.
    text: String,
    line: usize,
}

fn is_word_character(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn is_word(token: &str) -> bool {
    token.starts_with(is_word_character)
}

fn tokens(text: &[char]) -> Vec<Token> {
    let (mut tokens, mut place, mut line) = (Vec::new(), 0, 1);
    while place < text.len() {
        let length = match text[place] {
            '\n' => {
                line += 1;
                0
            }
            letter if letter.is_whitespace() => 0,
            letter if is_word_character(letter) => {
                text[place..].iter().take_while(|letter| is_word_character(**letter)).count()
            }
            ':' if text.get(place + 1) == Some(&':') => 2,
            _ => 1,
        };
        if length > 0 {
            tokens.push(Token { text: text[place..place + length].iter().collect(), line });
        }
        place += length.max(1);
    }
    tokens
}

/// Takes the imports out.
fn take_uses(tokens: &mut Vec<Token>) -> Vec<Use> {
    let (mut uses, mut rest, mut place) = (Vec::new(), Vec::new(), 0);
    while place < tokens.len() {
        let begins = tokens[place].text == "use"
            && place
                .checked_sub(1)
                .is_none_or(|before| matches!(&*tokens[before].text, ";" | "}" | "{" | "]" | ")" | "pub"));
        if !begins {
            rest.push(tokens[place].clone());
            place += 1;
            continue;
        }
        let is_public = place.checked_sub(1).is_some_and(|before| matches!(&*tokens[before].text, "pub" | ")"));
        let length = tokens[place..].iter().take_while(|token| token.text != ";").count();
        let mut tree = tokens[place + 1..place + length].iter().peekable();
        let mut found = Vec::new();
        read_tree(&mut tree, &[], &mut found);
        uses.extend(found.into_iter().map(|(path, name)| Use { path, name, is_public }));
        place += length + 1;
    }
    *tokens = rest;
    uses
}

type Tree<'t> = std::iter::Peekable<std::slice::Iter<'t, Token>>;

/// Reads one branch of a `use` tree.
fn read_tree(tree: &mut Tree<'_>, before: &[String], found: &mut Vec<(Named, String)>) {
    let mut segments = before.to_vec();
    let mut line = 0;
    while let Some(token) = tree.peek() {
        match &*token.text {
            "," | "}" => break,
            "::" => drop(tree.next()),
            "{" => {
                tree.next();
                while tree.peek().is_some_and(|token| token.text != "}") {
                    read_tree(tree, &segments, found);
                    tree.next_if(|token| token.text == ",");
                }
                tree.next();
                return;
            }
            "as" => {
                tree.next();
                if let Some(alias) = tree.next() {
                    return found.push((Named { segments, line }, alias.text.clone()));
                }
            }
            _ => {
                line = token.line;
                segments.push(token.text.clone());
                tree.next();
            }
        }
    }
    if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
        segments.pop();
    }
    if let Some(name) = segments.last().cloned() {
        found.push((Named { segments, line }, name));
    }
}

/// Paths of two segments or more.
fn paths(tokens: &[Token]) -> Vec<Named> {
    let (mut paths, mut place) = (Vec::new(), 0);
    while place < tokens.len() {
        let begins = is_word(&tokens[place].text)
            && place.checked_sub(1).is_none_or(|before| !matches!(&*tokens[before].text, "::" | "."));
        if !begins {
            place += 1;
            continue;
        }
        let mut segments = vec![tokens[place].text.clone()];
        // Told by the line of the name behind the first `::`.
        let mut line = tokens[place].line;
        let mut end = place + 1;
        while tokens.get(end).is_some_and(|token| token.text == "::")
            && tokens.get(end + 1).is_some_and(|token| is_word(&token.text))
        {
            if segments.len() == 1 {
                line = tokens[end + 1].line;
            }
            segments.push(tokens[end + 1].text.clone());
            end += 2;
        }
        if segments.len() > 1 {
            paths.push(Named { segments, line });
        }
        place = end;
    }
    paths
}

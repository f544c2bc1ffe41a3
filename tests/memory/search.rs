//! The search of another process's memory for numbers, in every form they might have there.

use std::fs::File;
use std::os::unix::fs::FileExt;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How much is read at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// How many digits in a row are too many: less than a number has, as a freed block loses its first bytes to the allocator.
/// Fewer would be found by chance.
const RUN: usize = 10;

/// Where something was found.
#[derive(Debug)]
#[allow(dead_code, reason = "shown when the test fails")]
pub struct Hit {
    pub number: String,
    pub form: &'static str,
    pub mapping: String,
    pub around: String,
}

/// Numbers to search for.
pub struct Search {
    needles: AhoCorasick,
    names: Vec<(String, &'static str)>,
    longest: usize,
}

impl Search {
    pub fn new<'a>(numbers: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut needles, mut names) = (Vec::new(), Vec::new());
        for number in numbers {
            for (form, needle) in forms(number) {
                names.push((number.to_owned(), form));
                needles.push(needle);
            }
        }
        let longest = needles.iter().map(Vec::len).max().unwrap();
        Self { needles: AhoCorasick::new(&needles).unwrap(), names, longest }
    }

    /// Searches every mapping that process `pid` can write to.
    ///
    /// # Errors
    /// When its memory may not be read.
    pub fn memory(&self, pid: u32) -> std::io::Result<Vec<Hit>> {
        let mut hits = Vec::new();
        read(pid, self.longest, |bytes, place| {
            for (number, form, around) in self.bytes(bytes) {
                hits.push(Hit { number, form, mapping: place.to_owned(), around });
            }
        })?;
        Ok(hits)
    }

    fn bytes(&self, bytes: &[u8]) -> Vec<(String, &'static str, String)> {
        // One hit tells of all that overlap.
        let mut last = 0;
        let found = self.needles.find_overlapping_iter(bytes).filter(|found| {
            let is_new = last == 0 || found.start() > last;
            last = found.end();
            is_new
        });
        found
            .map(|found| {
                let (number, form) = self.names[found.pattern().as_usize()].clone();
                let around = &bytes[found.start().saturating_sub(200)..bytes.len().min(found.end() + 100)];
                (number, form, around.escape_ascii().to_string())
            })
            .collect()
    }
}

/// The beginning of a key's message, as test callers write it.
const KEY: &[u8] = b"\"digit\":\"";

/// How far apart messages of keys are that lie side by side, in bytes.
const APART: usize = 512;

/// How many keys in a row are too many.
const KEYS: usize = 5;

/// Searches process `pid` for messages of keys that lie side by side and spell a part of `number`.
///
/// # Errors
/// When its memory may not be read.
pub fn keys(pid: u32, number: &str) -> std::io::Result<Vec<Hit>> {
    let mut hits = Vec::new();
    read(pid, number.len() * APART, |bytes, place| {
        let around = spelt(bytes, number);
        hits.extend(around.map(|around| Hit {
            number: number.to_owned(),
            form: "messages",
            mapping: place.to_owned(),
            around,
        }));
    })?;
    Ok(hits)
}

/// The messages of keys in `bytes` that spell a part of `number`.
fn spelt(bytes: &[u8], number: &str) -> Option<String> {
    let finder = AhoCorasick::new([KEY]).unwrap();
    let mut row: Vec<(usize, u8)> = Vec::new();
    for found in finder.find_iter(bytes) {
        let Some(key) = bytes.get(found.end()).copied() else { break };
        if row.last().is_some_and(|(last, _)| found.start() - last > APART) {
            row.clear();
        }
        row.push((found.start(), key));
        if row.len() >= KEYS {
            let last: Vec<u8> = row[row.len() - KEYS..].iter().map(|(_, key)| *key).collect();
            if number.as_bytes().windows(KEYS).any(|part| part == last) {
                let from = row[row.len() - KEYS].0;
                return Some(bytes[from..found.end() + 1].escape_ascii().to_string());
            }
        }
    }
    None
}

/// Hands every piece of the memory that process `pid` can write to, and its place, to `look`; pieces overlap.
fn read(pid: u32, overlap: usize, mut look: impl FnMut(&[u8], &str)) -> std::io::Result<()> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut buffer = vec![0; CHUNK];
    for (start, mut end, name) in mappings(pid)? {
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap().min(CHUNK);
            if let Err(error) = memory.read_exact_at(&mut buffer[..length], at) {
                // The heap shrinks and threads end while they are looked at.
                match mappings(pid)?.into_iter().find(|(from, to, _)| (*from..*to).contains(&at)) {
                    None => break,
                    Some((_, now, _)) if now != end => end = now,
                    Some(_) => panic!("{name} at {at:x} cannot be read: {error}"),
                }
                continue;
            }
            look(&buffer[..length], &format!("{at:x} {name}"));
            // What lies across the border is found from the next piece.
            let overlap = if at + length as u64 == end { 0 } else { overlap as u64 };
            at += length as u64 - overlap;
        }
    }
    Ok(())
}

/// The writable mappings of a process: from, to, name.
fn mappings(pid: u32) -> std::io::Result<Vec<(u64, u64, String)>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mapping = |line: &str| {
        let mut words = line.split_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        let writable = words.next()?.starts_with("rw");
        writable.then_some((address(from)?, address(to)?, words.nth(3).unwrap_or("anonymous").to_owned()))
    };
    Ok(text.lines().filter_map(mapping).collect())
}

/// The bytes that a number may be in memory: any [`RUN`] of its digits in a row, and the whole of it where the form allows no
/// part.
fn forms(number: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = Vec::new();
    for window in number.as_bytes().windows(RUN) {
        let values: Vec<u8> = window.iter().map(|digit| digit - b'0').collect();
        forms.push(("text", window.to_vec()));
        forms.push(("values", values.clone()));
        forms.push(("spoken", apart(window, b" ")));
        forms.push(("UTF-16", apart(window, b"\0")));
        forms.push(("UTF-32", apart(window, b"\0\0\0")));
        forms.push(("values of two bytes", apart(&values, b"\0")));
        forms.push(("values of four bytes", apart(&values, b"\0\0\0")));
        forms.push(("hex", window.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()));
        forms.push((
            "list",
            apart(&values, b", ").iter().map(|byte| if *byte < 10 { byte + b'0' } else { *byte }).collect(),
        ));
        for shift in 0..3 {
            forms.push(("base64", base64(window, shift)));
        }
    }
    let value: u64 = number.parse().unwrap();
    forms.push(("little-endian", value.to_le_bytes().to_vec()));
    forms.push(("big-endian", value.to_be_bytes().to_vec()));
    let padded = format!("{}{number}", "0".repeat(number.len() % 2));
    forms.push((
        "packed decimal",
        padded.as_bytes().chunks(2).map(|two| (two[0] - b'0') << 4 | (two[1] - b'0')).collect(),
    ));
    forms
}

fn apart(bytes: &[u8], between: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| vec![*byte]).collect::<Vec<_>>().join(between)
}

/// The characters of base64 that stand for `bytes` alone, `shift` bytes after the beginning of a group of three.
fn base64(bytes: &[u8], shift: usize) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
    let text = STANDARD.encode(&padded);
    text.as_bytes()[(shift * 8).div_ceil(6)..padded.len() * 8 / 6].to_vec()
}

#[test]
fn messages_of_keys_side_by_side_are_found() {
    let message = |key: char| format!("{{\"dtmf\":{{\"digit\":\"{key}\",\"track\":\"inbound_track\"}}}}");
    let messages: String = "9294205".chars().map(message).collect();
    assert!(spelt(messages.as_bytes(), "4929420573595709").is_some());
    assert!(spelt(messages.as_bytes(), "4929320573595709").is_none());
    let apart: String = "92942".chars().map(|key| message(key) + &" ".repeat(600)).collect();
    assert!(spelt(apart.as_bytes(), "4929420573595709").is_none());
}

#[test]
fn the_search_knows_a_number_in_every_form() {
    let number = "4929420573595709";
    let search = Search::new([number]);
    let found = |bytes: &[u8]| search.bytes(bytes).into_iter().map(|(_, form, _)| form).next();
    assert_eq!(found(b"{\"cardnumber\":\"4929420573595709\"}"), Some("text"));
    assert_eq!(found(b"....20573595709"), Some("text"), "without its beginning");
    assert_eq!(found(b"4 9 2 9 4 2 0 5 7 3 5 9 5 7 0 9"), Some("spoken"));
    assert_eq!(found(format!("{:?}", [4, 9, 2, 9, 4, 2, 0, 5, 7, 3]).as_bytes()), Some("list"));
    assert_eq!(found(&[4, 9, 2, 9, 4, 2, 0, 5, 7, 3, 5, 9, 5, 7, 0, 9]), Some("values"));
    let wide: Vec<u8> = number.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(found(&wide), Some("UTF-16"));
    let wide: Vec<u8> = number.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    assert_eq!(found(&wide), Some("UTF-32"));
    for before in ["", "a", "ab", "abc"] {
        assert_eq!(found(STANDARD.encode(format!("{before}{number}x")).as_bytes()), Some("base64"), "{before}");
    }
    assert_eq!(found(&4_929_420_573_595_709_u64.to_le_bytes()), Some("little-endian"));
    assert_eq!(found(b"\x49\x29\x42\x05\x73\x59\x57\x09"), Some("packed decimal"));
    assert_eq!(found(b"xxxxxxxxxxxx5709 4929 4205 57"), None);
}

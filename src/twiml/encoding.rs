//! From the bytes of a document to its text.
//!
//! Shape:   [`decode`]: the `charset` of a `Content-Type`, then a byte order mark, then the XML declaration say what the
//!          encoding is; UTF-8 where none does.
//! Limits:  [`DECLARATION_MAX`] bytes are looked at for a declaration.
//! Errors:  [`EncodingFault`]: the encoding, who named it, and the first byte that is none of it.
//! Sources: spec/pay.md, section 7; WHATWG, "Encoding" (labels and decoders, by `encoding_rs`); W3C, "XML 1.0", appendix F.

use std::fmt;

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Where a declaration ends at the latest: a longer one is none that a program writes.
const DECLARATION_MAX: usize = 1024;

/// Who says what a document's encoding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The `charset` of its `Content-Type`.
    ContentType,
    /// The byte order mark that it begins with.
    ByteOrderMark,
    /// Its XML declaration.
    Declaration,
    /// Nobody.
    Default,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContentType => "which its Content-Type names",
            Self::ByteOrderMark => "as its byte order mark says",
            Self::Declaration => "which its XML declaration names",
            Self::Default => "and neither a charset, a byte order mark nor an XML declaration names another encoding",
        })
    }
}

/// Bytes that are not of the encoding they are said to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {byte} is not {encoding}, {named_by}")]
pub struct EncodingFault {
    /// The number of the byte, from 1.
    pub byte: usize,
    /// The encoding's name.
    pub encoding: &'static str,
    /// Who named it.
    pub named_by: NamedBy,
}

/// The text of a document whose `Content-Type` has this `charset`, without its byte order mark. A name that no encoding has
/// names none.
///
/// # Errors
/// [`EncodingFault`].
pub fn decode(bytes: &[u8], charset: Option<&str>) -> Result<String, EncodingFault> {
    let (encoding, named_by) = encoding_of(bytes, charset);
    // A mark of another encoding than the one that counts is text.
    let mark = Encoding::for_bom(bytes).filter(|(marked, _)| *marked == encoding).map_or(0, |(_, length)| length);
    let body = bytes.get(mark..).unwrap_or_default();
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let fault = |read: usize| EncodingFault { byte: mark.saturating_add(read), encoding: encoding.name(), named_by };
    // None only where the length overflows.
    let Some(longest) = decoder.max_utf8_buffer_length_without_replacement(body.len()) else { return Err(fault(0)) };
    let mut text = String::with_capacity(longest);
    match decoder.decode_to_string_without_replacement(body, &mut text, true) {
        (DecoderResult::InputEmpty, _) => Ok(text),
        // The bytes read hold those after the wrong ones that had to be looked at.
        (DecoderResult::Malformed(wrong, after), read) => {
            let before = read.saturating_sub(usize::from(wrong)).saturating_sub(usize::from(after));
            Err(fault(before.saturating_add(1)))
        }
        // Not reached: there is room for the longest text.
        (DecoderResult::OutputFull, read) => Err(fault(read)),
    }
}

fn encoding_of(bytes: &[u8], charset: Option<&str>) -> (&'static Encoding, NamedBy) {
    let mark = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let is_utf_16 = |encoding| encoding == UTF_16LE || encoding == UTF_16BE;
    if let Some(named) = charset.and_then(|label| Encoding::for_label(label.trim().as_bytes())) {
        // The label utf-16 leaves the order of the bytes to their mark (RFC 2781).
        let named = mark.filter(|mark| is_utf_16(named) && is_utf_16(*mark)).unwrap_or(named);
        return (named, NamedBy::ContentType);
    }
    if let Some(mark) = mark {
        return (mark, NamedBy::ByteOrderMark);
    }
    // A declaration in UTF-16 without a byte order mark (XML 1.0, appendix F).
    match bytes {
        [b'<', 0, b'?', 0, ..] => return (UTF_16LE, NamedBy::Declaration),
        [0, b'<', 0, b'?', ..] => return (UTF_16BE, NamedBy::Declaration),
        _ => {}
    }
    match declared(bytes) {
        // Whoever can read that is not reading UTF-16: .NET writes so into texts that are sent as UTF-8.
        Some(encoding) if is_utf_16(encoding) => (UTF_8, NamedBy::Default),
        Some(encoding) => (encoding, NamedBy::Declaration),
        None => (UTF_8, NamedBy::Default),
    }
}

/// The encoding that an XML declaration names, in an encoding that has ASCII's letters.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let beginning = bytes.get(..DECLARATION_MAX).unwrap_or(bytes);
    let rest = beginning.strip_prefix(b"<?xml")?;
    let end = rest.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(rest.get(..end)?).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (label, _) = value.get(1..)?.split_once(quote)?;
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn the_charset_outranks_the_mark_and_the_mark_the_declaration() {
        let declared = b"<?xml version='1.0' encoding = \"ISO-8859-1\" ?><a>\xe9</a>";
        assert_eq!(decode(declared, None).unwrap(), "<?xml version='1.0' encoding = \"ISO-8859-1\" ?><a>é</a>");
        assert!(decode(declared, Some("windows-1251")).unwrap().ends_with("<a>й</a>"));
        assert_eq!(decode(declared, Some("UTF-8")).unwrap_err().named_by, NamedBy::ContentType);
        let marked = "\u{feff}<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>é</a>";
        assert_eq!(decode(marked.as_bytes(), None).unwrap(), &marked[3..]);
        assert_eq!(decode(marked.as_bytes(), Some(" utf-8 ")).unwrap(), &marked[3..]);
        assert!(decode(marked.as_bytes(), Some("latin1")).unwrap().ends_with("<a>Ã©</a>"));
        // A name that no encoding has.
        assert!(decode(declared, Some("utf8mb4")).unwrap().ends_with("<a>é</a>"));
    }

    #[test]
    fn utf_16_is_known_by_its_mark_its_charset_or_its_first_letters() {
        let text = "<?xml version=\"1.0\" encoding=\"utf-16\"?><a>€𝄞</a>";
        for to_bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            let (plain, marked) = (utf_16(text, to_bytes), utf_16(&format!("\u{feff}{text}"), to_bytes));
            assert_eq!(decode(&plain, None).unwrap(), text);
            for charset in [None, Some("UTF-16"), Some("utf-16le")] {
                assert_eq!(decode(&marked, charset).unwrap(), text, "{charset:?}");
            }
        }
        assert_eq!(decode(&utf_16("é", u16::to_be_bytes), Some("utf-16be")).unwrap(), "é");
        // As .NET declares what is then sent as UTF-8.
        assert_eq!(decode(text.as_bytes(), None).unwrap(), text);
    }

    #[test]
    fn every_encoding_of_the_web_has_its_name() {
        for (label, bytes, text) in [
            ("Shift_JIS", &b"\x82\xa0"[..], "あ"),
            ("gb2312", b"\xc4\xe3", "你"),
            ("euc-kr", b"\xb0\xa1", "가"),
            ("koi8-r", b"\xc1", "а"),
            ("windows-1252", b"\x80", "€"),
            ("iso-8859-15", b"\xa4", "€"),
            ("macintosh", b"\x8e", "é"),
        ] {
            let declared = [format!("<?xml version=\"1.0\" encoding='{label}'?>").as_bytes(), bytes].concat();
            assert!(decode(&declared, None).unwrap().ends_with(text), "{label}");
            assert_eq!(decode(bytes, Some(label)).unwrap(), text, "{label}");
        }
    }

    #[test]
    fn what_is_not_of_its_encoding_is_told_with_the_byte_and_with_who_named_it() {
        for (bytes, charset, byte, words) in [
            (&b"ab\xffc"[..], None, 3, "not UTF-8, and neither a charset"),
            (b"\xef\xbb\xbfab\xff", None, 6, "as its byte order mark says"),
            (b"ab\xe9", Some("utf-8"), 3, "which its Content-Type names"),
            (b"a\x00b", Some("utf-16le"), 3, "UTF-16LE, which its Content-Type names"),
        ] {
            let fault = decode(bytes, charset).unwrap_err();
            assert_eq!(fault.byte, byte, "{bytes:?}: {fault}");
            assert!(fault.to_string().contains(words), "{fault}");
        }
        let declared = b"<?xml version='1.0' encoding='utf-8'?>\xe9<";
        assert!(decode(declared, None).unwrap_err().to_string().contains("which its XML declaration names"));
        assert_eq!(decode(b"", None).unwrap(), "");
    }
}

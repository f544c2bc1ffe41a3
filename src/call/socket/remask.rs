//! The frames of a client in one mask of ours instead of the client's many.
//!
//! Shape:   [`Remasked`] is what tungstenite reads from: it changes the bytes of data frames as they pass. The header says that
//!          the mask is zero, so that tungstenite leaves the payload as it is; the payload is in our mask, counted from the
//!          beginning of its message. [`Remasked::unmasked`] takes it off. Texts are called binary, as nobody but us can read
//!          them; [`Remasked::next_is_text`] knows better. Control frames pass as they are: tungstenite answers them.
//! Limits:  a bit a message that was read from the connection and not from the socket, of which tungstenite's buffer holds some
//!          hundreds.
//! Errors:  none: what is no frame of a client passes unchanged, for tungstenite to refuse.
//! Secrets: no byte of a payload is ever here in the clear, but for the one that changes from one mask to the other.
//! Sources: RFC 6455, sections 5.2 and 5.3.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;

/// Bytes of a mask.
const MASK: u64 = 4;

/// A connection whose data frames are in our mask.
#[derive(Debug)]
pub(super) struct Remasked<Io> {
    io: Io,
    frames: Frames,
}

/// Where in a client's frames we are.
#[derive(Debug)]
struct Frames {
    mask: [u8; 4],
    at: FramePart,
    opcode: u8,
    is_masked: bool,
    /// The client's mask.
    theirs: [u8; 4],
    /// The payload's length, and how much of it has passed.
    length: u64,
    passed: u64,
    /// How much of the message has passed.
    message: u64,
    /// Which of the messages that have begun are texts.
    texts: VecDeque<bool>,
}

/// The part of a frame that the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum FramePart {
    /// Flags and opcode.
    First,
    /// Mask bit and length.
    Second,
    /// A longer length: how many bytes of it are missing.
    Length(u8),
    /// The mask: how many bytes of it have passed.
    Mask(u8),
    Payload,
}

impl<Io> Remasked<Io> {
    pub(super) fn new(io: Io) -> Self {
        let mut mask = [0; 4];
        // Without chance the mask is one that is known; it hides digits from a search all the same.
        let _ = getrandom::fill(&mut mask);
        // No byte of ASCII stays one.
        Self { io, frames: Frames::new(mask.map(|byte| byte | 0x80)) }
    }

    /// A message as the client meant it.
    pub(super) fn unmasked(&self, message: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(message.len()));
        bytes.extend(message.iter().zip(self.frames.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Whether the message that was read last is a text. Asked once a message.
    pub(super) fn next_is_text(&mut self) -> bool {
        self.frames.texts.pop_front().unwrap_or(false)
    }
}

impl Frames {
    const fn new(mask: [u8; 4]) -> Self {
        Self {
            mask,
            at: FramePart::First,
            opcode: 0,
            is_masked: false,
            theirs: [0; 4],
            length: 0,
            passed: 0,
            message: 0,
            texts: VecDeque::new(),
        }
    }

    const fn is_data(&self) -> bool {
        matches!(self.opcode, CONTINUATION | TEXT | BINARY)
    }

    /// Changes what came, in place.
    fn pass(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            match self.at {
                FramePart::First => {
                    self.opcode = *byte & 0x0f;
                    // Our mask is counted through all fragments of a message, which tungstenite joins.
                    if matches!(self.opcode, TEXT | BINARY) {
                        self.texts.push_back(self.opcode == TEXT);
                        self.message = 0;
                    }
                    if self.opcode == TEXT {
                        *byte = (*byte & 0xf0) | BINARY;
                    }
                    self.at = FramePart::Second;
                }
                FramePart::Second => {
                    self.is_masked = *byte & 0x80 != 0;
                    self.theirs = [0; 4];
                    self.passed = 0;
                    self.length = u64::from(*byte & 0x7f);
                    match self.length {
                        126 => (self.length, self.at) = (0, FramePart::Length(2)),
                        127 => (self.length, self.at) = (0, FramePart::Length(8)),
                        _ => self.begin_mask(),
                    }
                }
                FramePart::Length(missing) => {
                    self.length = (self.length << 8) | u64::from(*byte);
                    match missing {
                        0 | 1 => self.begin_mask(),
                        more => self.at = FramePart::Length(more - 1),
                    }
                }
                FramePart::Mask(passed) => {
                    if let Some(theirs) = self.theirs.get_mut(usize::from(passed)) {
                        *theirs = *byte;
                    }
                    if self.is_data() {
                        *byte = 0;
                    }
                    if u64::from(passed) + 1 < MASK {
                        self.at = FramePart::Mask(passed + 1)
                    } else {
                        self.begin_payload()
                    }
                }
                FramePart::Payload => {
                    if self.is_data() && self.is_masked {
                        *byte ^= of(self.theirs, self.passed) ^ of(self.mask, self.message);
                        self.message = self.message.wrapping_add(1);
                    }
                    self.passed += 1;
                    if self.passed >= self.length {
                        self.at = FramePart::First;
                    }
                }
            }
        }
    }

    const fn begin_mask(&mut self) {
        if self.is_masked { self.at = FramePart::Mask(0) } else { self.begin_payload() }
    }

    const fn begin_payload(&mut self) {
        self.at = if self.length == 0 { FramePart::First } else { FramePart::Payload };
    }
}

/// The byte of a mask for a place.
fn of(mask: [u8; 4], place: u64) -> u8 {
    let place = usize::try_from(place % MASK).unwrap_or(0);
    mask.get(place).copied().unwrap_or(0)
}

impl<Io: AsyncRead + Unpin> AsyncRead for Remasked<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if let Some(news) = buffer.filled_mut().get_mut(before..) {
            self.frames.pass(news);
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Remasked<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it.
    fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn no_digit_of_a_key_passes_in_the_clear_whatever_the_client_s_mask_is() {
        for mask in [[0; 4], [1, 2, 3, 4], [0xff; 4]] {
            let mut bytes = frame(0x81, mask, b"{\"digit\":\"4539578763621486\"}");
            let mut frames = Frames::new([0x80, 0x91, 0xa2, 0xb3]);
            frames.pass(&mut bytes);
            assert_eq!(bytes[..2], [0x82, 0x80 | 28]);
            assert_eq!(bytes[2..6], [0; 4], "tungstenite has nothing to take off");
            assert!(bytes[6..].iter().all(|byte| !byte.is_ascii()), "{bytes:?}");
        }
    }

    #[test]
    fn a_control_frame_passes_as_it_is_also_between_the_parts_of_a_message() {
        let mut frames = Frames::new([0x80; 4]);
        let ping = frame(0x89, [7; 4], b"are you there?");
        let parts = [frame(0x01, [9; 4], b"4539"), ping.clone(), frame(0x80, [5; 4], b"5787")];
        let mut bytes = parts.concat();
        frames.pass(&mut bytes);
        assert_eq!(bytes[10..10 + ping.len()], ping);
        let payload = [&bytes[6..10], &bytes[10 + ping.len() + 6..]].concat();
        let io = Remasked { io: (), frames };
        assert_eq!(**io.unmasked(&payload), *b"45395787");
    }

    #[test]
    fn what_no_client_may_send_passes_unchanged_for_tungstenite_to_refuse() {
        let mut frames = Frames::new([0x80; 4]);
        let mut bytes = vec![0x82, 3, 1, 2, 3, 0x8a, 0];
        let before = bytes.clone();
        frames.pass(&mut bytes);
        assert_eq!(bytes, before, "it is not masked");
    }

    proptest! {
        #[test]
        fn bytes_are_the_same_however_they_come_in_pieces(
            payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<[u8; 4]>(), any::<bool>()), 1..6),
            cuts in prop::collection::vec(1_usize..40, 1..40),
        ) {
            let mut bytes = Vec::new();
            for (payload, mask, text) in &payloads {
                bytes.extend(frame(if *text { 0x81 } else { 0x82 }, *mask, payload));
            }
            let mut frames = Frames::new([0x81, 0x92, 0xa3, 0xb4]);
            let mut rest = &mut bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at_mut((*cut).min(rest.len()));
                frames.pass(now);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let mut io = Remasked { io: (), frames };
            let mut place = 0;
            for (payload, _, text) in &payloads {
                place += if payload.len() < 126 { 6 } else { 8 };
                prop_assert_eq!(&**io.unmasked(&bytes[place..place + payload.len()]), &payload[..]);
                prop_assert_eq!(io.next_is_text(), *text);
                place += payload.len();
            }
        }
    }
}

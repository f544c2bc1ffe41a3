//! One media stream, in whatever dialect it is.
//!
//! Shape:   [`MediaSession::open`] is given the upgrade; `handle_*` a message, a command or that a deadline has come, and the
//!          time with each; then [`MediaSession::poll_event`] and [`MediaSession::poll_frame`] are asked until they have
//!          nothing more, and [`MediaSession::poll_timeout`] for the next deadline. A dialect is a [`MediaProtocol`] behind it.
//! Units:   [`CallTime`], here milliseconds since the stream was opened; it must not go backwards.
//! Limits:  those of [`super`]. What a session holds back (frames, events) is bounded by what it was given.
//! Errors:  [`MediaError`]: close the stream.

use std::collections::VecDeque;
use std::fmt;

use super::dialect::Dialect;
use super::request::UpgradeRequest;
use super::{Frame, Ignored, Incoming, MediaCommand, MediaError, MediaEvent, Odd, TEXT_MAX};
use crate::time::CallTime;

/// A stream's state in its dialect. What one call of a method brings about beside its result, it puts into `out`.
///
/// No method has a default: a dialect that needs no deadline says so.
pub trait MediaProtocol: fmt::Debug + Send {
    /// Reads one message. Its sound need not be kept longer than the event lives.
    ///
    /// What the message is, comes before what `out` gets of it. A dialect that must give several events, or others first,
    /// puts all of them into `out` and says [`MediaEvent::Handled`]. Only sound cannot be put there: what was held back of it
    /// is given with the next message.
    ///
    /// # Errors
    /// [`MediaError`] if the stream cannot go on, or not begin.
    fn handle_message<'s>(
        &'s mut self,
        now: CallTime,
        message: Incoming<'_>,
        out: &mut MediaOutput,
    ) -> Result<MediaEvent<'s>, MediaError>;

    /// Writes the frames of one command: none, one, or several.
    ///
    /// # Errors
    /// [`MediaError::NotStarted`] or [`MediaError::Stopped`] unless the stream runs. A `Close` is always in order.
    fn handle_command(
        &mut self,
        now: CallTime,
        command: MediaCommand<'_>,
        out: &mut MediaOutput,
    ) -> Result<(), MediaError>;

    /// The deadline of [`Self::poll_timeout`] has come. It is another one afterwards, or none.
    ///
    /// # Errors
    /// [`MediaError`] if the stream cannot go on.
    fn handle_timeout(&mut self, now: CallTime, out: &mut MediaOutput) -> Result<(), MediaError>;

    /// When something is to be done though nothing has come, and what, in a word.
    fn poll_timeout(&self) -> Option<(CallTime, &'static str)>;
}

/// What comes of a message, a command or a deadline, in this order.
#[derive(Debug, Default)]
pub struct MediaOutput {
    events: VecDeque<MediaEvent<'static>>,
    /// How many of the events were looked at for what is odd.
    judged: usize,
    frames: VecDeque<Frame>,
}

impl MediaOutput {
    /// Something happened.
    pub fn event(&mut self, event: MediaEvent<'static>) {
        self.events.push_back(event);
    }

    /// Something is to be sent.
    pub fn frame(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    fn count_odd(&mut self, odd: &mut Odd) -> Result<(), MediaError> {
        while let Some(event) = self.events.get(self.judged) {
            count_odd(event, odd)?;
            self.judged = self.judged.saturating_add(1);
        }
        Ok(())
    }
}

/// An event that means nothing to a payment is one of [`ODD_MAX`](super::ODD_MAX), whichever way it comes.
fn count_odd(event: &MediaEvent<'_>, odd: &mut Odd) -> Result<(), MediaError> {
    match event {
        MediaEvent::Ignored(why) => odd.count(*why),
        // Odd where no key was wanted. Where one was, the call ends (spec/media-streams.md 10.8).
        MediaEvent::KeyLost => odd.count(Ignored::UnreadableKey),
        _ => Ok(()),
    }
}

/// One stream.
#[derive(Debug)]
pub struct MediaSession {
    dialect: &'static Dialect,
    subprotocol: Option<&'static str>,
    protocol: Box<dyn MediaProtocol>,
    odd: Odd,
    out: MediaOutput,
}

impl MediaSession {
    /// A stream that nothing has come on yet.
    ///
    /// # Errors
    /// [`MediaError`] if the dialect does not have what the upgrade asks for.
    pub fn open(dialect: &'static Dialect, request: &UpgradeRequest<'_>) -> Result<Self, MediaError> {
        let known =
            || dialect.subprotocols.iter().find(|known| request.subprotocols().any(|offered| offered == **known));
        let subprotocol = known().copied();
        let refuses = !dialect.subprotocols.is_empty() && subprotocol.is_none();
        // An upgrade that offers none is taken without one.
        if refuses && request.subprotocols().next().is_some() {
            return Err(MediaError::Subprotocol);
        }
        let protocol = (dialect.open)(request)?;
        Ok(Self { dialect, subprotocol, protocol, odd: Odd::default(), out: MediaOutput::default() })
    }

    /// What it speaks.
    #[must_use]
    pub const fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// The subprotocol that the upgrade is answered with.
    #[must_use]
    pub const fn subprotocol(&self) -> Option<&'static str> {
        self.subprotocol
    }

    /// Reads one message. The sound of an [`MediaEvent::Audio`] is kept until the next message only.
    ///
    /// # Errors
    /// [`MediaError`] if the stream cannot go on, or not begin: it is to be closed.
    pub fn handle_message(&mut self, now: CallTime, message: Incoming<'_>) -> Result<MediaEvent<'_>, MediaError> {
        let bytes = match message {
            Incoming::Text(text) => text.len(),
            Incoming::Binary(bytes) => bytes.len(),
        };
        if bytes > TEXT_MAX {
            return Err(MediaError::TooLong { bytes });
        }
        let event = self.protocol.handle_message(now, message, &mut self.out)?;
        count_odd(&event, &mut self.odd)?;
        self.out.count_odd(&mut self.odd)?;
        Ok(event)
    }

    /// Has one command done.
    ///
    /// # Errors
    /// [`MediaError::NotStarted`] or [`MediaError::Stopped`] unless the stream runs. A `Close` is always in order.
    pub fn handle_command(&mut self, now: CallTime, command: MediaCommand<'_>) -> Result<(), MediaError> {
        self.protocol.handle_command(now, command, &mut self.out)?;
        self.out.count_odd(&mut self.odd)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`MediaError`] if the stream cannot go on.
    pub fn handle_timeout(&mut self, now: CallTime) -> Result<(), MediaError> {
        if self.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.protocol.handle_timeout(now, &mut self.out)?;
        }
        self.out.count_odd(&mut self.odd)
    }

    /// The next thing that happened beside what a message was.
    pub fn poll_event(&mut self) -> Option<MediaEvent<'static>> {
        self.out.judged = self.out.judged.saturating_sub(1);
        self.out.events.pop_front()
    }

    /// The next frame to be sent.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        self.out.frames.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do, and what, in a word.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(CallTime, &'static str)> {
        self.protocol.poll_timeout()
    }

    /// What was odd so far.
    #[must_use]
    pub const fn odd(&self) -> &Odd {
        &self.odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{ODD_MAX, twilio};

    /// A platform whose every command is answered by something without meaning.
    #[derive(Debug)]
    struct Chatty;

    impl MediaProtocol for Chatty {
        fn handle_message(
            &mut self,
            _: CallTime,
            _: Incoming<'_>,
            _: &mut MediaOutput,
        ) -> Result<MediaEvent<'_>, MediaError> {
            Ok(MediaEvent::Connected)
        }

        fn handle_command(
            &mut self,
            _: CallTime,
            _: MediaCommand<'_>,
            out: &mut MediaOutput,
        ) -> Result<(), MediaError> {
            out.event(MediaEvent::KeyLost);
            Ok(())
        }

        fn handle_timeout(&mut self, _: CallTime, _: &mut MediaOutput) -> Result<(), MediaError> {
            Ok(())
        }

        fn poll_timeout(&self) -> Option<(CallTime, &'static str)> {
            None
        }
    }

    #[test]
    fn what_a_dialect_tells_later_is_counted_as_what_it_tells_at_once() {
        let (odd, out) = (Odd::default(), MediaOutput::default());
        let dialect = &twilio::DIALECT;
        let mut session = MediaSession { dialect, subprotocol: None, protocol: Box::new(Chatty), odd, out };
        for number in 0..ODD_MAX {
            session.handle_command(CallTime::ZERO, MediaCommand::Clear).unwrap();
            // Taken at once or left for later: each counts once.
            if number % 3 != 0 {
                assert_eq!(session.poll_event(), Some(MediaEvent::KeyLost));
            }
        }
        assert_eq!(session.odd().total(), ODD_MAX);
        assert_eq!(session.handle_command(CallTime::ZERO, MediaCommand::Clear), Err(MediaError::TooManyOdd));
    }
}

//! What makes a stream's URL good for one call: an expiry and a random value at the end of its path.
//!
//! Shape:   pure: [`StreamNonce::parse`] reads the two last segments of a path, [`StreamNonce::judge`] compares the expiry with the
//!          time. That the value was not used before is for whoever remembers.
//! Units:   seconds since 1970, as a decimal number.
//! Limits:  a value has [`VALUE_MIN`] to [`VALUE_MAX`] characters of base64url; an expiry lies at most `max_age` and
//!          [`CLOCK_SLACK`] ahead, which bounds how long values are remembered.
//! Errors:  [`NonceRefused`], an answer of 403, or of 503 where it is not the URL's fault. It repeats nothing of the path.
//! Sources: RFC 5849, section 3.3 (timestamp and nonce against replays); RFC 4648, section 5 (base64url).
//!
//! Why nothing here is signed by us. Twilio signs the whole URL it dials with the account's token, path included, so
//! whoever could change expiry or value would have to make a new signature, and could do without a capture. What a
//! signature alone does not do is to end: it covers neither the time nor the call, and is the same for every call to that
//! URL. So the URL has to be another one for each call. Whoever writes the TwiML makes it, with nothing but a clock and a
//! source of randomness; a MAC over the two would say no more than Twilio's signature does, and would make applications
//! handle one more secret. Somebody who can read the URL before the platform dials it cannot use it either, as the
//! signature is missing.
//!
//! What is left: a captured upgrade that never reached this server can be used once, until its expiry. And platforms that
//! do not sign carry `media.secret`, which whoever captured it can send with any path: this is no help there.

use std::time::Duration;

/// The shortest value, in characters: 128 bits of base64url.
pub const VALUE_MIN: usize = 22;

/// The longest value.
pub const VALUE_MAX: usize = 64;

/// By how much the clock of whoever makes URLs may be ahead of ours. Our choice.
pub const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// How far ahead an expiry may lie where no `media.max_age` is set. Our choice.
pub const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a URL is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NonceRefused {
    /// The path has no expiry and no random value.
    #[error("media.max_age is set, and the path does not end in an expiry and a random value")]
    Missing,
    /// They are not what they must be.
    #[error(
        "the path does not end in /EXPIRY/RANDOM: seconds since 1970, and {VALUE_MIN} to {VALUE_MAX} characters of A-Z a-z 0-9 - _"
    )]
    Malformed,
    /// It is past.
    #[error("the URL expired {0} s ago")]
    Expired(u64),
    /// It is too far ahead.
    #[error("the URL expires {0} s later than media.max_age allows")]
    TooFarAhead(u64),
    /// Another stream came with it.
    #[error("the URL was used before")]
    Used,
    /// Whether another stream came with it cannot be known now.
    #[error("whether the URL was used at another server cannot be known now")]
    Unknown,
    /// As many values are remembered as can be.
    #[error("too many URLs are remembered: set a shorter media.max_age")]
    Full,
}

/// An expiry and a random value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamNonce {
    /// Seconds since 1970.
    pub expires: i64,
    /// Used once.
    pub value: String,
}

impl StreamNonce {
    /// Reads the last two segments of a path.
    ///
    /// # Errors
    /// [`NonceRefused::Malformed`].
    pub fn parse(expires: &str, value: &str) -> Result<Self, NonceRefused> {
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        // `parse` takes a sign.
        let is_number = !expires.is_empty() && expires.bytes().all(|byte| byte.is_ascii_digit());
        let is_value = (VALUE_MIN..=VALUE_MAX).contains(&value.len()) && value.bytes().all(is_base64url);
        match expires.parse() {
            Ok(expires) if is_number && is_value => Ok(Self { expires, value: value.to_owned() }),
            _ => Err(NonceRefused::Malformed),
        }
    }

    /// Whether it is good at `now`, in seconds since 1970, where a URL may be `max_age` old.
    ///
    /// # Errors
    /// [`NonceRefused::Expired`], [`NonceRefused::TooFarAhead`].
    pub fn judge(&self, now: i64, max_age: Duration) -> Result<(), NonceRefused> {
        let left = self.expires.saturating_sub(now);
        if left <= 0 {
            return Err(NonceRefused::Expired(left.unsigned_abs()));
        }
        let allowed = max_age.saturating_add(CLOCK_SLACK).as_secs();
        match left.unsigned_abs().checked_sub(allowed) {
            Some(beyond @ 1..) => Err(NonceRefused::TooFarAhead(beyond)),
            Some(0) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;
    const VALUE: &str = "abcdefghijklmnopqrst-_";

    #[test]
    fn a_path_ends_in_seconds_and_a_random_value_of_128_bits_or_more() {
        let parsed = StreamNonce::parse("1795000300", VALUE).unwrap();
        assert_eq!((parsed.expires, parsed.value.as_str()), (NOW + 300, VALUE));
        assert!(StreamNonce::parse("0", &"A".repeat(VALUE_MAX)).is_ok());
        for (expires, value) in [
            ("", VALUE),
            ("+1795000300", VALUE),
            ("-1", VALUE),
            ("1795000300.5", VALUE),
            ("99999999999999999999", VALUE),
            ("1795000300", "abcdefghijklmnopqrstu"),
            ("1795000300", &"A".repeat(VALUE_MAX + 1)),
            ("1795000300", "abcdefghijklmnopqrst=="),
            ("1795000300", "abcdefghijklmnopqrst%2F"),
            ("1795000300", "äbcdefghijklmnopqrstuv"),
        ] {
            assert_eq!(StreamNonce::parse(expires, value), Err(NonceRefused::Malformed), "{expires} {value}");
        }
    }

    #[test]
    fn a_url_is_good_until_its_expiry_which_lies_no_further_ahead_than_it_may_be_old() {
        let max_age = Duration::from_secs(300);
        let judged = |expires| StreamNonce { expires, value: VALUE.to_owned() }.judge(NOW, max_age);
        assert_eq!(judged(NOW + 1), Ok(()));
        assert_eq!(judged(NOW + 300), Ok(()));
        assert_eq!(judged(NOW + 360), Ok(()), "a clock may be ahead");
        assert_eq!(judged(NOW + 361), Err(NonceRefused::TooFarAhead(1)));
        assert_eq!(judged(NOW), Err(NonceRefused::Expired(0)));
        assert_eq!(judged(NOW - 7), Err(NonceRefused::Expired(7)));
        assert_eq!(judged(i64::MAX), Err(NonceRefused::TooFarAhead((i64::MAX - NOW) as u64 - 360)));
        assert!(StreamNonce { expires: 0, value: VALUE.to_owned() }.judge(i64::MAX, max_age).is_err());
    }
}

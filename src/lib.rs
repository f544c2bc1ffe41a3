//! touchtone takes card and bank payments over an ordinary phone call.
//!
//! # The house
//!
//! A phone call is a state machine. Everything a call *decides* is plain, synchronous code (an event in, actions out);
//! everything it *touches* (sockets, gateways, disk, speech, time) is a thin shell around it. A room uses only rooms
//! above it in this list:
//!
//! | room | what is in it |
//! |---|---|
//! | [`secret`] | card numbers, codes, tokens, keys: types that cannot be printed |
//! | [`money`] | amounts and currencies |
//! | [`time`] | the call's own time, a plain number |
//! | [`form`] | the fields of a request |
//! | [`tone`] | DTMF keys |
//! | [`signature`] | who sent this: `X-Twilio-Signature` |
//! | [`twiml`] | XML to typed verbs |
//! | [`pay`] | the Pay verb |
//! | [`flow`] | the call machine: runs a document verb by verb |
//! | [`media`] | dialects of the media-stream protocols |
//!
//! These make up the crate without its `shell` feature: no runtime, no sockets, no disk, no clock, no randomness.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod form;
pub mod media;
pub mod money;
pub mod pay;
pub mod secret;
pub mod signature;
pub mod time;
pub mod tone;
pub mod twiml;

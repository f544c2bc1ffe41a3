//! touchtone takes card and bank payments over an ordinary phone call.
//!
//! # The modules
//!
//! A phone call is a state machine. Everything a call *decides* is plain, synchronous code (an event in, actions out);
//! everything it *touches* (sockets, gateways, disk, speech, time) is a thin shell around it. A module uses only modules
//! above it in this list (`tests/modules.rs` reads the imports):
//!
//! | module | what is in it |
//! |---|---|
//! | [`secret`] | card numbers, codes, tokens, keys: types that cannot be printed |
//! | [`money`] | amounts and currencies |
//! | [`time`] | the call's own time, a plain number |
//! | [`form`] | the fields of a request |
//! | [`mask`] | which digits of a text must not be seen |
//! | [`signature`] | `X-Twilio-Signature` |
//! | [`audio`] | G.711, L16, other rates, framing |
//! | [`tone`] | DTMF keys, and their sound |
//! | [`twiml`] | XML to typed verbs |
//! | [`pay`] | the Pay verb |
//! | [`flow`] | the call machine: runs a document verb by verb |
//! | [`simulate`] | a call in virtual time, and what must hold in every one |
//! | [`media`] | dialects of the media-stream protocols |
//!
//! These make up the crate without its `shell` feature: no runtime, no sockets, no disk, no clock, no randomness. The
//! shell:
//!
//! | module | what is in it |
//! |---|---|
//! | `clock`, `rng` | the wall clock, the one source of randomness of calls |
//! | `feed` | what happens to calls, payments and callbacks, for whoever watches |
//! | `blocking` | where work goes that holds its thread up |
//! | `private_file` | files that only their owner can read |
//! | `library` | flow documents of a folder |
//! | `deadline` | deadlines of a process that may be stopped for a while |
//! | `exposure` | who can reach the server |
//! | `http` | the way out: which addresses may be reached |
//! | `speech` | text and recordings to sound |
//! | `store` | what outlives the process: connectors, payments, callbacks to send |
//! | `connector` | Pay Connectors: one trait, one folder a gateway |
//! | `config`, `account` | the configuration; our AccountSid and AuthToken |
//! | `callback` | signed requests to the merchant's application |
//! | `replay` | call scripts |
//! | `call` | one task a live call; every call's record |
//! | `rest` | Twilio's REST API |
//! | `fuzzing` | the readers of bytes from outside, for the fuzz targets |
//! | `server` | the sockets |
//! | `cli` | commands |
//!
//! # The loop
//!
//! Every machine here is run the same way, and has the same kind of names for it; `now` is always a parameter:
//!
//! - `handle_event` or `handle_input` takes what happened;
//! - `poll_action` or `poll_output` gives what is to be done, one thing at a time, until there is none;
//! - `poll_timeout` says until when the machine waits, and for what. None: it waits for something that has no deadline, or it
//!   is over;
//! - `handle_timeout` takes note that this moment has come.
//!
//! [`flow::Call`] is the whole call; [`pay::verb::PaySession`] and [`pay::assisted::AssistedSession`] are one payment.
//! Machines in which whatever happens has one consequence, [`pay::submission::Submission`] and [`pay::recovery::Recovery`],
//! give it back from `handle_*` itself. [`media::MediaSession`] takes messages and commands and gives events and frames:
//! `handle_message`, `handle_command`, `poll_event`, `poll_frame`. A call from start to success, without a socket:
//!
//! ```
//! # use touchtone::flow::{Action, Call, Context, Event, First, NextDocument, link::{Origin, PlainHttp}};
//! # use touchtone::{pay::{platform::Platform, sandbox, step::PayResult}, simulate, time::CallTime, tone::Key, twiml};
//! # use std::time::Duration;
//! let document = twiml::parse("<Response><Pay chargeAmount='20.45' postalCode='false'/></Response>")?;
//! let first = First::Document(NextDocument { document, origin: Origin::Flow("donate".to_owned()) });
//! let noon = jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0);
//! let context = Context {
//!     account_sid: "AC1".to_owned(),
//!     call_sid: "CA1".to_owned(),
//!     caller: Default::default(),
//!     parameters: Default::default(),
//!     answered_at: noon,
//!     answered_at_utc: noon,
//!     seed: 1,
//!     platform: Platform::Twilio,
//!     plain_http: PlainHttp::Never,
//! };
//! let (mut now, mut result) = (CallTime::ZERO, None);
//! let mut call = Call::start(now, first, context);
//! let mut keys = "4242424242424242 1228 123".chars().filter_map(Key::parse);
//! while !call.is_over() {
//!     while let Some(action) = call.poll_action() {
//!         match action {
//!             Action::Speak(turn, _) => call.handle_event(now, Event::Played(turn)),
//!             Action::FindConnector(_) => call.handle_event(now, Event::ConnectorFound(Some(sandbox::capabilities()))),
//!             Action::Ask(question, attempt, instrument) => {
//!                 let reply = simulate::sandbox_reply(&question, &attempt, &instrument);
//!                 call.handle_event(now, Event::Replied(question.number, reply));
//!             }
//!             Action::Settle(settled) => result = Some(settled.outcome.result),
//!             _ => {} // Reports, callbacks, the end: a shell logs and sends them.
//!         }
//!     }
//!     now = now + Duration::from_millis(200);
//!     match keys.next() {
//!         Some(key) => call.handle_event(now, Event::Key(key)),
//!         None => call.handle_timeout(now), // Too early is harmless: `poll_timeout` says when it is not.
//!     }
//! }
//! assert_eq!(result, Some(PayResult::Success));
//! # Ok::<(), twiml::Fault>(())
//! ```
//!
//! Absent on purpose: a second implementation of anything a call decides. Live calls, replays, the fuzzer and the phone in
//! the terminal run the same [`flow::Call`].
// Tests may hold up their own thread.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[cfg(feature = "shell")]
pub mod account;
pub mod audio;
#[cfg(feature = "shell")]
pub mod blocking;
#[cfg(feature = "shell")]
pub mod call;
#[cfg(feature = "shell")]
pub mod callback;
#[cfg(feature = "shell")]
pub mod cli;
#[cfg(feature = "shell")]
pub mod clock;
#[cfg(feature = "shell")]
pub mod config;
#[cfg(feature = "shell")]
pub mod connector;
#[cfg(feature = "shell")]
mod deadline;
#[cfg(feature = "shell")]
pub mod exposure;
#[cfg(feature = "shell")]
pub mod feed;
pub mod flow;
pub mod form;
#[cfg(feature = "shell")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "shell")]
pub mod http;
#[cfg(feature = "shell")]
pub mod library;
pub mod mask;
pub mod media;
pub mod money;
pub mod pay;
#[cfg(feature = "shell")]
mod private_file;
#[cfg(feature = "shell")]
pub mod replay;
#[cfg(feature = "shell")]
pub mod rest;
#[cfg(feature = "shell")]
pub mod rng;
pub mod secret;
#[cfg(feature = "shell")]
pub mod server;
pub mod signature;
pub mod simulate;
#[cfg(feature = "shell")]
pub mod speech;
#[cfg(feature = "shell")]
pub mod store;
pub mod time;
pub mod tone;
pub mod twiml;

//! The Pay verb: settings, steps, card and bank rules, prompts, the gateway's answer, the outcome. Sans-I/O.
//!
//! Shape:   [`verb::PaySession`] takes keys, played prompts and gateway answers, and gives prompts, status callbacks
//!          and questions to the gateway, then one outcome. [`assisted::AssistedSession`] is the same led by an agent:
//!          no prompts, one field at a time, in any order. Both speak the vocabulary of [`session`], and have in common what
//!          is in `payment_core`, `entry` and `confirmation`; the gateway is asked by `gateway_exchange` and [`submission`].
//! Units:   `CallTime`, milliseconds since the call was answered; attributes are in seconds as Twilio writes them.
//! Secrets: what is keyed lives in `secret` types only; what leaves is masked or goes to the gateway.
//! Sources: spec/pay.md, which settles what Twilio's, Telnyx's and SignalWire's pages say.

pub mod admission;
pub mod assisted;
pub mod bank;
pub mod captured;
pub mod captured_fields;
pub mod card;
pub mod command;
mod confirmation;
mod entry;
mod entry_rules;
pub mod field;
pub mod gateway;
mod gateway_exchange;
pub mod intent;
pub mod keypad;
mod listening;
pub mod outcome;
mod payment_core;
pub mod platform;
pub mod prompts;
pub mod recovery;
pub mod sandbox;
pub mod session;
pub mod settings;
pub mod step;
pub mod submission;
pub mod surroundings;
pub mod test_numbers;
pub mod verb;

//! Replies of processors behind the generic contract, for the fuzzer to begin with.
//!
//! Sources: the examples of Twilio's, Telnyx's and SignalWire's pages; spec/connectors.md, section 3.

use crate::connector::kind::Sample;

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        reader: "twilio",
        status: 200,
        body: r#"{"charge_id":"ch_1","error_code":null,"error_message":null,"parameters":{"order":"7"}}"#,
    },
    Sample { reader: "twilio", status: 200, body: r#"{"token_id":"tok_1","error_code":null,"error_message":null}"# },
    Sample {
        reader: "twilio",
        status: 200,
        body: r#"{"charge_id":"ch_1","error_code":"card_declined","error_message":"Your card was declined."}"#,
    },
    Sample { reader: "telnyx", status: 402, body: r#"{"error_code":"card_declined","error_message":"No."}"# },
    Sample { reader: "telnyx", status: 503, body: "" },
    Sample { reader: "signalwire", status: 200, body: r#"{"charge_id":7,"error_code":0}"# },
    Sample {
        reader: "signalwire-swml",
        status: 500,
        body: r#"{"charge_id":null,"error_code":"declined","error_message":"No."}"#,
    },
];

//! Replies of Stripe, for the fuzzer to begin with.
//!
//! Sources: Stripe's API reference; spec/connectors.md, sections 4 and 16.4.

use crate::connector::kind::Sample;

pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        reader: "prepared",
        status: 200,
        body: r#"{"id":"pm_1","object":"payment_method","created":1700000000,"customer":null,"livemode":false}"#,
    },
    Sample {
        reader: "charged",
        status: 200,
        body: r#"{"id":"pi_1","status":"succeeded","latest_charge":{"id":"ch_1"},"livemode":false}"#,
    },
    Sample { reader: "charged", status: 200, body: r#"{"id":"pi_1","status":"requires_action"}"# },
    Sample {
        reader: "charged",
        status: 402,
        body: r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"generic_decline","charge":"ch_1",
            "payment_intent":{"id":"pi_1","status":"requires_payment_method"},"message":"Your card was declined."}}"#,
    },
    Sample {
        reader: "charged",
        status: 401,
        body: r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key provided: sk_test_***"}}"#,
    },
    Sample {
        reader: "tokenized",
        status: 200,
        body: r#"{"id":"tok_1","object":"token","livemode":false,"type":"card","used":false}"#,
    },
    Sample { reader: "kept", status: 200, body: r#"{"id":"cus_1","object":"customer","default_source":"card_1"}"# },
    Sample {
        reader: "payments",
        status: 200,
        body: r#"{"object":"list","has_more":false,"data":[{"id":"pi_1","status":"succeeded","latest_charge":"ch_1",
            "metadata":{"pay_sid":"PK0123456789abcdef0123456789abcdef"}}]}"#,
    },
    Sample { reader: "customers", status: 200, body: r#"{"object":"list","has_more":false,"data":[]}"# },
];

use std::collections::BTreeSet;

use super::*;
use crate::flow::LedBy;
use crate::flow::link::Origin;
use crate::simulate::Record;
use crate::twiml;

/// Flows that between them have every kind of verb that listens.
struct Samples;

const SAMPLES: &[(&str, &str)] = &[
    (
        "card",
        "<Response><Say>Hello.</Say><Pay chargeAmount='20.45' maxAttempts='2' statusCallback='https://example.com/status'/></Response>",
    ),
    (
        "menu",
        "<Response><Gather numDigits='1' action='card'><Say>Press 1 to pay.</Say></Gather><Redirect>bank</Redirect></Response>",
    ),
    (
        "bank",
        "<Response><Pay paymentMethod='ach-debit' chargeAmount='5' confirmation='true' maxAttempts='3' action='https://example.com/paid'><Prompt for='bank-account-number' requireMatchingInputs='true'><Say>Once more.</Say></Prompt></Pay></Response>",
    ),
    (
        "token",
        "<Response><Pay tokenType='one-time' postalCode='false' validCardTypes='visa mastercard amex maestro discover jcb diners-club enroute unionpay' confirmation='true' timeout='1'><Prompt for='payment-card-number security-code' cardType='visa amex'><Say>Your card.</Say></Prompt><Prompt for='payment-completed'><Say>Done.</Say></Prompt></Pay><Pay chargeAmount='1' securityCode='false' action='https://example.com/second'/></Response>",
    ),
    (
        "twice",
        "<Response><Pay chargeAmount='1' postalCode='false'><Prompt for='payment-card-number security-code' requireMatchingInputs='true'><Say>Again.</Say></Prompt></Pay><Pause length='2'/><Redirect>menu</Redirect></Response>",
    ),
    (
        "gather",
        "<Response><Gather timeout='2' action='amount'><Say>Your customer number.</Say></Gather><Redirect>card</Redirect></Response>",
    ),
    (
        "amount",
        "<Response><Pay chargeAmount='{Digits}' description='of {Digits}' action='https://example.com/paid'/><Redirect>{Digits}</Redirect></Response>",
    ),
    ("wrong", "<Response><Pay chargeAmount='-1'/><Dial>+1</Dial><Gather><Say>x</Say></Gather></Response>"),
];

impl Flows for Samples {
    fn flow(&self, name: &str, parameters: &BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure> {
        let found = SAMPLES.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| FetchFailure::not_retrieved(format!("there is no flow {name}")))?;
        let text = text.replace("{Digits}", parameters.get("Digits").map_or("7", Value::expose));
        let document = twiml::parse(&text).map_err(|fault| FetchFailure::not_readable(fault.to_string()))?;
        Ok(NextDocument { document, origin: Origin::Flow(name.to_owned()) })
    }
}

fn flow(seed: u64) -> &'static str {
    SAMPLES[usize::try_from(seed).unwrap() % SAMPLES.len()].0
}

#[test]
fn no_call_by_chance_breaks_a_rule_and_its_twin_shows_the_same() {
    let mut results = BTreeSet::new();
    let (mut twins, mut led, mut led_twins, mut refused_after_acting) = (0, 0, 0, 0);
    for seed in 0..1500 {
        let (plan, played) = call(&Samples, flow(seed), &[], seed);
        let script = plan.script(&played);
        assert_eq!(violation(&played), None, "seed {seed}\n{script}");
        results.insert(result(&played));
        let paid_for_agent = played.records().iter().any(|(_, record)| {
            matches!(record, Record::Reported(payment, progress, _)
                if payment.led_by == LedBy::Agent && progress.what == What::Finished(PayResult::Success))
        });
        led += u32::from(paid_for_agent);
        let acted = played.records().iter().position(|(_, record)| matches!(record, Record::Acted(_)));
        let after = acted.map_or(&[][..], |place| &played.records()[place..]);
        let refused = |(_, record): &(_, Record)| matches!(record, Record::Answered(_, "declined" | "refused"));
        refused_after_acting += u32::from(after.iter().any(refused));
        if let Some(twin) = plan.twin(seed) {
            let other = twin.play(&Samples);
            assert_eq!(difference(&played, &other), None, "seed {seed}\n{script}\n{}", twin.script(&other));
            twins += 1;
            led_twins += u32::from(paid_for_agent);
        }
    }
    assert!(twins > 500, "{twins}");
    assert!(led > 50 && led_twins > 20, "{led} {led_twins}");
    assert!(refused_after_acting > 20, "{refused_after_acting}");
    // Every result but what only a faulty connector brings about.
    assert!(results.len() >= 8, "{results:?}");
}

#[test]
fn a_plan_plays_the_same_call_again() {
    for seed in 0..300 {
        let (plan, played) = call(&Samples, flow(seed), &[], seed);
        assert_eq!(difference(&played, &plan.play(&Samples)), None, "seed {seed}\n{}", plan.script(&played));
    }
}

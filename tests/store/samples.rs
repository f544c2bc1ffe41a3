//! Payments and callbacks to write down.

use std::time::Duration;

use jiff::Timestamp;
use touchtone::callback::CallbackKind;
use touchtone::flow::LedBy;
use touchtone::pay::outcome::{Outcome, Standing};
use touchtone::pay::step::{PayErrorCode, PayResult};
use touchtone::store::{CallbackState, NewCallback, NewPayment, NodeId, SettledPayment};
use touchtone::twiml::Method;
use uuid::Uuid;

/// So many milliseconds after the tests' beginning.
pub fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap() + Duration::from_millis(milliseconds)
}

pub fn sid(number: u32) -> String {
    format!("PK{number:032x}")
}

pub fn payment(number: u32) -> NewPayment {
    NewPayment {
        sid: sid(number),
        call_sid: format!("CA{}", number % 3),
        connector: ["Default", "Bank"][number as usize % 2].to_owned(),
        led_by: if number.is_multiple_of(2) { LedBy::Document } else { LedBy::Agent },
        operation: "charge",
        amount: Some(format!("{number}.45")),
        currency: "usd".to_owned(),
        token_type: None,
        means: "card",
        masked: Some("xxxxxxxxxxxx4242".to_owned()),
        brand: Some("visa".to_owned()),
        sealed: format!("sealed {number}").into_bytes(),
    }
}

pub fn callback(number: u32, state: CallbackState) -> NewCallback {
    NewCallback {
        token: Uuid::from_u128(number.into()),
        call_sid: format!("CA{}", number % 3),
        payment_sid: number.is_multiple_of(2).then(|| sid(number)),
        kind: [CallbackKind::Action, CallbackKind::Status, CallbackKind::Document, CallbackKind::ErrorNotice]
            [number as usize % 4],
        method: if number.is_multiple_of(2) { Method::Post } else { Method::Get },
        url: format!("https://shop.example/paid/{number}"),
        sealed: format!("form {number}").into_bytes(),
        state,
    }
}

pub fn waiting(number: u32) -> NewCallback {
    callback(number, CallbackState::Waiting)
}

/// The node that has everything unless it is said.
pub const A: NodeId = NodeId(Uuid::from_u128(0xa));

/// An outcome, as `A` has it.
pub fn settled(number: u32, standing: Standing) -> SettledPayment {
    let (result, code, error, confirmation_code) = match standing {
        Standing::Succeeded => (PayResult::Success, None, None, Some("ch_1".to_owned())),
        Standing::Failed | Standing::Unknown => {
            let code = PayErrorCode::ALL.first().copied();
            (PayResult::PaymentConnectorError, code, Some("the gateway said: “no” 🙁".to_owned()), None)
        }
    };
    let outcome = Outcome { standing, result, code, error, confirmation_code };
    SettledPayment { sid: sid(number), outcome, owner: A }
}

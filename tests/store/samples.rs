//! Payments, sessions, calls and callbacks to write down.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use jiff::Timestamp;
use touchtone::callback::CallbackKind;
use touchtone::flow::LedBy;
use touchtone::pay::outcome::{Outcome, Standing};
use touchtone::pay::step::{PayErrorCode, PayResult};
use touchtone::store::audit::{Actor, AuditAction, ConnectorChange, NewAudit};
use touchtone::store::{
    Backend, BackendError, CallRow, CallStatus, CallbackState, NewCallback, NewPayment, NewSession, NodeId,
    SettledPayment,
};
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
        begun: at(0),
        sealed: format!("sealed {number}").into_bytes(),
    }
}

/// A session that began at `begun`, of the payment of that number.
pub fn session(number: u32, begun: Timestamp) -> NewSession {
    let NewPayment { sid, call_sid, connector, led_by, operation, amount, currency, token_type, means, .. } =
        payment(number);
    let sealed = format!("begun {number}").into_bytes();
    NewSession { sid, call_sid, connector, led_by, operation, amount, currency, token_type, means, begun, sealed }
}

/// A call that is live, or ended after a second.
pub fn call(number: u32, started: Timestamp, status: CallStatus) -> CallRow {
    let ended = (status == CallStatus::Completed).then(|| started + Duration::from_secs(1));
    CallRow {
        place: 0,
        sid: format!("CA{number}"),
        account: "AC1".to_owned(),
        dialect: "twilio".to_owned(),
        flow: "donate".to_owned(),
        from: Some(["+15550000", "+15551111"][number as usize % 2].to_owned()),
        to: number.is_multiple_of(3).then(|| "+15552222".to_owned()),
        direction: "inbound".to_owned(),
        caller_name: None,
        forwarded_from: None,
        status,
        how: ended.map(|_| "caller".to_owned()),
        started,
        updated: ended.unwrap_or(started),
        ended,
    }
}

pub fn callback(number: u32, state: CallbackState) -> NewCallback {
    NewCallback {
        token: Uuid::from_u128(number.into()),
        call_sid: format!("CA{}", number % 3),
        payment_sid: number.is_multiple_of(2).then(|| sid(number)),
        progress_of: None,
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
    SettledPayment { sid: sid(number), outcome, owner: A, session: None }
}

/// Changes a connector; who did it is told as nobody.
pub async fn change(
    books: &dyn Backend,
    name: &str,
    change: ConnectorChange,
    now: Timestamp,
) -> Result<(), BackendError> {
    let audit = NewAudit {
        token: Uuid::new_v4(),
        actor: Actor { name: "nobody".to_owned(), origin: "here".to_owned() },
        action: AuditAction::ConnectorChanged,
        target: format!("connector {name}"),
        old_value: None,
        new_value: None,
    };
    books.change_connector(name, change, audit, now).await
}

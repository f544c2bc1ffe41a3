//! The merchant's application: gives each call its documents and takes down what it is told.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use touchtone::form::Form;
use touchtone::secret::Secret;
use touchtone::signature;

use super::house::TOKEN;
use super::network::serve;
use super::processor::cut_off;
use super::world::{Arrival, Session, World};

pub async fn start(world: Arc<World>) -> turmoil::Result {
    serve(Router::new().fallback(take).with_state(world)).await
}

/// What a session charges: no other session charges the same.
pub fn amount((call, document): Session) -> String {
    format!("{}.{:02}", 10 + call, document)
}

/// The session that `/doc/1/2`, `/paid/1/2` and `/status/1/2` are about, and the word before it.
pub fn session(path: &str) -> Option<(&str, Session)> {
    let mut parts = path.trim_start_matches('/').split('/');
    let word = parts.next()?;
    Some((word, (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?)))
}

async fn take(State(world): State<Arc<World>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let plan = world.plan.application;
    let mut dice = world.application_dice.lock().unwrap().others();
    tokio::time::sleep(dice.millis(0, 150)).await;
    let mut happens = |often| dice.happens(world.unless_calm(often));
    let (fails, hangs, fails_after, cuts) =
        (happens(plan.fails_before), happens(plan.hangs), happens(plan.fails_after), happens(plan.cuts));
    if happens(plan.slow) {
        tokio::time::sleep(dice.millis(500, 12_000)).await;
    }
    let noted = !(fails || hangs || fails_after || cuts);
    let arrival = arrival(&path, &headers, &body, noted);
    let told = ["For", "Attempt", "ErrorType", "Result", "PayErrorCode", "PaymentError", "PaymentConfirmationCode"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", arrival.fields.get(*name)?)))
        .collect::<Vec<_>>()
        .join(" ");
    world.note(format_args!(
        "application: {path} {} {told}{}",
        arrival.token,
        if noted { "" } else { " (not taken note of)" }
    ));
    let answer = document(&world, &path, &arrival);
    world.arrivals.lock().unwrap().push(arrival);
    if hangs {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
    if fails || fails_after {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if cuts {
        return cut_off(b"<Resp".to_vec());
    }
    ([(header::CONTENT_TYPE, "text/xml")], answer).into_response()
}

fn arrival(path: &str, headers: &HeaderMap, body: &[u8], noted: bool) -> Arrival {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let fields: std::collections::BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let mut form = Form::new();
    for (name, value) in &fields {
        form.set(name.clone(), value.clone());
    }
    let url = format!("http://application.localhost{path}");
    let expected = signature::sign(&Secret::new(TOKEN.to_owned()), &url, Some(&form));
    Arrival {
        at: turmoil::sim_elapsed().unwrap(),
        path: path.to_owned(),
        token: text("i-twilio-idempotency-token"),
        body: String::from_utf8_lossy(body).into_owned(),
        fields,
        signed: text(signature::HEADER) == expected,
        noted,
    }
}

/// What a call goes on with: a payment first, another one while the gateway says no.
fn document(world: &World, path: &str, arrival: &Arrival) -> String {
    let Some((word, (call, number))) = session(path) else { return String::new() };
    let plan = &world.plan.calls[call as usize];
    let again = word == "paid" && number < plan.payments && arrival.fields.contains_key("ConnectorError");
    let number = match word {
        "doc" => number,
        "paid" if again => number + 1,
        "paid" => return "<Response><Hangup/></Response>".to_owned(),
        _ => return String::new(),
    };
    format!(
        "<Response><Pay action=\"/paid/{call}/{number}\" statusCallback=\"/status/{call}/{number}\" \
         chargeAmount=\"{}\" {}/></Response>",
        amount((call, number)),
        plan.attributes
    )
}

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
use touchtone::store::PaymentState;

use super::network::{self, serve};
use super::plan::{APPLICATIONS, Trick};
use super::processor::cut_off;
use super::server::TOKEN;
use super::world::{Arrival, Session, World};

/// Statuses after which a callback is to be tried again.
const FOR_NOW: [u16; 5] = [408, 425, 429, 502, 503];

/// Statuses after which it is not.
const FOR_GOOD: [u16; 4] = [400, 403, 404, 422];

/// One of the applications.
#[derive(Clone)]
struct Shop {
    world: Arc<World>,
    application: usize,
}

pub async fn start(world: Arc<World>, application: usize) -> turmoil::Result {
    serve(Router::new().fallback(take).with_state(Shop { world, application })).await
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

async fn take(State(shop): State<Shop>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Shop { world, application } = shop;
    let path = uri.path().to_owned();
    let plan = world.plan.applications[application];
    let mut dice = world.application_dice.lock().unwrap().others();
    tokio::time::sleep(dice.millis(0, 150)).await;
    let mut happens = |often| dice.happens(world.unless_calm(often));
    let never = world.plan.trick == Trick::ApplicationNeverRecovers;
    let (fails, hangs, fails_after, cuts) =
        (never || happens(plan.fails_before), happens(plan.hangs), happens(plan.fails_after), happens(plan.cuts));
    let (refuses_for_now, refuses) = (happens(plan.refuses_for_now), happens(plan.refuses));
    let is_telling = session(&path).is_some_and(|(word, _)| word != "doc");
    let refused = match (is_telling, refuses_for_now, refuses) {
        (true, true, _) => Some(dice.pick(&FOR_NOW)),
        (true, false, true) => Some(dice.pick(&FOR_GOOD)),
        _ => None,
    };
    if dice.happens(world.unless_calm(plan.slow)) {
        tokio::time::sleep(dice.millis(500, 12_000)).await;
    }
    let noted = !(fails || hangs || fails_after || cuts || refused.is_some());
    let mut arrival = arrival(&world, application, &path, &headers, &body, noted);
    if refused.is_some_and(|status| FOR_GOOD.contains(&status)) && !(fails || hangs || fails_after || cuts) {
        arrival.refused = refused;
    }
    let told = ["For", "Attempt", "ErrorType", "Result", "PayErrorCode", "PaymentError", "PaymentConfirmationCode"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", arrival.fields.get(*name)?)))
        .collect::<Vec<_>>()
        .join(" ");
    world.note(format_args!(
        "{}: {path} {} {told}{}{}",
        APPLICATIONS[application],
        arrival.token,
        if noted { "" } else { " (not taken note of)" },
        refused.map(|status| format!(" ({status})")).unwrap_or_default(),
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
    if let Some(status) = refused {
        let is_taken = match world.plan.trick {
            Trick::RefusedIsDelivered => FOR_GOOD.contains(&status),
            Trick::NotNowIsDelivered => status < 500 && FOR_NOW.contains(&status),
            _ => false,
        };
        if is_taken {
            return StatusCode::OK.into_response();
        }
        return (StatusCode::from_u16(status).unwrap(), [(header::RETRY_AFTER, "1")]).into_response();
    }
    ([(header::CONTENT_TYPE, "text/xml")], answer).into_response()
}

fn arrival(world: &World, application: usize, path: &str, headers: &HeaderMap, body: &[u8], noted: bool) -> Arrival {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut fields: std::collections::BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let mut form = Form::new();
    for (name, value) in &fields {
        form.set(name.clone(), value.clone());
    }
    let url = format!("http://{}.localhost{path}", APPLICATIONS[application]);
    let expected = signature::sign(&Secret::new(TOKEN.to_owned()), &url, Some(&form));
    let token = text(network::TOKEN);
    if world.plan.trick == Trick::ResultsChange && fields.contains_key("Result") {
        let times = world.arrivals.lock().unwrap().iter().filter(|before| before.token == token).count();
        if times > 0 {
            fields.insert("PayErrorCode".to_owned(), times.to_string());
        }
    }
    let tells_success = fields.get("Result").is_some_and(|result| result == "success");
    let too_early = tells_success && session(path).is_some_and(|(_, session)| !is_written_down(world, session));
    Arrival {
        path: path.to_owned(),
        token,
        body: String::from_utf8_lossy(body).into_owned(),
        fields,
        signed: text(signature::HEADER) == expected,
        noted,
        refused: None,
        too_early,
    }
}

/// Whether the database says of a session that it succeeded.
fn is_written_down(world: &World, session: Session) -> bool {
    let amount = amount(session);
    let payments = world.database.payments();
    payments.iter().any(|row| row.amount.as_deref() == Some(&amount) && row.state == PaymentState::Succeeded)
}

/// What a call goes on with: a payment first, another one while the gateway says no.
fn document(world: &World, path: &str, arrival: &Arrival) -> String {
    let Some((word, (call, number))) = session(path) else { return String::new() };
    let Some(plan) = world.plan.calls.get(call as usize) else { return String::new() };
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

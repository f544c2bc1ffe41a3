//! The payment processor: Twilio's generic contract, with a ledger. It charges a transaction once, whatever happens to its
//! answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream;
use serde_json::{Value, json};

use super::dice::Dice;
use super::network::{EXCHANGE, serve};
use super::plan::{Repeated, Trick};
use super::world::{Known, World};

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(3_600);

pub async fn start(world: Arc<World>) -> turmoil::Result {
    serve(Router::new().route("/charge", post(charge)).with_state(world)).await
}

async fn charge(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let (id, amount) = (asked["transaction_id"].as_str().unwrap(), asked["amount"].as_str().unwrap());
    let plan = world.plan.gateway;
    // The same for a request that arrives twice: who says "not now" to one must not charge by the other.
    let exchange: u64 = headers[EXCHANGE].to_str().unwrap().parse().unwrap();
    let mut dice = Dice::new(exchange);
    world.note(format_args!("gateway: asked for {amount} as {id}"));
    tokio::time::sleep(dice.millis(5, 400)).await;
    let mut happens = |often| dice.happens(world.unless_calm(often));
    if happens(plan.hangs_before) {
        world.note(format_args!("gateway: {amount}: says nothing, does nothing"));
        tokio::time::sleep(FOR_EVER).await;
    }
    if happens(plan.fails_before) {
        world.note(format_args!("gateway: {amount}: fails and does nothing"));
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if happens(plan.busy) {
        world.note(format_args!("gateway: {amount}: is busy"));
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response();
    }
    if happens(plan.slow) {
        tokio::time::sleep(dice.millis(1_000, 14_000)).await;
    }
    let declines = dice.happens(plan.declines);
    let wrong = dice.happens(plan.repeated_wrong);
    let outcome = {
        let mut ledger = world.ledger.lock().unwrap();
        match ledger.known.get(id) {
            Some(known) if world.plan.trick != Trick::GatewayRepeats => {
                // One request that arrives twice is one request.
                if wrong
                    && known.exchange != exchange
                    && let Some(answer) = repeated(plan.repeated)
                {
                    world.note(format_args!("gateway: {amount}: knows it already: {:?}", plan.repeated));
                    return answer;
                }
                known.outcome.clone()
            }
            _ => {
                let outcome = if declines {
                    Err("card_declined".to_owned())
                } else {
                    let charge = format!("ch_{}", ledger.charges.len() + 1);
                    ledger.charges.push((amount.to_owned(), charge.clone()));
                    Ok(charge)
                };
                ledger.known.insert(id.to_owned(), Known { outcome: outcome.clone(), exchange });
                outcome
            }
        }
    };
    world.note(format_args!("gateway: {amount}: {outcome:?}"));
    let mut happens = |often| dice.happens(world.unless_calm(often));
    if happens(plan.hangs_after) {
        world.note(format_args!("gateway: {amount}: says nothing"));
        tokio::time::sleep(FOR_EVER).await;
    }
    if happens(plan.fails_after) {
        world.note(format_args!("gateway: {amount}: says that it failed"));
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if happens(plan.garbles) {
        world.note(format_args!("gateway: {amount}: mumbles"));
        return "<html>all is well".into_response();
    }
    let outcome = match outcome {
        Ok(_) if world.plan.trick == Trick::GatewayLies => Err("card_declined".to_owned()),
        outcome => outcome,
    };
    let is_busy = happens(plan.busy_after);
    let cuts = happens(plan.cuts);
    let answer = match outcome {
        Ok(charge) => json!({"charge_id": charge, "error_code": null, "error_message": null}),
        Err(code) => json!({"charge_id": null, "error_code": code, "error_message": "no"}),
    };
    if is_busy {
        world.note(format_args!("gateway: {amount}: is busy, but has done it"));
        let status =
            if exchange.is_multiple_of(2) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
        return (status, [("retry-after", "1")], Json(answer)).into_response();
    }
    if cuts {
        world.note(format_args!("gateway: {amount}: breaks off"));
        let half = answer.to_string().into_bytes()[..10].to_vec();
        return cut_off(half);
    }
    Json(answer).into_response()
}

/// What is said to a transaction that is known, if not what was said the first time.
fn repeated(how: Repeated) -> Option<Response> {
    let no = |code: &str| Json(json!({"charge_id": null, "error_code": code, "error_message": "known already"}));
    match how {
        Repeated::Same => None,
        Repeated::Duplicate => Some(no("duplicate").into_response()),
        Repeated::Conflict => Some((StatusCode::CONFLICT, no("duplicate")).into_response()),
        Repeated::Refused => Some((StatusCode::UNPROCESSABLE_ENTITY, no("transaction_exists")).into_response()),
        Repeated::Unauthorized => {
            Some((StatusCode::UNAUTHORIZED, Json(json!({"message": "this request was signed before"}))).into_response())
        }
    }
}

/// An answer that ends before its end.
pub fn cut_off(half: Vec<u8>) -> Response {
    let parts = [Ok(Bytes::from(half)), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    Response::new(Body::from_stream(stream::iter(parts)))
}

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;

use crate::connector;
use crate::connector::generic::samples::charge;
use crate::connector::stripe::loopback_tests::{SID, connector, fine, json, note, page, payment};
use crate::http::test_server::{SeenRequest, TestServer, with_header};
use crate::pay::gateway::{Answer, Instrument, Preparation, RecoveryNote, Resolution};
use crate::secret::Secret;

/// When the card of [`note`] was prepared.
const PREPARED: i64 = 1_700_000_000;

/// A payment at Stripe: when it was made, for which of our transaction ids and with which customer.
#[derive(Clone)]
struct Made {
    at: i64,
    sid: &'static str,
    customer: Option<&'static str>,
}

fn made(at: i64, sid: &'static str) -> Made {
    Made { at, sid, customer: None }
}

/// So many payments of others, one a second.
fn others(from: i64, count: i64) -> Vec<Made> {
    (from..from + count).map(|at| made(at, "PKother")).collect()
}

/// The list of payments as Stripe gives it, and a search that finds `found`.
fn account(payments: Vec<Made>, found: &'static [&'static str]) -> impl Fn(&SeenRequest, usize) -> Response + Clone {
    move |seen, number| {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let time = |name: &str| query.get(name).map(|time| time.parse::<i64>().unwrap());
        match path {
            "/v1/payment_intents" => {
                let wanted = |made: &&(usize, &Made)| {
                    let (_, made) = made;
                    time("created[gte]").is_none_or(|from| made.at >= from)
                        && time("created[lte]").is_none_or(|until| made.at <= until)
                        && query.get("customer").is_none_or(|customer| made.customer == Some(customer))
                };
                let numbered: Vec<(usize, &Made)> = payments.iter().enumerate().collect();
                let mut newest: Vec<String> = numbered
                    .iter()
                    .filter(wanted)
                    .map(|(place, made)| payment(&format!("pi_{place}x"), made.sid, "succeeded"))
                    .collect();
                newest.reverse();
                if let Some(after) = query.get("starting_after") {
                    let place = newest.iter().position(|item| item.contains(&format!("\"{after}\""))).unwrap();
                    newest.drain(..=place);
                }
                let limit: usize = query["limit"].parse().unwrap();
                let more = newest.len() > limit;
                newest.truncate(limit);
                json(200, &page(&newest, more))
            }
            "/v1/payment_intents/search" => {
                assert_eq!(query["query"], format!("metadata['pay_sid']:'{SID}'"));
                let found: Vec<String> = found.iter().map(|id| payment(id, SID, "succeeded")).collect();
                json(200, &page(&found, false))
            }
            _ => fine(seen, number),
        }
    }
}

/// What a look-up says, and how many pages it turned.
async fn looked_up(payments: Vec<Made>, found: &'static [&'static str]) -> (String, usize) {
    let server = TestServer::start(account(payments, found)).await;
    let connector = connector(&server.url(""), &[]);
    let said = match connector::resolve(&*connector, Arc::new(charge()), note()).await {
        Resolution::Answer(Answer::Approved(approval)) => approval.confirmation_code.unwrap(),
        Resolution::Answer(answer) => connector::word(&answer).to_owned(),
        Resolution::NotFound => "not found".to_owned(),
        Resolution::CannotTell => "cannot tell".to_owned(),
    };
    (said, server.seen().len())
}

#[tokio::test]
async fn on_a_busy_account_a_payment_is_found_among_those_of_its_minutes() {
    let mut payments = others(PREPARED - 5000, 4990);
    payments.push(made(PREPARED + 1, SID));
    payments.extend(others(PREPARED + 2, 2000));
    let (said, pages) = looked_up(payments, &[]).await;
    assert!(said.starts_with("ch_of_pi_"), "{said}");
    assert!(pages <= 8, "{pages}");
}

#[tokio::test]
async fn a_payment_that_a_recovery_sent_later_is_found_in_the_rest_of_the_list() {
    let mut payments = others(PREPARED, 1500);
    payments.push(made(PREPARED + 1501, SID));
    payments.extend(others(PREPARED + 1502, 300));
    let (said, _) = looked_up(payments, &[]).await;
    assert!(said.starts_with("ch_of_pi_"), "{said}");
}

#[tokio::test]
async fn what_the_whole_list_does_not_have_was_not_made() {
    let (said, pages) = looked_up(others(PREPARED, 1234), &[]).await;
    assert_eq!(said, "not found");
    // 541 and 693 objects, a search that found nothing, and what the payment was to be made with.
    assert_eq!(pages, 6 + 7 + 1 + 1);
}

#[tokio::test]
async fn beyond_the_pages_that_are_turned_a_search_may_find_and_never_denies() {
    let payments = || others(PREPARED + 1000, 10_001);
    assert_eq!(looked_up(payments(), &["pi_found"]).await.0, "ch_of_pi_found");
    assert_eq!(looked_up(payments(), &[]).await.0, "cannot tell");
}

#[tokio::test]
async fn on_a_busy_account_a_search_is_asked_before_the_second_page() {
    // So many that no question has time for all their pages.
    let (said, requests) = looked_up(others(PREPARED + 1000, 9_000), &["pi_found"]).await;
    assert_eq!(said, "ch_of_pi_found");
    assert!(requests <= 3, "{requests}");
}

#[tokio::test]
async fn another_account_cannot_tell_that_nothing_was_made() {
    for (status, body, word) in [
        (404, r#"{"error":{"code":"resource_missing"}}"#, "cannot tell"),
        (200, r#"{"id":"pm_another"}"#, "unknown"),
        (500, "", "unknown"),
        (200, r#"{"id":"pm_1"}"#, "not found"),
    ] {
        let list = account(Vec::new(), &[]);
        let server = TestServer::start(move |seen, number| {
            if seen.target == "/v1/payment_methods/pm_1" { json(status, body) } else { list(seen, number) }
        })
        .await;
        let connector = connector(&server.url(""), &[]);
        let said = match connector.resolve(Arc::new(charge()), note()).await {
            Resolution::Answer(answer) => connector::word(&answer),
            Resolution::NotFound => "not found",
            Resolution::CannotTell => "cannot tell",
        };
        assert_eq!(said, word, "{status} {body}");
    }
}

/// Prepares a charge of a saved card at a Stripe whose clock says this.
async fn saved(date: &'static str, payments: Vec<Made>) -> (TestServer, RecoveryNote) {
    let list = account(payments, &[]);
    let server = TestServer::start(move |seen, number| match seen.target.as_str() {
        "/v1/payment_methods/pm_saved" => {
            with_header(200, "date", date, r#"{"id":"pm_saved","created":1,"customer":"cus_9"}"#)
        }
        _ => list(seen, number),
    })
    .await;
    let token = Arc::new(Instrument::Token(Secret::new("pm_saved".into())));
    match connector(&server.url(""), &[]).prepare(Arc::new(charge()), token).await {
        Preparation::Note(note) => (server, note),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_saved_card_s_payment_is_looked_for_by_stripe_s_clock_and_among_its_customer_s() {
    // Years before any clock of ours.
    let date = "Tue, 14 Nov 2023 22:13:20 GMT";
    let mut payments = others(PREPARED, 400);
    payments.push(Made { customer: Some("cus_9"), ..made(PREPARED + 2, SID) });
    let (server, note) = saved(date, payments).await;
    assert_eq!(note.0, format!("pm_saved since={PREPARED} customer=cus_9"));
    let before = server.seen().len();
    match connector(&server.url(""), &[]).resolve(Arc::new(charge()), Some(note)).await {
        Resolution::Answer(Answer::Approved(_)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(server.seen().len() - before, 1, "one page of one payment");
}

#[tokio::test]
async fn where_stripe_does_not_tell_its_time_the_whole_list_is_looked_through() {
    let mut payments = others(10, 150);
    payments.push(Made { customer: Some("cus_9"), ..made(5, SID) });
    let (server, note) = saved("some time ago", payments).await;
    assert_eq!(note.0, "pm_saved since=0 customer=cus_9");
    match connector(&server.url(""), &[]).resolve(Arc::new(charge()), Some(note)).await {
        Resolution::Answer(Answer::Approved(_)) => {}
        other => panic!("{other:?}"),
    }
}

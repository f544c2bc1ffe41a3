//! What is left of 200 payments when their calls are over: no number in the server's memory, on disk, in a log at its finest,
//! in a callback, a metric, a recording or an answer of the API.
//!
//! The memory is read from outside, as root (`CAP_SYS_PTRACE`, which containers withhold): the server closes it to everybody
//! else. Run by another user, these tests check that it is closed, and search the rest. `TOUCHTONE_TEST_SEED` repeats a run's
//! numbers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "tests live in the real world"
)]
#![allow(unreachable_pub, reason = "the parts of one test")]

#[path = "memory/gateway.rs"]
mod gateway;
#[path = "memory/numbers.rs"]
mod numbers;
#[path = "memory/search.rs"]
mod search;
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use numbers::Chance;
use regex::{Captures, Regex};
use search::{Hit, Search};
use serde_json::{Value, json};
use support::process::{Process, SILENT, files};
use support::{ACCOUNT, BREATH, Caller, Somebody, TIME_LIMIT, TOKEN, get, wait, write_flows};

const PAYMENTS: usize = 200;

/// How many calls there are at a time.
const AT_ONCE: usize = 16;

/// In the gateway's credentials, which stay in memory as long as the server runs: the search has to find it.
const PLANTED: &str = "8027415938264071";

/// How long the last of a number may stay in memory when its payment is over.
const LEAVING: Duration = Duration::from_secs(10);

/// The numbers of digits that are a leak in a text.
const RUN: usize = 7;

/// After a slip.
async fn breath() {
    wait::real_time_passes(BREATH, "the server goes by its own clock when it tells bursts apart").await;
}

/// How a caller goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Card,
    /// One digit too few at first.
    SlipThenCard,
    /// All but the last digit, and `*`, which ends it.
    CardAndStar,
    /// Gone in the middle of the number.
    HalfACard,
    /// Gone as soon as the last digit is keyed.
    CardAndGone,
    /// The gateway says no, and quotes the number.
    RefusedCard,
    /// The gateway answers with something that is no answer, and quotes the number.
    GarbledCard,
    /// The platform tells all digits at once, which it must not.
    CardAtOnce,
    /// Sent as a form; Stripe says no, and quotes the number.
    StripeCard,
    Bank,
    /// The account number twice too short at first.
    SlipThenBank,
    /// An agent leads it.
    Agent,
    /// An agent leads it, and the caller begins again with `*`.
    AgentAndStar,
}

const WAYS: &[Way] = &[
    Way::Card,
    Way::SlipThenCard,
    Way::CardAndStar,
    Way::HalfACard,
    Way::CardAndGone,
    Way::RefusedCard,
    Way::GarbledCard,
    Way::CardAtOnce,
    Way::StripeCard,
    Way::Bank,
    Way::SlipThenBank,
    Way::Agent,
    Way::AgentAndStar,
];

#[derive(Clone, Debug)]
struct Payment {
    way: Way,
    call_sid: String,
    number: String,
    code: String,
}

fn payments(seed: u64) -> Vec<Payment> {
    let mut rng = Chance(seed);
    let mut payment = |place: usize| {
        let way = WAYS[place % WAYS.len()];
        let (number, code_length) = match way {
            Way::Bank | Way::SlipThenBank => (rng.account(), 3),
            _ => rng.card(),
        };
        Payment { way, call_sid: format!("CA{place}"), number, code: rng.code(code_length) }
    };
    (0..PAYMENTS).map(&mut payment).collect()
}

/// The server, and everybody it talks to.
struct World {
    process: Process,
    application: Somebody,
    http: reqwest::Client,
    keys: AtomicU32,
}

impl World {
    fn start(
        folder: &Path,
        application: Somebody,
        gateway: &str,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let requests =
            format!("action=\"{}\" statusCallback=\"{}\"", application.url("/paid"), application.url("/status"));
        let flows = [
            ("card", format!("<Response><Pay chargeAmount=\"3\" {requests}/></Response>")),
            ("refused", format!("<Response><Pay chargeAmount=\"5.05\" {requests}/></Response>")),
            (
                "stripe",
                format!("<Response><Pay chargeAmount=\"3\" paymentConnector=\"Stripe\" {requests}/></Response>"),
            ),
            (
                "garbled",
                format!("<Response><Pay chargeAmount=\"3\" paymentConnector=\"Garbled\" {requests}/></Response>"),
            ),
            ("bank", format!("<Response><Pay chargeAmount=\"3\" paymentMethod=\"ach-debit\" {requests}/></Response>")),
            ("hold", "<Response><Say>Please hold.</Say><Pause length=\"600\"/></Response>".to_owned()),
            (
                "then-hold",
                format!(
                    "<Response><Pay chargeAmount=\"3\" statusCallback=\"{}\"/><Pause length=\"600\"/></Response>",
                    application.url("/status")
                ),
            ),
        ];
        let flows: Vec<(&str, &str)> = flows.iter().map(|(name, document)| (*name, document.as_str())).collect();
        write_flows(&folder.join("flows"), &flows);
        let connector = |name: &str, kind: &str, endpoint: &str, rest: &str| {
            format!(
                "[[connector]]\nname = \"{name}\"\nkind = \"{kind}\"\nmode = \"live\"\n{endpoint} = \"{gateway}/{name}\"\n{rest}\n"
            )
        };
        let toml = format!(
            "account_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nerror_url = \"{}\"\n{}{}{}",
            application.url("/errors"),
            connector("Default", "generic", "endpoint", &format!("bearer = \"key-{PLANTED}\"")),
            connector("Garbled", "generic", "endpoint", "retries = 0"),
            connector("Stripe", "stripe", "base_url", "secret_key = \"sk_live_made_up\""),
        );
        std::fs::write(folder.join("touchtone.toml"), toml).unwrap();
        let environment: Vec<(&str, &str)> =
            environment.iter().copied().chain([SILENT, ("RUST_LOG", "trace")]).collect();
        let process = Process::start(folder, &[&["--log", "json"], arguments].concat(), &environment);
        touchtone::http::install_crypto_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { process, application, http, keys: AtomicU32::new(0) }
    }

    /// Takes one payment; what the API answered.
    async fn take(&self, payment: &Payment) -> String {
        let Payment { way, call_sid, number, code } = payment;
        let flow = match way {
            Way::Bank | Way::SlipThenBank => "bank",
            Way::RefusedCard => "refused",
            Way::GarbledCard => "garbled",
            Way::StripeCard => "stripe",
            Way::Agent | Way::AgentAndStar => "hold",
            _ => "card",
        };
        let mut caller = Caller::dial(self.process.address, flow, call_sid, &[]).await;
        let rest = ["1228", "94111", code];
        match way {
            Way::Card | Way::RefusedCard | Way::GarbledCard | Way::StripeCard => {
                caller.pay(&[&[number.as_str()], &rest[..]].concat()).await
            }
            Way::SlipThenCard => {
                caller.hear().await;
                caller.press(&format!("{}#", &number[..number.len() - 1])).await;
                caller.hear().await;
                breath().await;
                caller.press(number).await;
                caller.pay(&rest).await;
            }
            Way::CardAndStar => caller.pay(&[&format!("{}*", &number[..number.len() - 1])]).await,
            Way::HalfACard => {
                caller.hear().await;
                caller.press(&number[..12]).await;
                caller.hang_up().await;
            }
            Way::CardAtOnce => {
                caller.hear().await;
                caller.send(json!({"event": "dtmf", "dtmf": {"digit": number}})).await;
                caller.hear_out().await;
            }
            Way::CardAndGone => {
                caller.hear().await;
                caller.press(number).await;
                for keys in rest {
                    caller.hear().await;
                    caller.press(keys).await;
                }
                caller.hang_up().await;
            }
            Way::Bank => caller.pay(&["110000000", &format!("{number}#")]).await,
            Way::SlipThenBank => {
                caller.hear().await;
                caller.press("110000000").await;
                caller.hear().await;
                caller.press(&format!("{}#", &number[..3])).await;
                caller.hear().await;
                breath().await;
                caller.press(&format!("{number}#")).await;
                caller.hear_out().await;
            }
            Way::Agent | Way::AgentAndStar => return self.lead(payment, caller).await,
        }
        String::new()
    }

    /// An agent leads a payment.
    async fn lead(&self, payment: &Payment, mut caller: Caller) -> String {
        let Payment { call_sid, number, code, .. } = payment;
        let desktop = Somebody::application("").await;
        caller.hear().await;
        let list = format!("Calls/{call_sid}/Payments.json");
        let mut answers = self.post(&list, &desktop, &[("ChargeAmount", "3"), ("PostalCode", "false")]).await;
        let created: Value = serde_json::from_str(&answers).unwrap();
        let one = format!(
            "Calls/{call_sid}/Payments/{}.json",
            created["sid"].as_str().unwrap_or_else(|| panic!("{answers}"))
        );
        let entry = match payment.way {
            Way::AgentAndStar => format!("{}*{number}", &number[..11]),
            _ => number.clone(),
        };
        for (field, keys) in [("payment-card-number", &*entry), ("expiration-date", "1228"), ("security-code", code)] {
            answers += &self.post(&one, &desktop, &[("Capture", field)]).await;
            caller.press(keys).await;
            desktop.wait_for(|told| told.field("Capture") == field && told.field("PartialResult") == "false").await;
        }
        answers += &self.post(&one, &desktop, &[("Status", "complete")]).await;
        desktop.wait_for(|told| told.field("Result") == "success").await;
        caller.hang_up().await;
        for told in desktop.arrived() {
            answers.extend(told.fields().into_values().map(|value| format!("\n\"{value}\"")));
        }
        answers
    }

    async fn post(&self, resource: &str, desktop: &Somebody, fields: &[(&str, &str)]) -> String {
        let key = self.keys.fetch_add(1, Ordering::Relaxed).to_string();
        let url = desktop.url("/status");
        let fields =
            [("IdempotencyKey", key.as_str()), ("StatusCallback", &url)].into_iter().chain(fields.iter().copied());
        let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let url = format!("http://{}/2010-04-01/Accounts/{ACCOUNT}/{resource}", self.process.address);
        let request = self.http.post(url).basic_auth(ACCOUNT, Some(TOKEN));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        request.send().await.unwrap().text().await.unwrap()
    }

    /// Searches the server's memory; none: it is closed to this user, as it is to everybody who may not trace every process.
    fn memory(&self, search: &Search) -> Option<Vec<Hit>> {
        match search.memory(self.process.child.id()) {
            Ok(hits) => {
                assert!(may_trace_all(), "the server's memory is open to its own user");
                Some(hits)
            }
            Err(error) => {
                assert!(!may_trace_all() && error.kind() == std::io::ErrorKind::PermissionDenied, "{error}");
                None
            }
        }
    }

    /// Messages of keys that lie side by side in the server's memory and spell a part of a number.
    fn keys_left(&self, number: &str) -> Vec<Hit> {
        search::keys(self.process.child.id(), number).unwrap()
    }

    /// Waits until every call is over and its recording written, or refused, as some script in some thousands would have a
    /// keyed number in it by chance.
    async fn all_over(&self, recordings: &Path, wanted: usize) {
        let (mut metrics, mut written) = (String::new(), 0);
        let refused = wait::within(TIME_LIMIT, async || {
            metrics = get(self.process.address, "/metrics").await.1;
            written = files(recordings).iter().filter(|file| file.extension().is_some_and(|e| e == "yaml")).count();
            let refused = self.process.log().matches("could not record call").count();
            (written + refused == wanted && metrics.contains("touchtone_calls_live 0")).then_some(refused)
        });
        let refused = refused.await.unwrap_or_else(|| {
            panic!("{written} of {wanted} recorded; of the others: {:#?}", self.told_of_missing(recordings, &metrics))
        });
        assert!(refused <= wanted / 50, "{refused} recordings refused");
    }

    /// What the log says of calls without a recording.
    fn told_of_missing(&self, recordings: &Path, metrics: &str) -> Vec<String> {
        let log = self.process.log();
        let names: Vec<_> = files(recordings).iter().map(|file| file.file_stem().unwrap().to_owned()).collect();
        let is_there = |sid: &str| names.iter().any(|name| name.to_str().unwrap().ends_with(&format!("-{sid}")));
        let missing = (0..PAYMENTS).map(|place| format!("CA{place}")).filter(|sid| !is_there(sid));
        let told = missing.flat_map(|sid| {
            let quoted = format!("\"{sid}\"");
            log.lines().filter(|line| line.contains(&quoted)).map(str::to_owned).collect::<Vec<_>>()
        });
        let live = metrics.lines().filter(|line| line.starts_with("touchtone_calls_live"));
        live.map(str::to_owned).chain(told).collect()
    }
}

/// Whether this process has `CAP_SYS_PTRACE` (capabilities(7)).
fn may_trace_all() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & (1 << CAP_SYS_PTRACE) != 0
}

/// Takes the payments and looks for them.
async fn nothing_is_left(folder: &Path, gateway: &Somebody, url: &str, environment: &[(&str, &str)]) {
    let seed =
        std::env::var("TOUCHTONE_TEST_SEED").map_or_else(|_| getrandom::u64().unwrap(), |seed| seed.parse().unwrap());
    eprintln!("TOUCHTONE_TEST_SEED={seed}");
    let payments = payments(seed);
    let recordings = folder.join("data/recordings");
    let application = Somebody::application("<Response/>").await;
    let world = World::start(folder, application, url, environment, &["--record", "data/recordings"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", world.process.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "0", "0"], "core dumps are off");

    let planted = Search::new([PLANTED]);
    let is_open = world.memory(&planted).is_some();
    if !is_open {
        eprintln!("only root can search the server's memory: it is not searched");
    }
    let search = Search::new(payments.iter().map(|payment| payment.number.as_str()));
    // A number that is just being keyed is there, and the search finds it.
    let mut caller = Caller::dial(world.process.address, "card", "CAheld", &[]).await;
    caller.hear().await;
    caller.press(&payments[0].number).await;
    caller.hear().await;
    if let Some(hits) = world.memory(&search) {
        assert!(hits.iter().any(|hit| hit.number == payments[0].number), "the search finds nothing: {hits:?}");
    }
    caller.hang_up().await;

    let answers: Vec<String> = futures_util::stream::iter(&payments)
        .map(|payment| world.take(payment))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    world.all_over(&recordings, PAYMENTS + 1).await;

    if is_open {
        assert!(!world.memory(&planted).unwrap().is_empty(), "what is planted is found");
        // The last call's task may still be saying goodbye.
        let mut hits = Vec::new();
        let is_clean = wait::within(LEAVING, async || {
            hits = world.memory(&search).unwrap();
            hits.is_empty().then_some(())
        });
        let is_clean = is_clean.await.is_some();
        assert!(is_clean, "left in memory: {} times: {:#?}", hits.len(), &hits[..hits.len().min(5)]);
    }

    let metrics = get(world.process.address, "/metrics").await.1;
    let mut process = world.process;
    process.terminate();
    let log = process.log.clone();
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.lines().count() > 2 * PAYMENTS && log.contains("\"DEBUG\""), "the log is at its finest");

    let callbacks = world.application.arrived();
    for payment in payments.iter().filter(|payment| !matches!(payment.way, Way::Agent | Way::AgentAndStar)) {
        let paid = |told: &&support::Arrived| told.path == "/paid" && told.field("CallSid") == payment.call_sid;
        let told = callbacks.iter().find(paid).unwrap_or_else(|| panic!("nothing was told of {payment:?}"));
        let result = told.field("Result");
        match payment.way {
            Way::HalfACard | Way::CardAtOnce => assert_eq!(result, "caller-hung-up"),
            Way::CardAndStar => assert_eq!(result, "caller-interrupted-with-star"),
            // It may have been charged before it was known that the caller is gone.
            Way::CardAndGone => assert!(["success", "caller-hung-up"].contains(&result.as_str()), "{result}"),
            Way::RefusedCard | Way::GarbledCard | Way::StripeCard => assert_eq!(result, "payment-connector-error"),
            _ => assert_eq!(result, "success", "{payment:?} {told:?}"),
        }
    }
    let asked: String = gateway.arrived().into_iter().map(|arrived| arrived.body).collect();
    for payment in &payments {
        let arrived = asked.contains(&payment.number);
        match payment.way {
            Way::HalfACard | Way::CardAtOnce | Way::CardAndStar => assert!(!arrived, "{payment:?}"),
            Way::CardAndGone => {}
            _ => assert!(arrived, "the gateway never saw {payment:?}"),
        }
    }
    let mut texts = format!("{log}\n{metrics}\n{}", answers.join("\n"));
    for callback in &callbacks {
        for value in callback.fields().into_values() {
            texts += &format!("\n\"{value}\"");
        }
    }
    is_clean(&texts, &payments, "logs, metrics, callbacks and answers");
    for file in files(&folder.join("data")) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        // Numbers made up for one call may have a run in common with another call's.
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let own: Vec<Payment> =
            payments.iter().filter(|payment| name.ends_with(&format!("-{}", payment.call_sid))).cloned().collect();
        is_clean(&text, &own, &name);
        for payment in &payments {
            assert!(!text.contains(&payment.number), "{} in {name}", payment.number);
        }
    }
}

/// What happens to a number in a call that goes on.
#[derive(Clone, Copy, Debug)]
enum Live {
    /// An agent cancels once it is keyed.
    Cancelled,
    /// An agent cancels before its last digit.
    CancelledHalfway,
    /// An agent has it, and asks for the next field.
    Captured,
    /// The caller ends the `<Pay>` with a star.
    Star,
    /// It is charged.
    Charged,
}

/// Keys a number and leaves the call where it is.
async fn held(world: &World, live: Live, call_sid: &str, number: &str) -> Caller {
    match live {
        Live::Star | Live::Charged => {
            let mut caller = Caller::dial(world.process.address, "then-hold", call_sid, &[]).await;
            caller.hear().await;
            let rest: &[&str] = if matches!(live, Live::Star) { &["*"] } else { &["1228", "94111", "737"] };
            caller.press(number).await;
            for keys in rest {
                caller.hear().await;
                caller.press(keys).await;
            }
            let over = |told: &support::Arrived| told.field("CallSid") == call_sid && !told.field("Result").is_empty();
            world.application.wait_for(over).await;
            caller
        }
        Live::Cancelled | Live::CancelledHalfway | Live::Captured => {
            let desktop = Somebody::application("").await;
            let mut caller = Caller::dial(world.process.address, "hold", call_sid, &[]).await;
            caller.hear().await;
            let list = format!("Calls/{call_sid}/Payments.json");
            let created = world.post(&list, &desktop, &[("ChargeAmount", "3")]).await;
            let created: Value = serde_json::from_str(&created).unwrap();
            let one = format!("Calls/{call_sid}/Payments/{}.json", created["sid"].as_str().unwrap());
            world.post(&one, &desktop, &[("Capture", "payment-card-number")]).await;
            let keyed = if matches!(live, Live::CancelledHalfway) { &number[..number.len() - 1] } else { number };
            caller.press(keyed).await;
            let all = "x".repeat(keyed.len());
            match live {
                Live::CancelledHalfway => desktop.wait_for(|told| told.field("PaymentCardNumber") == all).await,
                _ => desktop.wait_for(|told| told.field("PartialResult") == "false").await,
            };
            let next =
                if matches!(live, Live::Captured) { ("Capture", "expiration-date") } else { ("Status", "cancel") };
            world.post(&one, &desktop, &[next]).await;
            caller
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_goes_on_keeps_no_number_of_a_payment_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway::plain().await;
    let application = Somebody::application("<Response/>").await;
    let world = World::start(folder.path(), application, &gateway.url(""), &[], &[]);
    let mut rng = Chance(getrandom::u64().unwrap());
    let ways = [Live::Cancelled, Live::CancelledHalfway, Live::Star, Live::Charged];
    let mut calls = Vec::new();
    for (place, live) in ways.into_iter().enumerate() {
        let (number, _) = rng.card();
        let caller = held(&world, live, &format!("CAlive{place}"), &number).await;
        calls.push((live, number, caller));
    }
    // What is not over is there, but in the one place that it belongs to: not as the messages that it came in.
    let (captured, _) = rng.card();
    let capturing = held(&world, Live::Captured, "CAcaptured", &captured).await;
    if world.memory(&Search::new([PLANTED])).is_none() {
        eprintln!("only root can search the server's memory: it is not searched");
        return;
    }
    let mut left = Vec::new();
    let is_clean = wait::within(LEAVING, async || {
        left.clear();
        for (live, number, _) in &calls {
            let hits = world.memory(&Search::new([number.as_str()])).unwrap();
            left.extend(hits.into_iter().map(|hit| (*live, hit)));
            left.extend(world.keys_left(number).into_iter().map(|hit| (*live, hit)));
        }
        left.extend(world.keys_left(&captured).into_iter().map(|hit| (Live::Captured, hit)));
        left.is_empty().then_some(())
    });
    let is_clean = is_clean.await.is_some();
    assert!(is_clean, "{} times: {:#?}", left.len(), &left[..left.len().min(3)]);
    assert!(!world.memory(&Search::new([captured.as_str()])).unwrap().is_empty(), "the search finds nothing");
    for (_, _, caller) in calls {
        caller.hang_up().await;
    }
    capturing.hang_up().await;
}

/// Asserts that no run of a number's digits is in a text, nor a code as the whole value of a field.
fn is_clean(text: &str, payments: &[Payment], what: &str) {
    // Ids and times are made of digits too.
    let ids = Regex::new(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z").unwrap();
    let text = ids.replace_all(text, |_: &Captures<'_>| "…");
    let runs = payments.iter().flat_map(|payment| {
        payment.number.as_bytes().windows(RUN).map(|run| std::str::from_utf8(run).unwrap()).collect::<Vec<_>>()
    });
    let codes = payments.iter().flat_map(|payment| {
        let code = &payment.code;
        [format!("\"{code}\""), format!("={code} "), format!("={code}&"), format!(":{code},"), format!(": {code},")]
    });
    let needles: Vec<String> = runs.map(str::to_owned).chain(codes).collect();
    let search = aho_corasick::AhoCorasick::new(&needles).unwrap();
    let found: Vec<String> = search
        .find_overlapping_iter(text.as_ref())
        .take(5)
        .map(|found| {
            text.as_bytes()[found.start().saturating_sub(200)..text.len().min(found.end() + 100)]
                .escape_ascii()
                .to_string()
        })
        .collect();
    assert!(found.is_empty(), "left in {what}: {found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_200_payments_over_plain_http() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway::plain().await;
    nothing_is_left(folder.path(), &gateway, &gateway.url(""), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_200_payments_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway::encrypted(folder.path()).await;
    let authority = folder.path().join("ca.pem");
    let environment = [("SSL_CERT_FILE", authority.to_str().unwrap())];
    nothing_is_left(folder.path(), &gateway, &gateway.url("").replace("http:", "https:"), &environment).await;
}

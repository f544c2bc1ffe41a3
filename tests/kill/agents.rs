//! Agents who lead a payment through the REST API while the caller on the line keys what they ask for.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::callers::{World, dial};
use super::numbers::Chance;
use super::stored::{Event, Telling};
use super::support::{ACCOUNT, Caller, TIME_LIMIT, TOKEN, wait};

/// How long an agent waits for what the caller keys.
const ATTENTION: Duration = Duration::from_secs(3);

/// What is captured, and the field that tells of it.
const CAPTURES: [(&str, &str); 3] = [
    ("payment-card-number", "PaymentCardNumber"),
    ("expiration-date", "ExpirationDate"),
    ("security-code", "SecurityCode"),
];

/// Who keeps a caller on the line: the flow `hold`.
pub const HOLD: &str = "<Response><Pause length=\"20\"/></Response>";

pub async fn one_call(world: &World, name: &str, rng: &mut Chance, address: SocketAddr) {
    let Some(socket) = dial(address, "hold").await else {
        return;
    };
    let call_sid = format!("CA{name}");
    let mut caller = Caller::begin(socket, &call_sid, &[]).await;
    let gives_up = rng.below(6) == 0;
    // Whatever fails here fails because the server is gone.
    if lead(world, name, &call_sid, rng, address, &mut caller).await.is_some() && !gives_up {
        told(world, name, Telling::is_final).await;
    }
    world.books.write(name, Event::Did("hangs up"));
    caller.hang_up().await;
}

async fn lead(
    world: &World,
    session: &str,
    call_sid: &str,
    rng: &mut Chance,
    address: SocketAddr,
    caller: &mut Caller,
) -> Option<()> {
    let payment = world.payment_of_agent(call_sid, session.to_owned(), address, rng);
    let http = &world.http;
    let url = format!("http://{address}/2010-04-01/Accounts/{ACCOUNT}/Calls/{call_sid}/Payments");
    let status_callback = format!("{}/status/{session}", world.application_url);
    let post = |url: String, fields: Vec<(&'static str, String)>| {
        let key = uuid::Uuid::new_v4().to_string();
        let common = [("IdempotencyKey", key), ("StatusCallback", status_callback.clone())];
        let form: String =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.into_iter().chain(common)).finish();
        let request = http.post(url).basic_auth(ACCOUNT, Some(TOKEN));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        async move {
            let response = request.send().await.ok()?;
            let status = response.status();
            let text = response.text().await.ok()?;
            Some((status.as_u16(), text))
        }
    };
    let parameter = format!("{{\"session\":\"{session}\"}}");
    let asked = vec![
        ("ChargeAmount", "7.50".to_owned()),
        ("PaymentConnector", payment.connector.to_owned()),
        ("PostalCode", "false".to_owned()),
        ("Parameter", parameter),
    ];
    let created = wait::within_in_task(TIME_LIMIT, || async {
        match post(format!("{url}.json"), asked.clone()).await {
            Some((201, created)) => Some(Some(created)),
            // The stream has been opened, and its first message is on its way.
            Some((404, _)) => None,
            // It is gone, or its database is away.
            None | Some((500.., _)) => Some(None),
            Some((status, text)) => panic!("an agent was answered {status}: {text}"),
        }
    });
    let created = created.await.expect("the agent's call never began")?;
    world.books.write(session, Event::Began);
    let created: Value = serde_json::from_str(&created).ok()?;
    let payment_url = format!("{url}/{}.json", created["sid"].as_str()?);
    let keys = [payment.card.clone(), "1231".to_owned(), rng.code(3)];
    for ((capture, field), keys) in CAPTURES.into_iter().zip(keys) {
        post(payment_url.clone(), vec![("Capture", capture.to_owned())]).await?;
        world.books.write(session, Event::Did("keys"));
        caller.press(&keys).await;
        let captured = move |told: &Telling| told.field("PartialResult") == "false" && !told.field(field).is_empty();
        told(world, session, captured).await?;
    }
    world.books.write(session, Event::Did("has keyed everything, and the agent completes"));
    post(payment_url, vec![("Status", "complete".to_owned())]).await?;
    Some(())
}

/// Waits until the application was told something. None: it was not, because the server is gone or somebody is slow.
async fn told(world: &World, session: &str, what: impl Fn(&Telling) -> bool) -> Option<()> {
    let heard = || world.books.state().sessions[session].tellings().any(&what);
    wait::within_in_task(ATTENTION, || std::future::ready(heard().then_some(()))).await
}

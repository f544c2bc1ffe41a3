//! Callers who pay: some well, some with a slip, some who give up in the middle. One of them is one line that is never
//! idle: when a call ends, however it ends, the next one is made.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::agents;
use super::application::Application;
use super::moments::pass;
use super::numbers::Chance;
use super::stored::{Books, Event, Opened, Wants};
use super::support::{Caller, wait};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where the servers are that are there.
pub type Line = watch::Receiver<Vec<SocketAddr>>;

/// The longest that a caller thinks between two things, in milliseconds.
const THOUGHT: u64 = 40;

/// How long a caller tries to get through to a server that is not there.
const RINGING: Duration = Duration::from_secs(3);

/// How long a caller waits for a word.
const SILENCE: Duration = Duration::from_secs(20);

/// What they have to know.
#[derive(Clone)]
pub struct World {
    pub books: Arc<Books>,
    pub application: Arc<Application>,
    pub application_url: String,
    /// For those who use the REST API.
    pub http: reqwest::Client,
}

/// A payment as a caller makes it.
pub struct Payment {
    session: String,
    /// The number of a card, or of an account.
    pub card: String,
    means: Means,
    wants: Wants,
    pub connector: &'static str,
    has_status: bool,
}

/// What pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Card,
    Account,
}

/// A bank's routing number of the documented test numbers.
const ROUTING: &str = "110000000";

/// What a payment is drawn with.
struct Kind {
    connector: &'static str,
    has_status: bool,
    means: Means,
    wants: Wants,
}

impl Kind {
    fn draw(rng: &mut Chance) -> Self {
        let connector = ["Processor", "Strict", "Stripe", "Stripe"][usize::try_from(rng.below(4)).unwrap()];
        let has_status = rng.below(4) != 0;
        // The stand-in for Stripe knows payments by card only.
        let (means, wants) = match (connector, rng.below(5)) {
            ("Stripe", _) | (_, 0..=2) => (Means::Card, Wants::Charge),
            (_, 3) => (Means::Account, Wants::Charge),
            _ => (if rng.below(2) == 0 { Means::Card } else { Means::Account }, Wants::Token),
        };
        Self { connector, has_status, means, wants }
    }

    const fn by_stripe(has_status: bool) -> Self {
        Self { connector: "Stripe", has_status, means: Means::Card, wants: Wants::Charge }
    }
}

/// What a caller does other than pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whim {
    None,
    /// Keys half a number first.
    Slips,
    /// After so many turns.
    Star(u64),
    HangsUp(u64),
}

/// Calls until everybody calms down.
pub async fn keep_calling(world: World, number: usize, mut rng: Chance, mut line: Line) {
    for call in 0.. {
        let Ok(servers) = line.wait_for(|servers| !servers.is_empty()).await.map(|servers| servers.clone()) else {
            return;
        };
        if world.books.is_calm() {
            return;
        }
        let address = servers[usize::try_from(rng.below(servers.len() as u64)).unwrap()];
        let name = format!("{number}-{call}");
        if rng.below(6) == 0 {
            agents::one_call(&world, &name, &mut rng, address).await;
        } else {
            one_call(&world, &name, &mut rng, address).await;
        }
        world.books.calls_over.fetch_add(1, Ordering::AcqRel);
    }
}

async fn one_call(world: &World, name: &str, rng: &mut Chance, address: SocketAddr) {
    let Some(socket) = dial(address, "pay").await else {
        // It was killed a moment ago.
        return;
    };
    let call_sid = format!("CA{name}");
    let first = world.payment(&call_sid, format!("{name}-a"), Kind::draw(rng), address, rng);
    let second =
        (rng.below(5) == 0).then(|| world.payment(&call_sid, format!("{name}-b"), Kind::draw(rng), address, rng));
    if let Some(second) = &second {
        world.application.follow_with(&first.session, format!("<Response>{}</Response>", world.verb(second)));
    }
    let whim = match rng.below(20) {
        0 => Whim::Slips,
        1..=2 => Whim::Star(rng.below(6)),
        3..=5 => Whim::HangsUp(rng.below(6)),
        _ => Whim::None,
    };
    make(world, socket, &call_sid, first, second, whim, rng).await;
}

/// One call with one payment through Stripe, without a whim.
pub async fn pay_by_stripe(world: World, name: String, has_status: bool, mut rng: Chance, address: SocketAddr) {
    let socket = dial(address, "pay").await.unwrap();
    let call_sid = format!("CA{name}");
    let payment = world.payment(&call_sid, name, Kind::by_stripe(has_status), address, &mut rng);
    make(&world, socket, &call_sid, payment, None, Whim::None, &mut rng).await;
}

/// None: the server is not there.
pub async fn dial(address: SocketAddr, flow: &str) -> Option<Socket> {
    let url = format!("ws://{address}/media/twilio/{flow}");
    let ring = || async { connect_async(&url).await.ok().map(|(socket, _)| socket) };
    wait::within_in_task(RINGING, ring).await
}

/// A call to its end.
async fn make(
    world: &World,
    socket: Socket,
    call_sid: &str,
    first: Payment,
    second: Option<Payment>,
    whim: Whim,
    rng: &mut Chance,
) {
    let books = &world.books;
    books.write(&first.session, Event::Began);
    let parameters = [
        ("session", first.session.as_str()),
        ("connector", first.connector),
        ("status", if first.has_status { "yes" } else { "no" }),
        ("what", first.what()),
    ];
    let mut caller = Caller::begin(socket, call_sid, &parameters).await;
    let mut keys = first.keys(whim == Whim::Slips, rng);
    let mut payment = &first;
    let mut turns = 0;
    loop {
        match timeout(SILENCE, caller.hear()).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                books.write(&payment.session, Event::Did("hangs up, for nothing is said any more"));
                return caller.hang_up().await;
            }
        }
        pass(Duration::from_millis(rng.below(THOUGHT))).await;
        if let Some(second) = &second
            && payment.session == first.session
            && world.application.has_answered(&first.session)
        {
            (keys, payment) = (second.keys(false, rng), second);
        }
        match whim {
            Whim::Star(after) if after == turns => {
                books.write(&payment.session, Event::Did("presses *"));
                caller.press("*").await;
                keys.clear();
            }
            Whim::HangsUp(after) if after == turns => {
                books.write(&payment.session, Event::Did("hangs up"));
                return caller.hang_up().await;
            }
            _ => {}
        }
        if let Some((what, keys)) = keys.pop_front() {
            books.write(&payment.session, Event::Did(what));
            caller.press(&keys).await;
        }
        turns += 1;
    }
    books.write(&payment.session, Event::Did("hears nothing any more"));
}

impl Payment {
    /// What is keyed, turn by turn.
    fn keys(&self, slips: bool, rng: &mut Chance) -> VecDeque<(&'static str, String)> {
        if self.means == Means::Account {
            let slip = slips.then(|| ("slips", ROUTING[..7].to_owned() + "#"));
            let keys = [("keys the bank", ROUTING.to_owned()), ("keys the account", format!("{}#", self.card))];
            return slip.into_iter().chain(keys).collect();
        }
        let slip = slips.then(|| ("slips", format!("{}#", &self.card[..9])));
        let keys = [
            ("keys the number", self.card.clone()),
            ("keys the date", "1231".to_owned()),
            ("keys the code", rng.code(3)),
        ];
        slip.into_iter().chain(keys).collect()
    }

    /// A word for the flow.
    const fn what(&self) -> &'static str {
        match (self.means, self.wants) {
            (Means::Card, Wants::Charge) => "card",
            (Means::Account, Wants::Charge) => "bank",
            (Means::Card, Wants::Token) => "token",
            (Means::Account, Wants::Token) => "bank-token",
        }
    }

    /// The attributes of `<Pay>` that say the same.
    const fn attributes(&self, amount: &'static str) -> (&'static str, &'static str, &'static str) {
        match (self.means, self.wants) {
            (Means::Card, Wants::Charge) => ("chargeAmount", amount, "credit-card"),
            (Means::Account, Wants::Charge) => ("chargeAmount", amount, "ach-debit"),
            (Means::Card, Wants::Token) => ("tokenType", "reusable", "credit-card"),
            (Means::Account, Wants::Token) => ("tokenType", "reusable", "ach-debit"),
        }
    }
}

impl World {
    /// The flow `pay`, rendered over a call's parameters.
    pub fn flow(&self) -> String {
        let url = &self.application_url;
        format!(
            "<Response><Pay paymentConnector=\"{{{{ connector }}}}\" postalCode=\"false\" timeout=\"3\" \
             {{% if what == \"card\" or what == \"bank\" %}}chargeAmount=\"12.34\"{{% else %}}tokenType=\"reusable\"{{% endif %}} \
             {{% if what == \"bank\" or what == \"bank-token\" %}}paymentMethod=\"ach-debit\"{{% endif %}} \
             action=\"{url}/paid/{{{{ session }}}}\"\
             {{% if status == \"yes\" %}} statusCallback=\"{url}/status/{{{{ session }}}}\"{{% endif %}}>\
             <Parameter name=\"session\" value=\"{{{{ session }}}}\"/></Pay></Response>"
        )
    }

    /// The same for a document of the application.
    fn verb(&self, payment: &Payment) -> String {
        let Payment { session, connector, has_status, .. } = payment;
        let url = &self.application_url;
        let (name, value, method) = payment.attributes("5");
        let status = if *has_status { format!(" statusCallback=\"{url}/status/{session}\"") } else { String::new() };
        format!(
            "<Pay paymentConnector=\"{connector}\" {name}=\"{value}\" paymentMethod=\"{method}\" postalCode=\"false\" timeout=\"3\" action=\"{url}/paid/{session}\"{status}>\
             <Parameter name=\"session\" value=\"{session}\"/></Pay>"
        )
    }

    /// A payment that an agent leads: it has no action.
    pub fn payment_of_agent(&self, call_sid: &str, session: String, server: SocketAddr, rng: &mut Chance) -> Payment {
        let connector = ["Processor", "Strict", "Stripe"][usize::try_from(rng.below(3)).unwrap()];
        let kind = Kind { connector, has_status: true, means: Means::Card, wants: Wants::Charge };
        let payment = self.payment(call_sid, session, kind, server, rng);
        self.books.has_no_action(&payment.session);
        payment
    }

    fn payment(&self, call_sid: &str, session: String, kind: Kind, server: SocketAddr, rng: &mut Chance) -> Payment {
        let Kind { connector, has_status, means, wants } = kind;
        let card = match means {
            Means::Account => rng.account(),
            // Numbers of 16 digits are complete by themselves, and their codes have three.
            Means::Card => loop {
                let (card, code) = rng.card();
                if code == 3 {
                    break card;
                }
            },
        };
        self.books.open(&session, &card, Opened { call_sid, connector, has_status, wants, server });
        Payment { session, card, means, wants, connector, has_status }
    }
}

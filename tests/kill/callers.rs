//! Callers who pay: some well, some with a slip, some who give up in the middle. One of them is one line that is never
//! idle: when a call ends, however it ends, the next one is made.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::agents;
use super::application::Application;
use super::books::{Books, Event};
use super::numbers::Chance;
use super::support::Caller;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where the server is, while it is there.
pub type Line = watch::Receiver<Option<SocketAddr>>;

/// The longest that a caller thinks between two things, in milliseconds.
const THOUGHT: u64 = 40;

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
    pub card: String,
    pub connector: &'static str,
    has_status: bool,
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
pub async fn keep_calling(world: World, number: usize, mut chance: Chance, mut line: Line) {
    for call in 0.. {
        let Ok(address) = line.wait_for(Option::is_some).await.map(|address| *address) else { return };
        if world.books.is_calm() {
            return;
        }
        let Some(address) = address else { continue };
        let name = format!("{number}-{call}");
        if chance.below(6) == 0 {
            agents::one_call(&world, &name, &mut chance, address).await;
        } else {
            one_call(&world, &name, &mut chance, address).await;
        }
        world.books.calls_over.fetch_add(1, Ordering::AcqRel);
    }
}

async fn one_call(world: &World, name: &str, chance: &mut Chance, address: SocketAddr) {
    let Some(socket) = dial(address, "pay").await else {
        // It was killed a moment ago.
        return sleep(Duration::from_millis(5)).await;
    };
    let call_sid = format!("CA{name}");
    let draw = |chance: &mut Chance| {
        let connector = if chance.below(2) == 0 { "Processor" } else { "Stripe" };
        (connector, chance.below(4) != 0)
    };
    let (connector, has_status) = draw(chance);
    let first = world.payment(&call_sid, format!("{name}-a"), connector, has_status, chance);
    let second = (chance.below(5) == 0).then(|| {
        let (connector, has_status) = draw(chance);
        world.payment(&call_sid, format!("{name}-b"), connector, has_status, chance)
    });
    if let Some(second) = &second {
        world.application.follow_with(&first.session, format!("<Response>{}</Response>", world.verb(second)));
    }
    let whim = match chance.below(20) {
        0 => Whim::Slips,
        1..=2 => Whim::Star(chance.below(6)),
        3..=5 => Whim::HangsUp(chance.below(6)),
        _ => Whim::None,
    };
    make(world, socket, &call_sid, first, second, whim, chance).await;
}

/// One call with one payment through Stripe, without a whim.
pub async fn pay_by_stripe(world: World, name: String, has_status: bool, mut chance: Chance, address: SocketAddr) {
    let socket = dial(address, "pay").await.unwrap();
    let call_sid = format!("CA{name}");
    let payment = world.payment(&call_sid, name, "Stripe", has_status, &mut chance);
    make(&world, socket, &call_sid, payment, None, Whim::None, &mut chance).await;
}

/// None: the server is not there.
pub async fn dial(address: SocketAddr, flow: &str) -> Option<Socket> {
    connect_async(format!("ws://{address}/media/twilio/{flow}")).await.ok().map(|(socket, _)| socket)
}

/// A call to its end.
async fn make(
    world: &World,
    socket: Socket,
    call_sid: &str,
    first: Payment,
    second: Option<Payment>,
    whim: Whim,
    chance: &mut Chance,
) {
    let books = &world.books;
    books.write(&first.session, Event::Began);
    let parameters = [
        ("session", first.session.as_str()),
        ("connector", first.connector),
        ("status", if first.has_status { "yes" } else { "no" }),
    ];
    let mut caller = Caller::begin(socket, call_sid, &parameters).await;
    let mut keys = first.keys(whim == Whim::Slips, chance);
    let mut payment = &first;
    let mut turns = 0;
    while caller.hear().await {
        sleep(Duration::from_millis(chance.below(THOUGHT))).await;
        if let Some(second) = &second
            && payment.session == first.session
            && world.application.has_answered(&first.session)
        {
            (keys, payment) = (second.keys(false, chance), second);
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
    fn keys(&self, slips: bool, chance: &mut Chance) -> VecDeque<(&'static str, String)> {
        let slip = slips.then(|| ("slips", format!("{}#", &self.card[..9])));
        let keys = [
            ("keys the number", self.card.clone()),
            ("keys the date", "1231".to_owned()),
            ("keys the code", chance.code(3)),
        ];
        slip.into_iter().chain(keys).collect()
    }
}

impl World {
    /// The flow `pay`, rendered over a call's parameters.
    pub fn flow(&self) -> String {
        let url = &self.application_url;
        format!(
            "<Response><Pay paymentConnector=\"{{{{ connector }}}}\" chargeAmount=\"12.34\" postalCode=\"false\" timeout=\"3\" \
             action=\"{url}/paid/{{{{ session }}}}\"\
             {{% if status == \"yes\" %}} statusCallback=\"{url}/status/{{{{ session }}}}\"{{% endif %}}>\
             <Parameter name=\"session\" value=\"{{{{ session }}}}\"/></Pay></Response>"
        )
    }

    /// The same for a document of the application.
    fn verb(&self, payment: &Payment) -> String {
        let Payment { session, connector, has_status, .. } = payment;
        let url = &self.application_url;
        let status = if *has_status { format!(" statusCallback=\"{url}/status/{session}\"") } else { String::new() };
        format!(
            "<Pay paymentConnector=\"{connector}\" chargeAmount=\"5\" postalCode=\"false\" timeout=\"3\" action=\"{url}/paid/{session}\"{status}>\
             <Parameter name=\"session\" value=\"{session}\"/></Pay>"
        )
    }

    /// A payment that an agent leads: it has no action.
    pub fn payment_of_agent(&self, call_sid: &str, session: String, chance: &mut Chance) -> Payment {
        let connector = if chance.below(2) == 0 { "Processor" } else { "Stripe" };
        let payment = self.payment(call_sid, session, connector, true, chance);
        self.books.has_no_action(&payment.session);
        payment
    }

    fn payment(
        &self,
        call_sid: &str,
        session: String,
        connector: &'static str,
        has_status: bool,
        chance: &mut Chance,
    ) -> Payment {
        // Numbers of 16 digits are complete by themselves, and their codes have three.
        let card = loop {
            let (card, code) = chance.card();
            if code == 3 {
                break card;
            }
        };
        self.books.open(&session, &card, call_sid, connector, has_status);
        Payment { session, card, connector, has_status }
    }
}

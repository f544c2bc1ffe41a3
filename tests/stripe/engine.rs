//! The call machine with a real connector: virtual time for the call, real sockets for the gateway.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use touchtone::connector::{self, Connector};
use touchtone::flow::link::{Origin, PlainHttp};
use touchtone::flow::{Action, Call, Context, Event, FetchFailure, NextDocument};
use touchtone::form::Form;
use touchtone::pay::gateway::{PaymentRequest, Preparation, RecoveryNote};
use touchtone::pay::platform::Platform;
use touchtone::pay::submission::Reply;
use touchtone::time::CallTime;
use touchtone::tone::Key;
use touchtone::twiml;

use crate::proxy::Proxy;

/// What came of one payment.
pub struct Paid {
    /// The fields of the action request.
    pub told: Form,
    /// The transaction.
    pub attempt: Option<Arc<PaymentRequest>>,
    /// What the preparation left.
    pub note: Option<RecoveryNote>,
    /// Everything that may be printed or sent, in one text.
    pub shown: String,
}

impl Paid {
    pub fn field(&self, name: &str) -> &str {
        self.told.value(name).map_or("", |value| value.expose())
    }

    pub fn result(&self) -> (&str, &str) {
        (self.field("Result"), self.field("PayErrorCode"))
    }

    pub fn is_unknown(&self) -> bool {
        self.field("PayConnector_outcome") == "unknown"
    }

    pub fn sid(&self) -> &str {
        &self.attempt.as_ref().unwrap().transaction_id
    }
}

/// Runs a call of one `<Pay>` with these attributes; the caller keys a group whenever nothing is being said. `seed` makes
/// the transaction id. While the proxy holds a request in silence, the machine's own time limit comes.
pub async fn pay(connector: &dyn Connector, proxy: &Proxy, seed: u128, attributes: &str, keys: &[&str]) -> Paid {
    let document = format!("<Response><Pay action=\"https://shop.example.com/paid\" {attributes}</Response>");
    let first = twiml::parse(&document)
        .map(|document| NextDocument { document, origin: Origin::Flow("test".into()) })
        .map_err(|fault| FetchFailure::not_readable(fault.to_string()));
    assert!(first.is_ok(), "{document}");
    let context = Context {
        account_sid: "ACa".into(),
        call_sid: format!("CA{seed:032x}"),
        caller: Form::new(),
        parameters: BTreeMap::new(),
        answered_at: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        answered_at_utc: jiff::civil::date(2026, 6, 1).at(12, 0, 0, 0),
        seed,
        platform: Platform::Twilio,
        plain_http: PlainHttp::Never,
    };
    let mut call = Call::start(CallTime::ZERO, first, context);
    let mut now = CallTime::ZERO;
    let mut paid = Paid { told: Form::new(), attempt: None, note: None, shown: String::new() };
    let mut played = VecDeque::new();
    let mut keys = keys.iter();
    loop {
        let mut question = None;
        while let Some(action) = call.poll_action() {
            paid.shown += &format!("{action:?}\n");
            match action {
                Action::FindConnector(_) => {
                    call.handle_event(now, Event::ConnectorFound(Some(connector.capabilities())));
                }
                Action::Speak(id, _) => {
                    call.handle_event(now, Event::SpeechReady(id, Duration::from_millis(10)));
                    played.push_back(id);
                }
                Action::Clear => played.clear(),
                Action::Ask(asked, attempt, instrument) => question = Some((asked, attempt, instrument)),
                Action::Fetch(fetch) => {
                    paid.told = fetch.form;
                    paid.shown += paid.told.encoded().expose();
                    return paid;
                }
                Action::End(ended) => panic!("{ended:?} without a result:\n{}", paid.shown),
                Action::Report(..)
                | Action::Notify(..)
                | Action::Begin(_)
                | Action::Intend(_)
                | Action::Settle(_)
                | Action::Answer(..)
                | Action::Warn(_) => {}
            }
        }
        if let Some((question, attempt, instrument)) = question {
            paid.attempt = Some(Arc::clone(&attempt));
            let asked = connector::ask(connector, question.what, attempt, instrument);
            let reply = tokio::select! {
                reply = asked => Some(reply),
                () = proxy.held.notified() => None,
            };
            paid.shown += &format!("{reply:?}\n");
            if let Some(reply) = reply {
                if let Reply::Prepared(Preparation::Note(note)) = &reply {
                    paid.note = Some(note.clone());
                }
                now = now + Duration::from_millis(1);
                call.handle_event(now, Event::Replied(question.number, reply));
                continue;
            }
        } else if let Some(id) = played.pop_front() {
            now = now + Duration::from_millis(10);
            call.handle_event(now, Event::Played(id));
            continue;
        } else if let Some(group) = keys.next() {
            for key in group.chars() {
                now = now + Duration::from_millis(100);
                call.handle_event(now, Event::Key(Key::parse(key).unwrap()));
            }
            continue;
        }
        now = call.poll_timeout().expect("every wait has a deadline").0;
        call.handle_timeout(now);
    }
}

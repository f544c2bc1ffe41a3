//! Answers of a gateway that come when something else is being asked.

use super::*;
use crate::time::CallTime;

const PAY: &str = "<Response><Pay chargeAmount=\"1\" postalCode=\"false\" securityCode=\"false\" \
                   action=\"https://shop.example.com/paid\"/></Response>";

fn next_document() -> NextDocument {
    NextDocument { document: twiml::parse(PAY).unwrap(), origin: Origin::Flow("test".into()) }
}

/// A call that pays again and again, and what was done.
struct Shell {
    call: Call,
    now: CallTime,
    /// Submissions, by their numbers; whatever else is asked is answered.
    asked: Vec<u16>,
    /// Of each action request, whether it says something else as long as the outcome is not written down.
    waits_for_disk: Vec<bool>,
}

impl Shell {
    fn act(&mut self) {
        while let Some(action) = self.call.poll_action() {
            match action {
                Action::Speak(turn, _) => self.call.handle_event(self.now, Event::Played(turn)),
                Action::FindConnector(_) => {
                    self.call.handle_event(self.now, Event::ConnectorFound(Some(sandbox::capabilities())));
                }
                Action::Ask(question, ..) if matches!(question.what, Ask::Submit(_)) => {
                    self.asked.push(question.number);
                }
                Action::Ask(question, payment_request, instrument) => {
                    let reply = sandbox_reply(&question, &payment_request, &instrument);
                    self.call.handle_event(self.now, Event::Replied(question.number, reply));
                }
                Action::Fetch(fetch) => {
                    self.waits_for_disk.push(fetch.unwritten.is_some());
                    self.call.handle_event(self.now, Event::Fetched(fetch.id, Fetched::Document(next_document())));
                }
                _ => {}
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.now = self.now + Duration::from_millis(100);
        self.call.handle_event(self.now, event);
        self.act();
    }

    /// Keys a card and its date; gives the number of the question that this brings about.
    fn pay(&mut self) -> u16 {
        "4242424242424242 1228".chars().filter_map(Key::parse).for_each(|key| self.handle(Event::Key(key)));
        *self.asked.last().expect("the gateway is asked")
    }
}

#[test]
fn a_late_answer_to_the_payment_before_says_nothing_of_what_this_one_has_sent() {
    let call = Call::start(CallTime::ZERO, First::Document(next_document()), context_of_tests());
    let mut shell = Shell { call, now: CallTime::ZERO, asked: Vec::new(), waits_for_disk: Vec::new() };
    shell.act();
    let first = shell.pay();
    // It is given up, and its repeat is approved.
    while shell.asked.last() == Some(&first) {
        shell.now = shell.call.poll_timeout().expect("a deadline for the answer").0;
        shell.call.handle_timeout(shell.now);
        shell.act();
    }
    let repeat = *shell.asked.last().unwrap();
    let approved = || Reply::Submitted(Answer::Approved(Approval::default()));
    shell.handle(Event::Replied(repeat, approved()));
    let second = shell.pay();
    assert_ne!(second, repeat);
    let not_sent = Answer::NotSent { reason: "no route".into(), retry_after: None };
    shell.handle(Event::Replied(first, Reply::Submitted(not_sent)));
    shell.handle(Event::Replied(second, approved()));
    assert_eq!(shell.waits_for_disk, [true, true], "neither is told as a success before it is written down");
}

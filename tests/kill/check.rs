//! What must hold of every payment whatever happened to the server: it is charged once at most, and what became of it is
//! told, once, in order, and truly.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::stored::{Event, Kind, Session, State, Telling};

/// What is wrong with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// The money was taken twice, or would have been by a gateway that does not look at ids.
    ChargedTwice,
    /// The money was taken, and nobody was told anything.
    Silent,
    /// The money was taken, and something else was told than success or not knowing.
    ToldNotCharged,
    /// Success was told of money that was not taken.
    ToldCharged,
    /// The gateway was asked, or the call ended in peace, and the application was not told how it ended.
    Untold,
    /// An ending was told again under another token, or the two kinds of request tell different endings.
    ToldTwice,
    /// A repeat is another request than the first.
    Changed,
    /// Status callbacks came out of order, or one is missing.
    Disorder,
    /// A request is not signed, or has no token.
    Unsigned,
    /// A request was under way twice at the same time.
    AtOnce,
}

/// How old a payment is at most that a kill may leave without a trace, and what may pass until anybody outside notices.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

/// Something wrong with one payment.
#[derive(Clone, Debug)]
pub struct Fault {
    pub session: String,
    pub wrong: Wrong,
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.session, self.wrong, self.why)
    }
}

/// Everything that is wrong.
pub fn faults(state: &State) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, session) in &state.sessions {
        let wrongs = Check::of(state, session).all();
        faults.extend(wrongs.into_iter().map(|(wrong, why)| Fault { session: name.clone(), wrong, why }));
    }
    faults
}

/// The payments of which something has yet to be told.
pub fn untold(state: &State) -> usize {
    let untold = |session: &&Session| !Check::of(state, session).untold().is_empty();
    state.sessions.values().filter(untold).count()
}

/// Whether a payment is told whatever happened to it: the gateway was asked, nobody killed its server, or that came so
/// late that it was written down before.
fn must_be_told(state: &State, session: &Session) -> bool {
    if session.was_asked() || (state.peaceful().contains(&session.life) && session.began()) {
        return true;
    }
    match (session.begun(), state.death(session.life)) {
        // A caller keys on into a call that is over.
        (Some(begun), Some(death)) => {
            session.began() && death > begun + WRITTEN_WITHIN && !state.was_away(begun, death)
        }
        _ => false,
    }
}

struct Check<'a> {
    session: &'a Session,
    must_be_told: bool,
    /// Whether the database was away meanwhile: a call that cannot write its outcome down in time tells it, or that nobody
    /// knows it, by an action with a token of its own; what is written down later has the usual ones.
    may_be_unwritten: bool,
}

type Wrongs = Vec<(Wrong, String)>;

impl<'a> Check<'a> {
    fn of(state: &State, session: &'a Session) -> Self {
        let span = session.events.first().zip(session.events.last());
        let may_be_unwritten = span.is_some_and(|((first, _), (last, _))| state.was_away(*first, *last));
        Self { session, must_be_told: must_be_told(state, session), may_be_unwritten }
    }

    fn all(&self) -> Wrongs {
        let told = [self.untold(), self.once(), self.repeats(), self.order(), self.at_once(), self.signatures()];
        [self.charges(), self.truth(), told.concat()].concat()
    }

    /// One transaction, one wish under each of its ids, and one charge.
    fn charges(&self) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let charges = self.session.charges();
        if charges.len() > 1 {
            wrongs.push((Wrong::ChargedTwice, format!("charged {} times", charges.len())));
        }
        let mut wishes: BTreeMap<&str, &str> = BTreeMap::new();
        for (_, event) in &self.session.events {
            let Event::Asked { id, body } = event else { continue };
            if *wishes.entry(id).or_insert(body) != body {
                wrongs.push((Wrong::ChargedTwice, format!("{id} was asked for in two ways")));
            }
        }
        // Stripe's keys are the transaction id and a step.
        let transactions: BTreeSet<&str> = wishes.keys().map(|id| id.split('-').next().unwrap_or(id)).collect();
        if transactions.len() > 1 {
            wrongs.push((Wrong::ChargedTwice, format!("asked for under {transactions:?}")));
        }
        wrongs
    }

    /// What is told against what was taken.
    fn truth(&self) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let charges = self.session.charges();
        for told in self.session.tellings().filter(|told| told.is_final()) {
            let code = told.field(self.session.wants.field());
            if told.is_success() && !charges.contains(&code) {
                wrongs.push((
                    Wrong::ToldCharged,
                    format!("{:?} told success with {code:?}, taken: {charges:?}", told.kind),
                ));
            }
            if !charges.is_empty() && !told.is_success() && !told.is_unknown() {
                let result = told.field("Result");
                wrongs.push((Wrong::ToldNotCharged, format!("{:?} told {result}, taken: {charges:?}", told.kind)));
            }
        }
        let is_refused = self.is_refused(Kind::Action) || self.is_refused(Kind::Status);
        if !charges.is_empty()
            && self.taken(Kind::Action).is_none()
            && self.taken(Kind::Status).is_none()
            && !is_refused
        {
            wrongs.push((Wrong::Silent, format!("taken: {charges:?}, and nobody was told")));
        }
        wrongs
    }

    /// What must be told and was not, or not so that the application took it.
    fn untold(&self) -> Wrongs {
        if !self.must_be_told {
            return Wrongs::new();
        }
        let mut wrongs = Wrongs::new();
        for kind in [Kind::Action, Kind::Status] {
            let has = if kind == Kind::Action { self.session.has_action } else { self.session.has_status };
            if has && self.taken(kind).is_none() && !self.is_refused(kind) {
                wrongs.push((Wrong::Untold, format!("no {kind:?} tells how it ended")));
            }
        }
        wrongs
    }

    /// Each ending once, unless nobody knew it at first.
    fn once(&self) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let mut first_told = Vec::new();
        for kind in [Kind::Action, Kind::Status] {
            let finals = self.firsts(kind);
            let finals: Vec<&Telling> = finals.into_iter().filter(|told| told.is_final()).collect();
            first_told.extend(finals.first().copied());
            // Once nobody knew, the outcome is told late: by the status callback if there is one, else by the action.
            let may_be_late = (kind == Kind::Status) == self.session.has_status;
            let finals = match (kind, &finals[..]) {
                (Kind::Action, [_, rest @ ..]) if self.may_be_unwritten && !rest.is_empty() => rest.to_vec(),
                _ => finals,
            };
            match finals[..] {
                [] | [_] => {}
                [first, late] if may_be_late && first.is_unknown() && !late.is_unknown() => {}
                _ => {
                    let told: Vec<&str> = finals.iter().map(|told| told.field("Result")).collect();
                    wrongs.push((Wrong::ToldTwice, format!("{kind:?} tells of {told:?} under as many tokens")));
                }
            }
        }
        let is_unwritten = self.may_be_unwritten
            && matches!(first_told[..], [action, status] if action.is_unknown() && !status.is_unknown());
        if let [action, status] = first_told[..]
            && !is_unwritten
            && ["Result", "PaymentConfirmationCode", "PayErrorCode", "PaymentError"]
                .iter()
                .any(|name| action.field(name) != status.field(name))
        {
            let (action, status) = (action.field("Result"), status.field("Result"));
            wrongs.push((Wrong::ToldTwice, format!("the action tells {action}, the status callback {status}")));
        }
        wrongs
    }

    /// A token stands for one request. Only whether the call is still there may have changed.
    fn repeats(&self) -> Wrongs {
        let mut seen: BTreeMap<&str, &Telling> = BTreeMap::new();
        let mut wrongs = Wrongs::new();
        for told in self.session.tellings() {
            let first = *seen.entry(&told.token).or_insert(told);
            let names: BTreeSet<&String> = first.fields.keys().chain(told.fields.keys()).collect();
            let differ: Vec<&String> = names
                .into_iter()
                .filter(|name| *name != "CallStatus" && first.fields.get(*name) != told.fields.get(*name))
                .collect();
            if !differ.is_empty() || first.kind != told.kind {
                wrongs.push((Wrong::Changed, format!("{} is two requests, which differ in {differ:?}", told.token)));
            }
        }
        wrongs
    }

    /// Status callbacks in the order of their numbers, none left out before the last.
    fn order(&self) -> Wrongs {
        let firsts = self.firsts(Kind::Status);
        let numbers: Vec<i64> = firsts.iter().map(|told| told.field("SequenceNumber").parse().unwrap_or(-1)).collect();
        let mut expected = 0;
        let mut is_known_unknown = false;
        for (told, number) in firsts.iter().zip(&numbers) {
            // What is told late stands in the place of what was told first.
            let is_late = is_known_unknown && told.is_final() && *number == expected - 1;
            if !is_late && *number != expected {
                return vec![(Wrong::Disorder, format!("status callbacks came as {numbers:?}"))];
            }
            expected = if is_late { expected } else { expected + 1 };
            is_known_unknown |= told.is_final() && told.is_unknown();
        }
        Wrongs::new()
    }

    fn at_once(&self) -> Wrongs {
        let events = self.session.events.iter().filter_map(|(_, event)| match event {
            Event::ToldAtOnce(token) => Some((Wrong::AtOnce, format!("{token} was under way twice at the same time"))),
            _ => None,
        });
        events.collect()
    }

    fn signatures(&self) -> Wrongs {
        let odd = self.session.tellings().filter(|told| !told.is_signed || told.token.is_empty());
        let odd: Wrongs = odd.map(|told| (Wrong::Unsigned, format!("{:?} {:?}", told.kind, told.token))).collect();
        let strange = self.session.tellings().filter(|told| told.field("CallSid") != self.session.call_sid);
        let strange = strange.map(|told| (Wrong::Changed, format!("it is told of call {}", told.field("CallSid"))));
        odd.into_iter().chain(strange).collect()
    }

    /// An ending that the application took.
    fn taken(&self, kind: Kind) -> Option<&Telling> {
        self.session.tellings().find(|told| told.kind == kind && told.is_final() && told.is_taken)
    }

    /// Whether the application did not want to be told an ending.
    fn is_refused(&self, kind: Kind) -> bool {
        self.session.tellings().any(|told| told.kind == kind && told.is_final() && told.is_refused)
    }

    /// The first request of each token.
    fn firsts(&self, kind: Kind) -> Vec<&Telling> {
        let mut tokens = BTreeSet::new();
        self.session.tellings().filter(|told| told.kind == kind && tokens.insert(&told.token)).collect()
    }
}

/// What a run was, in a few numbers.
pub fn summary(state: &State, faults: &[Fault]) -> String {
    let sessions = || state.sessions.values();
    let count = |wrong: Wrong| faults.iter().filter(|fault| fault.wrong == wrong).count();
    let told = |session: &Session, what: &dyn Fn(&Telling) -> bool| {
        session.tellings().any(|told| told.is_final() && what(told))
    };
    let asked = sessions().filter(|session| session.was_asked()).count();
    let rows = [
        ("kills", state.lives.iter().filter(|(_, what)| what.contains("killed")).count()),
        ("payments begun", sessions().filter(|session| session.began()).count()),
        ("gateway asked", asked),
        ("of these led by agents", sessions().filter(|session| session.was_asked() && !session.has_action).count()),
        ("cut in two by a kill", state.cut()),
        ("charges", sessions().map(|session| session.charges().len()).sum()),
        ("told success", sessions().filter(|session| told(session, &Telling::is_success)).count()),
        ("told unknown", sessions().filter(|session| told(session, &Telling::is_unknown)).count()),
        (
            "told late",
            sessions()
                .filter(|session| told(session, &Telling::is_unknown) && told(session, &|told| !told.is_unknown()))
                .count(),
        ),
        (
            "told otherwise",
            sessions().filter(|session| told(session, &|told| !told.is_unknown() && !told.is_success())).count(),
        ),
        ("requests to the application", sessions().map(|session| session.tellings().count()).sum()),
        ("double", count(Wrong::ChargedTwice)),
        ("silent", count(Wrong::Silent)),
        ("other faults", faults.len() - count(Wrong::ChargedTwice) - count(Wrong::Silent)),
    ];
    rows.iter().map(|(what, count)| format!("  {what:<28}{count:>7}\n")).collect()
}

/// The checks are held against histories in which something is wrong.
mod tests {
    use super::super::stored::Wants;
    use super::*;

    /// A payment that was made and told as it should be: charged once, with two status callbacks before the last.
    fn right() -> Session {
        let mut session = Session {
            call_sid: "CA1".to_owned(),
            connector: "Processor",
            has_status: true,
            has_action: true,
            life: 1,
            wants: Wants::Charge,
            events: vec![(Duration::ZERO, Event::Began)],
        };
        for number in ["0", "1"] {
            session.tell(Kind::Status, &format!("s{number}"), &[("SequenceNumber", number)]);
        }
        session.did(Event::Asked { id: "PK1".to_owned(), body: "{}".to_owned() });
        session.did(Event::Charged { id: "PK1".to_owned(), code: "ch_1".to_owned() });
        session.end(SUCCESS);
        session
    }

    const SUCCESS: &[(&str, &str)] = &[("Result", "success"), ("PaymentConfirmationCode", "ch_1")];
    const UNKNOWN: &[(&str, &str)] =
        &[("Result", "payment-connector-error"), ("PayErrorCode", "64002"), ("PaymentError", "outcome unknown")];
    const DECLINED: &[(&str, &str)] = &[("Result", "payment-connector-error"), ("PayErrorCode", "64012")];

    impl Session {
        fn did(&mut self, event: Event) {
            self.events.push((Duration::ZERO, event));
        }

        fn tell(&mut self, kind: Kind, token: &str, fields: &[(&str, &str)]) {
            let fields = fields.iter().chain(&[("CallSid", "CA1")]);
            let telling = Telling {
                kind,
                token: token.to_owned(),
                is_signed: true,
                fields: fields.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                is_taken: true,
                is_refused: false,
                answer: String::new(),
            };
            self.did(Event::Told(telling));
        }

        /// Both last requests.
        fn end(&mut self, fields: &[(&str, &str)]) {
            self.tell(Kind::Status, "status", &[fields, &[("SequenceNumber", "2")]].concat());
            self.tell(Kind::Action, "action", fields);
        }

        fn without(mut self, what: impl Fn(&Event) -> bool) -> Self {
            self.events.retain(|(_, event)| !what(event));
            self
        }

        fn telling(&mut self, token: &str) -> &mut Telling {
            self.events
                .iter_mut()
                .find_map(|(_, event)| match event {
                    Event::Told(telling) if telling.token == token => Some(telling),
                    _ => None,
                })
                .unwrap()
        }
    }

    fn is_final(event: &Event) -> bool {
        matches!(event, Event::Told(telling) if telling.is_final())
    }

    fn wrongs(session: &Session) -> BTreeSet<Wrong> {
        Check { session, must_be_told: session.was_asked() || session.life == 9, may_be_unwritten: session.life == 8 }
            .all()
            .into_iter()
            .map(|(wrong, _)| wrong)
            .collect()
    }

    #[track_caller]
    fn assert_wrong(session: &Session, wrong: &[Wrong]) {
        assert_eq!(wrongs(session), wrong.iter().copied().collect(), "{:?}", session.events);
    }

    #[test]
    fn a_payment_that_is_right_is_right() {
        assert_wrong(&right(), &[]);
        let mut repeated = right();
        repeated.end(SUCCESS);
        repeated.did(Event::Asked { id: "PK1".to_owned(), body: "{}".to_owned() });
        assert_wrong(&repeated, &[]);
    }

    #[test]
    fn a_second_charge_is_found_and_what_could_have_been_one() {
        let mut twice = right();
        twice.did(Event::Charged { id: "PK1".to_owned(), code: "ch_1".to_owned() });
        assert_wrong(&twice, &[Wrong::ChargedTwice]);
        let mut other_id = right();
        other_id.did(Event::Asked { id: "PK2".to_owned(), body: "{}".to_owned() });
        assert_wrong(&other_id, &[Wrong::ChargedTwice]);
        let mut other_wish = right();
        other_wish.did(Event::Asked { id: "PK1".to_owned(), body: "{\"amount\":1}".to_owned() });
        assert_wrong(&other_wish, &[Wrong::ChargedTwice]);
        let mut steps = right();
        steps.did(Event::Asked { id: "PK1-pm".to_owned(), body: "1".to_owned() });
        steps.did(Event::Asked { id: "PK1-pi".to_owned(), body: "2".to_owned() });
        assert_wrong(&steps, &[]);
    }

    #[test]
    fn a_charge_without_a_word_is_found() {
        assert_wrong(&right().without(is_final), &[Wrong::Silent, Wrong::Untold]);
        let mut not_taken = right();
        not_taken.telling("status").is_taken = false;
        assert_wrong(&not_taken, &[Wrong::Untold]);
        not_taken.telling("action").is_taken = false;
        assert_wrong(&not_taken, &[Wrong::Silent, Wrong::Untold]);
    }

    #[test]
    fn a_charge_that_is_told_as_something_else_is_found() {
        let mut declined = right().without(is_final);
        declined.end(DECLINED);
        assert_wrong(&declined, &[Wrong::ToldNotCharged]);
        let mut unknown = right().without(is_final);
        unknown.end(UNKNOWN);
        assert_wrong(&unknown, &[]);
    }

    #[test]
    fn a_success_without_its_charge_is_found() {
        assert_wrong(&right().without(|event| matches!(event, Event::Charged { .. })), &[Wrong::ToldCharged]);
        let mut other = right();
        for token in ["status", "action"] {
            other.telling(token).fields.insert("PaymentConfirmationCode".to_owned(), "ch_2".to_owned());
        }
        assert_wrong(&other, &[Wrong::ToldCharged]);
    }

    #[test]
    fn what_the_gateway_was_asked_for_must_be_told_and_what_died_before_need_not() {
        let dead = right().without(|event| is_final(event) || matches!(event, Event::Charged { .. }));
        assert_wrong(&dead, &[Wrong::Untold]);
        let mut early = dead.without(|event| matches!(event, Event::Asked { .. }));
        assert_wrong(&early, &[]);
        early.life = 9;
        assert_wrong(&early, &[Wrong::Untold]);
    }

    #[test]
    fn what_an_agent_leads_has_no_action() {
        let mut led = right().without(|event| matches!(event, Event::Told(told) if told.kind == Kind::Action));
        assert_wrong(&led, &[Wrong::Untold]);
        led.has_action = false;
        assert_wrong(&led, &[]);
    }

    #[test]
    fn an_outcome_is_told_late_once_and_only_if_it_was_unknown() {
        let mut late = right().without(is_final);
        late.end(UNKNOWN);
        late.tell(Kind::Status, "late", &[SUCCESS, &[("SequenceNumber", "2")]].concat());
        assert_wrong(&late, &[]);
        let mut by_both = late.clone();
        by_both.tell(Kind::Action, "late-action", SUCCESS);
        assert_wrong(&by_both, &[Wrong::ToldTwice]);
        late.tell(Kind::Status, "later", &[SUCCESS, &[("SequenceNumber", "2")]].concat());
        assert_wrong(&late, &[Wrong::ToldTwice]);
        let mut again = right();
        again.tell(Kind::Action, "again", SUCCESS);
        assert_wrong(&again, &[Wrong::ToldTwice]);
        let mut alone = right().without(|event| matches!(event, Event::Told(_)));
        alone.has_status = false;
        alone.tell(Kind::Action, "action", UNKNOWN);
        alone.tell(Kind::Action, "late", SUCCESS);
        assert_wrong(&alone, &[]);
    }

    #[test]
    fn action_and_status_callback_that_disagree_are_found() {
        let mut torn = right().without(is_final);
        torn.tell(Kind::Status, "status", &[UNKNOWN, &[("SequenceNumber", "2")]].concat());
        torn.tell(Kind::Action, "action", SUCCESS);
        assert_wrong(&torn, &[Wrong::ToldTwice]);
    }

    #[test]
    fn what_was_not_written_down_in_time_is_told_by_one_action_more() {
        let mut unwritten = right();
        let first = Telling { token: "unwritten".to_owned(), ..unwritten.telling("action").clone() };
        unwritten.events.insert(0, (Duration::ZERO, Event::Told(first)));
        assert_wrong(&unwritten, &[Wrong::ToldTwice]);
        unwritten.life = 8;
        assert_wrong(&unwritten, &[]);
        unwritten.tell(Kind::Action, "again", SUCCESS);
        assert_wrong(&unwritten, &[Wrong::ToldTwice]);
    }

    #[test]
    fn a_repeat_that_differs_is_found() {
        let mut changed = right();
        changed.tell(Kind::Status, "s1", &[("SequenceNumber", "1"), ("For", "payment-processing")]);
        assert_wrong(&changed, &[Wrong::Changed]);
        let mut elsewhere = right();
        elsewhere.telling("action").fields.insert("CallSid".to_owned(), "CA2".to_owned());
        assert_wrong(&elsewhere, &[Wrong::Changed]);
    }

    #[test]
    fn status_callbacks_out_of_order_or_missing_are_found() {
        let number =
            |wanted: &'static str| move |event: &Event| matches!(event, Event::Told(told) if told.token == wanted);
        assert_wrong(&right().without(number("s1")), &[Wrong::Disorder]);
        assert_wrong(&right().without(number("s0")), &[Wrong::Disorder]);
        let mut swapped = right();
        swapped.events.swap(1, 2);
        assert_wrong(&swapped, &[Wrong::Disorder]);
        let mut repeated = right();
        repeated.tell(Kind::Status, "s0", &[("SequenceNumber", "0")]);
        assert_wrong(&repeated, &[]);
    }

    #[test]
    fn a_request_that_is_under_way_twice_is_found() {
        let mut twice = right();
        twice.did(Event::ToldAtOnce("s1".to_owned()));
        assert_wrong(&twice, &[Wrong::AtOnce]);
    }

    #[test]
    fn a_token_is_what_was_made_of_the_card() {
        let mut made = right().without(is_final);
        made.wants = Wants::Token;
        made.end(&[("Result", "success"), ("PaymentToken", "ch_1")]);
        assert_wrong(&made, &[]);
        made.wants = Wants::Charge;
        assert_wrong(&made, &[Wrong::ToldCharged]);
    }

    #[test]
    fn an_unsigned_request_is_found() {
        let mut unsigned = right();
        unsigned.telling("s0").is_signed = false;
        assert_wrong(&unsigned, &[Wrong::Unsigned]);
    }
}

//! A tape as a call script: what `touchtone replay` runs to the same end.
//!
//! Shape:   [`Tape::draft`] chooses the made-up numbers and writes everything but the expectations.
//! Errors:  none here: a [`Draft`] that [`Draft::reveals`] something is made again from another seed.
//! Sources: spec/interface.md, "Call scripts".

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::AgentAct;
use super::made_up::{MadeUp, NumberConstraints};
use super::{FirstDocument, Note, QuestionKind, Tape};
use crate::flow::TurnId;
use crate::flow::link::{PlainHttp, Target};
use crate::pay::card::YearMonth;
use crate::pay::gateway::Capabilities;
use crate::pay::keypad::Destination;
use crate::pay::platform::Platform;
use crate::pay::test_numbers::AcceptedNumbers;
use crate::simulate::quoted;
use crate::time::CallTime;

mod entry;

use entry::{answer, connector};

/// A document that never came: after the machine has given it up, and the call with it.
const NEVER: &str = "60000ms";

/// How long a connector was looked up for that was never found: longer than it is waited for.
const UNKNOWN: Duration = Duration::from_secs(60);

/// How long a turn that was cut would have lasted, where nobody knows.
const CUT: Duration = Duration::from_secs(1);

/// Keys further apart than this are two steps of a script. Chosen for readers.
const APART: Duration = Duration::from_millis(2500);

/// What came of looking a connector up.
#[derive(Clone, Copy)]
enum ConnectorLookup<'a> {
    /// There is none of that name.
    Missing,
    /// Nothing could be written down: nobody asked further.
    Unasked,
    /// What it can do.
    Can(&'a Capabilities),
}

/// What was said in a replay, and when: for the comments of a script.
pub type SaidAt = (CallTime, String);

/// A script without its expectations.
pub struct Draft {
    head: String,
    steps: Vec<(CallTime, String)>,
    made_up: MadeUp,
    /// Whether made-up keys are by chance some that should not be shown.
    unlucky: bool,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({} steps)", self.steps.len())
    }
}

impl Draft {
    /// The script; `said` becomes comments.
    #[must_use]
    pub fn text(&self, said: &[SaidAt]) -> String {
        let mut text = self.head.clone();
        text.push_str("call:\n");
        let mut said = said.iter().peekable();
        for (at, step) in &self.steps {
            while let Some((_, words)) = said.next_if(|(begins, _)| begins < at) {
                comment(&mut text, words);
            }
            text.push_str(step);
        }
        said.for_each(|(_, words)| comment(&mut text, words));
        if self.steps.is_empty() {
            text.push_str("  []\n");
        }
        text
    }

    /// Whether `text`, a script made of this draft, shows what the caller keyed.
    #[must_use]
    pub fn reveals(&self, text: &str) -> bool {
        self.unlucky || self.made_up.reveals(text)
    }
}

fn comment(text: &mut String, words: &str) {
    let words: Vec<&str> = words.split_whitespace().collect();
    // Writing to a text cannot fail.
    let _ = writeln!(text, "  # {}", words.join(" "));
}

impl Tape {
    /// The call as a script with other numbers, made up from `seed`.
    #[must_use]
    pub fn draft(&self, seed: u64) -> Draft {
        let accepted = |looked: &ConnectorLookup<'_>| match looked {
            ConnectorLookup::Can(can) => {
                Some(can.accepted_numbers).filter(|accepted| *accepted != AcceptedNumbers::Any)
            }
            ConnectorLookup::Missing | ConnectorLookup::Unasked => None,
        };
        let test_mode = self.connectors().values().find_map(|(looked, _)| accepted(looked));
        let last = self.notes.last().map_or(CallTime::ZERO, |(at, _)| *at);
        let month = |at: CallTime| {
            let passed = jiff::SignedDuration::from_millis(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
            let date = self.answered_at.saturating_add(passed);
            YearMonth { year: date.year(), month: date.month() }
        };
        let around = NumberConstraints { test_mode, months: [month(CallTime::ZERO), month(last)], seed };
        let pressed: Vec<CallTime> =
            self.notes.iter().filter(|(_, note)| matches!(note, Note::Key)).map(|(at, _)| *at).collect();
        let made_up = MadeUp::new(&self.keys, &self.destinations, around, |place| {
            month(pressed.get(place).copied().unwrap_or(CallTime::ZERO))
        });
        let mut head = String::new();
        // Writing to a text cannot fail.
        let _ = self.head(&made_up, &mut head);
        let (steps, unlucky) = self.steps(&made_up);
        Draft { head, steps, made_up, unlucky }
    }

    fn head(&self, made_up: &MadeUp, head: &mut String) -> std::fmt::Result {
        writeln!(head, "# A call as it went; whatever the caller keyed is made up.")?;
        match &self.first {
            FirstDocument::Flow(name) => writeln!(head, "flow: {}", quoted(name))?,
            FirstDocument::Url(url) => writeln!(head, "url: {}", quoted(&made_up.runs(url)))?,
            FirstDocument::Document(text) => writeln!(head, "document: {}", block(&made_up.runs(text), 2))?,
        }
        if self.platform != Platform::default() {
            writeln!(head, "dialect: {}", self.platform)?;
        }
        match self.plain_http {
            // The default of a script.
            PlainHttp::Always => {}
            PlainHttp::Loopback => writeln!(head, "plain_http: loopback")?,
            PlainHttp::Never => writeln!(head, "plain_http: never")?,
        }
        writeln!(head, "clock: {}", self.answered_at)?;
        if !self.parameters.is_empty() {
            writeln!(head, "parameters:")?;
            for (name, value) in &self.parameters {
                writeln!(head, "  {}: {}", quoted(&made_up.runs(name)), quoted(&made_up.runs(value)))?;
            }
        }
        let away = self.store_away();
        if !away.is_empty() {
            writeln!(head, "store_away: [{}]", away.join(", "))?;
        }
        let connectors = self.connectors();
        let written: BTreeMap<&str, String> =
            connectors.iter().map(|(name, (can, after))| (*name, connector(*can, *after))).collect();
        if let Some(first) = written.values().next()
            && written.values().all(|other| other == first)
        {
            if !first.is_empty() {
                writeln!(head, "connector: {{ {first} }}")?;
            }
        } else if !written.is_empty() {
            writeln!(head, "connectors:")?;
            for (name, what) in &written {
                writeln!(head, "  {}: {{ {what} }}", quoted(&made_up.runs(name)))?;
            }
        }
        let documents = self.documents(made_up);
        if !documents.is_empty() {
            writeln!(head, "documents:")?;
            for (link, answers) in &documents {
                writeln!(head, "  {}:", quoted(link))?;
                head.extend(answers.iter().map(String::as_str));
            }
        }
        let answers = self.answers(made_up);
        if !answers.is_empty() {
            writeln!(head, "gateway:")?;
            for answer in &answers {
                writeln!(head, "  - {{ {answer} }}")?;
            }
        }
        let lengths: Vec<String> = self.lengths().into_iter().map(millis).collect();
        if !lengths.is_empty() {
            writeln!(head, "speech: [{}]", lengths.join(", "))?;
        }
        Ok(())
    }

    /// Which look-ups, counted from 1, found that nothing could be written down. A script cannot say that of a payment that has
    /// begun.
    fn store_away(&self) -> Vec<String> {
        let (mut lookups, mut is_open, mut away) = (0_u32, false, Vec::new());
        for (_, note) in &self.notes {
            match note {
                Note::LookedUp(_) => (lookups, is_open) = (lookups.saturating_add(1), true),
                Note::Found(_) => is_open = false,
                Note::StoreAway if std::mem::take(&mut is_open) => away.push(lookups.to_string()),
                _ => {}
            }
        }
        away
    }

    /// What each connector that was looked up can do, and how long it took to find out.
    fn connectors(&self) -> BTreeMap<&str, (ConnectorLookup<'_>, Duration)> {
        let mut connectors = BTreeMap::new();
        let mut wanted = None;
        for (at, note) in &self.notes {
            match note {
                Note::LookedUp(name) => {
                    wanted = Some((name.as_str(), *at));
                    connectors.entry(name.as_str()).or_insert((ConnectorLookup::Missing, UNKNOWN));
                }
                Note::Found(found) => {
                    if let Some((name, asked_at)) = wanted.take() {
                        let looked = found.as_deref().map_or(ConnectorLookup::Missing, ConnectorLookup::Can);
                        connectors.insert(name, (looked, *at - asked_at));
                    }
                }
                // What it can do stays unknown, unless an earlier or a later payment found out.
                Note::StoreAway => {
                    if let Some((name, asked_at)) = wanted.take()
                        && !connectors.get(name).is_some_and(|(looked, _)| matches!(looked, ConnectorLookup::Can(_)))
                    {
                        connectors.insert(name, (ConnectorLookup::Unasked, *at - asked_at));
                    }
                }
                _ => {}
            }
        }
        connectors
    }

    /// The answers to fetches, by URL or flow, in the order they were asked for.
    fn documents(&self, made_up: &MadeUp) -> BTreeMap<String, Vec<String>> {
        let mut documents: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut plain = Vec::new();
        let mut pressed = 0;
        for (asked_at, note) in &self.notes {
            pressed += usize::from(matches!(note, Note::Key));
            let Note::Requested(request) = note else { continue };
            if !request.wanted {
                continue;
            }
            let (mut source, mut came, mut keyed) = (None, None, 0);
            for (at, note) in &self.notes {
                match note {
                    Note::Key => keyed += 1,
                    Note::Source(id, made_of) if *id == request.id => source = Some((made_of, keyed)),
                    Note::Fetched(id, fetched) if *id == request.id => {
                        came = Some((*at - *asked_at, Some(fetched), keyed))
                    }
                    Note::NotAsked(id) if *id == request.id => came = Some((*at - *asked_at, None, keyed)),
                    _ => {}
                }
            }
            let (link, is_flow) = match &request.target {
                Target::Flow(name) => (made_up.words(name, pressed), true),
                Target::Url(url) => (made_up.words(url.as_str(), pressed), false),
            };
            let after = came.as_ref().map_or_else(|| NEVER.to_owned(), |(after, ..)| millis(*after));
            let answer = match (source, came) {
                // It was not asked for, so that nothing came.
                (_, Some((_, None, _))) => continue,
                (Some((source, keyed)), _) => {
                    let kind = match source.content_type.as_deref() {
                        // The default of a script.
                        Some("text/xml") => String::new(),
                        kind => format!("      type: {}\n", quoted(&made_up.words(kind.unwrap_or_default(), keyed))),
                    };
                    let from = source.from.as_ref().map(|url| made_up.words(url.as_str(), keyed));
                    let from = from.map(|url| format!("      from: {}\n", quoted(&url))).unwrap_or_default();
                    let text = block(&made_up.words(&source.text, keyed), 8);
                    format!("    - after: {after}\n{kind}{from}      text: {text}\n")
                }
                (None, Some((_, Some(Err(failure)), keyed))) if !is_flow => {
                    let message = quoted(&made_up.words(&failure.message, keyed));
                    format!("    - {{ fails: {message}, code: {}, after: {after} }}\n", failure.code)
                }
                // A flow's document is in its file.
                (None, _) => format!("    - {{ after: {after} }}\n"),
            };
            if is_flow {
                plain.push((link.clone(), after == "0ms"));
            }
            documents.entry(link).or_default().push(answer);
        }
        for answers in documents.values_mut() {
            // The last answer is given again and again.
            while answers.len() > 1 && answers.last() == answers.get(answers.len() - 2) {
                answers.pop();
            }
        }
        // A flow that came at once needs no entry: its document is in its file.
        documents.retain(|link, _| {
            !plain.iter().any(|(flow, _)| flow == link) || plain.iter().any(|(flow, at_once)| flow == link && !at_once)
        });
        documents
    }

    /// The gateway's answers, one for each question.
    fn answers(&self, made_up: &MadeUp) -> Vec<String> {
        let mut answers = Vec::new();
        let mut open: Option<(CallTime, u16, QuestionKind)> = None;
        let mut keyed = 0;
        let silent = |what: QuestionKind| match what {
            QuestionKind::Prepare => "prepare: true, outcome: silent".to_owned(),
            QuestionKind::Submit | QuestionKind::Resolve => "outcome: silent".to_owned(),
        };
        for (at, note) in &self.notes {
            match note {
                Note::Key => keyed += 1,
                Note::Asked(number, what) => {
                    answers.extend(open.replace((*at, *number, *what)).map(|(_, _, what)| silent(what)));
                }
                Note::Replied(number, reply) => {
                    if let Some((asked_at, _, what)) = open.take_if(|(_, asked, _)| asked == number) {
                        let mut fields = Vec::new();
                        if what == QuestionKind::Prepare {
                            fields.push("prepare: true".to_owned());
                        }
                        answer(reply, made_up, keyed, &mut fields);
                        fields.push(format!("after: {}", millis(*at - asked_at)));
                        answers.push(fields.join(", "));
                    }
                }
                _ => {}
            }
        }
        answers.extend(open.map(|(_, _, what)| silent(what)));
        answers
    }

    /// How long each turn lasted, in order; one that was cut lasts beyond the cut.
    fn lengths(&self) -> Vec<Duration> {
        struct Turn {
            id: TurnId,
            said: CallTime,
            rendered: Option<Duration>,
            over: Option<(CallTime, bool)>,
        }
        let mut turns: Vec<Turn> = Vec::new();
        let mut last = CallTime::ZERO;
        for (at, note) in &self.notes {
            last = *at;
            let unheard = turns.iter_mut().filter(|turn| turn.over.is_none());
            match note {
                Note::Said(id) => turns.push(Turn { id: *id, said: *at, rendered: None, over: None }),
                Note::Rendered(id, length) => {
                    unheard.filter(|turn| turn.id == *id).for_each(|turn| turn.rendered = Some(*length));
                }
                // A platform plays in order: what was heard ends all before it.
                Note::Played(id) => {
                    unheard.filter(|turn| turn.id <= *id).for_each(|turn| turn.over = Some((*at, true)))
                }
                Note::TimedOut(crate::flow::Wait::Speech) => {
                    unheard.take(1).for_each(|turn| turn.over = Some((*at, true)));
                }
                Note::Cleared | Note::HungUp => unheard.for_each(|turn| turn.over = Some((*at, false))),
                _ => {}
            }
        }
        let mut free = CallTime::ZERO;
        let mut lengths = Vec::new();
        for turn in &turns {
            let begins = free.max(turn.said);
            let (over, heard) = turn.over.unwrap_or((last, false));
            let lasted = over - begins;
            let length =
                if heard { lasted } else { turn.rendered.unwrap_or(CUT).max(lasted + Duration::from_millis(1)) };
            free = if heard { begins + length } else { over };
            lengths.push(length);
        }
        lengths
    }

    /// What the caller did, with the time of each step. True: a made-up entry is by chance one that was keyed.
    fn steps(&self, made_up: &MadeUp) -> (Vec<(CallTime, String)>, bool) {
        let mut steps = Vec::new();
        let mut unlucky = false;
        let mut now = CallTime::ZERO;
        let mut group: Option<Group> = None;
        let mut place = 0;
        let mut finish = |group: Group, now: &mut CallTime, steps: &mut Vec<(CallTime, String)>| {
            unlucky |= made_up.is_code(&group.keys);
            steps.extend(waited(now, group.begins));
            let gaps: Vec<String> = group.gaps.iter().copied().map(millis).collect();
            let apart = if group.gaps.iter().all(Duration::is_zero) {
                "every: 0ms".to_owned()
            } else {
                format!("gaps: [{}]", gaps.join(", "))
            };
            let line = format!("  - press: {{ keys: \"{}\", {apart} }}\n", group.keys);
            steps.push((group.begins, line));
            *now = group.ends;
        };
        for (at, note) in &self.notes {
            match note {
                Note::Key => {
                    let key = made_up.key(place);
                    let entry = self.destinations.get(place).copied();
                    place += 1;
                    match &mut group {
                        Some(group) if *at - group.ends <= APART && group.takes(key, entry) => {
                            group.gaps.push(*at - group.ends);
                            group.keys.push(key);
                            group.ends = *at;
                            group.entry = entry;
                        }
                        _ => {
                            let next = Group { keys: key.to_string(), gaps: Vec::new(), begins: *at, ends: *at, entry };
                            if let Some(group) = group.replace(next) {
                                finish(group, &mut now, &mut steps);
                            }
                        }
                    }
                }
                Note::HungUp | Note::Acted(_) => {
                    if let Some(group) = group.take() {
                        finish(group, &mut now, &mut steps);
                    }
                    steps.extend(waited(&mut now, *at));
                    let step = match note {
                        Note::Acted(act) => self.act(act, made_up, place),
                        _ => "hang up".to_owned(),
                    };
                    steps.push((*at, format!("  - {step}\n")));
                }
                _ => {}
            }
        }
        if let Some(group) = group {
            finish(group, &mut now, &mut steps);
        }
        (steps, unlucky)
    }
}

impl Tape {
    /// What others did with the call, as a step.
    fn act(&self, act: &AgentAct, made_up: &MadeUp, keyed: usize) -> String {
        let words = |text: &str| quoted(&made_up.words(text, keyed));
        let (id, creates, sid, given) = match act {
            AgentAct::Document(text) => return format!("application: {{ twiml: {} }}", words(text)),
            AgentAct::Url(url) => return format!("application: {{ url: {} }}", words(url)),
            AgentAct::Completed => return "application: { status: completed }".to_owned(),
            AgentAct::Create(id, given) => (id, true, None, given),
            AgentAct::Update(id, sid, given) => (id, false, Some(sid), given),
        };
        let of = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| words(value));
        let mut fields = Vec::new();
        if creates {
            let own = given.iter().filter(|(name, _)| !matches!(name.as_str(), "IdempotencyKey" | "StatusCallback"));
            let mut own: Vec<String> = own.map(|(name, value)| format!("{}: {}", words(name), words(value))).collect();
            // A script's requests have a key of their own, unless they say so.
            let keyless = !given.iter().any(|(name, key)| name == "IdempotencyKey" && !key.trim().is_empty());
            own.extend(keyless.then(|| "IdempotencyKey: \"\"".to_owned()));
            fields.push(format!("create: {{ {} }}", own.join(", ")));
        }
        fields.extend(of("Capture").filter(|_| !creates).map(|word| format!("capture: {word}")));
        fields.extend(of("Status").filter(|_| !creates).map(|word| format!("status: {word}")));
        fields.extend(sid.map(|sid| match self.payment(sid) {
            Some(number) => format!("payment: {number}"),
            None => format!("sid: {}", words(sid)),
        }));
        fields.push(format!("callback: {}", of("StatusCallback").unwrap_or_else(|| quoted(""))));
        let refused = self.notes.iter().find_map(|(_, note)| match note {
            Note::Answered(answered, code) if answered == id => Some(*code),
            _ => None,
        });
        fields.push("later: true".to_owned());
        fields.extend(refused.flatten().map(|code| format!("refused: \"{code}\"")));
        format!("agent: {{ {} }}", fields.join(", "))
    }

    /// The number of a payment in its call, from 1: ids are counted up.
    fn payment(&self, sid: &str) -> Option<u32> {
        let number = u128::from_str_radix(sid.strip_prefix("PK")?, 16).ok()?;
        u32::try_from(number.wrapping_sub(self.seed)).ok()?.checked_add(1)
    }
}

/// Keys of one step.
struct Group {
    keys: String,
    gaps: Vec<Duration>,
    begins: CallTime,
    ends: CallTime,
    entry: Option<Destination>,
}

impl Group {
    /// Whether a key belongs to the same entry, or ends it.
    fn takes(&self, key: char, entry: Option<Destination>) -> bool {
        self.entry == entry || matches!(key, '#' | '*')
    }
}

/// The step that lets time pass until `then`, if any has to.
fn waited(now: &mut CallTime, then: CallTime) -> Option<(CallTime, String)> {
    let wait = then - *now;
    let step = (!wait.is_zero()).then(|| (then, format!("  - wait: {}\n", millis(wait))));
    *now = then;
    step
}

fn millis(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}

/// A document as YAML: as it stands where that is possible, else quoted. `indent`: how far in its lines begin.
fn block(text: &str, indent: usize) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let plain = |line: &str| {
        line.chars().all(|c| !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
            && (line.is_empty() || !line.trim().is_empty())
    };
    let whole =
        !body.is_empty() && !body.starts_with([' ', '\n']) && !body.ends_with('\n') && body.split('\n').all(plain);
    if !whole {
        return quoted(text);
    }
    let mut block = String::from(if body.len() < text.len() { "|" } else { "|-" });
    for line in body.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&" ".repeat(indent));
            block.push_str(line);
        }
    }
    block
}

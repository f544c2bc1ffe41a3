//! `touchtone fuzz`

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use clap::Args;

use super::{CommandFailure, FlowsFolder};
use crate::flow::{FetchFailure, NextDocument};
use crate::form::Value;
use crate::library::{Library, read_flow};
use crate::mask::refused;
use crate::pay::step::PayResult;
use crate::simulate::invariants::Violation;
use crate::simulate::random::{self, Plan, Played, SeededRng};

/// How many rendered documents are kept: the parameters of calls repeat themselves, but not for ever.
const KEPT_MAX: usize = 4096;

/// How many parameters a flow may need.
const MISSING_MAX: usize = 32;

#[derive(Debug, Args)]
pub(super) struct Fuzz {
    /// Where chance begins; the same seed plays the same calls (default: another one every time)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many calls to play
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    calls: u64,
    #[command(flatten)]
    flows: FlowsFolder,
}

impl Fuzz {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let flows_read = LoadedFlows::read(&Library::new(&self.flows.flows))?;
        let seed = match self.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| CommandFailure(format!("no seed could be drawn: {error}")))?,
        };
        println!("seed {seed}");
        let flows = flows_read.playable();
        if flows.is_empty() {
            return Err(CommandFailure(format!(
                "no flow of the folder {} can be run; `touchtone check` says why",
                self.flows.flows.display()
            )));
        }
        let mut tally = Tally::default();
        let began = Instant::now();
        for (number, (flow, missing)) in (0..self.calls).zip(flows.iter().cycle()) {
            // Calls next to each other have nothing in common.
            let call_seed = SeededRng::new(seed.wrapping_add(number)).number();
            let (plan, played) = random::call(&flows_read, flow, missing, call_seed);
            let broken =
                random::violation(&played).or_else(|| tally.check_twin(&flows_read, &plan, &played, call_seed));
            if let Some(violation) = broken {
                tell(&violation, call_seed, &plan, &played);
                return Ok(false);
            }
            tally.count(&plan, &played);
        }
        tally.tell(began.elapsed().as_secs_f64());
        Ok(true)
    }
}

fn tell(violation: &Violation, seed: u64, plan: &Plan, played: &Played<'_, LoadedFlows>) {
    println!("call {seed} of the flow {}: {violation}", plan.flow);
    println!("`touchtone replay --trace` shows it with this script:\n");
    print!("{}", plan.script(played));
}

/// What calls came to.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    twins: u64,
    keys: u64,
    results: BTreeMap<&'static str, u64>,
    endings: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn check_twin(
        &mut self,
        flows_read: &LoadedFlows,
        plan: &Plan,
        played: &Played<'_, LoadedFlows>,
        seed: u64,
    ) -> Option<Violation> {
        let twin = plan.twin(seed)?;
        self.twins += 1;
        random::difference(played, &twin.play(flows_read))
    }

    fn count(&mut self, plan: &Plan, played: &Played<'_, LoadedFlows>) {
        self.calls += 1;
        self.keys += plan.keys();
        *self.results.entry(random::result(played).map_or("(no Pay ended)", PayResult::word)).or_default() += 1;
        if let Some(ended) = played.ended() {
            *self.endings.entry(ended.word()).or_default() += 1;
        }
    }

    fn tell(&self, seconds: f64) {
        let rate = self.calls as f64 / seconds.max(0.001);
        println!("{} calls, {} keys, {:.1} s: {rate:.0} calls/s", self.calls, self.keys, seconds);
        println!("{} of them again with other hidden digits, and nothing shown differed", self.twins);
        println!("no rule was broken\n");
        for (heading, counts) in [("last result", &self.results), ("ended by", &self.endings)] {
            println!("{heading:<30}   calls");
            for (word, count) in counts {
                println!("  {word:<28} {count:>7}");
            }
        }
    }
}

/// A flow by its name and the parameters it was rendered with, or why there is no document.
type RenderedFlows = BTreeMap<(String, Vec<String>), Result<NextDocument, FetchFailure>>;

/// The flows of a folder, read once.
#[derive(Debug)]
struct LoadedFlows {
    flows: BTreeMap<String, Result<LoadedFlow, FetchFailure>>,
    kept: RefCell<RenderedFlows>,
}

#[derive(Debug)]
struct LoadedFlow {
    file: String,
    text: String,
}

impl LoadedFlows {
    fn read(library: &Library) -> Result<Self, CommandFailure> {
        let folder = library.folder();
        std::fs::read_dir(folder).map_err(|error| {
            CommandFailure(format!(
                "the folder {} cannot be read ({error}); name another one with --flows",
                folder.display()
            ))
        })?;
        let names = library.names();
        if names.is_empty() {
            return Err(CommandFailure(format!(
                "the folder {} has no flow documents; put NAME.xml files there or name another one with --flows",
                folder.display()
            )));
        }
        let read = |name: String| {
            let file = library.path(&name).display().to_string();
            let source = library.source(&name).map(|text| LoadedFlow { file, text });
            (name, source)
        };
        Ok(Self { flows: names.into_iter().map(read).collect(), kept: RefCell::default() })
    }

    /// Every flow that can be run, with the parameters that it cannot do without. Names the others.
    fn playable(&self) -> Vec<(String, Vec<String>)> {
        let mut playable = Vec::new();
        for name in self.flows.keys() {
            match self.missing(name) {
                Ok(missing) => playable.push((name.clone(), missing)),
                Err(failure) => println!("skipped: {failure}"),
            }
        }
        playable
    }

    fn mentions(&self, name: &str, parameter: &str) -> bool {
        matches!(self.flows.get(name), Some(Ok(source)) if source.text.contains(parameter))
    }

    fn missing(&self, name: &str) -> Result<Vec<String>, FetchFailure> {
        let mut given: BTreeMap<String, Value> = BTreeMap::new();
        loop {
            match random::Flows::flow(self, name, &given) {
                Ok(_) => return Ok(given.into_keys().collect()),
                Err(failure) => match missing_parameter(&failure.message) {
                    Some(parameter) if given.len() < MISSING_MAX && !given.contains_key(parameter) => {
                        given.insert(parameter.to_owned(), Value::from("1"));
                    }
                    // It goes on from a Gather, and works with what was keyed there.
                    None if self.mentions(name, "Digits") && !given.contains_key("Digits") => {
                        given.insert("Digits".to_owned(), Value::from("12345678"));
                    }
                    _ => return Err(failure),
                },
            }
        }
    }
}

/// The parameter that a rendering missed, from its message.
fn missing_parameter(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("the parameter ")?;
    rest.split_once(" is missing").map(|(name, _)| name)
}

impl random::Flows for LoadedFlows {
    fn flow(&self, name: &str, parameters: &BTreeMap<String, Value>) -> Result<NextDocument, FetchFailure> {
        let source = match self.flows.get(name) {
            Some(Ok(source)) => source,
            Some(Err(failure)) => return Err(failure.clone()),
            None => {
                let known: Vec<&str> = self.flows.keys().map(String::as_str).collect();
                let message = format!("there is no flow named {}; there are {}", refused(name), known.join(", "));
                return Err(FetchFailure::not_retrieved(message));
            }
        };
        // A document is the same for every call that has the same values for what its template could name.
        let named = parameters.iter().filter(|(parameter, _)| source.text.contains(parameter.as_str()));
        let key = (
            name.to_owned(),
            named.flat_map(|(parameter, value)| [parameter.clone(), value.expose().to_owned()]).collect::<Vec<_>>(),
        );
        let mut kept = self.kept.borrow_mut();
        if let Some(known) = kept.get(&key) {
            return known.clone();
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let read = read_flow(&source.file, name, &source.text, parameters);
        kept.insert(key, read.clone());
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{self, Script};
    use crate::simulate::Record;

    /// A folder of two flows, one of which cannot do without a parameter.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let menu = "<Response><Gather numDigits=\"1\" action=\"pay\"><Say>Press 1.</Say></Gather></Response>";
        let pay = "<Response><Pay chargeAmount=\"{{ amount }}\" maxAttempts=\"2\" action=\"https://example.com/paid\"/><Say>You pressed {{ Digits | default('nothing') }}.</Say></Response>";
        std::fs::write(folder.path().join("menu.xml"), menu).unwrap();
        std::fs::write(folder.path().join("pay.xml"), pay).unwrap();
        folder
    }

    /// Ids differ on purpose: those of random calls have no digits.
    fn without_ids(line: &str) -> String {
        let words = line
            .split(' ')
            .filter(|word| !["AccountSid", "CallSid", "Sid", "PK"].iter().any(|id| word.starts_with(id)));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_call_s_script_replays_to_the_same_trace() {
        let folder = folder();
        let library = Library::new(folder.path());
        let flows_read = LoadedFlows::read(&library).unwrap();
        let flows = flows_read.playable();
        assert_eq!(flows.last(), Some(&("pay".to_owned(), vec!["amount".to_owned()])));
        for (seed, (flow, missing)) in (0..300).zip(flows.iter().cycle()) {
            let (plan, played) = random::call(&flows_read, flow, missing, seed);
            let text = plan.script(&played);
            let outcome = replay::run(&Script::parse(&text).unwrap(), &library, replay::Requests::Some);
            assert!(outcome.failures.is_empty(), "{text}\n{:?}", outcome.failures);
            // A script has no ledger.
            let records = played.records().iter().filter(|(_, record)| !matches!(record, Record::Acted(_)));
            let trace: Vec<String> = records.map(|(at, record)| without_ids(&format!("{at:>9}  {record}"))).collect();
            let replayed: Vec<String> = outcome.trace.iter().map(|line| without_ids(line)).collect();
            assert_eq!(trace, replayed, "{text}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_or_has_no_flow_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none")] {
            let failure = LoadedFlows::read(&Library::new(path)).unwrap_err();
            assert!(failure.to_string().contains("--flows"), "{failure}");
        }
    }
}

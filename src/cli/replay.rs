//! `touchtone replay`

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{CommandFailure, FlowsFolder};
use crate::flow::Ended;
use crate::library::Library;
use crate::pay::step::PayResult;
use crate::replay::{self, Report, Requests, SentRequest};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Scripts, or folders of scripts
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// One JSON object a script and one for the sum, for machines
    #[arg(long)]
    json: bool,
    /// Show every event and action with its time; keys as •
    #[arg(long)]
    trace: bool,
    /// Fail on requests that a script does not list, and on scripts without `requests:` (`[]` is none)
    #[arg(long)]
    strict: bool,
    /// Write what happens into the scripts as what they expect
    #[arg(long)]
    bless: bool,
    #[command(flatten)]
    flows: FlowsFolder,
}

impl Replay {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let library = Library::new(&self.flows.flows);
        let scripts = replay::find(&self.paths).map_err(CommandFailure::new)?;
        let requests = if self.strict { Requests::Exact } else { Requests::Some };
        let (mut passed, mut failed) = (0_u32, 0_u32);
        for script in &scripts {
            let blessed = if self.bless { replay::bless(script, &library).map(Some) } else { Ok(None) };
            let report = match &blessed {
                Err(_) => None,
                Ok(_) => Some(replay::replay(script, &library, requests)),
            };
            let good = report.as_ref().is_some_and(Report::passed);
            if good {
                passed += 1;
            } else {
                failed += 1;
            }
            match (report, blessed) {
                (Some(report), Ok(blessed)) => self.tell(&report, blessed == Some(true)),
                (_, Err(error)) if self.json => {
                    println!("{}", json!({"script": script, "passed": false, "failures": [error.to_string()]}))
                }
                (_, Err(error)) => println!("FAIL  {error}"),
                (None, Ok(_)) => {}
            }
        }
        if self.json {
            println!("{}", json!({"passed": passed, "failed": failed}));
        } else {
            println!("{passed} passed, {failed} failed");
        }
        Ok(failed == 0)
    }

    fn tell(&self, report: &Report, blessed: bool) {
        let path = report.path.display().to_string();
        let (failures, outcome) = match &report.outcome {
            Ok(outcome) => (Cow::from(&outcome.failures), Some(outcome)),
            Err(error) => (Cow::from(vec![error.to_string()]), None),
        };
        if self.json {
            let mut told = json!({"script": path, "passed": report.passed(), "failures": failures});
            if let (Some(outcome), Some(told)) = (outcome, told.as_object_mut()) {
                told.insert("result".into(), json!(outcome.summary.result.map(PayResult::word)));
                told.insert("ended".into(), json!(outcome.summary.ended.map(Ended::word)));
                let requests: Vec<_> = outcome.summary.requests.iter().map(SentRequest::shown).collect();
                told.insert("requests".into(), json!(requests));
                if self.trace {
                    told.insert("trace".into(), json!(outcome.trace));
                }
            }
            println!("{told}");
            return;
        }
        println!(
            "{}  {path}{}",
            if report.passed() { "ok  " } else { "FAIL" },
            if blessed { "  (blessed)" } else { "" }
        );
        for failure in &*failures {
            println!("      {failure}");
        }
        if let (true, Some(outcome)) = (self.trace, outcome) {
            for line in &outcome.trace {
                println!("      {line}");
            }
        }
    }
}

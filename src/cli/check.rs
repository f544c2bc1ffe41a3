//! `touchtone check`

use std::path::PathBuf;

use clap::Args;

use super::{CommandFailure, FlowsFolder};
use crate::flow::check::check;
use crate::library::Library;
use crate::twiml::encoding::decode;
use crate::twiml::{self, Fault, Severity};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Flows by name, or files (default: every flow)
    #[arg(value_name = "FLOW")]
    flows_named: Vec<String>,
    #[command(flatten)]
    flows: FlowsFolder,
}

impl Check {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        let library = Library::new(&self.flows.flows);
        let files = self.files(&library)?;
        let (mut errors, mut warnings) = (0_u32, 0_u32);
        for file in &files {
            let read = std::fs::read(file).map_err(|error| error.to_string());
            let source = read.and_then(|bytes| decode(&bytes, None).map_err(|fault| fault.to_string()));
            let source = match source {
                Ok(source) => source,
                // The others are checked all the same.
                Err(unreadable) => {
                    errors += 1;
                    println!("{}: error: {unreadable}", file.display());
                    continue;
                }
            };
            for fault in faults(&source, &library) {
                let word = match fault.severity {
                    Severity::Error => {
                        errors += 1;
                        "error"
                    }
                    Severity::Warning => {
                        warnings += 1;
                        "warning"
                    }
                };
                println!("{}:{}: {word}: {}", file.display(), fault.position, fault.message);
            }
        }
        println!("{} documents, {errors} errors, {warnings} warnings", files.len());
        Ok(errors == 0)
    }

    fn files(&self, library: &Library) -> Result<Vec<PathBuf>, CommandFailure> {
        let folder = library.folder().display();
        if self.flows_named.is_empty() {
            let names = library.names();
            if names.is_empty() {
                return Err(CommandFailure(format!(
                    "the folder {folder} has no flow documents; name another one with --flows"
                )));
            }
            return Ok(names.iter().map(|name| library.path(name)).collect());
        }
        let file = |name: &String| {
            if library.contains(name) {
                return Ok(library.path(name));
            }
            let path = PathBuf::from(name);
            if path.is_file() {
                return Ok(path);
            }
            Err(CommandFailure(format!(
                "there is no flow named {name} in {folder}, and no such file; there are {}",
                library.names().join(", ")
            )))
        };
        self.flows_named.iter().map(file).collect()
    }
}

fn faults(source: &str, library: &Library) -> Vec<Fault> {
    match twiml::template::check_view(source).and_then(|view| twiml::parse_view(&view)) {
        Ok(document) => check(&document, |flow| library.contains(flow)),
        Err(fault) => vec![fault],
    }
}

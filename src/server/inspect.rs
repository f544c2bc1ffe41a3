//! A look at every flow when the server starts: faults are told once, and stop nothing.

use crate::connector::Registry;
use crate::flow::check::check;
use crate::library::Library;
use crate::twiml::{self, Severity, Verb};

/// Warns of every flow that has faults or names a connector that there is not.
pub(super) fn warn_of_faults(library: &Library, connectors: &Registry) {
    let names = library.names();
    if names.is_empty() {
        tracing::warn!(
            folder = %library.folder().display(),
            "there are no flow documents; put NAME.xml into the folder"
        );
    }
    for name in &names {
        let file = library.path(name).display().to_string();
        let faults = match library.source(name) {
            Ok(source) => twiml::template::check_view(&source).and_then(|view| twiml::parse_view(&view)).map_or_else(
                |fault| vec![fault],
                |document| {
                    warn_of_connectors(&file, &document, connectors);
                    check(&document, |flow| library.contains(flow))
                },
            ),
            Err(failure) => {
                tracing::warn!(error = failure.message, "could not read flow; calls that run it are told");
                continue;
            }
        };
        let errors: Vec<String> =
            faults.iter().filter(|fault| fault.severity == Severity::Error).map(ToString::to_string).collect();
        if !errors.is_empty() {
            tracing::warn!(file, faults = %errors.join("; "), "flow has faults; calls that run it will be told");
        }
    }
}

fn warn_of_connectors(file: &str, document: &twiml::Document, connectors: &Registry) {
    for verb in &document.verbs {
        let Verb::Pay(pay) = &verb.item else { continue };
        let named = pay.attributes.iter().find(|attribute| attribute.name == "paymentConnector");
        let name = named.map_or("Default", |attribute| attribute.value.as_str());
        if !name.contains("{{") && connectors.find(name).is_none() {
            tracing::warn!(
                file,
                position = %verb.position,
                connector = name,
                "flow names a connector that there is not; its <Pay> will end with 64004"
            );
        }
    }
}

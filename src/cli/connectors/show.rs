//! Instances for people and for programs.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::CommandFailure;
use crate::connector::instance::{Instance, Origin, State};
use crate::connector::{self, Kind, Mode};
use crate::pay::gateway::TokenType;

/// What it means that nothing was ever configured or stored.
const STAND_IN: &str = "No connector is configured or stored: a server's Default is a sandbox then, which takes published test \
                        numbers, and no money moves. Store one: touchtone connectors add NAME --kind KIND (see `connectors \
                        kinds`).";

/// What it means that there is none.
pub(super) const NONE: &str = "There is no connector: every payment ends with 64004. Store one: touchtone connectors add NAME \
                               --kind KIND (see `connectors kinds`).";

/// What it means that the first connector is stored under another name.
pub(super) const NO_DEFAULT: &str = "There is no Default any more: the sandbox that stood in for it went when this connector was \
                                     stored, and a <Pay> without paymentConnector ends with 64004. Name this one in \
                                     paymentConnector, or store one named Default.";

pub(super) fn list(instances: &[Instance], json: bool) -> Result<(), CommandFailure> {
    if json {
        return print(&instances);
    }
    let rows: Vec<[&str; 5]> = instances
        .iter()
        .map(|instance| {
            let mode = instance.mode.map_or("?", Mode::word);
            [&instance.name, instance.kind.unwrap_or("?"), mode, instance.origin.word(), instance.state.word()]
        })
        .collect();
    let head = ["NAME", "KIND", "MODE", "ORIGIN", "STATE"];
    for line in aligned(&[&[head], &*rows].concat()) {
        println!("{line}");
    }
    if instances.iter().any(|instance| instance.origin == Origin::StandIn) {
        println!("\n{STAND_IN}");
    }
    if instances.is_empty() {
        println!("\n{NONE}");
    }
    for Instance { name, state, .. } in instances {
        match state {
            State::Ready => {}
            State::NeedsAuthorization => {
                println!("\n{name}: payments end with 64009 until `touchtone connectors authorize {name}`");
            }
            State::Refused => println!("\n{name}: `touchtone connectors show {name}` says why it is not used"),
            State::Unreadable => println!("\n{name}: `touchtone connectors show {name}` says why it cannot be read"),
        }
    }
    Ok(())
}

pub(super) fn one(instance: &Instance, json: bool) -> Result<(), CommandFailure> {
    if json {
        return print(instance);
    }
    let state = match (instance.state, instance.withdrawn) {
        (State::NeedsAuthorization, Some(since)) => Cow::from(format!(
            "needs-authorization since {since}: run `touchtone connectors authorize {}`",
            instance.name
        )),
        (state, _) => state.word().into(),
    };
    let origin = match instance.origin {
        Origin::Configured => "configured (read-only here; its state is what the running server knows)",
        origin @ (Origin::Stored | Origin::StandIn) => origin.word(),
    };
    let mut rows: Vec<[Cow<'_, str>; 2]> = vec![["name".into(), (&instance.name).into()]];
    rows.extend(instance.kind.map(|kind| ["kind".into(), kind.into()]));
    rows.extend(instance.mode.map(|mode| ["mode".into(), mode.word().into()]));
    rows.extend([["origin".into(), origin.into()], ["state".into(), state]]);
    rows.extend(instance.fault.as_ref().map(|fault| ["fault".into(), fault.into()]));
    rows.extend(instance.settings.iter().map(|(key, value)| [(*key).into(), value.into()]));
    rows.extend(instance.secrets.iter().map(|(key, value)| [(*key).into(), (*value).into()]));
    rows.extend(instance.created.map(|at| ["stored at".into(), at.to_string().into()]));
    rows.extend(instance.updated.map(|at| ["changed at".into(), at.to_string().into()]));
    for line in aligned(&rows) {
        println!("{line}");
    }
    Ok(())
}

/// Where its payments go.
pub(super) fn address(instance: &Instance) -> String {
    let key = instance.kind.and_then(connector::kind).and_then(|kind| kind.address);
    let address = key.and_then(|key| instance.settings.get(key));
    address.map_or_else(|| "a sandbox that moves no money".to_owned(), |address| format!("the address {address}"))
}

pub(super) fn kinds(kinds: &[&Kind], json: bool) -> Result<(), CommandFailure> {
    if json {
        return print(&kinds.iter().map(|kind| listed(kind)).collect::<Vec<_>>());
    }
    for kind in kinds {
        println!("{}: {}", kind.name, kind.meaning);
        let width = kind.keys.iter().map(|key| key.name.len()).max().unwrap_or(0);
        for key in kind.keys {
            let default = key.default.shown().map(|default| format!(" Default: {default}.")).unwrap_or_default();
            let secret = if key.secret { " Secret." } else { "" };
            let required = if key.required { " Required." } else { "" };
            println!("  {:width$}  {}{default}{secret}{required}", key.name, key.meaning);
        }
    }
    Ok(())
}

/// A kind as JSON.
fn listed(kind: &Kind) -> Value {
    let key = |key: &connector::kind::KindKey| {
        json!({
            "name": key.name, "secret": key.secret, "required": key.required, "default": key.default.shown(),
            "meaning": key.meaning,
        })
    };
    let can = (kind.capabilities)(Mode::Live);
    let words = |types: &[TokenType]| types.iter().map(|it| it.word()).collect::<Vec<_>>();
    json!({
        "name": kind.name,
        "meaning": kind.meaning,
        "documentation": kind.documentation,
        "keys": kind.keys.iter().map(key).collect::<Vec<_>>(),
        "capabilities": {
            "charge_card": can.charge_card,
            "charge_bank": can.charge_bank,
            "charge_token": can.charge_token,
            "tokenize_card": words(&can.tokenize_card),
            "tokenize_bank": words(&can.tokenize_bank),
            "looks_up": can.looks_up,
        },
    })
}

fn print(value: &impl Serialize) -> Result<(), CommandFailure> {
    println!("{}", serde_json::to_string_pretty(value).map_err(CommandFailure::new)?);
    Ok(())
}

/// Rows whose columns stand under each other.
fn aligned<const N: usize, T: AsRef<str>>(rows: &[[T; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.as_ref().chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cell.as_ref()));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::KINDS;

    #[test]
    fn every_kind_is_listed_with_its_keys_and_what_it_can_do() {
        for kind in KINDS {
            let listed = listed(kind);
            assert_eq!(listed["name"], kind.name);
            let keys: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
            assert_eq!(keys, kind.keys.iter().map(|key| key.name).collect::<Vec<_>>());
            assert_eq!(listed["capabilities"]["charge_card"], true);
        }
        let example = listed(connector::kind("example").unwrap());
        let key =
            |name: &str| example["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone();
        assert_eq!((key("api_key")["secret"].clone(), key("merchant")["required"].clone()), (true.into(), true.into()));
        let address = "https://test.gateway.example/ (mode test), https://live.gateway.example/ (mode live)";
        assert_eq!(key("base_url")["default"], address);
    }
}

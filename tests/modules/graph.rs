//! Who uses whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Crate, Named};

/// How far a name is followed through re-exports.
const HOPS_MAX: usize = 8;

/// Files that use each other, directly or through others.
#[derive(Debug)]
pub struct Circle {
    pub files: Vec<String>,
    /// The module of the list that all of them are in.
    pub part: Option<String>,
}

impl Circle {
    pub fn shown(&self) -> String {
        self.files.join(" <-> ")
    }
}

/// The modules in the order of the tables of the front page.
pub fn listed(krate: &Crate) -> Vec<String> {
    let rows = krate.front.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.filter_map(|row| row.split(" | ").next()).filter(|cell| cell.contains('`'));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned);
    names.collect()
}

/// Every use of a module that is not above the one that uses it: `FILE:LINE: ...`.
pub fn violations(krate: &Crate) -> Vec<String> {
    let order: BTreeMap<String, usize> =
        listed(krate).into_iter().enumerate().map(|(place, part)| (part, place)).collect();
    let mut found = BTreeSet::new();
    for (module, file) in &krate.files {
        let Some(part) = module.first() else { continue };
        for path in file.uses.iter().map(|import| &import.path).chain(&file.paths) {
            let Some(used) = absolute(module, &path.segments).and_then(|path| path.into_iter().next()) else {
                continue;
            };
            if !krate.files.contains_key(std::slice::from_ref(&used)) || used == *part {
                continue;
            }
            match (order.get(part), order.get(&used)) {
                (Some(place), Some(of_used)) if of_used < place => {}
                (Some(_), Some(_)) => {
                    found.insert((&file.name, path.line, format!("`{part}` uses `{used}`, which is below it")));
                }
                _ => {
                    found.insert((&file.name, path.line, format!("`{part}` or `{used}` is not listed in src/lib.rs")));
                }
            }
        }
    }
    found.into_iter().map(|(name, line, what)| format!("{name}:{line}: {what}")).collect()
}

/// Files that use each other, where neither is part of the other: a file and those in its folder are one module and its parts.
pub fn circles(krate: &Crate) -> Vec<Circle> {
    let modules: Vec<&Vec<String>> = krate.files.keys().collect();
    let uses: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> =
        modules.iter().map(|module| (*module, used_by(krate, module))).collect();
    let reached: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = modules
        .iter()
        .map(|module| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![*module]);
            while let Some(module) = next.pop() {
                for (used, _) in uses[module].iter().filter_map(|used| krate.files.get_key_value(used)) {
                    if reached.insert(used) {
                        next.push(used);
                    }
                }
            }
            (*module, reached)
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for module in modules {
        if !reached[module].contains(module) || seen.contains(module) {
            continue;
        }
        let members: Vec<&Vec<String>> =
            reached[module].iter().copied().filter(|other| reached[*other].contains(module)).collect();
        seen.extend(members.iter().copied());
        let modules: BTreeSet<Option<&String>> = members.iter().map(|member| member.first()).collect();
        let part = if modules.len() == 1 { module.first().cloned() } else { None };
        circles
            .push(Circle { files: members.into_iter().map(|member| krate.files[member].name.clone()).collect(), part });
    }
    circles
}

/// The files that define what a file uses. A declaration of a module and a re-export use nothing.
fn used_by(krate: &Crate, module: &Vec<String>) -> BTreeSet<Vec<String>> {
    let file = &krate.files[module];
    let imports = file.uses.iter().filter(|import| !import.is_public || file.words.contains(&import.name));
    let paths = imports.map(|import| &import.path).chain(&file.paths);
    let targets = paths.filter_map(|Named { segments, .. }| target(krate, module, segments, HOPS_MAX));
    targets.filter(|target| !target.starts_with(module) && !module.starts_with(target)).collect()
}

/// The file that defines what a path in `module` names; none: it is another crate's, or no module is named.
fn target(krate: &Crate, module: &[String], segments: &[String], hops: usize) -> Option<Vec<String>> {
    if hops == 0 {
        return None;
    }
    let path = match absolute(module, segments) {
        Some(path) => path,
        None => {
            let (first, rest) = segments.split_first()?;
            let child = [module, std::slice::from_ref(first)].concat();
            let import = krate.files[module].uses.iter().find(|import| import.name == *first);
            match import {
                _ if krate.files.contains_key(&child) => [&child, rest].concat(),
                Some(import) if import.path.segments[0] != *first => {
                    return target(krate, module, &[&import.path.segments, rest].concat(), hops - 1);
                }
                _ => return None,
            }
        }
    };
    let mut here: Vec<String> = Vec::new();
    for (place, segment) in path.iter().enumerate() {
        let child = [here.clone(), vec![segment.clone()]].concat();
        if krate.files.contains_key(&child) {
            here = child;
            continue;
        }
        let import = krate.files.get(&here)?.uses.iter().find(|import| import.name == *segment);
        return match import {
            Some(import) => {
                let whole = [&import.path.segments, &path[place + 1..]].concat();
                target(krate, &here, &whole, hops - 1)
            }
            None => Some(here),
        };
    }
    Some(here)
}

/// A path from the crate's root on; none if it begins with another word than `crate`, `self` or `super`.
fn absolute(module: &[String], segments: &[String]) -> Option<Vec<String>> {
    let (first, mut rest) = segments.split_first()?;
    let mut base = module.to_vec();
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => drop(base.pop()),
        _ => return None,
    }
    while let Some((_, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
        base.pop();
        rest = after;
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

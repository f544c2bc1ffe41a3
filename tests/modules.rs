//! The order of the modules, as the front page (`src/lib.rs`) lists them: a module uses only modules above it, and files of one part
//! seldom use each other in a circle. Read off the imports; test modules are left out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods, reason = "tests")]
#![allow(unreachable_pub, reason = "a test's modules are its own")]
#![allow(clippy::print_stdout, reason = "it reports the circles that there are: `--no-capture`")]

#[path = "modules/graph.rs"]
mod graph;
#[path = "modules/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use graph::{circles, listed, violations};
use source::Crate;

/// Circles between files that there may be in one module. A file and those in its folder count as one thing: what they use of
/// each other is no circle.
const CIRCLES_MAX: usize = 2;

/// The crate as it stands.
fn this_crate() -> Crate {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = PathBuf::from("src").join(path.strip_prefix(&src).unwrap());
                files.insert(name.display().to_string(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    Crate::read(&files)
}

/// A crate of two modules, `low` above `high` in the list.
fn small(files: &[(&str, &str)]) -> Crate {
    let mut all = BTreeMap::from([(
        "src/lib.rs".to_owned(),
        "//! | `low` | below |\n//! | [`high`] | above |\npub mod high;\npub mod low;\n".to_owned(),
    )]);
    all.extend(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    Crate::read(&all)
}

#[test]
fn every_module_is_listed_once() {
    let krate = this_crate();
    let listed = listed(&krate);
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, krate.modules(), "the modules that lib.rs lists, and those it declares");
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let found = violations(&this_crate());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_of_one_module_seldom_use_each_other_in_a_circle() {
    let krate = this_crate();
    let mut by_part: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for circle in circles(&krate) {
        let part = circle.part.clone().unwrap_or_else(|| panic!("a circle between modules: {}", circle.shown()));
        by_part.entry(part).or_default().push(circle.shown());
    }
    println!("{by_part:#?}");
    for (part, circles) in by_part {
        assert!(circles.len() <= CIRCLES_MAX, "{part} has {} circles of files:\n{}", circles.len(), circles.join("\n"));
    }
}

#[test]
fn a_use_of_a_module_below_is_told_by_file_and_line() {
    let text = "//! crate::high::in_a_comment\nuse std::fmt;\n\nfn f() -> &'static str {\n    \"crate::high\"\n}\n";
    let clean = small(&[("src/low.rs", text), ("src/high.rs", "use crate::low::f;\nfn g() { f(); }\n")]);
    assert_eq!(violations(&clean), Vec::<String>::new());
    for (place, text) in [
        ("src/low.rs:1", "use crate::high::g;\n"),
        ("src/low.rs:3", "use crate::{\n    low::h,\n    high::{self, g as k},\n};\n"),
        ("src/low.rs:2", "fn f() {\n    crate::high::g();\n}\n"),
        ("src/low.rs:2", "fn f() {\n    crate :: high\n    :: g();\n}\n"),
        ("src/low.rs:1", "use super::high::g;\n"),
        ("src/low.rs:2", "fn quote() -> char { '\"' }\nuse crate::high; // \"\n"),
        ("src/low.rs:1", "pub fn f(of: &crate::high::Thing<'_>) {}\n"),
        ("src/low.rs:2", "#[cfg(not(test))]\nuse crate::high::g;\n"),
        ("src/low.rs:2", "#[cfg(test)] mod tests { use crate::high::g; }\nuse crate::high::h;\n"),
    ] {
        let found = violations(&small(&[("src/low.rs", text), ("src/high.rs", "")]));
        assert!(found.len() == 1 && found[0].starts_with(&format!("{place}: ")), "{text}\n{found:?}");
    }
    let inner =
        small(&[("src/low.rs", "mod a;"), ("src/low/a.rs", "\nuse super::super::high::g;"), ("src/high.rs", "")]);
    assert!(violations(&inner)[0].starts_with("src/low/a.rs:2: "));
}

#[test]
fn what_is_there_in_tests_only_may_use_every_module() {
    for text in [
        "#[cfg(test)]\nmod tests {\n    use crate::high::g;\n    fn f() { crate::high::g() }\n}\n",
        "#[cfg(test)]\nuse crate::high::g;\n",
        "#[cfg(all(test, feature = \"shell\"))]\npub(crate) fn f() {\n    let brace = '{';\n    crate::high::g()\n}\n",
    ] {
        assert_eq!(violations(&small(&[("src/low.rs", text), ("src/high.rs", "")])), Vec::<String>::new(), "{text}");
    }
    let file = ("src/low/tests.rs", "use crate::high::g;\n");
    for (declared, count) in [("#[cfg(test)]\n#[path = \"low/tests.rs\"]\nmod tests;\n", 0), ("mod tests;\n", 1)] {
        let krate = small(&[("src/low.rs", declared), file, ("src/high.rs", "")]);
        assert_eq!(violations(&krate).len(), count, "{declared}");
    }
}

#[test]
fn a_circle_of_files_is_found_behind_re_exports_and_a_list_of_modules_is_none() {
    let plain = [
        ("src/high.rs", "mod a;\nmod b;\npub use b::B;\n"),
        ("src/high/a.rs", "use super::B;\npub struct A(B);\n"),
        ("src/high/b.rs", "pub struct B;\n"),
        ("src/low.rs", ""),
    ];
    assert_eq!(circles(&small(&plain)).len(), 0);
    let mut round = plain;
    round[2].1 = "use super::a;\npub struct B(Box<a::A>);\n";
    let found = circles(&small(&round));
    assert_eq!(found.iter().map(graph::Circle::shown).collect::<Vec<_>>(), ["src/high/a.rs <-> src/high/b.rs"]);
    assert_eq!(found[0].part.as_deref(), Some("high"));
}

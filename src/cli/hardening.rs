//! The process itself, closed to those who look into memory.
//!
//! Shape:   [`harden`], once, before any secret is read.
//! Errors:  none: what the system does not allow is a warning that says what it means.
//! Sources: setrlimit(2), prctl(2) `PR_SET_DUMPABLE`, proc(5).

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Switches core dumps off, and makes `/proc/PID/mem` and a debugger a matter for root alone.
///
/// Both are needed: the limit counts for core files only and is passed on to child processes; a process that is not dumpable
/// leaves no core to a program that collects them either, and its memory can be read by nobody of the same user.
pub(super) fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "could not switch off core dumps; after a crash, a core file may hold card numbers");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(
            %error,
            "process stays dumpable; other programs of this user can read card numbers in its memory"
        );
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_core_and_is_closed_to_its_own_user() {
        harden();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}

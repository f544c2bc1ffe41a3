//! Who gives a command, for the audit trail.
//!
//! Limits:  what the environment says of a name can be set by whoever gives the command; the number of the user cannot.

use rustix::process::getuid;

use crate::store::audit::Actor;

/// The longest name that is taken from the environment or the machine, in characters. Our choice.
const NAME_MAX: usize = 64;

/// The user of this machine, and this machine; through which address, if a remote shell says so.
pub(super) fn of_command() -> Actor {
    let user = getuid().as_raw();
    let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok().map(|name| short(&name));
    let name = name.filter(|name| !name.is_empty()).map(|name| format!(" ({name})")).unwrap_or_default();
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| short(name.trim()));
    let machine = machine.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "this machine".to_owned());
    // "ADDRESS PORT PORT" (sshd's manual).
    let through = std::env::var("SSH_CLIENT").ok();
    let through = through.as_deref().and_then(|client| client.split(' ').next()).map(short);
    let through = through.filter(|address| !address.is_empty());
    let origin = match through {
        Some(address) => format!("{machine}, ssh from {address}"),
        None => machine,
    };
    Actor { name: format!("user {user}{name}"), origin }
}

/// What a row may hold of a text that anybody may have set.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(NAME_MAX).collect()
}

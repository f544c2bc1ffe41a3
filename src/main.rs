//! The program: see `touchtone --help`.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// Wipes every block that is given back, and the old one when a block grows: the secret types wipe what they hold, this wipes
/// what libraries make of it on the way (requests as they are sent, records before they are encrypted).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> std::process::ExitCode {
    touchtone::cli::run()
}

//! Work that holds its thread up, kept off the threads that serve calls.
//!
//! Shape:   [`run`] does it on a thread of its own kind; a function that blocks says so with [`assert_allowed`], [`allowed`] is
//!          for who has a thread to hold up (a command, a test, the start of a server).
//! Limits:  tokio's blocking pool; who brings much work of one kind limits it itself.
//! Errors:  [`Broken`], when the work panicked.

mod poll;

use std::cell::Cell;

pub use poll::{TaskKind, Watched, describe, longest, watched};

/// The work panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work broke down")]
pub struct Broken;

thread_local! {
    /// How many permissions to block this thread has.
    static PERMISSIONS: Cell<u32> = const { Cell::new(0) };
}

/// A permission to block this thread, until it is dropped.
struct Permission;

impl Permission {
    fn new() -> Self {
        PERMISSIONS.set(PERMISSIONS.get().saturating_add(1));
        Self
    }
}

impl Drop for Permission {
    fn drop(&mut self) {
        PERMISSIONS.set(PERMISSIONS.get().saturating_sub(1));
    }
}

/// Does `work` where it holds up nobody, in the tracing span of the moment. Needs a tokio runtime.
///
/// # Errors
/// [`Broken`].
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || allowed(|| span.in_scope(work))).await.map_err(|_| Broken)
}

/// Does `work` on this thread, which may be held up.
pub fn allowed<T>(work: impl FnOnce() -> T) -> T {
    let _permission = Permission::new();
    work()
}

/// Panics, in debug builds, on a thread of a runtime that nobody may hold up. Every function that waits for a disk, or
/// computes for longer than a message may wait, begins with it.
#[track_caller]
pub fn assert_allowed() {
    debug_assert!(is_allowed(), "this blocks: call it through `blocking::run`");
}

/// Outside of runtimes every thread is its owner's.
fn is_allowed() -> bool {
    PERMISSIONS.get() > 0 || tokio::runtime::Handle::try_current().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_a_runtime_everybody_may_block() {
        assert_allowed();
    }

    #[tokio::test]
    async fn work_may_block_and_whoever_waits_for_it_may_not() {
        assert!(!is_allowed());
        assert_eq!(run(is_allowed).await, Ok(true));
        assert!(allowed(is_allowed));
        assert!(!is_allowed(), "a permission ends with its work");
        assert_eq!(run(|| -> bool { panic!("a bug") }).await, Err(Broken));
    }

    #[tokio::test]
    #[should_panic(expected = "this blocks")]
    async fn what_blocks_is_found_on_an_async_thread() {
        assert_allowed();
    }

    #[tokio::test]
    #[should_panic(expected = "this blocks")]
    async fn a_flow_is_not_read_on_an_async_thread() {
        let _ = crate::library::Library::new("flows").contains("pay");
    }

    #[tokio::test]
    #[should_panic(expected = "this blocks")]
    async fn a_recording_is_not_decoded_on_an_async_thread() {
        let _ = crate::speech::recording::decode(b"RIFF");
    }
}

//! State that threads share, under every order of their steps: the file itself, with the locks of a model checker.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, dead_code, reason = "the modules are another crate's")]

/// What `call::sync` is there.
mod sync {
    pub use std::sync::PoisonError;

    pub use shuttle::sync::{Mutex, MutexGuard};
}

#[path = "../src/call/streams.rs"]
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};

use shuttle::future::block_on;
use shuttle::scheduler::DfsScheduler;
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{Config, Runner, thread};
use streams::{NotAdmitted, StreamCount};

/// Runs a model under every order there is; gives how many there are.
fn check(model: impl Fn() + Send + Sync + 'static) -> usize {
    Runner::new(DfsScheduler::new(None, false), Config::new()).run(model)
}

#[test]
fn streams_that_come_and_go_leave_none_open_and_whoever_waits_learns_of_it() {
    let orders = check(|| {
        let count = Arc::new(StreamCount::default());
        count.admit(0).unwrap();
        let other = {
            let count = Arc::clone(&count);
            thread::spawn(move || {
                count.admit(0).unwrap();
                count.leave();
            })
        };
        count.leave();
        // Were the count wrong, or nobody woken, this would wait for ever, which the checker tells.
        block_on(count.none_open());
        other.join().unwrap();
        block_on(count.none_open());
        assert_eq!(count.admit(1), Ok(()));
    });
    assert!(orders > 10, "{orders}");
}

#[test]
fn after_a_server_has_closed_and_no_stream_is_open_none_ever_is() {
    check(|| {
        let (count, open) = (Arc::new(StreamCount::default()), Arc::new(AtomicUsize::new(0)));
        let stream = {
            let (count, open) = (Arc::clone(&count), Arc::clone(&open));
            thread::spawn(move || match count.admit(0) {
                Ok(()) => {
                    open.fetch_add(1, Ordering::SeqCst);
                    open.fetch_sub(1, Ordering::SeqCst);
                    count.leave();
                }
                Err(refused) => assert_eq!(refused, NotAdmitted::Closed),
            })
        };
        count.close();
        block_on(count.none_open());
        assert_eq!(open.load(Ordering::SeqCst), 0, "the process would end in the middle of it");
        assert_eq!(count.admit(0), Err(NotAdmitted::Closed));
        stream.join().unwrap();
    });
}

#[test]
fn no_more_streams_are_open_than_may_be() {
    check(|| {
        let (count, open) = (Arc::new(StreamCount::default()), Arc::new(AtomicUsize::new(0)));
        let streams: Vec<_> = (0..2)
            .map(|_| {
                let (count, open) = (Arc::clone(&count), Arc::clone(&open));
                thread::spawn(move || match count.admit(1) {
                    Ok(()) => {
                        assert_eq!(open.fetch_add(1, Ordering::SeqCst), 0);
                        open.fetch_sub(1, Ordering::SeqCst);
                        count.leave();
                    }
                    Err(refused) => assert_eq!(refused, NotAdmitted::Full),
                })
            })
            .collect();
        for stream in streams {
            stream.join().unwrap();
        }
    });
}

/// A count that is kept in one step and told in another.
#[derive(Default)]
struct TwoSteps {
    open: AtomicUsize,
    told: AtomicUsize,
}

impl TwoSteps {
    fn admit(&self) {
        let open = self.open.fetch_add(1, Ordering::SeqCst);
        self.told.store(open + 1, Ordering::SeqCst);
    }

    fn leave(&self) {
        let open = self.open.fetch_sub(1, Ordering::SeqCst);
        self.told.store(open - 1, Ordering::SeqCst);
    }
}

#[test]
fn the_checker_finds_a_count_that_is_told_in_a_step_of_its_own() {
    let wrong = catch_unwind(AssertUnwindSafe(|| {
        check(|| {
            let count = Arc::new(TwoSteps::default());
            count.admit();
            let leaving = {
                let count = Arc::clone(&count);
                thread::spawn(move || count.leave())
            };
            count.admit();
            leaving.join().unwrap();
            assert_eq!(count.told.load(Ordering::SeqCst), 1, "one is open");
        })
    }));
    assert!(wrong.is_err());
}

//! Waiting for something to be so: it is looked at over and over until then, and what never came has a name.
//!
//! Units:   tokio's time, so that it is virtual where a test has paused that; [`within_blocking`] goes by the machine's.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

/// How long it is not looked at in between: short for who waits, long for the machine.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What `look` finds; none: it found nothing in time.
pub async fn within<T>(limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(limit, looking).await.ok()
}

/// The same for who is in a task: the compiler cannot show that an async closure's future may go from thread to thread.
pub async fn within_in_task<T, F>(limit: Duration, mut look: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(limit, looking).await.ok()
}

/// What `look` finds. `what` it is is said where it does not come in time.
pub async fn found<T>(what: &str, limit: Duration, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(limit, look).await.unwrap_or_else(|| panic!("within {limit:?} it did not happen: {what}"))
}

/// Until something is so; gives how long that took.
pub async fn until(what: &str, limit: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let since = tokio::time::Instant::now();
    found(what, limit, async || is_so().await.then_some(())).await;
    since.elapsed()
}

/// Whether something is so in time, for who has no runtime.
pub fn within_blocking(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !is_so() {
        if since.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Lets real time pass where its passing is what is tested and nothing shows it from outside: `_why` says so at each call.
pub async fn real_time_passes(time: Duration, _why: &str) {
    sleep(time).await;
}

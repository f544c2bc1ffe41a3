//! What agents ask of a call: one request at a time, and the same request once.
//!
//! Shape:   [`IdempotencyCache::once`] waits for the requests before it, then does a request or repeats its first answer.
//! Limits:  [`REQUESTS_MAX`] requests may wait; answers are remembered for [`KEPT`], the last [`KEYS_MAX`] of them.
//! Errors:  [`NotOnce`].
//! Secrets: requests are remembered as hashes.
//! Sources: spec/pay.md, section 8.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use tokio::sync::{Mutex, Semaphore};

/// How many requests may wait for one call. Chosen freely: an agent's desktop sends one at a time.
pub const REQUESTS_MAX: usize = 32;

/// How long an answer is remembered.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How many answers are remembered of a call; a payment takes about ten requests.
pub const KEYS_MAX: usize = 1000;

/// What makes two requests the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotentRequest {
    /// Of the path and the idempotency key.
    name: [u8; 20],
    /// Of the parameters.
    content: [u8; 20],
}

/// Why a request is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOnce {
    /// [`REQUESTS_MAX`] wait already.
    #[error("too many requests wait for this call")]
    Busy,
    /// The key was used for something else.
    #[error("this IdempotencyKey was used for a request with other parameters")]
    OtherContent,
}

/// The requests of one call, and their answers.
#[derive(Debug)]
pub struct IdempotencyCache<T> {
    answered: Mutex<VecDeque<RememberedAnswer<T>>>,
    room: Semaphore,
}

#[derive(Debug)]
struct RememberedAnswer<T> {
    at: Timestamp,
    request: IdempotentRequest,
    answer: T,
}

impl IdempotentRequest {
    /// The request of `path` with this key and these parameters, in whatever order.
    #[must_use]
    pub fn new(path: &str, key: &str, parameters: &[(String, String)]) -> Self {
        let mut sorted: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sorted.sort_unstable();
        let content = sorted.iter().flat_map(|(name, value)| [*name, *value]);
        Self { name: hash([path, key]), content: hash(content) }
    }
}

/// A hash of texts that keeps them apart.
fn hash<'t>(texts: impl IntoIterator<Item = &'t str>) -> [u8; 20] {
    let mut hash = Sha1::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

impl<T> Default for IdempotencyCache<T> {
    fn default() -> Self {
        Self { answered: Mutex::default(), room: Semaphore::new(REQUESTS_MAX) }
    }
}

impl<T: Clone> IdempotencyCache<T> {
    /// Does a request after those before it, or repeats the answer that the same one got. What `does` fails with is not
    /// remembered: it may go better the next time.
    ///
    /// # Errors
    /// [`NotOnce`].
    pub async fn once<E>(
        &self,
        now: Timestamp,
        request: IdempotentRequest,
        does: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, NotOnce> {
        // It counts those that wait for the lock below, too.
        let _place = self.room.try_acquire().map_err(|_| NotOnce::Busy)?;
        // Held while the request is done: a repeat that comes meanwhile waits for its answer.
        let mut answered = self.answered.lock().await;
        answered.retain(|answered| now.duration_since(answered.at) <= KEPT);
        if let Some(first) = answered.iter().find(|answered| answered.request.name == request.name) {
            let same = first.request.content == request.content;
            return if same { Ok(Ok(first.answer.clone())) } else { Err(NotOnce::OtherContent) };
        }
        let done = does.await;
        if let Ok(answer) = &done {
            if answered.len() >= KEYS_MAX {
                answered.pop_front();
            }
            answered.push_back(RememberedAnswer { at: now, request, answer: answer.clone() });
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn request(key: &str, capture: &str) -> IdempotentRequest {
        IdempotentRequest::new(
            "/PK1",
            key,
            &[("IdempotencyKey".into(), key.into()), ("Capture".into(), capture.into())],
        )
    }

    /// Asks, and gives the number that the answer got when it was made.
    async fn ask(
        idempotency_cache: &IdempotencyCache<u16>,
        now: i64,
        request: IdempotentRequest,
        made: &AtomicU16,
        remembered: bool,
    ) -> Result<u16, NotOnce> {
        let does = async {
            let number = made.fetch_add(1, Ordering::Relaxed);
            if remembered { Ok(number) } else { Err(number) }
        };
        idempotency_cache.once(at(now), request, does).await.map(|answer| answer.unwrap_or_else(|number| number))
    }

    #[tokio::test]
    async fn the_same_request_is_done_once_and_another_one_with_its_key_never() {
        let (idempotency_cache, made) = (IdempotencyCache::default(), AtomicU16::new(0));
        assert_eq!(ask(&idempotency_cache, 0, request("a", "postal-code"), &made, true).await, Ok(0));
        assert_eq!(ask(&idempotency_cache, 9, request("a", "postal-code"), &made, true).await, Ok(0));
        assert_eq!(
            ask(&idempotency_cache, 9, request("a", "security-code"), &made, true).await,
            Err(NotOnce::OtherContent)
        );
        assert_eq!(ask(&idempotency_cache, 9, request("b", "security-code"), &made, true).await, Ok(1));
        let other_path = IdempotentRequest { name: hash(["/PK2", "a"]), ..request("a", "postal-code") };
        assert_eq!(ask(&idempotency_cache, 9, other_path, &made, true).await, Ok(2), "a key is a path's");
        let day_after = 24 * 3600 + 1;
        assert_eq!(ask(&idempotency_cache, day_after, request("a", "postal-code"), &made, true).await, Ok(3));
    }

    #[tokio::test]
    async fn an_answer_that_may_be_better_the_next_time_is_not_remembered() {
        let (idempotency_cache, made) = (IdempotencyCache::default(), AtomicU16::new(0));
        assert_eq!(ask(&idempotency_cache, 0, request("a", ""), &made, false).await, Ok(0));
        assert_eq!(ask(&idempotency_cache, 0, request("a", ""), &made, true).await, Ok(1));
    }

    #[tokio::test]
    async fn a_repeated_request_waits_for_the_first_that_is_being_done() {
        let idempotency_cache = Arc::new(IdempotencyCache::<u16>::default());
        let (go, gone) = oneshot::channel::<()>();
        let (begun, beginning) = oneshot::channel::<()>();
        let first = tokio::spawn({
            let idempotency_cache = Arc::clone(&idempotency_cache);
            async move {
                let does = async {
                    begun.send(()).unwrap();
                    gone.await.unwrap();
                    Ok::<u16, ()>(201)
                };
                idempotency_cache.once(at(0), request("a", ""), does).await
            }
        });
        beginning.await.unwrap();
        let never = async { panic!("it is done already") as Result<u16, ()> };
        let mut second = Box::pin(idempotency_cache.once(at(0), request("a", ""), never));
        assert!(futures_util::poll!(&mut second).is_pending());
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(Ok(201)));
        assert_eq!(second.await, Ok(Ok(201)));
    }

    #[tokio::test]
    async fn too_many_waiting_requests_are_refused() {
        let idempotency_cache = IdempotencyCache::<u16>::default();
        let _held = idempotency_cache.answered.lock().await;
        let mut waiting: Vec<_> = (0..REQUESTS_MAX)
            .map(|number| {
                let does = std::future::pending::<Result<u16, ()>>();
                Box::pin(idempotency_cache.once(at(0), request(&number.to_string(), ""), does))
            })
            .collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        let refused = idempotency_cache.once(at(0), request("a", ""), std::future::pending::<Result<u16, ()>>()).await;
        assert_eq!(refused, Err(NotOnce::Busy));
    }

    #[test]
    fn parameters_are_the_same_in_whatever_order_and_never_by_chance() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let (one, other) = (pair("a", "1"), pair("b", "2"));
        assert_eq!(
            IdempotentRequest::new("p", "k", &[one.clone(), other.clone()]),
            IdempotentRequest::new("p", "k", &[other, one])
        );
        assert_ne!(
            IdempotentRequest::new("p", "k", &[pair("a", "bc")]),
            IdempotentRequest::new("p", "k", &[pair("ab", "c")])
        );
        assert_ne!(IdempotentRequest::new("pk", "", &[]), IdempotentRequest::new("p", "k", &[]));
    }
}

//! Which callback is sent next.
//!
//! Shape:   pure. [`Schedule::push`] takes a callback, [`Schedule::next`] names one whose turn it is; [`Schedule::sent`],
//!          [`Schedule::tried`] and [`Schedule::recorded`] say how that went; [`Schedule::deadline`] says when to look again.
//!          Requests themselves are not here: what waits costs little.
//! Units:   time since the schedule began, given by whoever calls.
//! Limits:  what is in flight is limited, in all and for each host ([`RetryPolicy`]); what waits is not. A callback that backs
//!          off, or whose result is being written down, is not in flight. Repeats hold at most half of the places, so that
//!          what was never sent finds one however much has failed.
//! Order:   the status callbacks of a call in the order of their ids: each is sent for the first time after the one before
//!          is done with or has stepped aside, which it does once it has failed for `RetryPolicy::aside_after`. Hosts take turns,
//!          and within a host calls do.
//! Sources: spec/pay.md, section 7.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::delivery::RetryPolicy;

mod turns;

#[cfg(test)]
mod tests;

use turns::Turns;

/// Whether a callback has a place in the order of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallOrder {
    /// After those of its call with lower ids.
    InCall,
    /// It waits for no other.
    Alone,
}

/// A callback to send.
#[derive(Clone, Debug)]
pub(super) struct Scheduled {
    /// Unique; says the order within the call.
    pub(super) id: i64,
    pub(super) call: Arc<str>,
    /// What the limit for each host counts by.
    pub(super) host: Arc<str>,
    pub(super) order: CallOrder,
    /// How often it was tried without success before.
    pub(super) tries: u32,
    /// Whether it was sent before.
    pub(super) was_tried: bool,
    /// For how long it is tried, from its next try on.
    pub(super) time_left: Duration,
    /// When it may be sent at the earliest, if it waits for no other.
    pub(super) due: Duration,
}

/// What [`Schedule::next`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScheduleStep {
    /// It is this one's turn: it is read and sent, and [`Schedule::sent`] is called then.
    Send(i64),
    /// This one has failed for so long that the next ones of its call no longer wait for it.
    SteppedAside(i64),
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TryEnd {
    /// With an answer.
    Answered,
    /// Another try cannot end otherwise.
    Hopeless,
    /// It may be answered the next time, not before this time has passed.
    Failed { not_before: Duration },
}

/// What becomes of a callback after a try. It is written down, then [`Schedule::recorded`] is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It is delivered.
    Delivered,
    /// It is tried again after this wait.
    Again(Duration),
    /// It is given up.
    GivenUp,
}

#[derive(Debug)]
struct Item {
    call: Arc<str>,
    host: Arc<str>,
    order: CallOrder,
    stage: CallbackStage,
    tries: u32,
    was_tried: bool,
    time_left: Duration,
    /// Set when it is tried first from here.
    give_up_at: Option<Duration>,
    /// When the next ones of its call go on without it. Set when it is tried first from here.
    aside_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallbackStage {
    /// Others of its call come first.
    Behind,
    /// It could be sent.
    Ready,
    /// It is being read or sent; whether that is its first time.
    InFlight { is_first: bool },
    /// How the try ended is being written down; it is tried again then, or not.
    Recording { again_at: Option<Duration> },
    /// It waits for its next try.
    BackingOff { until: Duration },
}

/// The status callbacks of a call that have not stepped aside.
#[derive(Debug, Default)]
struct Sequence {
    /// Whose turn it is.
    current: Option<i64>,
    behind: BTreeSet<i64>,
    /// The last one that is known to have been tried.
    reached: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ScheduleTimer {
    Due,
    Aside,
}

/// How much is in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    all: usize,
    repeats: usize,
}

impl Load {
    fn has_place(self, is_first: bool, limit: usize) -> bool {
        self.all < limit && (is_first || self.repeats < limit.div_ceil(2))
    }

    fn add(&mut self, is_first: bool) {
        self.all = self.all.saturating_add(1);
        self.repeats = self.repeats.saturating_add(usize::from(!is_first));
    }

    fn remove(&mut self, is_first: bool) {
        self.all = self.all.saturating_sub(1);
        self.repeats = self.repeats.saturating_sub(usize::from(!is_first));
    }
}

/// The callbacks there are, and when each is sent.
#[derive(Debug)]
pub(super) struct Schedule {
    policy: RetryPolicy,
    items: BTreeMap<i64, Item>,
    sequences: BTreeMap<Arc<str>, Sequence>,
    /// What was never sent and could be.
    first: Turns,
    /// What is to be sent again and could be.
    again: Turns,
    /// Which of the two is asked first: they take turns.
    repeats_next: bool,
    load: Load,
    hosts: BTreeMap<Arc<str>, Load>,
    timers: BTreeSet<(Duration, i64, ScheduleTimer)>,
    stepped_aside: VecDeque<i64>,
}

impl Schedule {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            items: BTreeMap::new(),
            sequences: BTreeMap::new(),
            first: Turns::default(),
            again: Turns::default(),
            repeats_next: false,
            load: Load::default(),
            hosts: BTreeMap::new(),
            timers: BTreeSet::new(),
            stepped_aside: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.items.contains_key(&id)
    }

    /// The call and the host of a callback.
    pub(super) fn target(&self, id: i64) -> Option<(Arc<str>, Arc<str>)> {
        self.items.get(&id).map(|item| (Arc::clone(&item.call), Arc::clone(&item.host)))
    }

    /// How often a callback was tried without success.
    pub(super) fn tries(&self, id: i64) -> u32 {
        self.items.get(&id).map_or(0, |item| item.tries)
    }

    /// Takes a callback. False: it is here already.
    pub(super) fn push(&mut self, callback: Scheduled) -> bool {
        let Scheduled { id, call, host, order, tries, was_tried, time_left, due } = callback;
        if self.items.contains_key(&id) {
            return false;
        }
        // One text for all of a call.
        let call = self.sequences.get_key_value(&call).map_or(call, |(known, _)| Arc::clone(known));
        let item = Item {
            call: Arc::clone(&call),
            host,
            order,
            stage: CallbackStage::Behind,
            tries,
            was_tried,
            time_left,
            give_up_at: None,
            aside_at: None,
        };
        self.items.insert(id, item);
        if order == CallOrder::Alone || (was_tried && self.has_been_passed(id, &call, tries)) {
            self.leave_alone(id, due);
            return true;
        }
        if was_tried {
            // Whatever comes before one that was tried has been answered or has stepped aside.
            self.pass_before(id, &call);
        }
        let sequence = self.sequences.entry(Arc::clone(&call)).or_default();
        sequence.behind.insert(id);
        if was_tried {
            sequence.reached = sequence.reached.max(Some(id));
        }
        self.go_on(&call);
        true
    }

    /// What to do now; none until [`Self::deadline`], or until something else is told.
    pub(super) fn next(&mut self, now: Duration) -> Option<ScheduleStep> {
        while let Some(timer) = self.timers.first().copied().filter(|(due, ..)| *due <= now) {
            self.timers.remove(&timer);
            let (_, id, timer) = timer;
            match timer {
                ScheduleTimer::Due => self.make_ready(id),
                ScheduleTimer::Aside => {
                    self.step_aside(id);
                    self.stepped_aside.push_back(id);
                }
            }
        }
        if let Some(id) = self.stepped_aside.pop_front() {
            return Some(ScheduleStep::SteppedAside(id));
        }
        let kinds = if self.repeats_next { [false, true] } else { [true, false] };
        let (id, is_first) = kinds.into_iter().find_map(|is_first| Some((self.take(is_first)?, is_first)))?;
        self.repeats_next = is_first;
        self.start(id, is_first);
        Some(ScheduleStep::Send(id))
    }

    /// When [`Self::next`] has something new to say by itself.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(due, ..)| *due)
    }

    /// One whose turn it is leaves now.
    pub(super) fn sent(&mut self, id: i64, now: Duration) {
        // From the first request on, not from its turn: one that cannot be read from the store has not failed yet.
        let aside_at = now.saturating_add(self.policy.aside_after);
        let Some(item) = self.items.get_mut(&id) else { return };
        item.was_tried = true;
        let end = now.saturating_add(item.time_left);
        item.give_up_at.get_or_insert(end);
        if item.order == CallOrder::InCall && item.aside_at.is_none() {
            item.aside_at = Some(aside_at);
            self.timers.insert((aside_at, id, ScheduleTimer::Aside));
            if let Some(sequence) = self.sequences.get_mut(&item.call) {
                sequence.reached = sequence.reached.max(Some(id));
            }
        }
    }

    /// One whose turn it is could not be read: it has its turn again after `wait`.
    pub(super) fn put_back(&mut self, id: i64, now: Duration, wait: Duration) {
        if self.land(id).is_some() {
            self.back_off(id, now.saturating_add(wait));
        }
    }

    /// A try has ended. None: it was not in flight.
    pub(super) fn tried(&mut self, id: i64, now: Duration, ended: TryEnd) -> Option<After> {
        self.land(id)?;
        let policy = self.policy;
        let item = self.items.get_mut(&id)?;
        let after = match ended {
            TryEnd::Answered => After::Delivered,
            TryEnd::Hopeless => After::GivenUp,
            TryEnd::Failed { not_before } => {
                let wait = backoff(&policy, item.tries);
                item.tries = item.tries.saturating_add(1);
                let left = item.give_up_at.unwrap_or(Duration::MAX).saturating_sub(now);
                // Whoever asks for more time than is left is asked once more at its end.
                if wait > left { After::GivenUp } else { After::Again(wait.max(not_before.min(left))) }
            }
        };
        let again_at = match after {
            After::Again(wait) => Some(now.saturating_add(wait)),
            After::Delivered | After::GivenUp => None,
        };
        item.stage = CallbackStage::Recording { again_at };
        Some(after)
    }

    /// How a try ended is written down.
    pub(super) fn recorded(&mut self, id: i64) {
        let stage = self.items.get(&id).map(|item| item.stage);
        match stage {
            Some(CallbackStage::Recording { again_at: Some(until) }) => self.back_off(id, until),
            Some(CallbackStage::Recording { again_at: None }) => self.forget(id),
            Some(
                CallbackStage::Behind
                | CallbackStage::Ready
                | CallbackStage::InFlight { .. }
                | CallbackStage::BackingOff { .. },
            )
            | None => {}
        }
    }

    /// One whose turn it is or was is not to be sent from here any more.
    pub(super) fn forget(&mut self, id: i64) {
        self.land(id);
        let Some(item) = self.items.remove(&id) else { return };
        if let CallbackStage::BackingOff { until } = item.stage {
            self.timers.remove(&(until, id, ScheduleTimer::Due));
        }
        if let Some(aside_at) = item.aside_at {
            self.timers.remove(&(aside_at, id, ScheduleTimer::Aside));
        }
        if let Some(sequence) = self.sequences.get_mut(&item.call) {
            sequence.behind.remove(&id);
            if sequence.current == Some(id) {
                sequence.current = None;
            }
        }
        self.go_on(&item.call);
    }

    /// Whether later ones of the call need not wait for one that was tried before it came here.
    fn has_been_passed(&self, id: i64, call: &Arc<str>, tries: u32) -> bool {
        let reached = self.sequences.get(call).and_then(|sequence| sequence.reached);
        if reached > Some(id) {
            return true;
        }
        let mut failing = Duration::ZERO;
        (1..tries).any(|tries| {
            // How long it has failed is not stored: the waits between its tries tell it, at least.
            failing = failing.saturating_add(backoff(&self.policy, tries.saturating_sub(1)));
            failing >= self.policy.aside_after
        })
    }

    /// Those that were tried and come before `id` step aside.
    fn pass_before(&mut self, id: i64, call: &Arc<str>) {
        let Some(sequence) = self.sequences.get(call) else { return };
        let before = sequence.behind.range(..id).chain(sequence.current.iter().filter(|current| **current < id));
        let tried: Vec<i64> =
            before.copied().filter(|id| self.items.get(id).is_some_and(|item| item.was_tried)).collect();
        for id in tried {
            self.step_aside(id);
        }
    }

    /// The next ones of its call do not wait for it.
    fn step_aside(&mut self, id: i64) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.order = CallOrder::Alone;
        if let Some(aside_at) = item.aside_at.take() {
            self.timers.remove(&(aside_at, id, ScheduleTimer::Aside));
        }
        let (call, is_behind) = (Arc::clone(&item.call), item.stage == CallbackStage::Behind);
        if let Some(sequence) = self.sequences.get_mut(&call) {
            sequence.behind.remove(&id);
            if sequence.current == Some(id) {
                sequence.current = None;
            }
        }
        if is_behind {
            self.make_ready(id);
        }
        self.go_on(&call);
    }

    fn leave_alone(&mut self, id: i64, due: Duration) {
        if let Some(item) = self.items.get_mut(&id) {
            item.order = CallOrder::Alone;
        }
        if due.is_zero() { self.make_ready(id) } else { self.back_off(id, due) }
    }

    /// Gives the turn to the next one of a call, if it is nobody's.
    fn go_on(&mut self, call: &Arc<str>) {
        let Some(sequence) = self.sequences.get_mut(call) else { return };
        if sequence.current.is_some() {
            return;
        }
        match sequence.behind.pop_first() {
            Some(id) => {
                sequence.current = Some(id);
                self.make_ready(id);
            }
            None => {
                self.sequences.remove(call);
            }
        }
    }

    fn make_ready(&mut self, id: i64) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.stage = CallbackStage::Ready;
        let turns = if item.was_tried { &mut self.again } else { &mut self.first };
        turns.push(Arc::clone(&item.host), Arc::clone(&item.call), id);
    }

    fn back_off(&mut self, id: i64, until: Duration) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.stage = CallbackStage::BackingOff { until };
        self.timers.insert((until, id, ScheduleTimer::Due));
    }

    /// The next one in turn for which there is a place.
    fn take(&mut self, is_first: bool) -> Option<i64> {
        let RetryPolicy { in_flight_max, host_in_flight_max, .. } = self.policy;
        if !self.load.has_place(is_first, in_flight_max) {
            return None;
        }
        let hosts = &self.hosts;
        let turns = if is_first { &mut self.first } else { &mut self.again };
        turns.pop(|host| hosts.get(host).copied().unwrap_or_default().has_place(is_first, host_in_flight_max))
    }

    fn start(&mut self, id: i64, is_first: bool) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.stage = CallbackStage::InFlight { is_first };
        self.load.add(is_first);
        self.hosts.entry(Arc::clone(&item.host)).or_default().add(is_first);
    }

    /// One that is in flight no longer is. None: it is not.
    fn land(&mut self, id: i64) -> Option<()> {
        let item = self.items.get_mut(&id)?;
        let CallbackStage::InFlight { is_first } = item.stage else { return None };
        item.stage = CallbackStage::Recording { again_at: None };
        self.load.remove(is_first);
        if let Some(load) = self.hosts.get_mut(&item.host) {
            load.remove(is_first);
            if load.all == 0 {
                self.hosts.remove(&item.host);
            }
        }
        Some(())
    }
}

/// The wait after a failed try, `tries` failed ones before it.
fn backoff(policy: &RetryPolicy, tries: u32) -> Duration {
    // Past 16 doublings the longest wait counts anyway.
    policy.first_wait.saturating_mul(1 << tries.min(16)).min(policy.wait_max)
}

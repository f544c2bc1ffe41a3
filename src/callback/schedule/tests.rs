use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(in_flight_max: usize, host_in_flight_max: usize) -> RetryPolicy {
    RetryPolicy { in_flight_max, host_in_flight_max, ..RetryPolicy::default() }
}

fn scheduled(id: i64, call: &str, host: &str, order: CallOrder) -> Scheduled {
    Scheduled {
        id,
        call: call.into(),
        host: host.into(),
        order,
        tries: 0,
        was_tried: false,
        time_left: seconds(24 * 60 * 60),
        due: Duration::ZERO,
    }
}

/// As after a restart: it was sent before.
fn tried_before(id: i64, call: &str, tries: u32) -> Scheduled {
    Scheduled { tries, was_tried: true, ..scheduled(id, call, "shop", CallOrder::InCall) }
}

/// Everything whose turn it is now.
fn turns(schedule: &mut Schedule, now: Duration) -> Vec<i64> {
    let next = std::iter::from_fn(|| schedule.next(now));
    next.filter_map(|next| if let ScheduleStep::Send(id) = next { Some(id) } else { None }).collect()
}

/// The same; and all of it is sent.
fn sent(schedule: &mut Schedule, now: Duration) -> Vec<i64> {
    let ids = turns(schedule, now);
    for id in &ids {
        schedule.sent(*id, now);
    }
    ids
}

fn end(schedule: &mut Schedule, id: i64, now: Duration, ended: TryEnd) -> After {
    let after = schedule.tried(id, now, ended).unwrap();
    schedule.recorded(id);
    after
}

#[test]
fn a_dead_host_leaves_places_for_another_however_much_waits_for_it() {
    let mut schedule = Schedule::new(policy(512, 256));
    for id in 1..=720 {
        schedule.push(scheduled(id, &format!("CA{}", id % 240), "dead", CallOrder::InCall));
    }
    assert_eq!(sent(&mut schedule, Duration::ZERO).len(), 240, "one of each call");
    schedule.push(scheduled(1000, "CA1000", "alive", CallOrder::InCall));
    assert_eq!(sent(&mut schedule, Duration::ZERO), [1000]);
    // What backs off holds no place either.
    let mut one_place = Schedule::new(policy(1, 1));
    one_place.push(scheduled(1, "CA1", "dead", CallOrder::Alone));
    one_place.push(scheduled(2, "CA2", "dead", CallOrder::Alone));
    assert_eq!(sent(&mut one_place, Duration::ZERO), [1]);
    assert!(matches!(end(&mut one_place, 1, Duration::ZERO, FAILED), After::Again(_)));
    assert_eq!(sent(&mut one_place, Duration::ZERO), [2]);
}

#[test]
fn repeats_leave_half_of_the_places_to_what_was_never_sent() {
    let mut schedule = Schedule::new(policy(4, 4));
    for id in 1..=10 {
        schedule.push(Scheduled { was_tried: true, ..scheduled(id, "CA1", "shop", CallOrder::Alone) });
    }
    assert_eq!(sent(&mut schedule, Duration::ZERO), [1, 2]);
    schedule.push(scheduled(11, "CA2", "shop", CallOrder::InCall));
    assert_eq!(sent(&mut schedule, Duration::ZERO), [11]);
}

#[test]
fn hosts_take_turns_and_so_do_the_calls_of_a_host() {
    let mut schedule = Schedule::new(policy(1, 1));
    let all = [(1, "CA1", "a"), (2, "CA1", "a"), (3, "CA1", "a"), (4, "CA2", "a"), (5, "CA3", "b"), (6, "CA3", "b")];
    for (id, call, host) in all {
        schedule.push(scheduled(id, call, host, CallOrder::Alone));
    }
    let mut order = Vec::new();
    while let [id] = sent(&mut schedule, Duration::ZERO)[..] {
        order.push(id);
        end(&mut schedule, id, Duration::ZERO, TryEnd::Answered);
    }
    assert_eq!(order, [1, 5, 4, 6, 2, 3]);
}

#[test]
fn after_a_restart_only_what_had_stepped_aside_is_passed() {
    // 1 and 2 were sent, so 1 had stepped aside; 2 may have failed for a second only.
    let mut schedule = Schedule::new(policy(9, 9));
    for callback in
        [tried_before(1, "CA1", 3), tried_before(2, "CA1", 1), scheduled(3, "CA1", "shop", CallOrder::InCall)]
    {
        schedule.push(callback);
    }
    assert_eq!(sent(&mut schedule, Duration::ZERO), [1, 2]);
    for id in [1, 2] {
        end(&mut schedule, id, Duration::ZERO, FAILED);
    }
    assert!(sent(&mut schedule, seconds(59)).iter().all(|id| *id < 3));
    assert!(sent(&mut schedule, seconds(60)).contains(&3));
    // One that has failed eight times has failed for a minute.
    let mut schedule = Schedule::new(policy(9, 9));
    schedule.push(tried_before(1, "CA1", 8));
    schedule.push(scheduled(2, "CA1", "shop", CallOrder::InCall));
    assert_eq!(sent(&mut schedule, Duration::ZERO), [2, 1]);
}

#[test]
fn what_could_not_be_read_was_not_sent_and_keeps_its_turn() {
    let mut schedule = Schedule::new(policy(9, 9));
    for id in [1, 2] {
        schedule.push(scheduled(id, "CA1", "shop", CallOrder::InCall));
    }
    for second in 0..120 {
        assert_eq!(turns(&mut schedule, seconds(second)), [1], "it does not step aside unsent");
        schedule.put_back(1, seconds(second), seconds(1));
    }
    assert_eq!(sent(&mut schedule, seconds(120)), [1]);
    assert_eq!(end(&mut schedule, 1, seconds(121), FAILED), After::Again(Duration::from_millis(500)));
    assert_eq!(sent(&mut schedule, seconds(179)), [1]);
    assert_eq!(sent(&mut schedule, seconds(180)), [2], "a minute after it was first sent");
}

#[test]
fn whoever_asks_not_to_be_asked_again_for_a_while_is_not() {
    let mut schedule = Schedule::new(policy(9, 9));
    schedule.push(scheduled(1, "CA1", "shop", CallOrder::Alone));
    schedule.push(Scheduled { due: seconds(7), ..scheduled(2, "CA1", "shop", CallOrder::Alone) });
    assert_eq!(sent(&mut schedule, Duration::ZERO), [1]);
    let asked = TryEnd::Failed { not_before: seconds(90) };
    assert_eq!(end(&mut schedule, 1, Duration::ZERO, asked), After::Again(seconds(90)));
    assert_eq!((sent(&mut schedule, seconds(6)).len(), sent(&mut schedule, seconds(7))), (0, vec![2]));
    assert_eq!((sent(&mut schedule, seconds(89)).len(), sent(&mut schedule, seconds(90))), (0, vec![1]));
    // A wait that was asked for is no shorter than the one there would be, and no longer than the time that is left.
    let asked = |hours: u64| TryEnd::Failed { not_before: seconds(hours * 3600) };
    assert_eq!(end(&mut schedule, 1, seconds(90), asked(0)), After::Again(seconds(1)));
    assert_eq!(sent(&mut schedule, seconds(91)), [1]);
    assert_eq!(end(&mut schedule, 1, seconds(91), asked(48)), After::Again(seconds(24 * 3600 - 91)));
    assert_eq!(sent(&mut schedule, seconds(24 * 3600)), [1]);
    assert_eq!(end(&mut schedule, 1, seconds(24 * 3600), asked(0)), After::GivenUp);
}

const FAILED: TryEnd = TryEnd::Failed { not_before: Duration::ZERO };

const CALLS: i64 = 3;
const HOSTS: i64 = 2;

#[derive(Clone, Debug)]
enum Event {
    /// A callback is stored: of which call, whether it is an action.
    Store(i64, bool),
    /// So many milliseconds go by.
    Wait(u64),
    /// One of those in flight ends so.
    End(usize, TryEnd),
    /// One of those whose turn it is was read and is sent.
    Send(usize),
    /// One of those whose turn it is could not be read.
    PutBack(usize),
    /// How one ended is written down.
    Record(usize),
    /// Another process takes everything over.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let ended = prop_oneof![
        4 => Just(FAILED),
        1 => (0..200_u64).prop_map(|wait| TryEnd::Failed { not_before: seconds(wait) }),
        2 => Just(TryEnd::Answered),
        1 => Just(TryEnd::Hopeless),
    ];
    prop_oneof![
        4 => (0..CALLS, prop::bool::weighted(0.1)).prop_map(|(call, is_action)| Event::Store(call, is_action)),
        4 => prop_oneof![0..2_000_u64, 0..90_000_u64].prop_map(Event::Wait),
        6 => (any::<usize>(), ended).prop_map(|(which, ended)| Event::End(which, ended)),
        8 => any::<usize>().prop_map(Event::Send),
        1 => any::<usize>().prop_map(Event::PutBack),
        5 => any::<usize>().prop_map(Event::Record),
        1 => Just(Event::Restart),
    ]
}

/// What the store and the application know of a callback.
#[derive(Clone, Debug, Default)]
struct Known {
    call: i64,
    is_action: bool,
    is_done: bool,
    /// As it is written down.
    tries: u32,
    first_sent: Option<Duration>,
}

/// The world around a schedule.
struct World {
    schedule: Schedule,
    known: BTreeMap<i64, Known>,
    reading: Vec<i64>,
    in_flight: Vec<i64>,
    ended: Vec<(i64, After)>,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let schedule = Schedule::new(policy(4, 3));
        Self {
            schedule,
            known: BTreeMap::new(),
            reading: vec![],
            in_flight: vec![],
            ended: vec![],
            now: Duration::ZERO,
        }
    }

    fn push(&mut self, id: i64) {
        let Known { call, is_action, tries, .. } = self.known[&id];
        let order = if is_action { CallOrder::Alone } else { CallOrder::InCall };
        let new = scheduled(id, &format!("CA{call}"), &format!("host{}", call % HOSTS), order);
        assert!(self.schedule.push(Scheduled { tries, was_tried: tries > 0, ..new }));
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Store(call, is_action) => {
                let id = self.known.len() as i64 + 1;
                self.known.insert(id, Known { call: *call, is_action: *is_action, ..Known::default() });
                self.push(id);
            }
            Event::Wait(milliseconds) => self.wait(Duration::from_millis(*milliseconds)),
            Event::End(which, ended) => {
                if let Some(id) = pick(&mut self.in_flight, *which) {
                    let after = self.schedule.tried(id, self.now, *ended).unwrap();
                    self.ended.push((id, after));
                }
            }
            Event::PutBack(which) => {
                if let Some(id) = pick(&mut self.reading, *which) {
                    self.schedule.put_back(id, self.now, seconds(1));
                }
            }
            Event::Send(which) => {
                if let Some(id) = pick(&mut self.reading, *which) {
                    self.check(id);
                    self.schedule.sent(id, self.now);
                    self.in_flight.push(id);
                    self.known.get_mut(&id).unwrap().first_sent.get_or_insert(self.now);
                }
            }
            Event::Record(which) => {
                if let Some((id, after)) = pick(&mut self.ended, *which) {
                    let known = self.known.get_mut(&id).unwrap();
                    match after {
                        After::Delivered | After::GivenUp => known.is_done = true,
                        After::Again(_) => known.tries += 1,
                    }
                    self.schedule.recorded(id);
                }
            }
            Event::Restart => {
                (self.reading, self.in_flight, self.ended) = (vec![], vec![], vec![]);
                self.schedule = Schedule::new(policy(4, 3));
                let open: Vec<i64> = self.known.iter().filter(|(_, known)| !known.is_done).map(|(id, _)| *id).collect();
                for id in open {
                    self.push(id);
                }
            }
        }
        self.ask();
    }

    /// Stops at every deadline on the way.
    fn wait(&mut self, length: Duration) {
        let until = self.now + length;
        while let Some(due) = self.schedule.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.ask();
        }
        self.now = until;
    }

    fn ask(&mut self) {
        while let Some(next) = self.schedule.next(self.now) {
            if let ScheduleStep::Send(id) = next {
                self.reading.push(id);
            }
        }
        let under_way: Vec<i64> = self.reading.iter().chain(&self.in_flight).copied().collect();
        assert!(under_way.len() <= 4 && under_way.iter().collect::<BTreeSet<_>>().len() == under_way.len());
        for host in 0..HOSTS {
            let of_host = under_way.iter().filter(|id| self.known[id].call % HOSTS == host);
            assert!(of_host.count() <= 3);
        }
    }

    /// Whether this one may be sent now.
    fn check(&self, id: i64) {
        let known = &self.known[&id];
        assert!(!known.is_done && !self.in_flight.contains(&id), "{id}: {known:?}");
        if known.is_action || known.first_sent.is_some() {
            return;
        }
        for (earlier, before) in self.known.range(..id) {
            let is_before = before.call == known.call && !before.is_action && !before.is_done;
            let aside_at = before.first_sent.map(|at| at + RetryPolicy::default().aside_after);
            let has_stepped_aside = aside_at.is_some_and(|at| at <= self.now);
            assert!(!is_before || has_stepped_aside, "{id} goes before {earlier}: {before:?} at {:?}", self.now);
        }
    }
}

fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(which % from.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn first_tries_are_in_order_whatever_is_answered_and_whoever_takes_over(events in vec(event(), 1..150)) {
        let mut world = World::new();
        for event in &events {
            world.take(event);
        }
        // Everybody answers from now on: everything arrives, and nothing is left behind.
        let end = world.now + seconds(3600);
        while world.now < end && world.known.values().any(|known| !known.is_done) {
            world.take(&Event::Wait(1000));
            while !(world.reading.is_empty() && world.in_flight.is_empty() && world.ended.is_empty()) {
                world.take(&Event::Send(0));
                world.take(&Event::End(0, TryEnd::Answered));
                world.take(&Event::Record(0));
            }
        }
        prop_assert!(world.known.values().all(|known| known.is_done), "{:?}", world.known);
        let schedule = &world.schedule;
        prop_assert!(schedule.is_empty() && schedule.timers.is_empty() && schedule.sequences.is_empty());
        prop_assert!(schedule.load.all == 0 && schedule.load.repeats == 0 && schedule.hosts.is_empty());
    }
}

//! The one database of all servers, and everything of the store's own shape that this simulation relies on: who a server
//! is to it, what a server does when it opens it, which rows are in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use touchtone::clock::WallClock;
use touchtone::form::Form;
use touchtone::http::Jar;
use touchtone::store::memory::{Connection, Disk, Memory};
use touchtone::store::{
    Backend, BackendError, CallbackFilter, CallbackKind, CallbackRequest, CallbackRow, CallbackState, NodeId,
    PaymentFilter, PaymentRow, PaymentState, Seal, SessionBackend, SessionFilter, SessionRow, SessionState, Store,
};
use touchtone::twiml::Method;

use super::clock::{BEGIN, Clock};
use super::dice::Dice;
use super::plan::{Away, DiskPlan, Outage, Plan, Trick};
use super::planted::Planted;

/// How long a server waits for a database that does not answer: what a connection is given.
const NO_ANSWER: Duration = Duration::from_secs(5);

/// Of how many callbacks each call that was left behind is, and the first one's number.
const LEFT_OF_A_CALL: u32 = 3;
const LEFT_CALLS: u32 = 1000;

/// The rows, and each server's way to them.
pub struct Database {
    rows: Mutex<Arc<Memory>>,
    servers: Vec<Arc<Server>>,
    /// Each server's last run.
    nodes: Mutex<Vec<Option<NodeId>>>,
    clocks: Vec<Clock>,
    plan: Plan,
}

impl Database {
    pub fn new(plan: &Plan, clocks: &[Clock], mut dice: Dice, calm: &Arc<AtomicBool>) -> Self {
        let server = |server| {
            let outages = plan.outages.iter().copied().filter(|outage| outage.is_of(server)).collect();
            Arc::new(Server {
                disk: plan.disk,
                outages,
                dice: Mutex::new(dice.others()),
                calm: Arc::clone(calm),
                keeps_what_failed: plan.trick == Trick::FailedConnectionIsKept,
                has_failed: AtomicBool::new(false),
            })
        };
        Self {
            rows: Mutex::default(),
            servers: (0..plan.servers).map(server).collect(),
            nodes: Mutex::new(vec![None; plan.servers]),
            clocks: clocks.to_vec(),
            plan: plan.clone(),
        }
    }

    /// The store of a server that starts; `start` is different at each start. [`Self::open`] comes next.
    pub fn store(&self, server: usize, start: u64, wall_clock: WallClock) -> Store {
        let rows = match self.plan.trick {
            Trick::DatabaseKeepsNothing => Arc::default(),
            _ => Arc::clone(&self.rows.lock().unwrap()),
        };
        let way = || Way(Arc::clone(&self.servers[server]));
        self.servers[server].has_failed.store(false, Ordering::Relaxed);
        let mut backend = rows.reached_over(Box::new(way()), Box::new(way()));
        // One that has the database to itself needs no leases.
        if self.plan.servers > 1 || self.plan.shared {
            let clock = self.clocks[server];
            backend = match self.plan.trick {
                Trick::LeasesByOwnClocks => backend.shared(Box::new(move || clock.shown())),
                _ => backend.shared(Box::new(now)),
            };
        }
        let planted = Planted { rows: Arc::new(backend), trick: self.plan.trick };
        Store::new(Arc::new(planted), seal(), self.node(start)).by_wall(wall_clock)
    }

    fn node(&self, start: u64) -> NodeId {
        let number = if self.plan.trick == Trick::OneNodeForAll { 1 } else { start.into() };
        NodeId(uuid::Uuid::from_u128(number))
    }

    /// What a server does with its store before it serves.
    pub async fn open(&self, server: usize, start: u64, store: &Store) {
        let node = self.node(start);
        let ended = {
            let mut nodes = self.nodes.lock().unwrap();
            // Which run has ended is told by a lock on the data folder. A copy of the folder tells nothing.
            let of = if self.plan.trick == Trick::CopiesAreBelieved { 0 } else { server };
            let ended = nodes[of].filter(|_| !self.plan.new_node);
            nodes[of] = Some(node);
            ended
        };
        // A server that cannot do it does not start; somebody starts it again.
        while store.register(ended).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Puts an empty database in its place.
    pub fn lose_everything(&self) {
        *self.rows.lock().unwrap() = Arc::default();
    }

    /// Callbacks for an application that an earlier server could not deliver.
    pub fn leave_behind(&self, callbacks: u32, application: &str, dice: &mut Dice) {
        let gone = NodeId(uuid::Uuid::from_u128(u128::MAX));
        let store = Store::new(Arc::clone(&*self.rows.lock().unwrap()) as Arc<dyn Backend>, seal(), gone);
        let then: jiff::Timestamp = BEGIN.parse().unwrap();
        for number in 0..callbacks {
            let mut form = Form::new();
            form.set("SequenceNumber", (number % LEFT_OF_A_CALL).to_string());
            let call = LEFT_CALLS + number / LEFT_OF_A_CALL;
            let url = format!("http://{application}.localhost/left/{call}/1");
            let request = CallbackRequest {
                kind: CallbackKind::Status,
                method: Method::Post,
                url,
                form,
                cookies: Jar::default(),
            };
            let token = uuid::Uuid::from_u128(u128::from(dice.throw()) << 64 | u128::from(dice.throw()));
            let call_sid = format!("CA{call:032x}");
            store.queue(&call_sid, &request, token, then).now_or_never().unwrap().unwrap();
        }
        store.backend().release(gone).now_or_never().unwrap().unwrap();
    }

    /// What is in it now: reading from memory waits for nothing.
    pub fn rows(&self) -> Rows {
        let rows = Arc::clone(&self.rows.lock().unwrap());
        let callbacks = rows.callbacks(CallbackFilter { limit: u32::MAX, ..CallbackFilter::default() });
        let sessions = rows.sessions(SessionFilter { limit: u32::MAX, ..SessionFilter::default() });
        Rows {
            payments: self.payments(),
            sessions: sessions.now_or_never().unwrap().unwrap(),
            callbacks: callbacks.now_or_never().unwrap().unwrap(),
        }
    }

    pub fn payments(&self) -> Vec<PaymentRow> {
        let rows = Arc::clone(&self.rows.lock().unwrap());
        let payments = rows.payments(PaymentFilter { limit: u32::MAX, ..PaymentFilter::default() });
        payments.now_or_never().unwrap().unwrap()
    }
}

fn seal() -> Seal {
    Seal::of_bytes(&[7; 32]).unwrap()
}

/// The rows of the store.
pub struct Rows {
    pub payments: Vec<PaymentRow>,
    /// Those whose gateway was not asked.
    pub sessions: Vec<SessionRow>,
    pub callbacks: Vec<CallbackRow>,
}

impl Rows {
    /// Whether nothing is to be found out or told any more, but to an application at an address of which `is_dead` says
    /// that it is.
    pub fn are_closed(&self, is_dead: impl Fn(&str) -> bool) -> bool {
        let open = |row: &PaymentRow| matches!(row.state, PaymentState::Preparing | PaymentState::Submitting);
        let waiting =
            |row: &CallbackRow| matches!(row.state, CallbackState::Waiting | CallbackState::Held) && !is_dead(&row.url);
        let going_on = |row: &SessionRow| row.state == SessionState::Open;
        !self.sessions.iter().any(going_on) && !self.payments.iter().any(open) && !self.callbacks.iter().any(waiting)
    }
}

/// How a server gets at the database: over a line that may be cut, onto a disk that is slow and at times says no.
struct Server {
    disk: DiskPlan,
    outages: Vec<Outage>,
    dice: Mutex<Dice>,
    calm: Arc<AtomicBool>,
    /// Whether nothing is written any more once there was no space for it, until the server starts again.
    keeps_what_failed: bool,
    has_failed: AtomicBool,
}

struct Way(Arc<Server>);

impl Server {
    fn away(&self, at: Duration) -> Option<&Outage> {
        self.outages.iter().find(|outage| outage.from <= at && at < outage.until)
    }

    /// Gets no answer before the outage is over, or gives up waiting.
    async fn request(&self) -> Result<(), BackendError> {
        let Some(outage) = self.away(now()) else { return Ok(()) };
        match outage.what {
            Away::Full => Ok(()),
            Away::Fails => Err(BackendError::Unavailable("the database is not there".to_owned())),
            Away::Hangs => {
                let left = outage.until - now();
                tokio::time::sleep(left.min(NO_ANSWER)).await;
                if left < NO_ANSWER {
                    return Ok(());
                }
                Err(BackendError::Unavailable("the database does not answer".to_owned()))
            }
        }
    }

    async fn work(&self, fails: u64, when: &str) -> Result<(), BackendError> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (wait, failed) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.millis(0, self.disk.slowest), dice.happens(fails))
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if failed { Err(BackendError::Unavailable(format!("the disk failed {when} writing"))) } else { Ok(()) }
    }
}

impl Connection for Way {
    fn request(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.0.request().boxed()
    }
}

impl Disk for Way {
    fn before(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        async {
            let is_full = self.0.away(now()).is_some_and(|outage| outage.what == Away::Full);
            if is_full || (self.0.keeps_what_failed && self.0.has_failed.load(Ordering::Relaxed)) {
                self.0.has_failed.store(true, Ordering::Relaxed);
                return Err(BackendError::Unavailable("no space left".to_owned()));
            }
            self.0.work(self.0.disk.fails_before, "before").await
        }
        .boxed()
    }

    fn after(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        async {
            self.0.work(self.0.disk.fails_after, "after").await?;
            // An outage that began meanwhile takes the answer along.
            match self.0.away(now()) {
                Some(outage) if outage.what != Away::Full => {
                    self.0.request().await?;
                    Err(BackendError::Unavailable("the answer is lost".to_owned()))
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

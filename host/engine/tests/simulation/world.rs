//! A world in which everything but the engine is simulated: time, chance, disks that do not answer, hosts that die.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::run::{Command, Run, Shown};
use retake_core::task::{Kept, LogLine, PastAttempt, TaskRun};
use retake_core::time::{Clock, Timestamp};
use retake_core::value::Json;
use retake_engine::{Entropy, Observer, Progress};
use retake_store::{
    AttemptCommit, AuditEntry, ClaimRequest, ComponentRecord, Definition, Delivery, Event, MemStore, NewRun, Notice,
    OldRuns, RetryRequest, RunFilter, RunRecord, Store, StoreError, TaskCommit,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::books::{Books, Op};
use crate::planted::{self, Bug};

/// What goes wrong, in ten-thousandths of all calls to the store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    before: u32,
    after: u32,
    crash: u32,
    late: u32,
    stall: u32,
    outage: u32,
}

/// How often what happened, over all seeds: a fault that never happened proves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) runs: u64,
    pub(crate) calls: u64,
    pub(crate) errors_before: u64,
    pub(crate) errors_after: u64,
    pub(crate) crashes: u64,
    pub(crate) shutdowns: u64,
    pub(crate) late: u64,
    pub(crate) stalls: u64,
    pub(crate) outages: u64,
    pub(crate) resumed: u64,
    pub(crate) retried: u64,
    pub(crate) cancelled: u64,
    pub(crate) suspended: u64,
    pub(crate) fed_back: u64,
    pub(crate) paused: u64,
    pub(crate) parked: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        let mut more = other.all().into_iter();
        self.each(|sum| *sum += more.next().map_or(0, |(_, often)| often));
    }

    fn each(&mut self, mut change: impl FnMut(&mut u64)) {
        let Self { seeds, runs, calls, errors_before, errors_after, crashes, shutdowns, late, .. } = self;
        [seeds, runs, calls, errors_before, errors_after, crashes, shutdowns, late].into_iter().for_each(&mut change);
        let Self { stalls, outages, resumed, retried, cancelled, suspended, fed_back, paused, parked, .. } = self;
        [stalls, outages, resumed, retried, cancelled, suspended, fed_back, paused, parked]
            .into_iter()
            .for_each(change);
    }

    /// Everything that is counted, by name, in the order of the fields.
    pub(crate) fn all(&self) -> [(&'static str, u64); 17] {
        [
            ("seeds", self.seeds),
            ("runs", self.runs),
            ("calls", self.calls),
            ("errors before the effect", self.errors_before),
            ("errors after the effect", self.errors_after),
            ("crashes", self.crashes),
            ("shutdowns", self.shutdowns),
            ("late reports", self.late),
            ("stalls", self.stalls),
            ("outages", self.outages),
            ("attempts gone on with", self.resumed),
            ("manual retries", self.retried),
            ("cancels", self.cancelled),
            ("suspensions", self.suspended),
            ("results fed back", self.fed_back),
            ("pauses", self.paused),
            ("parked", self.parked),
        ]
    }
}

/// A report that a host sent before it died, still on its way.
pub(crate) enum Late {
    Task(FlowRunId, Fence, Box<TaskCommit>),
    End(FlowRunId, Fence, Box<AttemptCommit>),
}

pub(crate) struct World {
    rng: Mutex<fastrand::Rng>,
    start: Instant,
    weather: Mutex<Weather>,
    outage_until: Mutex<Instant>,
    books: Mutex<Books>,
    pub(crate) late: Mutex<Vec<Late>>,
    pub(crate) tally: Mutex<Tally>,
    /// Told when the books do not balance.
    pub(crate) broken: Notify,
}

/// The instant at which every simulated world begins.
const BEGINNING: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
/// A world in which so many calls were made turns in circles.
const CALLS: u64 = 200_000;

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        // One world in eight is calm: what goes wrong there goes wrong without any help.
        let mut rates = |most: u32| if rng.u32(..3) == 0 { rng.u32(..most) } else { 0 };
        let weather = match seed % 8 {
            0 => Weather::default(),
            _ => Weather {
                before: rates(600),
                after: rates(600),
                crash: rates(200),
                late: rates(150),
                stall: rates(200),
                outage: rates(30),
            },
        };
        Arc::new(Self {
            rng: Mutex::new(rng),
            start: Instant::now(),
            weather: Mutex::new(weather),
            outage_until: Mutex::new(Instant::now()),
            books: Mutex::default(),
            late: Mutex::default(),
            tally: Mutex::new(Tally { seeds: 1, ..Tally::default() }),
            broken: Notify::new(),
        })
    }

    pub(crate) fn chance(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap()
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap()
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Writes into the books, and ends the world when they do not balance.
    pub(crate) fn write(&self, entry: impl FnOnce(&mut Books) -> Result<(), String>) {
        let mut books = self.books();
        if let Err(wrong) = entry(&mut books) {
            books.wrong.get_or_insert(wrong);
            self.broken.notify_one();
        }
    }

    pub(crate) fn calm_down(&self) {
        *self.weather.lock().unwrap() = Weather::default();
        *self.outage_until.lock().unwrap() = Instant::now();
    }

    /// Lets up to `most` milliseconds go by, mostly few.
    pub(crate) async fn linger(&self, most: u64) {
        let wait = {
            let mut rng = self.chance();
            let most = [0, 1, most / 10, most][rng.usize(..4)];
            rng.u64(..=most)
        };
        match wait {
            0 => tokio::task::yield_now().await,
            wait => tokio::time::sleep(Duration::from_millis(wait)).await,
        }
    }

    fn fate(&self) -> Fate {
        let weather = *self.weather.lock().unwrap();
        let mut rolled = self.chance().u32(..10_000);
        let mut outage_until = self.outage_until.lock().unwrap();
        let mut tally = self.tally();
        tally.calls += 1;
        if *outage_until > Instant::now() {
            return Fate::Before;
        }
        for (rate, fate) in [
            (weather.before, Fate::Before),
            (weather.after, Fate::After),
            (weather.crash, Fate::Crash { before: rolled.is_multiple_of(2) }),
            (weather.late, Fate::CrashLate),
            (weather.stall, Fate::Stall),
            (weather.outage, Fate::Outage),
        ] {
            if rolled < rate {
                match fate {
                    Fate::Before => tally.errors_before += 1,
                    Fate::After => tally.errors_after += 1,
                    Fate::Stall => tally.stalls += 1,
                    Fate::Outage => {
                        tally.outages += 1;
                        *outage_until = Instant::now() + Duration::from_secs(20);
                    }
                    _ => {}
                }
                return fate;
            }
            rolled -= rate;
        }
        Fate::Fine
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        BEGINNING + self.start.elapsed()
    }
}

impl Observer for World {
    fn progress(&self, _: FlowRunId, progress: Progress) {
        match progress {
            Progress::Began { resumed: true, .. } => self.tally().resumed += 1,
            Progress::Cached { .. } => self.tally().fed_back += 1,
            Progress::Ended { shown: Shown::Suspended, .. } => self.tally().suspended += 1,
            Progress::Ended { shown: Shown::Parked, .. } => self.tally().parked += 1,
            _ => {}
        }
    }
}

impl Entropy for World {
    fn next(&self) -> u64 {
        self.chance().u64(..)
    }
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    Before,
    After,
    Crash { before: bool },
    CrashLate,
    Stall,
    Outage,
}

/// One process of the host, from its start to its end.
pub(crate) struct Life {
    pub(crate) world: Arc<World>,
    pub(crate) number: u64,
    over: AtomicBool,
    /// What it said was done and is not.
    pub(crate) deferred: Mutex<Vec<Late>>,
    pub(crate) ended: Notify,
}

impl Life {
    pub(crate) fn new(world: &Arc<World>, number: u64) -> Arc<Self> {
        let (world, over) = (world.clone(), AtomicBool::new(false));
        Arc::new(Self { world, number, over, deferred: Mutex::default(), ended: Notify::new() })
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Kills it: nothing in it goes on.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.ended.notify_one();
    }

    /// Goes on while it lives.
    pub(crate) async fn pass(&self) {
        if self.is_over() {
            std::future::pending().await
        }
    }
}

/// A store as one process of the host sees it.
pub(crate) struct Unreliable {
    pub(crate) life: Arc<Life>,
    pub(crate) bug: Option<Bug>,
    /// What is really kept.
    pub(crate) kept: Arc<MemStore>,
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the weather".into())
}

impl Unreliable {
    async fn ask<T: Told>(
        &self,
        op: Op,
        late: Option<Late>,
        effect: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let world = &self.life.world;
        self.life.pass().await;
        world.linger(20).await;
        self.life.pass().await;
        let fate = world.fate();
        if world.tally().calls > CALLS {
            world.write(|_| Err("the engine turns in circles".into()));
            self.life.end();
        }
        match (fate, late) {
            (Fate::Before | Fate::Outage, _) => return Err(unavailable()),
            (Fate::Crash { before: true }, _) => self.life.end(),
            (Fate::CrashLate, late) => {
                world.late.lock().unwrap().extend(late);
                self.life.end();
            }
            (Fate::Stall, _) => tokio::time::sleep(Duration::from_secs(30)).await,
            _ => {}
        }
        self.life.pass().await;
        planted::catch_up(&self.kept, &self.life).await;
        let answer = effect.await;
        let touched = answer.as_ref().map(Told::runs).unwrap_or_default();
        world.write(|books| books.changed(&self.kept, &op, &touched, world.now()));
        match fate {
            Fate::Crash { .. } => self.life.end(),
            Fate::After => return Err(unavailable()),
            _ => world.linger(20).await,
        }
        self.life.pass().await;
        answer
    }
}

/// Which runs an answer is about, beside the one that was asked about.
pub(crate) trait Told {
    fn runs(&self) -> Vec<FlowRunId>;
}

macro_rules! tell_nothing {
    ($($type:ty),*) => { $(impl Told for $type { fn runs(&self) -> Vec<FlowRunId> { Vec::new() } })* };
}
tell_nothing!(
    (),
    u64,
    Run,
    Option<Timestamp>,
    Option<ComponentRecord>,
    Vec<u8>,
    Vec<ComponentRecord>,
    Vec<FlowRunId>,
    Vec<TaskRun>,
    Vec<PastAttempt>,
    Vec<(u64, LogLine)>,
    Vec<Event>,
    Json,
    RunRecord,
    Option<RunRecord>,
    Vec<(Shown, u64)>,
    Vec<(String, u64, Timestamp)>,
    bool,
    Option<Definition>,
    Vec<Definition>,
    Vec<(u64, AuditEntry)>,
    Vec<Notice>,
    Vec<Delivery>
);

impl Told for Vec<RunRecord> {
    fn runs(&self) -> Vec<FlowRunId> {
        self.iter().map(|it| it.asked.id).collect()
    }
}

impl Told for (RunRecord, bool) {
    fn runs(&self) -> Vec<FlowRunId> {
        vec![self.0.asked.id]
    }
}

impl Told for Vec<(FlowRunId, Run)> {
    fn runs(&self) -> Vec<FlowRunId> {
        self.iter().map(|(id, _)| *id).collect()
    }
}

#[async_trait]
impl Store for Unreliable {
    fn boot(&self) -> u64 {
        self.kept.boot()
    }
    fn has_failed(&self) -> bool {
        false
    }
    async fn put_component(&self, record: ComponentRecord, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.ask(Op::Read, None, self.kept.put_component(record, bytes)).await
    }
    async fn component(&self, digest: ContentDigest) -> Result<Option<ComponentRecord>, StoreError> {
        self.ask(Op::Read, None, self.kept.component(digest)).await
    }
    async fn component_bytes(&self, digest: ContentDigest) -> Result<Vec<u8>, StoreError> {
        self.ask(Op::Read, None, self.kept.component_bytes(digest)).await
    }
    async fn needs_component(&self, digest: ContentDigest) -> Result<bool, StoreError> {
        self.ask(Op::Read, None, self.kept.needs_component(digest)).await
    }
    async fn components(&self) -> Result<Vec<ComponentRecord>, StoreError> {
        self.ask(Op::Read, None, self.kept.components()).await
    }
    async fn create(&self, run: NewRun) -> Result<(RunRecord, bool), StoreError> {
        self.ask(Op::Made, None, self.kept.create(run)).await
    }
    async fn begin(&self, run: NewRun, fence: Fence) -> Result<(RunRecord, bool), StoreError> {
        self.ask(Op::Made, None, self.kept.begin(run, fence)).await
    }
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<RunRecord>, StoreError> {
        self.ask(Op::Claimed, None, planted::claim(&self.kept, self.bug, request)).await
    }
    async fn held(&self, fences: Vec<Fence>) -> Result<Vec<RunRecord>, StoreError> {
        self.ask(Op::Read, None, self.kept.held(fences)).await
    }
    async fn next_due(&self, root: Option<FlowRunId>) -> Result<Option<Timestamp>, StoreError> {
        self.ask(Op::Read, None, self.kept.next_due(root)).await
    }
    async fn commit_task(&self, run: FlowRunId, fence: Fence, commit: TaskCommit) -> Result<(), StoreError> {
        let late = Late::Task(run, fence, Box::new(commit.clone()));
        let op = Op::Committed { run, fence, late: false };
        let effect = planted::commit_task(&self.kept, self.bug, &self.life, run, fence, commit);
        self.ask(op, Some(late), effect).await
    }
    async fn append_logs(&self, run: FlowRunId, fence: Fence, logs: Vec<LogLine>) -> Result<(), StoreError> {
        self.ask(Op::Logged { run, fence }, None, self.kept.append_logs(run, fence, logs)).await
    }
    async fn end_attempt(&self, run: FlowRunId, fence: Fence, commit: AttemptCommit) -> Result<Run, StoreError> {
        let late = Late::End(run, fence, Box::new(commit.clone()));
        let op = Op::Ended { run, fence, end: commit.end.clone(), ended: commit.now, late: false };
        self.ask(op, Some(late), planted::end_attempt(&self.kept, self.bug, run, fence, commit)).await
    }
    async fn retry(&self, run: FlowRunId, request: RetryRequest) -> Result<Run, StoreError> {
        let RetryRequest { forget, component, by_parent, .. } = &request;
        let op = Op::Retried { run, forget: forget.clone(), component: *component, by_parent: *by_parent };
        self.ask(op, None, planted::retry(&self.kept, self.bug, run, request)).await
    }
    async fn command(&self, run: FlowRunId, command: Command, now: Timestamp) -> Result<Run, StoreError> {
        let effect = planted::command(&self.kept, self.bug, run, command, now);
        self.ask(Op::Commanded { run }, None, effect).await
    }
    async fn set_result(&self, run: FlowRunId, number: u32, result: Json, now: Timestamp) -> Result<(), StoreError> {
        self.ask(Op::Commanded { run }, None, self.kept.set_result(run, number, result, now)).await
    }
    async fn recover(&self, now: Timestamp) -> Result<Vec<(FlowRunId, Run)>, StoreError> {
        self.ask(Op::Recovered, None, planted::recover(&self.kept, self.bug, now)).await
    }
    async fn run(&self, id: FlowRunId) -> Result<RunRecord, StoreError> {
        self.ask(Op::Read, None, self.kept.run(id)).await
    }
    async fn keyed(&self, key: &str) -> Result<Option<RunRecord>, StoreError> {
        self.ask(Op::Read, None, self.kept.keyed(key)).await
    }
    async fn find(&self, text: &str, limit: usize) -> Result<Vec<FlowRunId>, StoreError> {
        self.ask(Op::Read, None, self.kept.find(text, limit)).await
    }
    async fn list(&self, filter: RunFilter, now: Timestamp) -> Result<Vec<RunRecord>, StoreError> {
        self.ask(Op::Read, None, self.kept.list(filter, now)).await
    }
    async fn task_runs(&self, run: FlowRunId) -> Result<Vec<TaskRun>, StoreError> {
        self.ask(Op::Read, None, planted::task_runs(&self.kept, self.bug, run)).await
    }
    async fn past_attempts(&self, run: FlowRunId) -> Result<Vec<PastAttempt>, StoreError> {
        self.ask(Op::Read, None, self.kept.past_attempts(run)).await
    }
    async fn logs(&self, run: FlowRunId, after: u64, limit: usize) -> Result<Vec<(u64, LogLine)>, StoreError> {
        self.ask(Op::Read, None, self.kept.logs(run, after, limit)).await
    }
    async fn logged(&self, run: FlowRunId, call: u32, attempt: u32) -> Result<u64, StoreError> {
        self.ask(Op::Read, None, self.kept.logged(run, call, attempt)).await
    }
    async fn events(&self, run: FlowRunId) -> Result<Vec<Event>, StoreError> {
        self.ask(Op::Read, None, self.kept.events(run)).await
    }
    async fn value(&self, kept: &Kept) -> Result<Json, StoreError> {
        self.ask(Op::Read, None, self.kept.value(kept)).await
    }
    async fn remove_run(&self, run: FlowRunId, now: Timestamp) -> Result<bool, StoreError> {
        self.ask(Op::Read, None, self.kept.remove_run(run, now)).await
    }

    async fn old_runs(&self, asked: OldRuns) -> Result<Vec<FlowRunId>, StoreError> {
        self.ask(Op::Read, None, self.kept.old_runs(asked)).await
    }

    async fn tidy(
        &self,
        now: Timestamp,
        unused_for: Duration,
        deliveries: Timestamp,
        audit: Timestamp,
    ) -> Result<u64, StoreError> {
        self.ask(Op::Read, None, self.kept.tidy(now, unused_for, deliveries, audit)).await
    }

    async fn remove_component(&self, digest: ContentDigest, now: Timestamp) -> Result<(), StoreError> {
        self.ask(Op::Read, None, self.kept.remove_component(digest, now)).await
    }
    async fn define(&self, definition: Definition, expected: Option<u64>) -> Result<u64, StoreError> {
        self.ask(Op::Read, None, self.kept.define(definition, expected)).await
    }
    async fn undefine(&self, kind: &'static str, name: &str) -> Result<bool, StoreError> {
        self.ask(Op::Read, None, self.kept.undefine(kind, name)).await
    }
    async fn definition(&self, kind: &'static str, name: &str) -> Result<Option<Definition>, StoreError> {
        self.ask(Op::Read, None, self.kept.definition(kind, name)).await
    }
    async fn definitions(&self, kind: &'static str) -> Result<Vec<Definition>, StoreError> {
        self.ask(Op::Read, None, self.kept.definitions(kind)).await
    }
    async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.ask(Op::Read, None, self.kept.audit(entry)).await
    }
    async fn open_runs(&self, now: Timestamp) -> Result<Vec<(Shown, u64)>, StoreError> {
        self.ask(Op::Read, None, self.kept.open_runs(now)).await
    }

    async fn overdue(&self, now: Timestamp, most: u64) -> Result<u64, StoreError> {
        self.ask(Op::Read, None, self.kept.overdue(now, most)).await
    }

    async fn waiting(&self, now: Timestamp, most: u64) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        self.ask(Op::Read, None, self.kept.waiting(now, most)).await
    }
    async fn audited(
        &self,
        before: Option<u64>,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        self.ask(Op::Read, None, self.kept.audited(before, subject, limit)).await
    }
    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.ask(Op::Read, None, self.kept.notices(limit)).await
    }
    async fn deliver(&self, notice: Option<u64>, deliveries: Vec<Delivery>) -> Result<(), StoreError> {
        self.ask(Op::Read, None, self.kept.deliver(notice, deliveries)).await
    }
    async fn delivered(&self, delivery: Delivery) -> Result<(), StoreError> {
        self.ask(Op::Read, None, self.kept.delivered(delivery)).await
    }
    async fn deliveries_due(&self, by: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.ask(Op::Read, None, self.kept.deliveries_due(by, limit)).await
    }
    async fn deliveries(
        &self,
        before: Option<u64>,
        rule: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.ask(Op::Read, None, self.kept.deliveries(before, rule, limit)).await
    }
}

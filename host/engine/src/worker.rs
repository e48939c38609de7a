//! Claims runs that are due and has each driven, as many at once as there are slots.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use retake_core::id::{Fence, FlowRunId};
use retake_core::limits;
use retake_core::run::RunState;
use retake_core::time::Timestamp;
use retake_store::{ClaimRequest, NewRun, Room, RunRecord, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::room::Place;
use crate::{ALL_DEPTHS, Inner, run};

/// Most runs claimed in one statement: a long transaction would hold up everybody else's commits.
const CLAIMS: usize = 256;
/// How often to look without having been told: another process may have made a run.
const LOOK: Duration = Duration::from_secs(2);

/// How long a shutdown waits for the store beyond the grace time.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long to leave a store alone that did not answer.
const AGAIN: Duration = Duration::from_millis(200);

/// Which runs are worked on.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only those of this tree.
    pub root: Option<FlowRunId>,
    /// Only those of these queues; none named for all.
    pub queues: Arc<[String]>,
}

/// Says, once, that work is to stop. Whoever waits for it is woken in the order of waiting: a simulation replays that,
/// which a `watch` channel would leave to chance.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<(AtomicBool, Notify)>);

impl Stop {
    fn say(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_waiters();
    }

    pub(crate) async fn said(&self) {
        let told = self.0.1.notified();
        if !self.0.0.load(Ordering::Acquire) {
            told.await;
        }
    }
}

/// Slots for runs, by their depth.
#[derive(Clone)]
pub(crate) struct Slots {
    free: Arc<[Arc<Semaphore>]>,
    /// Depths at which a run may wait for a slot, as bits: whoever gives one back has the worker look.
    wanted: Arc<AtomicU32>,
    /// Whether runs without a parent are being claimed, and take what was left of limits when that began: nothing that
    /// is limited is begun beside them. Set while the desk is locked.
    claiming: Arc<AtomicBool>,
}

impl Slots {
    fn new(settings: &crate::Settings) -> Self {
        let slots = |depth| if depth == 0 { settings.flow_slots } else { settings.child_slots };
        let free = (0..=limits::FLOW_DEPTH).map(|depth| Arc::new(Semaphore::new(slots(depth)))).collect();
        Self { free, wanted: Arc::default(), claiming: Arc::default() }
    }

    fn take(&self, engine: &Arc<Inner>, depth: u32) -> Option<Slot> {
        let free = self.free.get(depth as usize)?;
        let permit = free.clone().try_acquire_owned().ok()?;
        Some(Slot { engine: engine.clone(), depth, wanted: self.wanted.clone(), permit: Some(permit) })
    }
}

/// A slot that is given back, also by a panic.
struct Slot {
    engine: Arc<Inner>,
    depth: u32,
    wanted: Arc<AtomicU32>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.permit = None;
        if self.wanted.fetch_and(!(1 << self.depth), Ordering::AcqRel) & (1 << self.depth) != 0 {
            self.engine.wake(self.depth);
        }
    }
}

/// A run that is claimed, when it was, and the slot that it is worked on in.
struct Claimed {
    /// In a box: it is handed on and on.
    record: Box<RunRecord>,
    at: Timestamp,
    /// Whether it was made just now, so that nothing is kept of it.
    is_new: bool,
    slot: Slot,
    place: Place,
}

type Made = Result<(RunRecord, bool), StoreError>;

/// A run to be made and worked on at once.
struct Order {
    /// In a box: the way to whoever works has room for many.
    run: Box<NewRun>,
    slot: Slot,
    place: Place,
    answer: oneshot::Sender<Made>,
}

/// The way to whoever works.
pub(crate) struct Desk {
    scope: Scope,
    slots: Slots,
    orders: mpsc::Sender<Order>,
}

impl Desk {
    /// The queues whose runs are worked on; none named for all.
    pub(crate) fn queues(&self) -> &[String] {
        &self.scope.queues
    }

    /// How many slots are free at a depth of run trees.
    pub(crate) fn free(&self, depth: u32) -> usize {
        self.slots.free.get(depth as usize).map_or(0, |it| it.available_permits())
    }
}

impl Inner {
    /// Makes a run, and has it worked on at once if somebody works here and has a slot for it: one commit less than
    /// to make it and to claim it.
    pub(crate) async fn make(self: &Arc<Self>, run: NewRun) -> Made {
        if let Some(answer) = self.order(&run) {
            // Without an answer it was not begun: whoever works has stopped.
            if let Ok(made) = answer.await {
                if matches!(&made, Ok((record, _)) if matches!(record.run.state, RunState::Scheduled { .. })) {
                    self.wake(run.depth);
                }
                return made;
            }
        }
        let (due, depth) = (run.due, run.depth);
        let made = self.outside.store.create(run).await?;
        if due > self.outside.clock.now() {
            self.timers_changed();
        }
        self.wake(depth);
        Ok(made)
    }

    fn order(self: &Arc<Self>, run: &NewRun) -> Option<oneshot::Receiver<Made>> {
        if run.due > self.outside.clock.now() {
            return None;
        }
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let Desk { scope, slots, orders } = desk.as_ref()?;
        let of_queue = scope.queues.is_empty() || scope.queues.contains(&run.queue);
        let fits = scope.root.is_none_or(|it| it == run.root) && of_queue && !self.holds_back(run.depth);
        let now = self.outside.clock.now();
        let has_room = || self.rooms.has(run) && self.pace.room(now) > 0;
        let may_begin = run.depth > 0 || !self.is_limited(run) || !slots.claiming.load(Ordering::Acquire) && has_room();
        let slot = (fits && may_begin).then(|| slots.take(self, run.depth)).flatten()?;
        let place = Place::take(self, run);
        let (answer, answered) = oneshot::channel();
        orders.try_send(Order { run: Box::new(run.clone()), slot, place, answer }).ok()?;
        if run.depth == 0 {
            self.pace.passed(now, 1);
        }
        Some(answered)
    }

    fn is_limited(&self, run: &NewRun) -> bool {
        self.pace.is_set() || self.rooms.limits_it(run)
    }

    /// Makes a run as ordered. What became of it when the store did not say is found out after whoever asked was told,
    /// because a run that is claimed and not worked on hangs until the next start.
    async fn begin(&self, Order { run, slot, place, answer }: Order, stop: Stop) -> Option<Claimed> {
        let (store, id) = (&self.outside.store, run.id);
        let fence = Fence::new(self.outside.entropy.next());
        let made = store.begin(*run, fence).await;
        let unsure = matches!(&made, Err(StoreError::Unavailable(_)));
        let mut record = made.as_ref().ok().map(|(record, _)| record.clone());
        // Whoever went away does not want to know.
        let _ = answer.send(made);
        if unsure {
            record = tokio::select! {
                biased;
                () = stop.said() => None,
                found = self.until_answered(id, "looking for a new run", || store.run(id)) => found.ok(),
            };
        }
        let record = record.filter(|it| it.run.state.claim().is_some_and(|(held, _)| held == fence))?;
        Some(Claimed { at: record.asked.created, record: Box::new(record), is_new: true, slot, place })
    }
}

async fn drive(engine: Arc<Inner>, Claimed { record, at, is_new, slot, place }: Claimed, stop: Stop) {
    run::drive(engine, record, at, is_new, stop).await;
    drop((slot, place));
}

async fn begin(engine: Arc<Inner>, order: Order, stop: Stop) {
    if let Some(claimed) = engine.begin(order, stop.clone()).await {
        drive(engine, claimed, stop).await;
    }
}

/// How often it is looked for task attempts that take long.
const LOOK_FOR_SLOW: Duration = Duration::from_millis(100);

impl Inner {
    /// Has it kept of task attempts that take long that they began, while somebody works. One look for all of them, so
    /// that a short one costs nothing.
    async fn watch_slow(&self) {
        loop {
            let told = self.became_active.notified();
            let active = self.all_active();
            if active.is_empty() {
                told.await;
            }
            let now = self.outside.clock.now();
            active.iter().for_each(|it| it.note_slow(now));
            drop(active);
            tokio::time::sleep(LOOK_FOR_SLOW).await;
        }
    }
}

/// See [`crate::Engine::work`].
pub(crate) async fn work(engine: &Arc<Inner>, scope: Scope, shutdown: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = work_on_runs(engine, scope, shutdown) => {}
        () = engine.watch_slow() => unreachable!("looks until it is dropped"),
    }
}

async fn work_on_runs(engine: &Arc<Inner>, scope: Scope, shutdown: impl Future<Output = ()>) {
    let stop = Stop::default();
    let slots = Slots::new(&engine.settings);
    let (orders, mut ordered) = mpsc::channel(engine.settings.flow_slots.max(1));
    let desk = Desk { scope: scope.clone(), slots: slots.clone(), orders };
    *engine.desk.lock().unwrap_or_else(PoisonError::into_inner) = Some(desk);
    let mut runs = JoinSet::new();
    tokio::pin!(shutdown);
    engine.depths.store(ALL_DEPTHS, Ordering::Release);
    let mut next_due = None;
    let mut unanswered = None;
    engine.timers_changed();
    'work: loop {
        while let Some(ended) = runs.try_join_next() {
            note(ended);
        }
        // Not in the midst of a claim: what it claimed would be lost until the next start.
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = std::future::ready(()) => {}
        }
        let Claims { claimed, more, error } = claim(engine, &scope, &slots, &mut unanswered).await;
        claimed.into_iter().for_each(|it| drop(runs.spawn(drive(engine.clone(), it, stop.clone()))));
        if let Some(error) = error {
            tracing::warn!(%error, "runs could not be claimed; trying again");
            engine.depths.store(ALL_DEPTHS, Ordering::Release);
            let again = tokio::time::sleep(AGAIN);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    biased;
                    () = &mut shutdown => break 'work,
                    // Whoever ordered it is to hear that the store does not answer, too.
                    Some(order) = ordered.recv() => drop(runs.spawn(begin(engine.clone(), order, stop.clone()))),
                    () = &mut again => continue 'work,
                }
            }
        }
        if more {
            continue;
        }
        if engine.take_timers_changed() {
            next_due = engine.outside.store.next_due(scope.root).await.unwrap_or(None);
            // Due at once, as a retry without a delay, or since we looked.
            if next_due.is_some_and(|due| due <= engine.outside.clock.now()) {
                engine.depths.store(ALL_DEPTHS, Ordering::Release);
                continue;
            }
        }
        let now = engine.outside.clock.now();
        // What is due already waits for a slot; a slot that is freed wakes us.
        let timer = next_due.filter(|due| *due > now).unwrap_or(Timestamp::MAX).min(now + LOOK);
        let timer = engine.pace.opens(now).map_or(timer, |opens| opens.min(timer));
        let timer = engine.until(timer);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break 'work,
                () = engine.wake.notified() => break,
                Some(order) = ordered.recv() => drop(runs.spawn(begin(engine.clone(), order, stop.clone()))),
                Some(ended) = runs.join_next() => note(ended),
                () = &mut timer => {
                    engine.depths.store(ALL_DEPTHS, Ordering::Release);
                    engine.timers_changed();
                    break;
                }
            }
        }
    }
    stop.say();
    *engine.desk.lock().unwrap_or_else(PoisonError::into_inner) = None;
    // What was ordered and not begun is not answered, and made without us.
    drop(ordered);
    let ended = async {
        while let Some(ended) = runs.join_next().await {
            note(ended);
        }
    };
    // With a store that does not answer it would never end; the next start takes back what is left.
    if tokio::time::timeout(engine.settings.grace + LAST_WORDS, ended).await.is_err() {
        tracing::error!("the store did not answer during the shutdown; what was worked on goes on at the next start");
    }
}

/// A panic in a driver is our bug: it ends one attempt, which the next start takes up again.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "working on a run panicked; it goes on after a restart");
    }
}

/// What came of looking for runs that are due.
#[derive(Default)]
struct Claims {
    claimed: Vec<Claimed>,
    /// Whether there may be more.
    more: bool,
    /// Why not every depth was looked at.
    error: Option<StoreError>,
}

impl Claims {
    fn add(&mut self, engine: &Arc<Inner>, claimed: Vec<RunRecord>, slots: Vec<Slot>, at: Timestamp) {
        self.claimed.extend(claimed.into_iter().zip(slots).map(|(record, slot)| {
            let place = Place::take(engine, &record.asked);
            Claimed { record: Box::new(record), at, is_new: false, slot, place }
        }));
    }
}

/// A claim that was not answered, and the slots for what may have come of it.
type Unanswered = (ClaimRequest, Vec<Slot>);

/// Claims what is due at the depths where something may be. What was claimed and not answered comes first: nobody else
/// would work on it until the next start.
async fn claim(engine: &Arc<Inner>, scope: &Scope, slots: &Slots, unanswered: &mut Option<Unanswered>) -> Claims {
    let mut all = Claims::default();
    if let Some((request, taken)) = unanswered.take() {
        match engine.outside.store.held(request.fences.clone()).await {
            Ok(held) => {
                all.add(engine, held, taken, request.now);
                slots.claiming.store(false, Ordering::Release);
            }
            Err(error) => {
                *unanswered = Some((request, taken));
                return Claims { error: Some(error), ..all };
            }
        }
    }
    let depths = engine.depths.swap(0, Ordering::AcqRel);
    for depth in (0..=limits::FLOW_DEPTH).filter(|depth| depths & (1 << depth) != 0) {
        // Children of what is worked on are not held back: their parents wait for them.
        if engine.holds_back(depth) {
            continue;
        }
        // Said before looking, so that nobody gives a slot back unseen.
        slots.wanted.fetch_or(1 << depth, Ordering::AcqRel);
        let at = engine.outside.clock.now();
        if depth == 0 {
            let _desk = engine.desk.lock().unwrap_or_else(PoisonError::into_inner);
            slots.claiming.store(true, Ordering::Release);
        }
        // Children are not held up: their parents have begun, and wait for them.
        let most = if depth == 0 { engine.pace.room(at).min(CLAIMS) } else { CLAIMS };
        let mut taken: Vec<Slot> = std::iter::from_fn(|| slots.take(engine, depth)).take(most).collect();
        if taken.is_empty() {
            slots.claiming.store(false, Ordering::Release);
            continue;
        }
        let fences = taken.iter().map(|_| Fence::new(engine.outside.entropy.next())).collect();
        let (queues, root, room) = (scope.queues.clone(), scope.root, engine.rooms.left(depth));
        let busy = Some(engine.rooms.busy());
        let request = ClaimRequest { now: at, fences, queues, root, depth, room, busy };
        let claimed = match engine.outside.store.claim(request.clone()).await {
            Ok(claimed) => claimed,
            Err(error) => {
                *unanswered = Some((request, taken));
                return Claims { error: Some(error), ..all };
            }
        };
        // What has no room from now on may have stood before others that have.
        let filled = |it: &Room| claimed.iter().filter(|run| it.of.is_of(&run.asked)).count() as u32 == it.left;
        let passed_over = request.room.iter().any(|it| it.left > 0 && filled(it));
        if claimed.len() == taken.len() || passed_over {
            engine.depths.fetch_or(1 << depth, Ordering::AcqRel);
            all.more = true;
        } else {
            slots.wanted.fetch_and(!(1 << depth), Ordering::AcqRel);
        }
        if depth == 0 {
            engine.pace.passed(at, claimed.len());
        }
        let unused = taken.split_off(claimed.len());
        all.add(engine, claimed, taken, at);
        slots.claiming.store(false, Ordering::Release);
        drop(unused);
    }
    all
}

//! Batches made ahead of the step, by worker threads, in order, a few at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use rand::seq::SliceRandom;

use crate::error::{Error, Result};
use crate::modality::{Draw, Modality, Rows, Source};
use crate::random::{Purpose, stream};

/// How many items in a row may be unreadable before the loader stops looking for a stand-in.
const STAND_INS: usize = 1000;

/// Items of a source that a run learns from.
pub(super) struct Items<M: Modality> {
    pub(super) source: Arc<dyn Source<M::Item>>,
    pub(super) modality: M,
    /// Positions in the source.
    pub(super) indices: Vec<usize>,
    /// Whether batches carry their items' classes.
    pub(super) classes: bool,
    pub(super) seed: u64,
    pub(super) device: Device,
    /// Positions found unreadable so far, with what was wrong.
    unreadable: Mutex<BTreeMap<usize, String>>,
    /// How many of them are too many.
    limit: usize,
}

impl<M: Modality> Items<M> {
    pub(super) fn new(
        source: Arc<dyn Source<M::Item>>,
        modality: M,
        indices: Vec<usize>,
        classes: bool,
        seed: u64,
        device: Device,
        unreadable: f64,
    ) -> Self {
        let limit = ((indices.len() as f64 * unreadable) as usize).max(1);
        Self {
            source,
            modality,
            indices,
            classes,
            seed,
            device,
            unreadable: Mutex::new(BTreeMap::new()),
            limit,
        }
    }

    /// Unreadable items found so far: name and what was wrong.
    pub(super) fn unreadable(&self) -> Vec<(String, String)> {
        let found = lock(&self.unreadable);
        found
            .iter()
            .map(|(&index, why)| (self.source.name(index), why.clone()))
            .collect()
    }

    /// Reads items by their places among `indices`. An unreadable one is noted, and the next readable one stands in:
    /// always the same, so that the run can be repeated.
    pub(super) fn read(&self, places: &[usize]) -> Result<(Numbered<M>, Rows)> {
        let mut items = Vec::with_capacity(places.len());
        for &place in places {
            items.push(self.read_or_next(place)?);
        }
        let ids: Vec<u64> = items.iter().map(|(id, _)| *id).collect();
        let classes = self.source.labels().filter(|_| self.classes).map(|labels| {
            ids.iter()
                .map(|&id| labels.of[id as usize].unwrap_or(0))
                .collect::<Vec<_>>()
        });
        Ok((items, Rows { ids, classes }))
    }

    fn read_or_next(&self, place: usize) -> Result<(u64, M::Item)> {
        let count = self.indices.len();
        for ahead in 0..count.min(STAND_INS) {
            let index = self.indices[(place + ahead) % count];
            match self.source.get(index) {
                Ok(item) => return Ok((index as u64, item)),
                Err(why) => self.note(index, &why)?,
            }
        }
        Err(
            Error::data(format!("{STAND_INS} unreadable items in a row"))
                .expected("readable items"),
        )
    }

    fn note(&self, index: usize, why: &Error) -> Result<()> {
        let mut found = lock(&self.unreadable);
        found.insert(index, why.to_string());
        if found.len() <= self.limit {
            return Ok(());
        }
        let examples: Vec<_> = found.values().take(3).cloned().collect();
        Err(Error::data(format!(
            "{} unreadable items among {}, such as: {}",
            found.len(),
            self.indices.len(),
            examples.join("; ")
        ))
        .expected(format!("at most {}", self.limit))
        .mend("mend or remove them, or allow more with --set data.unreadable=0.5"))
    }
}

/// Items with their positions in the source.
type Numbered<M> = Vec<(u64, <M as Modality>::Item)>;

/// Views of a batch, one device batch for each slot.
pub(super) struct Ready<M: Modality> {
    pub(super) slots: Vec<M::Batch>,
    pub(super) items: usize,
}

/// Makes views of `items` and brings them to the device.
pub(super) fn prepare<M: Modality>(
    of: &Items<M>,
    places: &[usize],
    draw: Draw,
) -> Result<Ready<M>> {
    let (items, rows) = of.read(places)?;
    let slots = of.modality.views(&items, draw)?;
    let slots = slots
        .iter()
        .map(|views| of.modality.collate(views, &rows, &of.device))
        .collect::<Result<Vec<_>>>()?;
    Ok(Ready {
        slots,
        items: items.len(),
    })
}

/// An endless, ordered stream of batches from some number on.
pub(super) struct Loader<M: Modality> {
    shared: Arc<Shared<M>>,
    workers: Vec<JoinHandle<()>>,
    /// Time that the training step has waited here.
    pub(super) waited: Duration,
}

struct Shared<M: Modality> {
    items: Arc<Items<M>>,
    batch: usize,
    queue: Mutex<Queue<M>>,
    moved: Condvar,
    capacity: u64,
}

struct Queue<M: Modality> {
    /// Number of the next batch that nobody works on.
    next: u64,
    /// Number of the next batch that the step will take.
    wanted: u64,
    ready: BTreeMap<u64, Result<Ready<M>>>,
    closed: bool,
    /// The order of the items in the epochs being worked on.
    orders: BTreeMap<u64, Arc<Vec<usize>>>,
}

impl<M: Modality> Loader<M> {
    /// Starts `workers` threads on the batches from number `first` on.
    pub(super) fn start(items: Arc<Items<M>>, batch: usize, first: u64, workers: usize) -> Self {
        let shared = Arc::new(Shared {
            items,
            batch,
            queue: Mutex::new(Queue {
                next: first,
                wanted: first,
                ready: BTreeMap::new(),
                closed: false,
                orders: BTreeMap::new(),
            }),
            moved: Condvar::new(),
            capacity: 2 * workers as u64,
        });
        let workers = (0..workers)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.work())
            })
            .collect();
        Self {
            shared,
            workers,
            waited: Duration::ZERO,
        }
    }

    /// The next batch, as soon as it is there.
    pub(super) fn next(&mut self) -> Result<Ready<M>> {
        let asked = Instant::now();
        let mut queue = lock(&self.shared.queue);
        let number = queue.wanted;
        let ready = loop {
            if let Some(ready) = queue.ready.remove(&number) {
                break ready;
            }
            // Workers end when the loader does; one that ended before has panicked and takes its batch along.
            if self.workers.iter().any(JoinHandle::is_finished) {
                return Err(Error::training("a thread that makes batches has died"));
            }
            // Woken now and then to see whether the workers are still there.
            let wait = self
                .shared
                .moved
                .wait_timeout(queue, Duration::from_millis(200));
            queue = wait.unwrap_or_else(PoisonError::into_inner).0;
        };
        queue.wanted += 1;
        drop(queue);
        self.shared.moved.notify_all();
        self.waited += asked.elapsed();
        ready
    }
}

impl<M: Modality> Drop for Loader<M> {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.moved.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing more to say.
            let _ = worker.join();
        }
    }
}

impl<M: Modality> Shared<M> {
    fn work(&self) {
        while let Some((number, epoch, places)) = self.claim() {
            let draw = Draw {
                seed: self.items.seed,
                epoch,
            };
            let ready = prepare(&self.items, &places, draw);
            lock(&self.queue).ready.insert(number, ready);
            self.moved.notify_all();
        }
    }

    /// Waits until there is room, then takes the next batch to work on.
    fn claim(&self) -> Option<(u64, u64, Vec<usize>)> {
        let mut queue = lock(&self.queue);
        while !queue.closed && queue.next >= queue.wanted + self.capacity {
            queue = self
                .moved
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if queue.closed {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        let count = self.items.indices.len();
        let per_epoch = batches_per_epoch(count, self.batch);
        let (epoch, position) = (number / per_epoch, (number % per_epoch) as usize);
        queue.orders.retain(|&known, _| known + 1 >= epoch);
        let order = queue
            .orders
            .entry(epoch)
            .or_insert_with(|| Arc::new(order(count, self.items.seed, epoch)));
        let batch = self.batch.min(count);
        let places = order[position * batch..(position + 1) * batch].to_vec();
        Some((number, epoch, places))
    }
}

/// Whole batches in a pass; what is left over comes elsewhere in the next pass's order.
pub(super) fn batches_per_epoch(items: usize, batch: usize) -> u64 {
    (items / batch.max(1)).max(1) as u64
}

/// A shuffled order, decided by seed and epoch.
fn order(items: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items).collect();
    order.shuffle(&mut stream(seed, Purpose::Order, &[epoch]));
    order
}

/// Splits `count` items into those to learn from and those held out, decided by the seed.
pub(super) fn split(count: usize, held_out: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut stream(seed, Purpose::Split, &[]));
    let out: BTreeSet<usize> = order[..held_out.min(count)].iter().copied().collect();
    let (held, learned): (Vec<_>, Vec<_>) = (0..count).partition(|index| out.contains(index));
    (learned, held)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A worker pool whose results come in the order of its tasks.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

/// The number of items from which on several threads are faster than one.
const MANY: usize = 16;
/// The most threads. Each may have a file open, also where few descriptors are allowed.
const MAX_THREADS: usize = 4;

/// Works on `items` on up to `jobs` threads. `open` makes a task of each item, or leaves it out;
/// each thread makes a worker, which works on tasks; `take` gets the results. `open` and `take` are
/// called on this thread only, with the items in order.
///
/// # Errors
/// The first error in the order of the items.
pub fn in_order<I: Copy, T: Send, R: Send, E: Send, W: FnMut(T) -> Result<R, E>>(
    items: &[I],
    jobs: NonZeroUsize,
    mut open: impl FnMut(I) -> Result<Option<T>, E>,
    worker: impl Fn() -> W + Sync,
    mut take: impl FnMut(I, R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = if items.len() < MANY { 1 } else { jobs.get().min(MAX_THREADS) };
    if threads == 1 {
        return one_by_one(items, &mut open, worker(), &mut take);
    }
    let worker = &worker;
    thread::scope(|scope| {
        // A task waits for a free thread, so that there are no more tasks than threads.
        let (tasks, queue) = mpsc::sync_channel(0);
        let (done, results) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let spawn = |_| {
            let (queue, done) = (queue.clone(), done.clone());
            let work = move || work(worker(), &queue, &done);
            thread::Builder::new().spawn_scoped(scope, work).ok()
        };
        // If the system refuses a thread, the others do its share.
        if (0..threads).map_while(spawn).count() == 0 {
            return one_by_one(items, &mut open, worker(), &mut take);
        }
        drop((queue, done));
        let mut ready: BTreeMap<usize, Result<Option<R>, E>> = BTreeMap::new();
        let mut next = 0;
        let mut take_ready = |ready: &mut BTreeMap<usize, Result<Option<R>, E>>| {
            while let Some(result) = ready.remove(&next) {
                if let (Some(result), Some(&item)) = (result?, items.get(next)) {
                    take(item, result)?;
                }
                next += 1;
            }
            Ok(())
        };
        for (at, &item) in items.iter().enumerate() {
            let result = match open(item) {
                Ok(Some(task)) => match tasks.send((at, task)) {
                    Ok(()) => None,
                    // All threads panicked, and so does the end of the scope.
                    Err(_) => break,
                },
                Ok(None) => Some(Ok(None)),
                Err(error) => Some(Err(error)),
            };
            let is_over = matches!(result, Some(Err(_)));
            ready.extend(result.map(|result| (at, result)));
            ready.extend(results.try_iter());
            take_ready(&mut ready)?;
            if is_over {
                break;
            }
        }
        drop(tasks);
        ready.extend(results);
        take_ready(&mut ready)
    })
}

/// As [`in_order`], on this thread.
fn one_by_one<I: Copy, T, R, E>(
    items: &[I],
    open: &mut impl FnMut(I) -> Result<Option<T>, E>,
    mut worker: impl FnMut(T) -> Result<R, E>,
    take: &mut impl FnMut(I, R) -> Result<(), E>,
) -> Result<(), E> {
    for &item in items {
        if let Some(task) = open(item)? {
            take(item, worker(task)?)?;
        }
    }
    Ok(())
}

/// Works on what comes out of `queue`, until it is closed.
fn work<T, R, E>(
    mut worker: impl FnMut(T) -> Result<R, E>,
    queue: &Mutex<mpsc::Receiver<(usize, T)>>,
    done: &mpsc::Sender<(usize, Result<Option<R>, E>)>,
) {
    loop {
        let task = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((at, task)) = task else { return };
        if done.send((at, worker(task).map(Some))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of 0 to 99, in the order in which they were taken, and the error. 7 is left out,
    /// and `fails` fails: to open if it is even, in a worker if it is odd.
    fn run(jobs: usize, fails: usize) -> (Vec<usize>, Option<usize>) {
        let fail = |item: usize, odd: bool| match item == fails && (item % 2 == 1) == odd {
            true => Err(item),
            false => Ok(item),
        };
        let open = |item: usize| Ok(Some(fail(item, false)?).filter(|item| *item != 7));
        let worker = || |task: usize| fail(task, true).map(|task| task * 2);
        let mut taken = Vec::new();
        let take = |item: usize, result: usize| {
            assert_eq!(result, item * 2);
            taken.push(item);
            Ok(())
        };
        let items: Vec<usize> = (0..100).collect();
        let result = in_order(&items, NonZeroUsize::new(jobs).unwrap(), open, worker, take);
        (taken, result.err())
    }

    #[test]
    fn results_come_in_order_and_end_at_the_first_error() {
        for jobs in [1, 2, 9] {
            let all: Vec<usize> = (0..100).filter(|&item| item != 7).collect();
            assert_eq!(run(jobs, 100), (all.clone(), None));
            assert_eq!(run(jobs, 50), (all[..49].to_vec(), Some(50)));
            assert_eq!(run(jobs, 51), (all[..50].to_vec(), Some(51)));
        }
    }
}

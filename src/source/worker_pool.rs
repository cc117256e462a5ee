//! A worker pool for tasks that spawn tasks.

use std::{
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// The tasks that no worker has taken yet, and how many workers have one.
struct Queue<T> {
    left: Vec<T>,
    busy: usize,
}

struct Pool<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
}

/// Runs `work` on `first` and on every task that it returns, on up to `jobs` threads. The results
/// are in no particular order.
pub(super) fn run<T: Send, R: Send>(
    first: T,
    jobs: NonZeroUsize,
    work: impl Fn(T) -> (R, Vec<T>) + Sync,
) -> Vec<R> {
    let (result, left) = work(first);
    let mut results = vec![result];
    // A tree of a few files never starts a thread, which costs as much as ten directories.
    let helpers = left.len().min(jobs.get() - 1);
    let pool = Pool { queue: Mutex::new(Queue { left, busy: 0 }), changed: Condvar::new() };
    thread::scope(|scope| {
        // If the system refuses a thread, the others do its share.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, || pool.work(&work)).ok();
        let helpers: Vec<_> = (0..helpers).map_while(spawn).collect();
        results.extend(pool.work(&work));
        for helper in helpers {
            // A worker's panic continues in the caller.
            results.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    results
}

impl<T> Pool<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks until none is left and no running task can add one.
    fn work<R>(&self, work: impl Fn(T) -> (R, Vec<T>)) -> Vec<R> {
        let mut results = Vec::new();
        while let Some(item) = self.next() {
            let mut running = Running { pool: self, more: Vec::new() };
            let (result, more) = work(item);
            running.more = more;
            results.push(result);
        }
        results
    }

    fn next(&self) -> Option<T> {
        let mut queue = self.lock();
        loop {
            if let Some(item) = queue.left.pop() {
                queue.busy += 1;
                return Some(item);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A running task. Its end is announced on drop, so that a panic does not leave the others waiting.
struct Running<'a, T> {
    pool: &'a Pool<T>,
    more: Vec<T>,
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.pool.lock();
        queue.busy -= 1;
        queue.left.append(&mut self.more);
        if queue.busy == 0 || queue.left.len() > 1 {
            self.pool.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of numbers, each with up to three below it, on any number of threads.
    #[test]
    fn every_task_runs_once() {
        for jobs in [1, 2, 7] {
            let jobs = NonZeroUsize::new(jobs).unwrap();
            let mut done =
                run(1_u32, jobs, |n| (n, (3 * n..3 * n + 3).filter(|&m| m < 2000).collect()));
            done.sort_unstable();
            let mut wanted = vec![1];
            wanted.extend(3..2000);
            // 2 has no parent, and all below it are missing with it.
            let reached = |mut n: u32| {
                while n > 2 {
                    n /= 3;
                }
                n == 1
            };
            wanted.retain(|&n| reached(n));
            assert_eq!(done, wanted);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let jobs = NonZeroUsize::new(3).unwrap();
        let caught = std::panic::catch_unwind(|| {
            run(0_u32, jobs, |n| {
                assert!(n < 50, "as wanted");
                (n, (1..=3).map(|more| 3 * n + more).collect())
            })
        });
        assert!(caught.is_err());
    }
}

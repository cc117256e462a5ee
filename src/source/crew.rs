//! Work of which more work comes, on several threads.

use std::{
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What is to be done, and how many are at it.
struct Queue<T> {
    left: Vec<T>,
    busy: usize,
}

struct Crew<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
}

/// Does `work` on `first` and on all that it says comes of it, on up to `jobs` threads. The results
/// come in no order.
pub(super) fn all<T: Send, R: Send>(
    first: T,
    jobs: NonZeroUsize,
    work: impl Fn(T) -> (R, Vec<T>) + Sync,
) -> Vec<R> {
    let (result, left) = work(first);
    let mut results = vec![result];
    // Most trees of a few files are done here: a thread costs as much as ten directories.
    let helpers = left.len().min(jobs.get() - 1);
    let crew = Crew { queue: Mutex::new(Queue { left, busy: 0 }), changed: Condvar::new() };
    thread::scope(|scope| {
        // Where the system gives no more threads, those that are there do all.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, || crew.work(&work)).ok();
        let helpers: Vec<_> = (0..helpers).map_while(spawn).collect();
        results.extend(crew.work(&work));
        for helper in helpers {
            // A panic goes on in the caller.
            results.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    results
}

impl<T> Crew<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there is no more and nobody can bring any.
    fn work<R>(&self, work: impl Fn(T) -> (R, Vec<T>)) -> Vec<R> {
        let mut results = Vec::new();
        while let Some(item) = self.next() {
            let mut turn = Turn { crew: self, more: Vec::new() };
            let (result, more) = work(item);
            turn.more = more;
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

/// Someone at work. Also where the work panics the others must hear that it is over.
struct Turn<'a, T> {
    crew: &'a Crew<T>,
    more: Vec<T>,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut queue = self.crew.lock();
        queue.busy -= 1;
        queue.left.append(&mut self.more);
        if queue.busy == 0 || queue.left.len() > 1 {
            self.crew.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of numbers, each with up to three below it, on any number of threads.
    #[test]
    fn all_that_comes_of_it_is_done_once() {
        for jobs in [1, 2, 7] {
            let jobs = NonZeroUsize::new(jobs).unwrap();
            let mut done =
                all(1_u32, jobs, |n| (n, (3 * n..3 * n + 3).filter(|&m| m < 2000).collect()));
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
            all(0_u32, jobs, |n| {
                assert!(n < 50, "as wanted");
                (n, (1..=3).map(|more| 3 * n + more).collect())
            })
        });
        assert!(caught.is_err());
    }
}

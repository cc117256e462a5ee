//! Several transfers at once.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Does `work` for each of `items`, up to `width` at once, and returns the results in the order of
/// the items.
///
/// # Errors
/// The first error. What has begun then is finished, and nothing else is begun.
pub fn each<T, R, E>(
    width: NonZero<usize>,
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    T: Sync,
    R: Send,
    E: Send,
{
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<R, E>>>> =
        items.iter().map(|_| Mutex::new(None)).collect();
    let lane = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((item, slot)) = items.get(at).zip(results.get(at)) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..width.get().min(items.len()) {
            // This thread does what threads that the system refuses would do.
            if thread::Builder::new().spawn_scoped(scope, lane).is_err() {
                break;
            }
        }
        lane();
    });
    let filled = results
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    filled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_stops_at_an_error() {
        let four = NonZero::new(4).unwrap();
        let items: Vec<u32> = (0..100).collect();
        let doubled: Result<Vec<u32>, ()> = each(four, &items, |item| Ok(item * 2));
        assert_eq!(doubled.unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let begun = AtomicUsize::new(0);
        let result: Result<Vec<()>, u32> = each(four, &items, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 0 { Err(7) } else { Ok(()) }
        });
        assert_eq!(result, Err(7));
        assert_eq!(each(four, &[] as &[u32], |_| Ok::<(), ()>(())), Ok(vec![]));
    }
}

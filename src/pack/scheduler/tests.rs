//! Who gets which task.

use std::{collections::BTreeSet, num::NonZeroUsize, sync::atomic::AtomicU64, thread};

use super::*;
use crate::{
    archive::write::TarLayout,
    compress::Compression,
    pack::{PackOptions, cache_entry::CacheEntry, chunks::LayerJob},
    path::ImagePath,
    store::{Durability, Pending, Store},
    tree::{Node, Tree},
};

/// Does nothing, except that it panics at the fourth chunk in the task `wanted`.
fn work<'a>(task: Task<'a>, wanted: &str) -> Done<'a> {
    let check =
        |at: &str, number: u64| assert!(wanted != at || number != 3, "the panic of this test");
    match task {
        Task::Make(pos, chunk) => {
            check("make", pos.number);
            Done::Made(pos.number, Ok(Chunk { pos, ..chunk }))
        }
        Task::Hash(mut tars) => {
            for (_, hasher, chunk) in &mut tars {
                check("hash", chunk.pos.number);
                hasher.take(chunk);
            }
            Done::Hashed(tars)
        }
        Task::Store(storer, chunk) => {
            check("store", chunk.pos.number);
            Done::Stored(storer, Ok(chunk))
        }
        Task::Commit(committer, ..) => {
            assert!(wanted != "commit", "the panic of this test");
            Done::Committed(Ok(committer))
        }
    }
}

/// Calls `run` with a scheduler of three workers and as many chunks as there are `free` ones, for
/// layers of one file each, which go to `store`.
fn with_scheduler(lens: &[usize], free: usize, store: &mut Store, run: impl Fn(&Scheduler<'_>)) {
    let tree = |len: &usize| -> Tree {
        let file = (ImagePath::new("f").unwrap(), Node::inline(0o644, vec![0; *len]));
        [file].into_iter().collect()
    };
    let trees: Vec<Tree> = lens.iter().map(tree).collect();
    let layouts: Vec<_> = trees.iter().map(|tree| TarLayout::new(tree).unwrap()).collect();
    let options = PackOptions {
        compression: Compression::None,
        jobs: NonZeroUsize::new(3).unwrap(),
        cache: None,
        sources: None,
        has_keys: false,
        first: &BTreeSet::new(),
        rootfs: None,
        follower: None,
    };
    let job = |layout| LayerJob {
        layout,
        cache_entry: CacheEntry::default(),
        is_rootfs: false,
        read: AtomicU64::new(0),
    };
    let jobs: Vec<_> = layouts.iter().map(job).collect();
    let plan = ChunkPlan::new(&jobs, &options);
    let committer = Committer::new(&jobs, &options, store, &|_| {}).unwrap();
    let free = (0..free).map(|_| Chunk::default()).collect();
    run(&Scheduler::new((plan, &jobs), options.compression, free, committer, &|_| {}));
}

#[test]
fn chunks_of_two_layers_are_hashed_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
    with_scheduler(&[3 << 20, 3 << 20], 8, &mut store, |scheduler| {
        let mut hashed = Vec::new();
        while hashed.len() < 7 {
            let (rank, task) = scheduler.next(0).unwrap();
            if let Task::Hash(tars) = &task {
                hashed.push(tars.len());
            }
            scheduler.done(rank, work(task, ""));
        }
        assert_eq!(hashed, [2; 7]);
    });
}

/// The kernel lets one thread at a time write to a file.
#[test]
fn while_one_worker_writes_to_an_archive_the_others_do_all_else() {
    let dir = tempfile::tempdir().unwrap();
    let pending = Pending::create(&dir.path().join("out")).unwrap();
    let mut store = Store::archive(&pending, 0, |_, _| [0; 512], Durability::Cached);
    with_scheduler(&[9 << 20, 9 << 20], 8, &mut store, |scheduler| {
        let (mut made, mut writing) = (0, None);
        let second = loop {
            match scheduler.next(0).unwrap() {
                (_, task @ Task::Store(..)) if writing.is_none() => writing = Some(task),
                (_, task @ Task::Store(..)) => break task,
                (rank, task) => {
                    made += usize::from(matches!(task, Task::Make(..)));
                    scheduler.done(rank, work(task, ""));
                }
            }
        };
        assert_eq!(made, 8, "all chunks are made before a second worker has to wait");
        drop((writing, second));
    });
}

/// No worker waits for one that has panicked, whatever its task was.
#[test]
fn a_panic_ends_the_work_of_all() {
    for wanted in ["make", "hash", "store", "commit"] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::directory(dir.path(), Durability::Cached).unwrap();
        with_scheduler(&[5 << 20], 4, &mut store, |scheduler| {
            let panics = thread::scope(|scope| {
                let workers: Vec<_> = (0..3)
                    .map(|_| scope.spawn(|| scheduler.run_worker(|task| work(task, wanted))))
                    .collect();
                workers.into_iter().filter_map(|worker| worker.join().err()).count()
            });
            assert_eq!(panics, 1, "{wanted}");
            let fault = scheduler.lock().fault.take();
            assert!(matches!(fault, Some(PackError::Stopped)), "{wanted}");
        });
    }
}

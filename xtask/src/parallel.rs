//! Work on independent jobs, as many at a time as there are cores.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use anyhow::Result;

/// Does `work` for every job and hands each result to `done`, on this thread and as they come;
/// an error of `done` ends the work after the jobs that are under way.
pub fn each<Job: Send, Outcome: Send>(
    jobs: Vec<Job>,
    work: impl Fn(&Job) -> Outcome + Sync,
    mut done: impl FnMut(Job, Outcome) -> Result<()>,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(jobs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..cores {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some(job) = next() {
                    let outcome = work(&job);
                    if sender.send((job, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        receiver.into_iter().try_for_each(|(job, outcome)| done(job, outcome))
    })
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    #[test]
    fn every_job_is_done_once() {
        let mut outcomes = Vec::new();
        let all = super::each(
            (0..100).collect(),
            |job| 2 * job,
            |job, outcome| {
                outcomes.push((job, outcome));
                Ok(())
            },
        );
        all.expect("nothing failed");
        outcomes.sort_unstable();
        assert_eq!(outcomes, (0..100).map(|job| (job, 2 * job)).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_handed_over_after_an_error() {
        let mut has_failed = false;
        let result = super::each(
            (0..1000).collect(),
            |job: &i32| *job,
            |_, outcome| {
                assert!(!has_failed);
                has_failed = outcome == 10;
                ensure!(outcome != 10, "ten");
                Ok(())
            },
        );
        assert_eq!(result.expect_err("ten came").to_string(), "ten");
    }
}

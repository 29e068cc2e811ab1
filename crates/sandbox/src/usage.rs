//! What a dyno uses at this moment, read from its control group. No shim is asked.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup::{self, Version};

/// Where the host's control groups are.
const MOUNTED: &str = "/sys/fs/cgroup";

/// Memory that a dyno uses, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its processes' own.
    pub rss: u64,
    /// Files that the kernel keeps for it, those in memory only (`tmpfs`) among them.
    pub cache: u64,
    /// The part of `cache` that the kernel takes back when memory is short.
    pub droppable: u64,
    /// On the swap device.
    pub swap: u64,
    /// Pages taken and given back since it began, where the kernel counts them.
    pub pages: Option<Pages>,
}

/// Pages since the dyno began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Taken.
    pub taken: u64,
    /// Given back.
    pub given: u64,
}

impl Memory {
    /// What cannot be taken back from it.
    #[must_use]
    pub const fn fixed(&self) -> u64 {
        self.rss + self.swap + self.cache.saturating_sub(self.droppable)
    }

    /// The cache, of which only as much counts as has room in `quota` beside the rest: the kernel
    /// would not keep more of it if the quota were its limit.
    #[must_use]
    pub const fn cache_within(&self, quota: u64) -> u64 {
        let room = quota.saturating_sub(self.fixed());
        let kept = if self.droppable < room { self.droppable } else { room };
        self.cache.saturating_sub(self.droppable) + kept
    }

    /// All of it, as compared with `quota`.
    #[must_use]
    pub const fn total(&self, quota: u64) -> u64 {
        self.rss + self.swap + self.cache_within(quota)
    }
}

/// Memory that a dyno uses.
///
/// # Errors
/// When it has no control group (any more).
pub fn memory(parent: &str, dyno: &str) -> io::Result<Memory> {
    match version()? {
        Version::V1 => {
            let text = fs::read_to_string(group("memory", parent, dyno).join("memory.stat"))?;
            Ok(of_version_1(&numbers(&text)))
        }
        Version::V2 => {
            let group = group("", parent, dyno);
            let text = fs::read_to_string(group.join("memory.stat"))?;
            let swap = fs::read_to_string(group.join("memory.swap.current")).unwrap_or_default();
            Ok(of_version_2(&numbers(&text), swap.trim().parse().unwrap_or(0)))
        }
    }
}

/// How many of a dyno's threads run or want to run.
///
/// # Errors
/// When it has no control group (any more).
pub fn runnable(parent: &str, dyno: &str) -> io::Result<usize> {
    let file = match version()? {
        Version::V1 => group("memory", parent, dyno).join("tasks"),
        Version::V2 => group("", parent, dyno).join("cgroup.threads"),
    };
    let threads = fs::read_to_string(file)?;
    Ok(threads.lines().filter(|thread| wants_to_run(thread)).count())
}

/// A thread that ends meanwhile does not want to run.
fn wants_to_run(thread: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    // The name may hold anything; the last bracket ends it.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
}

fn version() -> io::Result<Version> {
    cgroup::version().map_err(io::Error::other)
}

fn group(controller: &str, parent: &str, dyno: &str) -> PathBuf {
    Path::new(MOUNTED).join(controller).join(parent).join(dyno)
}

fn numbers(text: &str) -> HashMap<&str, u64> {
    let pair = |line: &'_ str| -> Option<(usize, u64)> {
        let (name, number) = line.split_once(' ')?;
        Some((name.len(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(|line| pair(line).map(|(end, number)| (&line[..end], number))).collect()
}

fn of_version_1(stat: &HashMap<&str, u64>) -> Memory {
    let number = |name: &str| stat.get(name).copied();
    let of = |name: &str| number(name).unwrap_or(0);
    let pages = number("total_pgpgin").zip(number("total_pgpgout"));
    Memory {
        rss: of("total_rss"),
        cache: of("total_cache"),
        droppable: of("total_inactive_file") + of("total_active_file"),
        swap: of("total_swap"),
        pages: pages.map(|(taken, given)| Pages { taken, given }),
    }
}

fn of_version_2(stat: &HashMap<&str, u64>, swap: u64) -> Memory {
    let number = |name: &str| stat.get(name).copied();
    let of = |name: &str| number(name).unwrap_or(0);
    let pages = number("pgpgin").zip(number("pgpgout"));
    Memory {
        rss: of("anon"),
        cache: of("file"),
        droppable: of("inactive_file") + of("active_file"),
        swap,
        pages: pages.map(|(taken, given)| Pages { taken, given }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn both_versions_of_the_kernels_words_are_read() {
        let one = "cache 1\nrss 1\ntotal_cache 30\ntotal_rss 500\ntotal_swap 7\ntotal_pgpgin 9\n\
                   total_pgpgout 4\ntotal_inactive_file 10\ntotal_active_file 15\n";
        let expected = Memory {
            rss: 500,
            cache: 30,
            droppable: 25,
            swap: 7,
            pages: Some(Pages { taken: 9, given: 4 }),
        };
        assert_eq!(of_version_1(&numbers(one)), expected);
        let two = "anon 500\nfile 30\ninactive_file 10\nactive_file 15\nshmem 5\n";
        assert_eq!(of_version_2(&numbers(two), 7), Memory { pages: None, ..expected });
    }

    #[test]
    fn cache_counts_only_where_the_quota_leaves_room() {
        let memory =
            Memory { rss: 300 * MIB, cache: 900 * MIB, droppable: 880 * MIB, swap: 0, pages: None };
        assert_eq!(memory.fixed(), 320 * MIB);
        assert_eq!(memory.total(512 * MIB), 512 * MIB);
        assert_eq!(memory.total(4096 * MIB), 1200 * MIB);
        let full = Memory { rss: 700 * MIB, ..memory };
        assert_eq!(full.total(512 * MIB), 720 * MIB);
    }

    #[test]
    fn a_dyno_that_is_not_there_has_no_numbers() {
        assert!(memory("hythe-none", "nobody").is_err());
        assert!(runnable("hythe-none", "nobody").is_err());
    }

    #[test]
    fn the_state_of_a_thread_is_seen() {
        // The thread that reads is running.
        let own = fs::read_link("/proc/thread-self").expect("a link");
        assert!(wants_to_run(own.file_name().and_then(|name| name.to_str()).expect("a name")));
        assert!(!wants_to_run("0"));
    }
}

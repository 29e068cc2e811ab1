//! How much memory this server may promise to dynos: what the machine has, less what the machine
//! itself and the server need, unless the operator says otherwise.

use model::plan::room::Memory;
use model::size::SizeTable;

use crate::settings::{BuildLimits, Settings};

const MIB: u64 = 1024 * 1024;

/// The machine keeps at least so much for itself …
const LEAST_RESERVE_MIB: u64 = 128;
/// … and one part of so many.
const RESERVED_PART: u64 = 20;

/// What the planner is told.
pub fn memory(settings: &Settings) -> Memory {
    let Settings { memory_mib, memory_overcommit, build, sizes, .. } = settings;
    let own = memory_mib.unwrap_or_else(usable_mib);
    let total_bytes = scaled(own * MIB, *memory_overcommit);
    let build_bytes = build.memory_mib * MIB;
    Memory {
        total_bytes,
        build_bytes,
        for_builds_bytes: for_builds(total_bytes, build, sizes),
        sizes: sizes.clone(),
    }
}

/// Half of the machine's memory, at most 2 GiB; on a small machine what one small dyno leaves: a
/// build may fail, the machine may not.
pub fn default_build_memory_mib() -> u64 {
    let small = SizeTable::default().limits(model::DynoSize::Standard1X).memory_bytes / MIB;
    let left = usable_mib().saturating_sub(small);
    (total_mib() / 2).min(left).clamp(256, 2048)
}

/// Room for one build, unless no dyno of the smallest kind would fit beside it.
fn for_builds(total_bytes: u64, build: &BuildLimits, sizes: &SizeTable) -> u64 {
    let smallest =
        model::DynoSize::ALL.map(|size| sizes.limits(size).memory_bytes).into_iter().min();
    let build_bytes = build.memory_mib * MIB;
    let left = total_bytes.saturating_sub(build_bytes);
    if left >= smallest.unwrap_or(0) { build_bytes } else { 0 }
}

/// By a factor that was checked when it was read.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a machine's memory is far below 2^52 bytes, and the factor is positive"
)]
fn scaled(bytes: u64, factor: f64) -> u64 {
    (bytes as f64 * factor) as u64
}

/// What dynos may have of the machine's memory.
fn usable_mib() -> u64 {
    let total = total_mib();
    total.saturating_sub((total / RESERVED_PART).max(LEAST_RESERVE_MIB))
}

fn total_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(2 * 1024 * 1024);
    total_kib / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_build_is_kept_where_a_dyno_fits_beside_it() {
        let build =
            |memory_mib| BuildLimits { timeout_seconds: 1, memory_mib, cpu_millis: None, pids: 1 };
        let kept = |total, own| for_builds(total * MIB, &build(own), &SizeTable::default()) / MIB;
        assert_eq!(kept(8192, 2048), 2048);
        assert_eq!(kept(1024, 512), 512);
        assert_eq!(kept(1000, 512), 0);
    }

    #[test]
    fn the_operator_may_promise_more_than_there_is() {
        assert_eq!(scaled(1024, 1.0), 1024);
        assert_eq!(scaled(1024, 2.5), 2560);
    }
}

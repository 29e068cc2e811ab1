"""Medians, ratios, and what the kernel says about processes."""

import os
import statistics
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def median(values):
    return statistics.median(values)


def spread(values):
    """`median (least to greatest, n=count)`, in the unit of the values."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f}, n={len(values)})"


def ratio_of_rounds(ours, theirs):
    """The median over rounds of ours divided by theirs of the same round."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def cpu_seconds(pid):
    """User and system time of a process with all its threads, so far."""
    return _ticks(Path(f"/proc/{pid}/stat")) / CLOCK_TICKS


def thread_cpu_seconds(pid):
    """User and system time so far, by name of thread."""
    seconds = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            seconds[name] = seconds.get(name, 0) + _ticks(task / "stat") / CLOCK_TICKS
        except FileNotFoundError:
            continue  # it ended while we looked
    return seconds


def _ticks(stat):
    # Fields after the program's name, which is in parentheses and may hold anything.
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def pss_mib(pid):
    """Proportional set size: private memory, and a fair share of what is shared."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Pss line")


def children(parent):
    """Processes whose parent is `parent`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def processes(*words):
    """Processes whose command line begins with a program and then has these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if [word.decode() for word in line[1 : 1 + len(words)]] == list(words):
                found.append(int(entry.name))
    return found


def machine():
    """One line that says what was measured on."""
    kernel = os.uname().release
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, Linux {kernel}, load {load:.1f} at the start"

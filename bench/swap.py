"""Somewhere for the kernel to put memory that it takes back."""

import subprocess
from pathlib import Path

MIB = 512


class Swap:
    """A swap file, where the machine has no swap and lets us have some. Use it with `with`."""

    def __init__(self, directory):
        self.file = Path(directory) / "swap"
        self.ours = False
        self.why_not = None

    def __enter__(self):
        if self.size_mib() > 0:
            return self
        self.file.touch(mode=0o600)
        steps = [
            ["dd", "if=/dev/zero", f"of={self.file}", "bs=1M", f"count={MIB}", "status=none"],
            ["mkswap", "-q", self.file],
            ["swapon", self.file],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                self.why_not = done.stderr.strip()
                return self
        self.ours = True
        return self

    def __exit__(self, *_):
        if self.ours:
            subprocess.run(["swapoff", self.file], check=True)
        self.file.unlink(missing_ok=True)

    @staticmethod
    def size_mib():
        return sum(int(line.split()[2]) for line in _lines()) / 1024

    @staticmethod
    def used_mib():
        return sum(int(line.split()[3]) for line in _lines()) / 1024


def _lines():
    return Path("/proc/swaps").read_text().splitlines()[1:]

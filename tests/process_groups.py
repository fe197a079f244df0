"""The processes of a group, read from /proc, and waiting for what happens in other processes."""

import os
import time
from pathlib import Path


def members(group: int) -> list[int]:
    """Ids of the processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if int(of_group) == group and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def computed_seconds(pid: int) -> float:
    """Processor time that a process has taken; 0 of one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(happened, seconds: float = 60) -> None:
    """Wait until it has. Raises TimeoutError where it does not."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.01)

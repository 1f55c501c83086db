"""What the kernel says of this process's memory; Linux only."""

from pathlib import Path


def process_bytes(field: str) -> int:
    """Bytes of a field of /proc/self/status.

    `VmRSS` is resident memory, `VmHWM` its peak (`getrusage` would count the parent's too),
    `RssAnon` private memory.

    Raises:
        RuntimeError: The kernel does not tell.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status must have a line {field}, but has none.")

"""Finds ports that no other test on this machine uses, below the kernel's ephemeral range."""
import random
import socket

_FIRST, _LAST = 15000, 32000
_held = []  # locks, held until this process ends


def _lock(port):
    """Locks the port for this process, or returns None.  The lock ends with the process."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0fanwire-test-port-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return None
    return lock


def free_ports(count):
    """Finds `count` consecutive free ports and returns the first."""
    for _ in range(1000):
        first = random.randrange(_FIRST, _LAST - count)
        locks = []
        for port in range(first, first + count):
            lock = _lock(port)
            if lock is None:
                break
            locks.append(lock)
        if len(locks) == count:
            _held.extend(locks)
            return first
        for lock in locks:
            lock.close()
    raise RuntimeError(f"no {count} free ports in a row between {_FIRST} and {_LAST}")


def free_port():
    return free_ports(1)

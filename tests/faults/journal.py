"""Writes a journal: one JSON object a line, as checker.py documents."""
import hashlib
import json
import pathlib
import threading
import time


def hash_of(data):
    return hashlib.sha1(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


class Journal:
    """Safe from every thread.  No two lines have the same time."""

    def __init__(self, folder, name):
        self._file = open(pathlib.Path(folder) / f"{name}.jsonl", "w", encoding="utf-8")
        self._lock = threading.Lock()
        self._last = 0.0

    def write(self, kind, **fields):
        with self._lock:
            if self._file.closed:
                return
            self._last = max(time.monotonic(), self._last + 1e-6)
            self._file.write(json.dumps({"kind": kind, "t": self._last, **fields}) + "\n")

    def close(self):
        with self._lock:
            self._file.close()

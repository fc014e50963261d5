"""HandlerThreads runs the functions that answer requests.

Its threads are daemons, so that a function which never returns does not keep the program from
ending; those of concurrent.futures do.
"""
import os
import queue
import threading


class HandlerThreads:
    def __init__(self):
        self._most = min(32, (os.cpu_count() or 1) + 4)  # as of ThreadPoolExecutor
        self._work = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._count = 0
        self._closed = False

    def submit(self, function):
        """Runs the function, or raises RuntimeError if no more is run."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the service stops")
            self._work.put(function)
            if self._idle.acquire(blocking=False) or self._count >= self._most:
                return
            self._count += 1
        threading.Thread(target=self._run, name="fanwire-handler", daemon=True).start()

    def close(self):
        """Ends the threads, after what was submitted."""
        with self._lock:
            self._closed = True
            for _ in range(self._count):
                self._work.put(None)

    def _run(self):
        while True:
            function = self._work.get()
            if function is None:
                return
            function()
            del function  # holds the request
            self._idle.release()

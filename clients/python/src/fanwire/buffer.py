"""Buffer holds the events of one publisher that have no receipt yet, and gives each its outcome.

Threading: safe from every thread; one lock.  Callbacks run outside the lock.  A signal handler or
           __del__ may interrupt a thread that holds the lock, and publish: see _put_later().
Cost:      what an event costs is in put() and settle(); the rest is per message.
"""
import _thread
import collections
import math
import threading
import time
import uuid

import grpc

from fanwire import encoding
from fanwire.errors import (BufferFull, EventDropped, EventRefused, PublisherClosed,
                            PublisherError, ReceiptTimeout)
from fanwire.receipt import PendingReceipt, wake
from fanwire.safe_log import SafeLog

log = SafeLog("fanwire.publisher")

CODES = {code.value[0]: code.name for code in grpc.StatusCode}
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]

WARN_EVERY = 10.0


class Buffer:
    def __init__(self, *, max_pending, max_pending_bytes, when_full, idempotency_keys, on_refused):
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._when_full = when_full
        self._idempotency_keys = idempotency_keys
        self._on_refused = on_refused
        self._headers = encoding.Headers()
        # An event's id is a UUID of version 4: half of it random, the end counting.
        self._id_prefix = str(uuid.uuid4())[:24].encode()
        self._make_locks()
        self._started = False
        self._thread = None          # that connects and reads, and runs callbacks
        self._closed = ""            # why nothing is taken any more
        self._sender_waits = None    # the connection whose sender waits for _work
        self._next_seq = 1
        self._unsent = collections.deque()
        self._sent = {}              # seq -> PendingReceipt
        self._dropped = []           # whose callbacks have not run yet
        self._late = set()           # PendingReceipts of _put_later(), not in the buffer yet
        self._pending = 0            # events in the buffer: _unsent and _sent
        self._pending_bytes = 0
        self._watchers = 0           # threads that wait for _changed
        self._tasks = {}             # future of asyncio -> (condition, loop)
        self._warnings = {}          # what -> (number not logged yet, time of the last line)
        self.counts = collections.Counter()

    def _make_locks(self):
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)     # for the sender and for the backoff
        self._changed = threading.Condition(self._lock)  # for everybody else

    def _start(self):
        """Begins to send, at the first event; the lock is held."""
        raise NotImplementedError

    def _state(self):
        """Says for people what becomes of the events now."""
        raise NotImplementedError

    # ------------------------------------------------------------------------- taking events

    def put(self, key, data, event_id, rare, block_for, idempotency_key=None, late=None):
        """Takes one event and returns its PendingReceipt.

        key is (service, channel, event), data its JSON.  If the buffer is full and its policy is to
        block, waits for at most `block_for` seconds (None: for ever).  late is the PendingReceipt
        that _put_later() returned for the event.
        """
        header = self._headers.get(key)
        if len(data) > encoding.MAX_DATA_BYTES or len(rare) > 2 * encoding.MAX_DATA_BYTES:
            raise EventRefused("INVALID_ARGUMENT", f"data: {max(len(data), len(rare))} bytes, at "
                               f"most {encoding.MAX_DATA_BYTES} allowed", *key)
        if self._lock._is_owned():
            return self._put_later(key, data, event_id, rare, block_for, idempotency_key)
        with self._lock:
            if late is not None and late.done():  # the publisher was closed meanwhile
                return late
            if ((self._closed and late is None) or self._pending >= self._max_pending
                    or self._pending_bytes >= self._max_pending_bytes):
                self._make_room(key, block_for)
            seq = self._next_seq
            if event_id is None:
                event_id = b"%b%012x" % (self._id_prefix, seq)
            if self._idempotency_keys and not idempotency_key:
                rare += b"\x3a%b%b" % (encoding.varint(len(event_id)), event_id)
            item = encoding.item(seq, header, data, event_id, rare)
            size = len(item)
            if late is None:
                pending = PendingReceipt(self, key, seq, item)
            else:
                pending = late
                pending._seq, pending._item = seq, item
                self._late.discard(pending)
            # Nothing is called between these lines: KeyboardInterrupt cannot come between them.
            self._next_seq = seq + 1
            self._pending += 1
            self._pending_bytes += size
            self._unsent.append(pending)
            if self._sender_waits is not None:
                self._sender_waits = None
                self._work.notify_all()
            if not self._started:
                self._started = True
                self._start()
        if self._dropped:
            self._tell_dropped()
        return pending

    def _put_later(self, key, data, event_id, rare, block_for, idempotency_key):
        """Takes an event from a signal handler, or __del__, that interrupted this thread while it
        holds the lock: a thread of its own puts it into the buffer afterwards.
        """
        pending = PendingReceipt(self, key, 0, None)
        self._late.add(pending)

        def run():
            try:
                self.put(key, data, event_id, rare, block_for, idempotency_key, pending)
            except PublisherError as error:
                with self._lock:
                    self._late.discard(pending)
                    pending._outcome = error
                    self._tell()
                self._run_callbacks([pending])
        _thread.start_new_thread(run, ())
        return pending

    def _has_room(self):
        return bool(self._closed) or (self._pending < self._max_pending and
                                      self._pending_bytes < self._max_pending_bytes)

    def _make_room(self, key, block_for):
        """Makes or awaits room, or raises BufferFull; the lock is held."""
        if self._when_full == "block" and not self._closed:
            if block_for != 0:
                self._wait(self._has_room, block_for)
        elif self._when_full == "drop_oldest":
            while not self._has_room() and self._unsent:
                oldest = self._unsent.popleft()
                self.counts["dropped"] += 1
                self._end(oldest, EventDropped(
                    f"{' '.join(oldest._key)}: dropped, because the buffer is full with "
                    f"{self._pending} events; {self._state()}"))
                self._dropped.append(oldest)
        if self._closed:
            raise PublisherClosed(self._closed)
        if not self._has_room():
            raise BufferFull(f"{' '.join(key)}: not taken, because the buffer is full with "
                             f"{self._pending} events, {self._pending_bytes} bytes; "
                             f"{self._state()}")

    def _tell_dropped(self):
        with self._lock:
            dropped, self._dropped = self._dropped, []
            self._tell()
        if dropped:
            self._warn("dropped", [each._outcome for each in dropped])
            self._run_callbacks(dropped)

    # ------------------------------------------------------------------------- outcomes

    def _end(self, pending, outcome):
        """Gives an event its outcome.  It has left _unsent and _sent, or _late."""
        if pending._item is not None:
            self._pending -= 1
            self._pending_bytes -= len(pending._item)
            pending._item = None
        pending._outcome = outcome

    def settle(self, connection, receipts):
        """Takes receipts (fanwire.v1.ItemReceipt) of events that were sent on the connection.

        Returns why some have no outcome yet and must be sent again; "" if none must.
        """
        ended = []      # those with callbacks
        refusals = []
        retry = ""
        others = 0      # receipts that say neither accepted nor refused
        with self._lock:
            sent = self._sent
            for each in receipts:
                pending = sent.pop(each.seq, None)
                if pending is None:
                    others += 1
                    continue
                connection.in_flight -= 1
                size = len(pending._item)
                connection.in_flight_bytes -= size
                outcome = each.receipt
                if outcome.HasField("status") and outcome.status.code:
                    if outcome.status.code == UNAVAILABLE:
                        # It may be accepted later; those after it must not overtake it.
                        sent[each.seq] = pending
                        retry = f"UNAVAILABLE: {outcome.status.message}"
                        others += 1
                        continue
                    outcome = EventRefused(CODES.get(outcome.status.code, "UNKNOWN"),
                                           outcome.status.message, *pending._key)
                    refusals.append(outcome)
                self._pending_bytes -= size
                self._pending -= 1
                pending._item = None
                pending._outcome = outcome
                if pending._callbacks:
                    ended.append(pending)
            accepted = len(receipts) - len(refusals) - others
            connection.progress += len(receipts) - others
            if retry:
                connection.going_away = True  # nothing more is sent on it
            self.counts["accepted"] += accepted
            self.counts["refused"] += len(refusals)
            if self._sender_waits is not None:
                self._work.notify_all()
            self._tell()
        if refusals:
            self._report(refusals)
        if ended:
            self._run_callbacks(ended)
        return retry

    def _tell(self):
        """Wakes whoever waits for a change.  The lock is held."""
        if self._watchers:
            self._changed.notify_all()
        if self._tasks:
            for future, (condition, loop) in list(self._tasks.items()):
                if condition():
                    del self._tasks[future]
                    _call_soon(loop, [future])

    def _report(self, refusals):
        if self._on_refused is not None:
            for error in refusals:
                try:
                    self._on_refused(error)
                except Exception:
                    log.exception("on_refused raised")
            return
        self._warn("refused", refusals)

    def _warn(self, what, errors):
        """Logs the last of the errors, and how many there were, but not too often."""
        count, logged = self._warnings.get(what, (0, -math.inf))
        count += len(errors)
        now = time.monotonic()
        if now - logged < WARN_EVERY:
            self._warnings[what] = (count, logged)
            return
        self._warnings[what] = (0, now)  # before the log: a handler of the log may publish
        log.warning("%s: %s%s", what, errors[-1], f" (and {count - 1} more)" if count > 1 else "")

    def _run_callbacks(self, ended):
        by_loop = {}
        for pending in ended:
            for callback in pending._callbacks or ():
                if isinstance(callback, tuple):
                    by_loop.setdefault(callback[0], []).append(callback[1])
                    continue
                try:
                    callback(pending)
                except Exception:
                    log.exception("a callback of %r raised", pending)
            pending._callbacks = None
        for loop, futures in by_loop.items():
            _call_soon(loop, futures)

    def add_callback(self, pending, callback):
        """Returns False, and does nothing, if there is an outcome already."""
        with self._lock:
            if pending._outcome is not None:
                return False
            if pending._callbacks is None:
                pending._callbacks = []
            pending._callbacks.append(callback)
            return True

    # ------------------------------------------------------------------------- waiting

    def _wait(self, condition, timeout):
        """Waits with the lock held; returns whether the condition came true.

        Does not wait in a callback: what it waits for can only come on the thread that it runs on.
        """
        if self._in_callback():
            timeout = 0
        deadline = None if timeout is None else time.monotonic() + timeout
        self._watchers += 1
        try:
            while not condition():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            return True
        finally:
            self._watchers -= 1

    def _in_callback(self):
        return threading.current_thread() is self._thread

    def _after(self, timeout):
        return ("in a callback, which cannot wait for one" if self._in_callback()
                else f"after {timeout} s")

    def watch(self, condition, loop):
        """Returns an asyncio future that ends when condition() is true, or None if it is."""
        with self._lock:
            if condition():
                return None
            future = loop.create_future()
            self._tasks[future] = (condition, loop)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future):
        with self._lock:
            self._tasks.pop(future, None)

    def has_room(self):
        """For watch()."""
        return self._has_room()

    def blocks(self):
        """Whether a publisher waits while the buffer is full."""
        return self._when_full == "block"

    def wait_for(self, pending, timeout):
        with self._lock:
            if not self._wait(lambda: pending._outcome is not None, timeout):
                raise ReceiptTimeout(f"{' '.join(pending._key)}: no receipt "
                                     f"{self._after(timeout)}; {self._state()}")

    def flushed(self):
        """Returns a condition for watch(): all events of now have an outcome."""
        target = self._next_seq
        late = list(self._late)

        def condition():
            if not all(each.done() for each in late):
                return False
            oldest = min(self._sent, default=math.inf)
            if self._unsent:
                oldest = min(oldest, self._unsent[0]._seq)
            return oldest >= target
        return condition

    def flush(self, timeout):
        with self._lock:
            if not self._wait(self.flushed(), timeout):
                raise self.flush_timeout(timeout)

    def flush_timeout(self, timeout):
        return ReceiptTimeout(f"{self._pending} events without a receipt {self._after(timeout)}; "
                              f"{self._state()}")

    def pending(self):
        return self._pending


def _call_soon(loop, futures):
    try:
        loop.call_soon_threadsafe(wake, futures)
    except RuntimeError:  # the loop is closed, so nobody waits
        pass

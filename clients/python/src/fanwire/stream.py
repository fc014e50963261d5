"""Stream carries the events of one publisher to control over PublishStream, and brings receipts.

An event waits in the buffer until it has a receipt.  While control is away nothing is lost: after
each reconnect all events without a receipt are sent again under the same publisher_id and seqs, in
order, and control answers those that it has already with their receipts.

Threading: as Buffer.  A thread of its own connects and reads; gRPC's thread that sends pulls
           messages from _requests().
"""
import atexit
import collections
import os
import threading
import time
import uuid
import weakref

import grpc

from fanwire import encoding, messages
from fanwire.backoff import Backoff
from fanwire.buffer import Buffer, log
from fanwire.errors import EventRefused, PublisherClosed, PublisherError, ReceiptTimeout
from fanwire.target import fork_hint

METHOD = "/fanwire.v1.Publisher/PublishStream"

BATCH_EVENTS = 1000          # of one message; less if control takes less
BATCH_BYTES = 512 * 1024
GREETING_TIMEOUT = 10.0      # for the welcome, and for the last receipts after a go_away


class Connection:
    """One PublishStream call.  Guarded by the Stream's lock."""

    def __init__(self):
        self.address = ""
        self.channel = None
        self.call = None
        self.welcomed = False
        self.going_away = False
        self.over = False
        self.credit = 0
        self.in_flight = 0           # items sent on it that have no receipt
        self.in_flight_bytes = 0
        self.resend = collections.deque()
        self.progress = 0            # items that got their receipt
        self.largest = 0             # items of a message

    def cancel(self):
        if self.call is not None:
            self.call.cancel()


class Stream(Buffer):
    def __init__(self, target, *, level, wait, backoff, **buffer):
        super().__init__(**buffer)
        self._target = target
        self.publisher_id = str(uuid.uuid4())
        self._hello = self._make_hello(level, wait)
        # The other half of the buffer has not been sent, so that something can be dropped.
        self._max_in_flight = max(1, self._max_pending // 2)
        self._max_in_flight_bytes = max(1, self._max_pending_bytes // 2)
        self._backoff = Backoff(*backoff)
        self._batch_events = BATCH_EVENTS
        self._connection = None
        self._last_error = ""
        self._stopped = False        # the thread ends
        _streams.add(self)

    def _make_hello(self, level, wait):
        if level not in messages.LEVELS:
            raise ValueError(f"level {level!r}: expected one of {', '.join(messages.LEVELS)}")
        request = messages.PublishStreamRequest()
        request.hello.publisher_id = self.publisher_id
        request.hello.receipt_level = messages.LEVELS[level]
        if wait is not None:
            if wait < 0:  # control would refuse it at each connection
                raise ValueError(f"wait {wait!r}: it is negative")
            request.hello.wait.FromMicroseconds(round(wait * 1e6))
        return request.SerializeToString()

    # ------------------------------------------------------------------------- state

    def connected(self):
        """For watch(), and for whoever asks."""
        connection = self._connection
        return connection is not None and connection.welcomed

    def connect(self, timeout):
        self.start()
        with self._lock:
            self._wait(lambda: self._closed or self.connected(), timeout)
            if self._closed:
                raise PublisherClosed(self._closed)
            if not self.connected():
                raise ReceiptTimeout(f"no connection after {timeout} s; {self._state()}")

    def _state(self):
        connection = self._connection
        address = connection.address if connection is not None else ""
        if self.connected():
            return f"connected to {address}"
        return f"not connected to {address}: {self._last_error or fork_hint() or 'connecting'}"

    def state(self):
        with self._lock:
            return self._state()

    def call_tool(self, tool, service, timeout):
        """Calls one of the five tools of fanwire.v1.Admin; returns its JSON.

        Raises PublisherError if there is no connection, and if control refuses.
        """
        connection = self._connection
        if not self.connected():
            raise PublisherError(self.state())
        method = connection.channel.unary_unary(f"/fanwire.v1.Admin/{tool}")
        try:
            return encoding.read_text_field(method(encoding.text_field(service), timeout=timeout,
                                                   metadata=self._target.metadata()))
        except grpc.RpcError as error:
            raise PublisherError(f"{error.code().name}: {error.details()}") from error
        except ValueError as error:  # the channel was closed meanwhile
            raise PublisherError(str(error)) from error

    # ------------------------------------------------------------------------- start and end

    def start(self):
        """Connects in the background.  The first put() does so, too."""
        with self._lock:
            if self._closed:
                raise PublisherClosed(self._closed)
            if not self._started:
                self._started = True
                self._start()

    def _start(self):
        self._thread = threading.Thread(target=self._begin, name="fanwire-publisher", daemon=True)
        self._thread.start()

    def begin_close(self):
        """Takes no more events."""
        with self._lock:
            if not self._closed:
                self._closed = "the publisher is closed"
                self._tell()

    def empty(self):
        """For watch()."""
        return self._pending == 0 and not self._late

    def end_close(self):
        """Ends the connection and the thread; returns how many events had no receipt."""
        # Then this is a signal handler in a thread that holds the lock, which the other one needs
        # to end: it is not waited for.
        interrupts = self._lock._is_owned()
        with self._lock:
            left = self._pending + len(self._late)
            self._stopped = True
            self._work.notify_all()
            connection, thread = self._connection, self._thread
        if connection is not None and (left or not connection.welcomed):
            connection.cancel()
        if thread is not None and thread is not threading.current_thread() and not interrupts:
            thread.join(2)
            if thread.is_alive():  # control does not end the stream
                connection = self._connection
                if connection is not None:
                    connection.cancel()
                thread.join(5)
        with self._lock:
            rest = [*self._sent.values(), *self._unsent, *self._late]
            self._sent.clear()
            self._unsent.clear()
            self._late.clear()
            for pending in rest:
                self._end(pending, PublisherClosed(
                    f"{' '.join(pending._key)}: the publisher was closed before a receipt came"))
            self._tell()
        self._run_callbacks(rest)
        _streams.discard(self)
        return left

    def close(self, timeout):
        self.begin_close()
        with self._lock:
            self._wait(self.empty, timeout)
            error = self.flush_timeout(timeout)
        if self.end_close():
            raise error

    def after_fork(self):
        """In a child process nothing works any more: neither threads nor gRPC were copied."""
        self._make_locks()
        self._closed = ("this process was forked from the one that made the publisher: "
                        "make a publisher in each process")
        self._thread = self._connection = None
        self._unsent.clear()
        self._sent.clear()
        self._tasks.clear()
        self._late.clear()
        self._pending = self._pending_bytes = self._watchers = 0

    # ------------------------------------------------------------------------- the connection

    def _begin(self):
        if fork_hint():
            log.warning("%s", fork_hint())
        self._run()

    def _run(self):
        tell = True
        while True:
            connection = Connection()
            with self._lock:
                if self._stopped:
                    return
                self._connection = connection
            error = self._serve(connection)
            with self._lock:
                tell = tell or connection.welcomed
                connection.welcomed = False
                if error:
                    self._last_error = error
                self._tell()
                if self._stopped:
                    return
            if tell:
                tell = False
                log.warning("connection to %s: %s; events are kept and sent later",
                            connection.address, self._last_error)
            with self._lock:
                deadline = time.monotonic() + self._backoff.next(connection.progress)
                while not self._stopped and time.monotonic() < deadline:
                    self._work.wait(max(0, deadline - time.monotonic()))

    def _serve(self, connection):
        """Runs one connection to its end; returns why it ended."""
        try:
            connection.address, connection.channel = self._target.open()
            method = connection.channel.stream_stream(
                METHOD, response_deserializer=messages.PublishStreamResponse.FromString)
            call = method(self._requests(connection), metadata=self._target.metadata())
            connection.call = call
            with self._lock:
                stopped = self._stopped
            if stopped:
                call.cancel()
            for response in call:
                self._take(connection, response)
            return "" if connection.going_away else "control ended the stream"
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            if connection.largest and code in (grpc.StatusCode.INVALID_ARGUMENT,
                                               grpc.StatusCode.RESOURCE_EXHAUSTED):
                self._send_less(connection, code, details)
            return f"{code.name}: {details}"
        except Exception as error:  # the caller's functions for a token and metadata may raise
            return f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                connection.over = True
                self._work.notify_all()
            if connection.channel is not None:
                connection.channel.close()

    def _send_less(self, connection, code, details):
        """Control took a message for too large; what it says of a single event is a refusal."""
        refused = None
        with self._lock:
            if connection.largest > 1:
                self._batch_events = max(1, connection.largest // 2)
            elif code == grpc.StatusCode.INVALID_ARGUMENT and self._sent:
                refused = self._sent.pop(min(self._sent))
                self.counts["refused"] += 1
                self._end(refused, EventRefused(code.name, details, *refused._key))
                self._tell()
        if refused is not None:
            self._report([refused._outcome])
            self._run_callbacks([refused])

    def _take(self, connection, response):
        kind = response.WhichOneof("message")
        if kind == "receipts":
            retry = self.settle(connection, response.receipts.receipts)
            if retry:
                self._last_error = retry
            return
        with self._lock:
            if kind == "welcome":
                connection.credit = response.welcome.credit
                connection.resend.extend(self._sent[seq] for seq in sorted(self._sent))
                again = len(connection.resend)
                connection.welcomed = True
                self.counts["connections"] += 1
                self.counts["resent"] += again
                self._tell()
            elif kind == "credit":
                connection.credit = response.credit.credit
            elif kind == "go_away":
                connection.going_away = True
                self._last_error = f"control goes away: {response.go_away.reason}"
            self._work.notify_all()
        if kind == "welcome":  # without the lock: a handler of the log may publish
            log.info("connected to %s, %d events to send again", connection.address, again)

    def _requests(self, connection):
        """The messages of a connection; gRPC asks for the next one when one is sent."""
        yield self._hello
        deadline = time.monotonic() + GREETING_TIMEOUT
        leaving = False
        while True:
            with self._lock:
                while True:
                    if connection.over or (self._stopped and not connection.in_flight):
                        return
                    if connection.going_away:
                        if not connection.in_flight:
                            return
                        if not leaving:
                            leaving, deadline = True, time.monotonic() + GREETING_TIMEOUT
                    elif connection.welcomed:
                        parts = self._take_batch(connection)
                        if parts:
                            break
                    left = None
                    if leaving or not connection.welcomed:
                        left = deadline - time.monotonic()
                        if left <= 0:
                            connection.cancel()
                            return
                    self._sender_waits = connection
                    self._work.wait(left)
                    if self._sender_waits is connection:  # and not a later one
                        self._sender_waits = None
            items = b"".join(parts)
            yield b"\x12%b%b" % (encoding.varint(len(items)), items)

    def _take_batch(self, connection):
        room = min(self._batch_events,
                   min(connection.credit, self._max_in_flight) - connection.in_flight)
        parts = []
        size = 0
        resend, unsent, sent = connection.resend, self._unsent, self._sent
        max_size = min(BATCH_BYTES, self._max_in_flight_bytes - connection.in_flight_bytes)
        if max_size <= 0:
            return parts
        while room > 0 and size < max_size:
            if resend:
                pending = resend.popleft()
                if pending._item is None:
                    continue
            elif unsent:
                pending = unsent.popleft()
                sent[pending._seq] = pending
            else:
                break
            parts.append(pending._item)
            size += len(pending._item)
            room -= 1
        connection.in_flight += len(parts)
        connection.in_flight_bytes += size
        if len(parts) > connection.largest:
            connection.largest = len(parts)
        return parts


_streams = weakref.WeakSet()


def _after_fork():
    for stream in list(_streams):
        stream.after_fork()


def _at_exit():
    for stream in list(_streams):
        if stream._started:
            try:
                stream.close(5.0)
            except Exception as error:
                log.warning("at exit: %s", error)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

"""Publishes events through Fanwire.

    from fanwire.publisher import Publisher

    with Publisher() as publisher:
        publisher.publish("mahavishnu", "workflow:wf", "workflow.started", {"workflow_id": "wf"})

Publisher is for threads and scripts, AsyncPublisher for asyncio.  Both send in the background, many
events in a message, and keep events while control is away: see docs/publishing.md.
"""
import asyncio
import collections.abc
import inspect
import math
import os
import socket
import threading
import time

from google.protobuf.message import Message

from fanwire import encoding
from fanwire.errors import (BufferFull, EventDropped, EventRefused, PublisherClosed,
                            PublisherError, ReceiptTimeout, RequestError)
from fanwire.receipt import Delivery, PendingReceipt, Receipt
from fanwire.stream import Stream
from fanwire.target import Target

__all__ = ["AsyncPublisher", "BufferFull", "Delivery", "EventDropped", "EventRefused",
           "PendingReceipt", "Publisher", "PublisherClosed", "PublisherError", "Receipt",
           "ReceiptTimeout", "RequestError"]

WHEN_FULL = ("block", "raise", "drop_oldest")


class _Base:
    """What Publisher and AsyncPublisher share.

    target       control's gRPC address: "127.0.0.1:8701", "unix:/run/fanwire/control.sock".
                 Default: FANWIRE_SERVER, else the local socket as wsctl finds it, else
                 127.0.0.1:8701.
    token        sent as `authorization: Bearer …`; a text, or a function that returns one, called
                 for each connection.  Default: FANWIRE_TOKEN.  Never sent to another machine
                 without TLS.
    metadata     further gRPC metadata: pairs, or a function that returns them for each connection.
    credentials  grpc.ChannelCredentials, for TLS: grpc.ssl_channel_credentials().
    level        what a receipt waits for: "accepted" (the event has its position), "routed", or
                 "written" (handed to the kernel for each subscriber), for which control waits for
                 at most `wait` seconds (default 5).
    max_pending, max_pending_bytes   how much the buffer holds: events without a receipt.
    when_full    what happens to a further event: "block" waits for room for `block_timeout` seconds
                 (None: for ever) and then raises BufferFull; "raise" raises BufferFull at once;
                 "drop_oldest" drops the oldest event that was not sent, and counts it.
    backoff      seconds between attempts to connect: the first, and the longest.
    idempotency_keys   gives each event without a key its own id as key, so that it is published
                 once even if control forgets the publisher.
    on_refused   called with the EventRefused of each refused event, on a thread of the library.
                 Default: refused events are logged, at most every 10 s.
    dumps        writes data as JSON: a function like orjson.dumps, which returns bytes or str.
                 Default: Python's json.
    close_timeout   how long close() waits for receipts, in seconds.
    """

    def __init__(self, target=None, *, token=None, metadata=None, credentials=None,
                 level="accepted", wait=None, max_pending=10_000, max_pending_bytes=64 << 20,
                 when_full="block", block_timeout=30.0, backoff=(0.1, 5.0),
                 idempotency_keys=False, on_refused=None, dumps=encoding.to_json,
                 close_timeout=10.0):
        if when_full not in WHEN_FULL:
            raise ValueError(f"when_full {when_full!r}: expected one of {', '.join(WHEN_FULL)}")
        if max_pending < 1 or max_pending_bytes < 1:
            raise ValueError("max_pending and max_pending_bytes: at least 1")
        self._block_timeout = block_timeout
        self._dumps = dumps
        self._close_timeout = close_timeout
        self._target = Target(target, token, metadata, credentials)
        self._backoff = backoff
        self._responders = {}     # by service
        self._serves = False      # they are started
        self._threads = None      # of Publisher's handlers
        self._loop = None         # of AsyncPublisher's
        self._tasks = set()       # likewise
        self._stream = Stream(
            self._target, level=level, wait=wait,
            max_pending=max_pending, max_pending_bytes=max_pending_bytes, when_full=when_full,
            backoff=backoff, idempotency_keys=idempotency_keys, on_refused=on_refused)

    @property
    def publisher_id(self):
        """What control knows this publisher by, over all its connections."""
        return self._stream.publisher_id

    @property
    def connected(self):
        return self._stream.connected()

    @property
    def pending(self):
        """How many events have no receipt yet."""
        return self._stream.pending()

    def state(self):
        """Returns a text for people: connected to what, or why not."""
        return self._stream.state()

    def stats(self):
        """Returns counts since the publisher was made.

        accepted, refused, dropped; resent (events that a reconnect sent again); connections.
        """
        counts = self._stream.counts
        return {name: counts[name]
                for name in ("accepted", "refused", "dropped", "resent", "connections")}

    def serve(self, service, *names, max_concurrent=0):
        """A decorator: the function answers clients' requests of these names.

            @publisher.serve("fastblocks", "get_state")
            def get_state(request):
                return {"state_path": request.data["state_path"], "value": 5}

        names           exact, or with a last "*" for every name that begins so
        max_concurrent  how many requests of the service may be without an answer at once; 0: as
                        many as control allows.  That of the service's first function holds

        The function gets a fanwire.serving.Request and returns the answer: a dict, or a JSON object
        as str or bytes.  It raises RequestError for an error that the client is to read.  Serving
        begins with the publisher's `with` block, or with start_serving().
        """
        if not names or not all(isinstance(name, str) for name in names):
            raise TypeError('serve: expected the names of requests, as in serve("fastblocks", '
                            '"get_state")')

        def decorator(function):
            self._check_handler(function)
            responder = self._responders.get(service)
            if responder is None:
                from fanwire.serving import Responder  # takes time that few programs need spend
                responder = self._responders[service] = Responder(
                    self._target, service, run=self._run_handler, dumps=self._dumps,
                    max_concurrent=max_concurrent, backoff=self._backoff,
                    responder_id=f"{socket.gethostname()}:{os.getpid()}"[:128])
            for name in names:
                responder.add(name, function)
            if self._serves:
                responder.start()
            return function
        return decorator

    def start_serving(self):
        """Begins to serve what serve() has functions for, in the background."""
        self._serves = True
        for responder in self._responders.values():
            responder.start()

    @property
    def serving(self):
        """Whether control gives this process the requests of all its functions."""
        return self._serves and all(each.serving() for each in self._responders.values())

    def _stop_serving(self, timeout):
        for responder in self._responders.values():
            responder.stop(timeout)

    def call_tool(self, tool, service, timeout=1.0):
        """Asks control by a tool: HealthCheck, GetStatus, ListRooms or GetMetrics.

        Returns its JSON; raises PublisherError.  Blocks for at most `timeout` seconds.
        """
        return self._stream.call_tool(tool, service, timeout)

    def _put(self, block_for, service="", channel="", event="", data=None, *, typed=None, id=None,
             idempotency_key=None, ttl=None, skip_history=False, exclude_connection=None,
             occurred_at=None):
        if isinstance(service, Message):
            service, typed = "", service
        if typed is not None:
            if data is not None:
                raise TypeError("either data or a message")
            data = typed
            if not service:
                from fanwire import catalog  # takes time that most programs need not spend
                service = catalog.service_of(typed)
        if data is None:
            payload = b""
        elif type(data) is dict or isinstance(data, collections.abc.Mapping):
            payload = self._dumps(data)
            if isinstance(payload, str):  # json.dumps
                payload = payload.encode()
        elif isinstance(data, bytes):
            payload = data
        elif isinstance(data, str):
            payload = data.encode()
        elif isinstance(data, Message):
            payload, typed = b"", data
        else:
            raise TypeError(f"data: {type(data).__qualname__}; expected a dict, a JSON object as "
                            "str or bytes, or a message")
        rare = b""
        if (typed is not None or idempotency_key or skip_history or ttl is not None
                or exclude_connection or occurred_at is not None):
            rare = encoding.rare_fields(idempotency_key, ttl, skip_history, exclude_connection,
                                        occurred_at, typed)
        return self._stream.put((service, channel, event), payload,
                                None if id is None else encoding.id_bytes(id), rare, block_for,
                                idempotency_key)


class Publisher(_Base):
    __doc__ = "Publishes from threads and scripts.  Safe from every thread.\n" + _Base.__doc__

    def publish(self, service="", channel="", event="", data=None, **fields):
        """Takes one event and returns its PendingReceipt, without waiting for control.

        data    the payload: a dict, a JSON object as str or bytes, or a message of the catalog
        fields  id (default: a new UUID), idempotency_key, ttl (seconds or timedelta),
                skip_history, exclude_connection, occurred_at (datetime); see Event in
                publish.proto

        publish(message), or publish(typed=message), is for messages of fanwire.catalog: control
        computes channel and name.

        Raises TypeError or ValueError if data cannot be JSON, EventRefused if it is too large,
        BufferFull as `when_full` says, and PublisherClosed.
        """
        return self._put(self._block_timeout, service, channel, event, data, **fields)

    def connect(self, timeout=10.0):
        """Waits until there is a connection.  Not needed: publish() connects."""
        self._stream.connect(timeout)

    def serve_forever(self):
        """Serves what serve() has functions for, until the program ends (KeyboardInterrupt)."""
        self.start_serving()
        threading.Event().wait()

    def _check_handler(self, function):
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is a coroutine function: AsyncPublisher "
                            "serves those")

    def _run_handler(self, handler, request, answer):
        def run():
            try:
                # What waited until its time was over is not done: the next ones are in a hurry.
                result = None if request.cancelled else handler(request)
            except BaseException as error:
                result = error
            answer(result)
        if self._threads is None:
            from fanwire.handler_threads import HandlerThreads
            self._threads = HandlerThreads()
        self._threads.submit(run)

    def flush(self, timeout=None):
        """Waits until all events that were published before have an outcome, or raises
        ReceiptTimeout after `timeout` seconds."""
        self._stream.flush(timeout)

    def close(self, timeout=None):
        """Waits for the receipts and ends the connection.

        Raises ReceiptTimeout if events had no receipt after `timeout` seconds (default:
        close_timeout); those are lost.
        """
        timeout = self._close_timeout if timeout is None else timeout
        self._stop_serving(timeout)
        if self._threads is not None:
            self._threads.close()
        self._stream.close(timeout)

    def __enter__(self):
        self.start_serving()
        return self

    def __exit__(self, error_type, error, traceback):
        try:
            self.close()
        except ReceiptTimeout:
            if error is None:
                raise


class AsyncPublisher(_Base):
    __doc__ = ("Publishes from asyncio and never blocks the event loop.  Safe from every thread "
               "and loop.\n" + _Base.__doc__)

    async def publish(self, service="", channel="", event="", data=None, **fields):
        """Publishes one event and waits for its Receipt.

        Takes and raises what Publisher.publish() does, and what PendingReceipt.result() raises.
        """
        return await (await self.enqueue(service, channel, event, data, **fields))

    async def enqueue(self, service="", channel="", event="", data=None, **fields):
        """Takes one event and returns its PendingReceipt, which may be awaited or left alone.

        Waits only for room in the buffer, if when_full is "block".
        """
        if self._stream.blocks():
            deadline = math.inf if self._block_timeout is None else (time.monotonic() +
                                                                     self._block_timeout)
            while not self._stream.has_room() and time.monotonic() < deadline:
                await self._wait(self._stream.has_room, min(deadline - time.monotonic(), 3600))
        return self.enqueue_nowait(service, channel, event, data, **fields)

    def enqueue_nowait(self, service="", channel="", event="", data=None, **fields):
        """Takes one event and returns its PendingReceipt; raises BufferFull if that would wait."""
        return self._put(0, service, channel, event, data, **fields)

    async def connect(self, timeout=10.0):
        """Waits until there is a connection.  Not needed: publishing connects."""
        self._stream.start()
        await self._wait(self._stream.connected, timeout)
        if not self.connected:
            raise ReceiptTimeout(f"no connection after {timeout} s; {self.state()}")

    async def serve_forever(self):
        """Serves what serve() has functions for, until the task is cancelled."""
        self.start_serving()
        await asyncio.get_running_loop().create_future()

    def start_serving(self):
        """Begins to serve what serve() has functions for, in this event loop."""
        self._loop = asyncio.get_running_loop()
        super().start_serving()

    def _check_handler(self, function):
        pass

    def _run_handler(self, handler, request, answer):
        async def run():
            try:
                result = None if request.cancelled else handler(request)
                if inspect.isawaitable(result):
                    result = await result
            except asyncio.CancelledError:  # the program ends: another process may answer
                answer(RequestError("UNAVAILABLE", "the service stops"))
                raise
            except BaseException as error:
                answer(error)
                if not isinstance(error, Exception):
                    raise
                return
            answer(result)

        def begin():
            task = self._loop.create_task(run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._loop.call_soon_threadsafe(begin)

    async def flush(self, timeout=None):
        """Waits until all events that were published before have an outcome, or raises
        ReceiptTimeout after `timeout` seconds."""
        if not await self._wait(self._stream.flushed(), timeout):
            raise self._stream.flush_timeout(timeout)

    async def close(self, timeout=None):
        """As Publisher.close()."""
        timeout = self._close_timeout if timeout is None else timeout
        if self._responders:
            await asyncio.get_running_loop().run_in_executor(None, self._stop_serving, timeout)
        self._stream.begin_close()
        await self._wait(self._stream.empty, timeout)
        error = self._stream.flush_timeout(timeout)
        if await asyncio.get_running_loop().run_in_executor(None, self._stream.end_close):
            raise error

    async def _wait(self, condition, timeout):
        """Returns whether the condition came true within the time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            future = self._stream.watch(condition, asyncio.get_running_loop())
            if future is None:
                return True
            left = None if deadline is None else max(0, deadline - time.monotonic())
            try:
                await asyncio.wait_for(future, left)
            except asyncio.TimeoutError:
                return False

    async def __aenter__(self):
        self.start_serving()
        return self

    async def __aexit__(self, error_type, error, traceback):
        try:
            await self.close()
        except ReceiptTimeout:
            if error is None:
                raise

"""Publishes events through Fanwire.

    from fanwire.publisher import Publisher

    with Publisher() as publisher:
        publisher.publish("mahavishnu", "workflow:wf", "workflow.started", {"workflow_id": "wf"})

Publisher is for threads and scripts, AsyncPublisher for asyncio.  Both send in the background, many
events in a message, and keep events while control is away: see docs/publishing.md.
"""
import asyncio
import collections.abc
import math
import time

from google.protobuf.message import Message

from fanwire import encoding
from fanwire.errors import (BufferFull, EventDropped, EventRefused, PublisherClosed,
                            PublisherError, ReceiptTimeout)
from fanwire.receipt import Delivery, PendingReceipt, Receipt
from fanwire.stream import Stream
from fanwire.target import Target

__all__ = ["AsyncPublisher", "BufferFull", "Delivery", "EventDropped", "EventRefused",
           "PendingReceipt", "Publisher", "PublisherClosed", "PublisherError", "Receipt",
           "ReceiptTimeout"]

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
    dumps        writes data as JSON: a function like orjson.dumps.  Default: Python's json.
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
        self._stream = Stream(
            Target(target, token, metadata, credentials), level=level, wait=wait,
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

    def call_tool(self, tool, service, timeout=1.0):
        """Asks control by a tool: HealthCheck, GetStatus, ListRooms or GetMetrics.

        Returns its JSON; raises PublisherError.  Blocks for at most `timeout` seconds.
        """
        return self._stream.call_tool(tool, service, timeout)

    def _put(self, block_for, service, channel="", event="", data=None, *, id=None,
             idempotency_key=None, ttl=None, skip_history=False, exclude_connection=None,
             occurred_at=None):
        typed = None
        if isinstance(service, Message):
            from fanwire import catalog  # takes time that most programs need not spend
            service, data = catalog.service_of(service), service
        if data is None:
            payload = b""
        elif type(data) is dict or isinstance(data, collections.abc.Mapping):
            payload = self._dumps(data)
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
                                None if id is None else id.encode(), rare, block_for,
                                idempotency_key)


class Publisher(_Base):
    __doc__ = "Publishes from threads and scripts.  Safe from every thread.\n" + _Base.__doc__

    def publish(self, service, channel="", event="", data=None, **fields):
        """Takes one event and returns its PendingReceipt, without waiting for control.

        data    the payload: a dict, a JSON object as str or bytes, or a message of the catalog
        fields  id (default: a new UUID), idempotency_key, ttl (seconds or timedelta),
                skip_history, exclude_connection, occurred_at (datetime); see Event in
                publish.proto

        publish(message) is for messages of fanwire.catalog: control computes channel and name.

        Raises TypeError if data cannot be JSON, EventRefused if it is too large, BufferFull as
        `when_full` says, and PublisherClosed.
        """
        return self._put(self._block_timeout, service, channel, event, data, **fields)

    def connect(self, timeout=10.0):
        """Waits until there is a connection.  Not needed: publish() connects."""
        self._stream.connect(timeout)

    def flush(self, timeout=None):
        """Waits until all events that were published before have an outcome, or raises
        ReceiptTimeout after `timeout` seconds."""
        self._stream.flush(timeout)

    def close(self, timeout=None):
        """Waits for the receipts and ends the connection.

        Raises ReceiptTimeout if events had no receipt after `timeout` seconds (default:
        close_timeout); those are lost.
        """
        self._stream.close(self._close_timeout if timeout is None else timeout)

    def __enter__(self):
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

    async def publish(self, service, channel="", event="", data=None, **fields):
        """Publishes one event and waits for its Receipt.

        Takes and raises what Publisher.publish() does, and what PendingReceipt.result() raises.
        """
        return await (await self.enqueue(service, channel, event, data, **fields))

    async def enqueue(self, service, channel="", event="", data=None, **fields):
        """Takes one event and returns its PendingReceipt, which may be awaited or left alone.

        Waits only for room in the buffer, if when_full is "block".
        """
        if self._stream.blocks():
            deadline = math.inf if self._block_timeout is None else (time.monotonic() +
                                                                     self._block_timeout)
            while not self._stream.has_room() and time.monotonic() < deadline:
                await self._wait(self._stream.has_room, min(deadline - time.monotonic(), 3600))
        return self.enqueue_nowait(service, channel, event, data, **fields)

    def enqueue_nowait(self, service, channel="", event="", data=None, **fields):
        """Takes one event and returns its PendingReceipt; raises BufferFull if that would wait."""
        return self._put(0, service, channel, event, data, **fields)

    async def connect(self, timeout=10.0):
        """Waits until there is a connection.  Not needed: publishing connects."""
        self._stream.start()
        await self._wait(self._stream.connected, timeout)
        if not self.connected:
            raise ReceiptTimeout(f"no connection after {timeout} s; {self.state()}")

    async def flush(self, timeout=None):
        """Waits until all events that were published before have an outcome, or raises
        ReceiptTimeout after `timeout` seconds."""
        if not await self._wait(self._stream.flushed(), timeout):
            raise self._stream.flush_timeout(timeout)

    async def close(self, timeout=None):
        """As Publisher.close()."""
        timeout = self._close_timeout if timeout is None else timeout
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
        return self

    async def __aexit__(self, error_type, error, traceback):
        try:
            await self.close()
        except ReceiptTimeout:
            if error is None:
                raise

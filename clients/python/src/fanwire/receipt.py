"""Receipt says what became of an accepted event; PendingReceipt is its future."""
import asyncio
import concurrent.futures
from typing import NamedTuple

from fanwire import messages
from fanwire.errors import PublisherError


class Delivery(NamedTuple):
    """Counts the subscribers of one event by outcome.  See Delivery in publish.proto."""
    matched: int
    written: int
    dropped: dict  # reason -> count
    lost_connection: int
    expired: int
    workers_total: int
    workers_reported: int


class Receipt(NamedTuple):
    """Control has the event.

    epoch and offset are its place in its channel ("" and 0 for an event that skips history).  With
    `duplicate` the event was accepted before, under the same idempotency key or before a reconnect.
    """
    id: str
    epoch: str
    offset: int
    duplicate: bool
    level: str  # "accepted", "routed" or "written"
    delivery: Delivery
    timed_out: bool


def receipt_from(message):
    """Returns the Receipt of a fanwire.v1.Receipt."""
    delivery = message.delivery
    return Receipt(
        message.id, message.position.epoch, message.position.offset, message.duplicate,
        messages.LEVEL_NAMES.get(message.level, "accepted"),
        Delivery(delivery.matched, delivery.written,
                 {messages.DROP_REASONS.get(each.reason, str(each.reason)): each.count
                  for each in delivery.dropped},
                 delivery.lost_connection, delivery.expired, delivery.workers_total,
                 delivery.workers_reported),
        message.timed_out)


class PendingReceipt:
    """An event on its way, and what became of it.  Safe from every thread.

    Costs little until somebody asks: it has no lock of its own.  It may be awaited in asyncio.
    """

    __slots__ = ("_stream", "_key", "_seq", "_item", "_outcome", "_callbacks")

    def __init__(self, stream, key, seq, item):
        self._stream = stream
        self._key = key            # (service, channel, event)
        self._seq = seq
        self._item = item          # the bytes to send; None once there is an outcome
        self._outcome = None       # a fanwire.v1.Receipt or an exception
        self._callbacks = None     # functions, or (loop, future)

    @property
    def service(self):
        return self._key[0]

    @property
    def channel(self):
        return self._key[1]

    @property
    def event(self):
        return self._key[2]

    def done(self):
        """Whether the event was accepted, refused or dropped."""
        return self._outcome is not None

    def result(self, timeout=None):
        """Waits for the Receipt.

        Raises EventRefused, EventDropped or PublisherClosed if the event was not accepted, and
        ReceiptTimeout after `timeout` seconds.  Blocks: in asyncio, await the object instead.
        """
        if self._outcome is None:
            self._stream.wait_for(self, timeout)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return receipt_from(self._outcome)

    def exception(self, timeout=None):
        """Waits as result() does; returns why the event was not accepted, or None."""
        if self._outcome is None:
            self._stream.wait_for(self, timeout)
        return self._outcome if isinstance(self._outcome, Exception) else None

    def add_done_callback(self, function):
        """Calls function(self) once there is an outcome, on a thread of the library.

        If there is one already, calls it now.  The function must not block.
        """
        if not self._stream.add_callback(self, function):
            function(self)

    def future(self):
        """Returns a concurrent.futures.Future of the Receipt."""
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def settle(pending):
            try:
                future.set_result(pending.result(0))
            except PublisherError as error:
                future.set_exception(error)

        self.add_done_callback(settle)
        return future

    def __await__(self):
        if self._outcome is None:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            if self._stream.add_callback(self, (loop, future)):
                yield from future
        return self.result(0)

    def __repr__(self):
        if self._outcome is None:
            state = "pending"
        elif isinstance(self._outcome, Exception):
            state = str(self._outcome)
        else:
            state = f"accepted at {self._outcome.position.offset}"
        return f"<PendingReceipt {' '.join(self._key)}: {state}>"


def wake(futures):
    """Ends asyncio futures of PendingReceipts; runs in their loop."""
    for future in futures:
        if not future.done():
            future.set_result(None)

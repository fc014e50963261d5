"""Subscription is what Client.subscribe() returns."""
import asyncio
import collections
import inspect
import logging
import re

from fanwire.errors import Disconnected, RequestTimeout
from fanwire.publication import ChannelState, Gap, Position, Subscribed
from fanwire.session import Signal
from fanwire.track import ChannelTrack, PatternTrack, Verdict

log = logging.getLogger("fanwire.subscriber")

GAP_BYTES = 200


def is_pattern(channel):
    return "*" in channel.split(":") or channel.split(":")[-1] == "**"


def matcher(pattern):
    """Returns a function that tells whether a channel matches: docs/protocol.md."""
    *first, last = pattern.split(":")
    parts = ["[^:]*" if part == "*" else re.escape(part) for part in first]
    parts.append({"*": "[^:]*", "**": ".*"}.get(last) or re.escape(last))
    return re.compile(":".join(parts), re.DOTALL).fullmatch


async def call(function, *arguments):
    """Calls a function or a coroutine function of the application."""
    result = function(*arguments)
    if inspect.isawaitable(result):
        await result


class Subscription:
    """A channel, or all channels that match a pattern, for as long as the client lives.

        async for publication in subscription: …

    The iterator brings Publications in order, Gaps where events are lost for good, and
    ChannelStates if they were asked for.  With a handler there is nothing to iterate over.

    channel, events   what was subscribed to
    state             "subscribing", "subscribed" or "unsubscribed"
    position          after the last event that the application has dealt with: its handler has
                      returned, or the iterator was asked for the next one.  Store it to go on from
                      there in another process, with recover=position.  None for a pattern
    error             why the server ended the subscription
    """

    def __init__(self, client, channel, events, recover, state, info, handler, on_gap, on_state,
                 on_subscribed):
        self.channel = channel
        self.events = None if not events else frozenset(events)
        self.state = "subscribing"
        self.error = None
        self._client = client
        self._handler = handler
        self._instead = {Gap: on_gap, ChannelState: on_state}  # of the handler or the iterator
        self._on_subscribed = on_subscribed
        self._is_pattern = is_pattern(channel)
        self._matches = matcher(channel) if self._is_pattern else None
        self._recovers = recover is not False
        self._wants_state = bool(state)
        self._info = info
        self.position = None if isinstance(recover, bool) else Position(*recover)
        if self._is_pattern:
            if self.position is not None:
                raise ValueError(f"{channel}: a pattern has no position to recover from")
            if state:
                raise ValueError(
                    f"{channel}: a pattern has no state; only a channel by its name has")
            self._track = PatternTrack()
        else:
            self._track = ChannelTrack(self.position, self.events is not None)
        self._subscribed = None       # what was confirmed last
        self._ask = None              # the last subscribe: SubscriptionTable's
        self._asked = None            # the position in it
        self._queue = collections.deque()  # (item, bytes); the first may be in work
        self._in_work = False
        self._iterating = False
        self._changed = Signal()
        if handler is not None:
            client._spawn(self._call_handler())

    # ------------------------------------------------------------------------- for applications

    async def ready(self, timeout=None):
        """Waits until the server has confirmed the subscription; returns the Subscribed.

        Raises SubscriptionEnded if it refuses, Disconnected, and RequestTimeout after `timeout`
        seconds (None: waits over all reconnects).
        """
        async def wait():
            while self.state == "subscribing":
                await self._changed.wait()
        try:
            await asyncio.wait_for(wait(), timeout)
        except asyncio.TimeoutError:
            raise RequestTimeout(f"{self.channel}: not subscribed after {timeout} s; "
                                 f"{self._client.describe()}") from None
        if self.state == "unsubscribed":
            raise self.error or Disconnected(1000, f"{self.channel}: unsubscribed")
        return self._subscribed

    def unsubscribe(self):
        """Ends the subscription.  What waits in it is dropped; a handler that runs may finish."""
        if self.state != "unsubscribed":
            self._client._subscriptions.leave(self)
            self._end(None)
        if self._in_work and self._handler is None:
            self._in_work = False
        keep = 1 if self._in_work else 0
        while len(self._queue) > keep:
            self._client._release(self._queue.pop()[1])

    async def __aenter__(self):
        return self

    async def __aexit__(self, *unused):
        self.unsubscribe()

    def __aiter__(self):
        if self._handler is not None:
            raise RuntimeError(f"{self.channel}: the handler gets the publications")
        return self

    async def __anext__(self):
        if self._iterating:
            raise RuntimeError(f"{self.channel}: another task iterates over it")
        if self._in_work:
            self._done()
        self._iterating = True
        try:
            while await self._wait():
                item = self._queue[0][0]
                function = self._instead.get(type(item))
                if function is not None:
                    await call(function, item)
                    self._done()
                    continue
                self._in_work = True
                return item
        finally:
            self._iterating = False
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    def __repr__(self):
        return f"<Subscription {self.channel}: {self.state}>"

    # ------------------------------------------------------------------------- the queue

    async def _wait(self):
        """Waits for an item; returns False at the end."""
        while not self._queue:
            if self.state == "unsubscribed":
                return False
            await self._changed.wait()
        return True

    def _put(self, item, size):
        self._queue.append((item, size))
        self._client._hold(size)
        self._changed.notify()

    def _done(self):
        """The first item is dealt with."""
        self._in_work = False
        if not self._queue:
            return  # unsubscribed meanwhile
        item, size = self._queue.popleft()
        if item.position is not None and not self._is_pattern:
            self.position = item.position
        self._client._release(size)

    async def _call_handler(self):
        while await self._wait():
            item = self._queue[0][0]
            function = self._instead.get(type(item)) or self._handler
            self._in_work = True
            try:
                await self._run_handler(function, item)
            except Exception:
                self._client._counts["handler_errors"] += 1
                log.exception("%s: the handler failed for %r", self.channel, item)
            self._done()
            await asyncio.sleep(0)  # a function that waits for nothing leaves others their turn

    async def _run_handler(self, function, item):
        """One that ends because something that it waited for was cancelled has failed."""
        result = function(item)
        if not inspect.isawaitable(result):
            return
        task = asyncio.ensure_future(result)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:  # the client is closed
            if task is not self._client._closer:
                task.cancel()
                await asyncio.wait((task,))
            raise
        if task.cancelled():
            raise RuntimeError("the handler was cancelled")
        task.result()

    # ------------------------------------------------------------------------- for the client

    def _entry(self):
        """Returns what a subscribe says of this channel."""
        self._asked = self._track.position if self._recovers else None
        entry = {"channel": self.channel}
        if self.events is not None:
            entry["events"] = sorted(self.events)
        if self._asked is not None:
            entry["recover"] = self._asked._asdict()
        if self._wants_state:
            entry["state"] = True
        if self._info is not None:
            entry["info"] = self._info
        return entry

    def _lost(self):
        """The connection ended."""
        if self.state == "subscribed":
            self.state = "subscribing"
            self._changed.notify()

    def _confirm(self, result, size):
        """Takes the answer to the last subscribe; `size` is that of its message."""
        again = self._subscribed is not None
        position = None
        if result.get("epoch") and not self._is_pattern:
            position = Position(result["epoch"], result["offset"])
        self._subscribed = Subscribed(
            position, self._asked is not None, bool(result.get("recovered")),
            result.get("recovered_count", 0), result.get("reason", ""))
        gap = None
        if not self._is_pattern:
            gap = self._track.on_confirmed(self.channel, self._subscribed)
            if (not self._queue and gap is None and "state" not in result
                    and not self._subscribed.recovered):
                self.position = position
        elif again and self._recovers:
            # Nobody can say whether something was published meanwhile, and where.
            gap = Gap(self.channel, "pattern")
        if gap is not None:
            self._put_gap(gap)
        if "state" in result:
            self._put(ChannelState(self.channel, result["state"],
                                   result.get("state_reason", ""), position), size)
        self.state = "subscribed"
        self._changed.notify()
        if self._on_subscribed is not None:
            self._client._tell(self._on_subscribed, self._subscribed)

    def _put_gap(self, gap):
        last = self._queue[-1][0] if len(self._queue) > self._in_work else None
        if isinstance(last, Gap) and (last.channel, last.reason) == (gap.channel, "pattern"):
            return  # it is told already
        self._client._counts["gaps"] += 1
        self._put(gap, GAP_BYTES)

    def _take(self, publication, size):
        """Takes an event of the channel."""
        if self.state != "subscribed":
            return
        if self.events is not None and publication.event not in self.events:
            return  # another subscription of this client wants it
        position = publication.position
        if position is not None and self._recovers:
            verdict = (self._track.on_event(publication.channel, position) if self._is_pattern
                       else self._track.on_event(position))
            if verdict is Verdict.DROP:
                return
            if verdict is Verdict.REPAIR:
                self.state = "subscribing"
                self._changed.notify()
                self._client._counts["repairs"] += 1
                return self._client._subscriptions.want(self)
        self._put(publication, size)

    def _skip(self, data):
        """Takes the notice that events will not come."""
        if self.state != "subscribed":
            return  # the confirmation says where the channel goes on
        if not self._is_pattern:
            gap = self._track.on_skipped(data)
        else:
            gap = Gap(data.get("channel"), data.get("reason", ""), data.get("from", 0),
                      data.get("to", 0))
        if gap is not None and self._recovers:
            self._put_gap(gap)

    def _end(self, error):
        """Nothing more comes.  What waits is still brought, before the error."""
        if self.state == "unsubscribed":
            return
        self.state = "unsubscribed"
        self.error = error
        self._changed.notify()

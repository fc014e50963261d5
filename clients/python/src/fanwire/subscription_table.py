"""SubscriptionTable is all subscriptions of one Client, and what the server is told of them.

Threading: one event loop.
Cost:      one message for all subscribes of a turn of the event loop, and one for each that wants
           the state; each event is compared with every pattern.
"""
import asyncio
import functools
import logging

from fanwire.backoff import FullJitter
from fanwire.errors import SubscriptionEnded
from fanwire.session import to_json

log = logging.getLogger("fanwire.subscriber")

CHANNELS_PER_MESSAGE = 10_000  # the server takes no more
ENVELOPE_BYTES = 150           # of a message around its channels, at most
TRY_AGAIN = frozenset(("UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR"))


def _size(value):
    return len(to_json(value).encode())


def _messages(pairs, limit):
    """Yields lists of keys and of values, the values as many as one message takes."""
    keys, values, size = [], [], 0
    for key, value in pairs:
        more = _size(value) + 1
        if values and (size + more > limit or len(values) == CHANNELS_PER_MESSAGE):
            yield keys, values
            keys, values, size = [], [], 0
        keys.append(key)
        values.append(value)
        size += more
    if values:
        yield keys, values


class SubscriptionTable:
    def __init__(self, first_delay, longest_delay):
        self._delays = first_delay, longest_delay
        self._by_channel = {}     # a pattern is under its own name
        self._patterns = []
        self._wanted = {}         # subscriptions that are to be sent, in order; a dict as a set
        self._left = []           # channels to unsubscribe from
        self._flushing = False
        self._retries = {}        # subscription -> (FullJitter, timer)
        self._session = None

    def __contains__(self, channel):
        return channel in self._by_channel

    def __iter__(self):
        return iter(list(self._by_channel.values()))

    def that_match(self, channel):
        """Returns the subscriptions that events of a channel are for."""
        exact = self._by_channel.get(channel)
        if not self._patterns:
            return () if exact is None else (exact,)
        found = [each for each in self._patterns if each._matches(channel)]
        if exact is not None and not exact._is_pattern:
            found.append(exact)
        return found

    # ------------------------------------------------------------------------- the application

    def add(self, subscription):
        self._by_channel[subscription.channel] = subscription
        if subscription._is_pattern:
            self._patterns.append(subscription)
        self.want(subscription)

    def want(self, subscription):
        """Subscribes, together with all others of this turn of the event loop."""
        self._wanted[subscription] = None
        self._flush_soon()

    def leave(self, subscription):
        """The application has ended the subscription."""
        if self._remove(subscription) and self._session is not None:
            self._left.append(subscription.channel)
            self._flush_soon()

    # ------------------------------------------------------------------------- the connection

    def on_connected(self, session):
        self._session = session
        for subscription in self:
            self.want(subscription)

    def on_lost(self):
        self._session = None
        for subscription in self:
            subscription._lost()
        self._forget_retries()
        self._left.clear()

    def on_unsubscribed(self, channel, reason):
        """The server has ended a subscription."""
        subscription = self._by_channel.get(channel)
        if subscription is not None:
            self._drop(subscription, SubscriptionEnded(
                reason, f"the server has ended the subscription to {channel}"))

    def end(self, error):
        """Ends all subscriptions; `error` is None if the application wants that."""
        self._forget_retries()
        for subscription in self:
            self._remove(subscription)
            subscription._end(error)

    # ------------------------------------------------------------------------- subscribing

    def _drop(self, subscription, error):
        self._remove(subscription)
        subscription._end(error)

    def _remove(self, subscription):
        if self._by_channel.get(subscription.channel) is not subscription:
            return False
        del self._by_channel[subscription.channel]
        if subscription._is_pattern:
            self._patterns.remove(subscription)
        self._wanted.pop(subscription, None)
        self._forget_retry(subscription)
        return True

    def _flush_soon(self):
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self):
        self._flushing = False
        session = self._session
        if session is None:
            return  # the next connection subscribes to everything
        limit = session.max_message_bytes - ENVELOPE_BYTES
        left, self._left = self._left, []
        for _, names in _messages([(name, name) for name in left], limit):
            session.request("unsubscribe", {"channels": names}, lambda *_: None)
        wanted, self._wanted = self._wanted, {}
        together = []
        for subscription in wanted:
            if subscription._wants_state:  # the server takes it alone
                self._send(session, [subscription], [subscription._entry()], limit)
            else:
                together.append((subscription, subscription._entry()))
        for subscriptions, entries in _messages(together, limit):
            self._send(session, subscriptions, entries, limit)

    def _send(self, session, subscriptions, entries, limit):
        if len(entries) == 1 and _size(entries[0]) > limit:
            return self._drop(subscriptions[0], SubscriptionEnded(
                "INVALID_REQUEST", f"the server takes {session.max_message_bytes} bytes"))
        ask = object()
        for subscription in subscriptions:
            subscription._ask = ask
        session.request("subscribe",
                        entries[0] if subscriptions[0]._wants_state else {"channels": entries},
                        functools.partial(self._on_reply, ask, subscriptions))

    def _on_reply(self, ask, subscriptions, reply, error, size):
        if error is not None:
            return  # the next connection subscribes again
        if reply.get("type") == "error":
            results = [reply] * len(subscriptions)
        else:
            results = reply["data"].get("results", [reply["data"]])
        for subscription, result in zip(subscriptions, results):
            if subscription._ask is not ask or subscription.state == "unsubscribed":
                continue
            code = result.get("error_code")
            if not code:
                self._forget_retry(subscription)
                subscription._confirm(result, size)
            elif code in TRY_AGAIN or (
                    # Of channels that nobody publishes to, or the server is configured anew.
                    code == "LIMIT_EXCEEDED" and subscription._subscribed is not None):
                self._try_again(subscription, code, result.get("error_message"))
            else:
                self._drop(subscription, SubscriptionEnded(code, result.get("error_message", "")))

    def _try_again(self, subscription, code, text):
        backoff, _ = self._retries.get(subscription, (None, None))
        if backoff is None:
            backoff = FullJitter(*self._delays)
            log.warning("%s: not subscribed: %s: %s; trying again", subscription.channel, code,
                        text)
        timer = asyncio.get_running_loop().call_later(backoff.next(), self.want, subscription)
        self._retries[subscription] = backoff, timer

    def _forget_retry(self, subscription):
        _, timer = self._retries.pop(subscription, (None, None))
        if timer is not None:
            timer.cancel()

    def _forget_retries(self):
        for subscription in list(self._retries):
            self._forget_retry(subscription)

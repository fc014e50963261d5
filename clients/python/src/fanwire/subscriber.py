"""Client subscribes to channels of a service, from asyncio, over lost connections.

    async with Client("ws://127.0.0.1:8690") as client:
        async for publication in client.subscribe("workflow:wf_1"):
            print(publication.event, publication.data)

docs/clients.md documents it.  Needs the package `websockets`.
"""
import asyncio
import datetime
import inspect
import json
import logging
import random

from fanwire import websocket
from fanwire.backoff import FullJitter
from fanwire.errors import (
    ConnectionLost,
    Disconnected,
    RequestFailed,
    RequestTimeout,
    SubscriberError,
    SubscriptionEnded,
    TokenRefused,
)
from fanwire.publication import (
    ChannelState,
    Gap,
    History,
    Member,
    Position,
    Presence,
    Publication,
    Published,
    Subscribed,
)
from fanwire.session import Session, Signal, to_json
from fanwire.subscription import Subscription
from fanwire.subscription_table import SubscriptionTable

__all__ = ["ChannelState", "Client", "ConnectionLost", "Disconnected", "Gap", "History", "Member",
           "Position", "Presence", "Publication", "Published", "RequestFailed", "RequestTimeout",
           "Subscribed", "SubscriberError", "Subscription", "SubscriptionEnded", "TokenRefused"]

log = logging.getLogger("fanwire.subscriber")

STABLE_AFTER = 1.0           # seconds after which a connection that ends counts as a first failure
FRESH_TOKEN = 1.0            # a token that is in force for less than so many seconds
EXPECTED = (*websocket.OPEN_ERRORS, websocket.Closed, SubscriberError)
PROTOCOL_ERRORS = frozenset((1002, 1003, 1007, 1010))


def is_final(code):
    """Whether a client that is closed with this code must not connect again."""
    return code in PROTOCOL_ERRORS or code == 4001 or 4500 <= code <= 4999


def _seconds_until(timestamp):
    """Seconds until a timestamp of the server; 0 if it cannot be read or is past."""
    try:
        then = datetime.datetime.fromisoformat(timestamp)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (then - datetime.datetime.now(datetime.timezone.utc)).total_seconds())


class Client:
    """One WebSocket to one service, for all subscriptions.  For one event loop.

    url           "ws://127.0.0.1:8690"; "wss://…" with TLS
    get_token     a function or coroutine function that returns a token, or None.  It is called
                  before each connection, and when the token of the connection is about to expire
    token_in      where the token is sent: "header", or "first_frame" for listeners with
                  token_in_header: false and for proxies that drop the header
    min_reconnect_delay, max_reconnect_delay
                  the first attempt to connect again waits any time up to min_reconnect_delay
                  seconds; the bound doubles with each failure, up to max_reconnect_delay
    timeout       how long a connection may take to open, get_token to return, and a request to be
                  answered, in seconds
    max_pending, max_pending_bytes
                  how many items, and bytes of messages, may wait for the application over all
                  subscriptions.  Over it nothing more is read from the connection
    ping_interval the server is pinged this often, in seconds; without a pong for as long the
                  connection is lost
    headers       further headers of the handshake: a dict
    ssl           an ssl.SSLContext
    on_state      called with each new state: "connecting", "connected", "disconnected"
    loads         parses messages: a function like orjson.loads.  Default: Python's json

    state         the last of these; "disconnected" before connecting and after the end
    error         why the client is not connected; None while it is
    welcome       the data of the server's welcome, such as its connection_id
    """

    def __init__(self, url, *, get_token=None, token_in="header", min_reconnect_delay=0.5,
                 max_reconnect_delay=20.0, timeout=10.0, max_pending=1000,
                 max_pending_bytes=8 << 20, ping_interval=20.0, headers=None, ssl=None,
                 on_state=None, loads=json.loads):
        if not url.startswith(("ws://", "wss://")):
            raise ValueError(f"url {url!r}: expected ws://… or wss://…")
        if token_in not in ("header", "first_frame"):
            raise ValueError(f'token_in {token_in!r}: expected "header" or "first_frame"')
        if max_pending < 1 or max_pending_bytes < 1:
            raise ValueError("max_pending and max_pending_bytes: at least 1")
        self.url = url
        self.state = "disconnected"
        self.error = None
        self.welcome = {}
        self._get_token = get_token
        self._token_in = token_in
        self._backoff = FullJitter(min_reconnect_delay, max_reconnect_delay)
        self._timeout = timeout
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._ping_interval = ping_interval
        self._headers = dict(headers or {})
        self._ssl = ssl
        self._on_state = on_state
        self._loads = loads
        self._subscriptions = SubscriptionTable(min_reconnect_delay, max_reconnect_delay)
        self._session = None
        self._task = None
        self._tasks = set()           # handlers, callbacks and refreshes
        self._ended = None            # the Disconnected
        self._closer = None           # the task that closes; it may be a handler
        self._refused = 0             # tokens, in a row
        self._pending = self._pending_bytes = 0
        self._changed = Signal()      # connected, or ended
        self._room = Signal()         # reading may go on
        self._counts = dict.fromkeys(("connections", "received", "gaps", "repairs",
                                      "handler_errors"), 0)

    # ------------------------------------------------------------------------- for applications

    def subscribe(self, channel, handler=None, *, events=None, recover=True, state=False,
                  info=None, on_gap=None, on_state=None, on_subscribed=None):
        """Returns the Subscription to a channel or pattern; the client connects if need be.

        handler        a function or coroutine function that is called with each item in turn; else
                       iterate over the subscription
        events         names of events: only these
        recover        True: what is missed while the connection is lost is asked for again.  A
                       Position: also what came after it, from the beginning on.  False: what is
                       missed is missed, and no gap is told
        state          True: a ChannelState comes first, and then exactly the later events.  Not for
                       patterns.  Another one comes, behind the Gap, if what was missed over a lost
                       connection is lost for good; with recover=False after each lost connection
        info           a dict that presence() shows to others, if the token has no claim `info`
        on_gap         is called with each Gap, in its place between the publications, instead of
                       the handler or the iterator
        on_state       is called with each ChannelState, likewise
        on_subscribed  is called with a Subscribed at each confirmation

        Raises ValueError if this client has a subscription to the channel already, and for the
        state of a pattern.
        """
        if self._ended is not None:
            raise self._ended
        if channel in self._subscriptions:
            raise ValueError(f"{channel}: this client has a subscription to it already")
        if not isinstance(channel, str) or isinstance(events, str):
            raise TypeError("expected the name of a channel, and a list of names of events")
        if info is not None and not isinstance(info, dict):
            raise TypeError("info: expected a dict")
        text = to_json(info)
        text.encode()
        info = json.loads(text)  # what the application does with its own matters no more
        if on_state is not None and not state:
            raise ValueError(f"{channel}: on_state needs state=True")
        for name in (channel, *(events or ())):
            name.encode()  # half of a surrogate pair is no text that can be sent
        self._start()
        subscription = Subscription(self, channel, events, recover, state, info, handler, on_gap,
                                    on_state, on_subscribed)
        self._subscriptions.add(subscription)
        return subscription

    async def request(self, name, data=None, *, timeout=None):
        """Asks the service, and returns the `data` of the answer.

        Waits for a connection if there is none.  Raises RequestFailed, RequestTimeout after
        `timeout` seconds (default: the client's), ConnectionLost and Disconnected; TypeError or
        ValueError if the request cannot be JSON, or is longer than the server takes.
        """
        self._start()
        timeout = self._timeout if timeout is None else timeout
        try:
            return await asyncio.wait_for(self._ask(name, {} if data is None else data), timeout)
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f"{name}: no answer after {timeout} s; {self.describe()}") from None

    async def history(self, channel, *, limit=100, since=None, reverse=False, timeout=None):
        """Returns the History of a channel: its last events, or those after the Position `since`.

        limit    at most 1000
        reverse  the newest first

        Raises what request() does.
        """
        data = {"channel": channel, "limit": limit, "reverse": reverse}
        if since is not None:
            data["since"] = Position(*since)._asdict()
        return History(await self.request("history", data, timeout=timeout))

    async def presence(self, channel, *, timeout=None):
        """Returns the Presence of a channel: who is subscribed to it by its name, on all workers.

        Raises what request() does; RequestFailed also if the channel's members are not tracked.
        """
        return Presence(await self.request("presence", {"channel": channel}, timeout=timeout))

    async def publish(self, channel, event, data=None, *, echo=True, timeout=None):
        """Publishes an event, where the service lets clients do so; returns a Published.

        data  a dict
        echo  False: this connection does not get the event itself

        Raises what request() does.  After ConnectionLost and RequestTimeout the event may have been
        published all the same.
        """
        answer = await self.request("publish", {
            "channel": channel, "event": event, "data": {} if data is None else data,
            "echo": echo}, timeout=timeout)
        position = Position(answer["epoch"], answer["offset"]) if answer.get("epoch") else None
        return Published(answer.get("status", ""), answer.get("channel", channel), position)

    async def connect(self, timeout=10.0):
        """Waits until there is a connection.  Not needed: subscribe() and request() connect.

        Raises RequestTimeout, Disconnected and TokenRefused.
        """
        self._start()

        async def wait():
            while self._session is None:
                if self._ended is not None:
                    raise self._ended
                await self._changed.wait()
        try:
            await asyncio.wait_for(wait(), timeout)
        except asyncio.TimeoutError:
            raise RequestTimeout(
                f"no connection after {timeout} s; {self.describe()}") from None

    async def close(self):
        """Ends all subscriptions and the connection.  Other handlers that run are cancelled."""
        self._closer = asyncio.current_task()
        subscriptions = list(self._subscriptions)
        self._end(Disconnected(1000, "the client is closed"), by_server=False)
        for subscription in subscriptions:
            subscription.unsubscribe()  # drops what waits
        await asyncio.sleep(0)  # coroutines that were just called begin
        tasks = [each for each in (self._task, *self._tasks)
                 if each is not None and each is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self):
        self._start()
        return self

    async def __aexit__(self, *unused):
        await self.close()

    def describe(self):
        """Returns a text for people: connected to what, or why not."""
        if self.state == "connected":
            return f"connected to {self.url}"
        return f"not connected to {self.url}: {self.error or 'connecting'}"

    def stats(self):
        """Returns counts since the client was made.

        connections, received (events), gaps (told to the application), repairs (gaps found that the
        server had not told of, and subscribed again), handler_errors; pending (items that wait now)
        """
        return {**self._counts, "pending": self._pending}

    # ------------------------------------------------------------------------- connecting

    def _start(self):
        if self._task is None and self._ended is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def _set_state(self, state):
        if state == self.state:
            return
        self.state = state
        self._changed.notify()
        if self._on_state is not None:
            self._tell(self._on_state, state)

    async def _run(self):
        told = False  # of the outage
        self._set_state("connecting")
        while True:
            delay = None
            try:
                session = await self._open()
            except TokenRefused as error:
                self._refused += 1
                if self._get_token is None or self._refused > 1:
                    return self._end(error)
                self.error = error
            except websocket.Closed as error:
                if is_final(error.code):
                    return self._end(Disconnected(error.code, error.reason))
                self.error = error
            except Exception as error:  # of get_token and of on the way to the server
                self.error = error
            else:
                self._refused, told = 0, False
                since = asyncio.get_running_loop().time()
                closed = await self._use(session)
                if is_final(closed.code):
                    return self._end(Disconnected(closed.code, closed.reason))
                self.error = closed
                self._set_state("connecting")
                if asyncio.get_running_loop().time() - since >= STABLE_AFTER:
                    self._backoff.reset()
                if session.drain_delay is not None:
                    delay = random.uniform(*session.drain_delay)
            if not told:
                told = True
                known = isinstance(self.error, EXPECTED)
                log.warning("%s: %s; connecting again", self.url, self.error,
                            exc_info=None if known else self.error)
            await asyncio.sleep(self._backoff.next() if delay is None else delay)

    async def _open(self):
        """Returns a Session that has its welcome."""
        token = await self._token()
        headers = dict(self._headers)
        if token and self._token_in == "header":
            headers["Authorization"] = f"Bearer {token}"
        socket = await websocket.open_socket(self.url, headers=headers, ssl=self._ssl,
                                             timeout=self._timeout,
                                             ping_interval=self._ping_interval)
        try:
            return await asyncio.wait_for(
                Session.open(socket, self._loads,
                             token if token and self._token_in == "first_frame" else None),
                self._timeout)
        except asyncio.TimeoutError:
            await socket.close()
            raise SubscriberError(f"no welcome after {self._timeout} s: the listener may demand a "
                                  "token (get_token)") from None
        except BaseException:
            await socket.close()
            raise

    async def _token(self):
        if self._get_token is None:
            return None
        token = self._get_token()
        if inspect.isawaitable(token):
            try:
                token = await asyncio.wait_for(token, self._timeout)
            except asyncio.TimeoutError:
                raise SubscriberError(f"get_token: nothing after {self._timeout} s") from None
        return token

    async def _use(self, session):
        """Reads until the connection has ended; returns the Closed."""
        self._session = session
        session.on_request = self._room.notify
        self.welcome = session.welcome
        self.error = None
        self._counts["connections"] += 1
        self._set_state("connected")
        self._subscriptions.on_connected(session)
        closed = websocket.Closed(1000, "the client is closed")
        try:
            while True:
                while not self._may_read():
                    await self._room.wait()
                message, size = await session.recv()
                self._on_message(session, message, size)
        except websocket.Closed as error:
            closed = error
        except Exception as error:
            log.exception("%s: a message of the server", self.url)
            closed = websocket.Closed(1006, f"a message of the server: {error!r}")
        finally:
            self._session = None
            self._subscriptions.on_lost()
            await session.close(f"{self.url}: {closed}")
        return closed

    def _end(self, error, by_server=True):
        """Nothing more comes, and nobody connects again."""
        if self._ended is not None:
            return
        self._ended = self.error = error
        self._subscriptions.end(error if by_server else None)
        if by_server:
            log.error("%s: %s; the client does not connect again", self.url, error)
        self._set_state("disconnected")
        self._changed.notify()

    # ------------------------------------------------------------------------- messages

    def _on_message(self, session, message, size):
        if message.get("type") != "event":
            return session.on_reply(message, size)
        event = message.get("event")
        if event == "channel.skipped":
            data = message["data"]
            for subscription in self._subscriptions.that_match(data.get("channel")):
                subscription._skip(data)
        elif event == "channel.unsubscribed":
            self._subscriptions.on_unsubscribed(message["data"].get("channel"),
                                                message["data"].get("reason", ""))
        elif event == "token.expiring":
            self._spawn(self._refresh(session, message["data"].get("expires_at")))
        elif event == "server.draining":
            shortest, longest = message["data"]["reconnect_after_ms"]
            session.drain_delay = shortest / 1000, longest / 1000
        elif message.get("room") is not None:
            self._counts["received"] += 1
            publication = None
            for subscription in self._subscriptions.that_match(message["room"]):
                publication = publication or Publication(message)
                subscription._take(publication, size)

    async def _refresh(self, session, expires_at):
        """Puts another token in force.  If none can be had, the next connection gets one."""
        loop = asyncio.get_running_loop()
        if loop.time() - session.token_since < FRESH_TOKEN:
            # The token lives for a shorter time than the server warns of its end.
            await asyncio.sleep(max(FRESH_TOKEN, _seconds_until(expires_at) / 2))
        backoff = FullJitter(2.0, 8.0)
        while session is self._session:
            try:
                token = await self._token()
                if token:
                    await self.request("refresh_token", {"token": token})
                    session.token_since = loop.time()
                return
            except Exception as error:
                log.warning("%s: the token is not refreshed: %s", self.url, error)
            await asyncio.sleep(backoff.next())

    async def _ask(self, name, data):
        while self._session is None:
            if self._ended is not None:
                raise self._ended
            await self._changed.wait()
        session = self._session
        future = asyncio.get_running_loop().create_future()

        def callback(reply, error, _):
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            elif reply.get("type") == "error":
                future.set_exception(RequestFailed(reply.get("error_code") or "",
                                                   reply.get("error_message") or ""))
            else:
                future.set_result(reply.get("data") or {})
        request_id = session.request(name, data, callback)
        try:
            return await future
        finally:
            session.forget(request_id)

    # ------------------------------------------------------------------------- slow applications

    def _may_read(self):
        """Whether the application keeps up, or waits for an answer that is still to be read."""
        factor = 2 if self._session.waits else 1
        return (self._pending < factor * self._max_pending
                and self._pending_bytes < factor * self._max_pending_bytes)

    def _hold(self, size):
        self._pending += 1
        self._pending_bytes += size

    def _release(self, size):
        self._pending -= 1
        self._pending_bytes -= size
        self._room.notify()

    def _tell(self, callback, *arguments):
        """Calls a function of the application; a coroutine function runs beside."""
        try:
            result = callback(*arguments)
        except Exception:
            log.exception("%s: a callback failed", self.url)
            return
        if inspect.isawaitable(result):
            self._spawn(result)

    def _spawn(self, coroutine):
        """Runs a coroutine until close() at the latest."""
        async def run():
            try:
                await coroutine
            except Exception:
                log.exception("%s: a callback failed", self.url)
        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

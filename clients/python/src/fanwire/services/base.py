"""WebSocketServer stands where a service had its WebSocket server, and publishes through Fanwire.

It has the attributes and methods of the earlier base class.  It listens nowhere: Fanwire's workers
do, on the port that control's configuration gives the service.  What needs the connections of
clients raises NotImplementedError and says why.
"""
import asyncio
import collections.abc
import contextlib
import datetime
import inspect
import json

from fanwire.errors import PublisherClosed, PublisherError
from fanwire.publisher import AsyncPublisher
from fanwire.safe_log import SafeLog

log = SafeLog("fanwire.broadcaster")


class Message:
    """An event on its way to a room: what the earlier broadcast_to_room() took."""

    def __init__(self, event, data, room=None):
        self.type = "event"
        self.event = event
        self.data = data
        self.room = room

    def __repr__(self):
        return f"Message(event={self.event!r}, data={self.data!r}, room={self.room!r})"


def rounded(value, digits):
    """Rounds a number; returns anything else as it is."""
    return round(value, digits) if isinstance(value, float) else value


def without_double_kind(room):
    """Returns "pool:local" for "pool:pool:local": an id may bring the kind of its channel."""
    kind = room[:room.find(":") + 1]
    return room[len(kind):] if kind and room.startswith(kind, len(kind)) else room


class WebSocketServer:
    """The arguments before the star are the earlier ones; of them only host and port are used, and
    only until control has said where the service listens.  Those after it are Fanwire's:

    publisher        an AsyncPublisher to use, which stop() leaves open.  Default: one of its own,
                     which drops the oldest events if too many wait, so that a broadcast never waits
    service          the name in control's configuration.  Default: the class's
    raise_errors     broadcasts raise what is wrong (PublisherError, TypeError, ValueError);
                     otherwise they log the error and return False
    connect_timeout  how long start() waits for control, in seconds.  Events wait if it is away
    """

    service = ""

    def __init__(self, host="127.0.0.1", port=8688, max_connections=1000, message_rate_limit=100,
                 authenticator=None, require_auth=False, ssl_context=None, cert_file=None,
                 key_file=None, ca_file=None, tls_enabled=False, verify_client=False,
                 auto_cert=False, *, publisher=None, service=None, raise_errors=False,
                 connect_timeout=2.0):
        self.host = host
        self.port = port
        self.max_connections = max_connections
        self.message_rate_limit = message_rate_limit
        self.authenticator = authenticator
        self.require_auth = require_auth
        self.ssl_context = ssl_context
        self.cert_file = cert_file
        self.key_file = key_file
        self.ca_file = ca_file
        self.tls_enabled = tls_enabled
        self.verify_client = verify_client
        self.auto_cert = auto_cert
        # Control has the connections; get_websocket_status() asks it.
        self.connections = {}
        self.connection_rooms = {}
        self.room_connections = {}
        self.event_handlers = {}
        self.server = None
        self.is_running = False
        self.service = service or type(self).service
        self.raise_errors = raise_errors
        self._given_publisher = publisher
        self._publisher = publisher
        self._connect_timeout = connect_timeout

    @property
    def uri(self):
        """Where clients of the service connect."""
        return f"{'wss' if self.secure else 'ws'}://{self.host}:{self.port}"

    @property
    def secure(self):
        return self.ssl_context is not None or bool(self.tls_enabled)

    @property
    def publisher(self):
        """The AsyncPublisher, for events that have no method; None before start()."""
        return self._publisher

    # ------------------------------------------------------------------------- start and stop

    async def start(self):
        """Connects to control.  If control is away, events wait until it is there."""
        if self.is_running:
            return
        if self._publisher is None:
            self._publisher = AsyncPublisher(when_full="drop_oldest")
        try:
            await self._publisher.connect(self._connect_timeout)
        except TimeoutError:
            log.warning("%s: %s; events wait", self.service, self._publisher.state())
        self.is_running = True
        if self._publisher.connected:
            await self._learn_listener()

    async def stop(self):
        """Sends what waits and ends the connection to control."""
        if not self.is_running:
            return
        self.is_running = False
        if self._given_publisher is None:
            publisher, self._publisher = self._publisher, None
            try:
                await publisher.close()
            except PublisherError as error:
                log.warning("%s: %s; they are lost", self.service, error)

    async def _learn_listener(self):
        status = await asyncio.get_running_loop().run_in_executor(None, self.control_status)
        if "port" not in status:
            log.warning("%s: %s", self.service, status.get("error"))
            return
        if (self.host, self.port) != (status["host"], status["port"]):
            log.info("%s: clients connect to %s:%s, as control is configured", self.service,
                     status["host"], status["port"])
        self.host, self.port = status["host"], status["port"]
        self.max_connections = status.get("max_connections", self.max_connections)
        self.message_rate_limit = status.get("message_rate_limit", self.message_rate_limit)

    def control_status(self, timeout=0.5):
        """Asks control for the service's websocket_health_check; {"error": …} if that fails.

        Waits for at most `timeout` seconds.
        """
        if self._publisher is None:
            return {"error": "not started"}
        try:
            return json.loads(self._publisher.call_tool("HealthCheck", self.service, timeout))
        except (PublisherError, ValueError) as error:
            return {"error": str(error)}

    # ------------------------------------------------------------------------- publishing

    async def broadcast_to_room(self, room_id, message):
        """Publishes a message, which has `event` and `data`, to a channel.

        Returns whether it was taken; that is before control has it.
        """
        event = None
        try:
            if isinstance(message, collections.abc.Mapping):
                event, data = message.get("event"), message.get("data")
            else:
                event, data = message.event, message.data
                with contextlib.suppress(Exception):  # an object may not let itself be changed
                    message.room = room_id
            if not self.is_running:
                raise PublisherClosed(f"{self.service}: not started, or stopped")
            self._publisher.enqueue_nowait(self.service, room_id, event, data)
            return True
        except Exception as error:  # data may have objects of any kind
            return self._not_published(room_id, event, error)

    def _not_published(self, room, event, error):
        if self.raise_errors:
            raise error
        log.warning("%s %s %s: not published: %s", self.service, room, event, error)
        return False

    async def _say(self, room, event, spread=None, /, *, timestamp=True, **data):
        """Publishes a typed event.  The keys of `spread` go beside the others, or over them."""
        if timestamp:
            data["timestamp"] = self._get_timestamp()
        if spread:
            if not isinstance(spread, collections.abc.Mapping):
                return self._not_published(room, event, TypeError(
                    f"{type(spread).__qualname__}; expected a dict of further keys"))
            data.update(spread)
        room = without_double_kind(room)
        return await self.broadcast_to_room(room, Message(event, data, room))

    async def _say_given(self, room, event, /, **data):
        """As _say(), but leaves out what is None."""
        return await self._say(room, event, {key: value for key, value in data.items()
                                             if value is not None})

    @staticmethod
    def _get_timestamp():
        return datetime.datetime.now(datetime.timezone.utc).isoformat()

    # ------------------------------------------------------------------------- local handlers

    def on_event(self, event_type):
        """A decorator: emit_event() of this type calls the function."""
        def decorator(function):
            self.event_handlers.setdefault(event_type, set()).add(function)
            return function
        return decorator

    async def emit_event(self, event_type, data):
        """Calls the functions that on_event() registered, in this process."""
        for handler in list(self.event_handlers.get(event_type, ())):
            try:
                result = handler(data)
                if inspect.isawaitable(result):
                    await result
            except Exception:
                log.exception("a handler of %s raised", event_type)

    # ------------------------------------------------------------------------- not to be had

    async def join_room(self, room_id, connection_id):
        raise NotImplementedError("join_room: a client of Fanwire joins a channel by its own "
                                  "subscribe request; nobody can do it for the client")

    async def leave_room(self, room_id, connection_id):
        raise NotImplementedError("leave_room: a client of Fanwire leaves a channel by its own "
                                  "unsubscribe request; `wsctl connections disconnect` ends a "
                                  "connection")

    async def leave_all_rooms(self, connection_id):
        raise NotImplementedError("leave_all_rooms: Fanwire forgets a connection's channels when "
                                  "the connection ends")

    async def send_to_connection(self, connection_id, message):
        raise NotImplementedError("send_to_connection: an event of Fanwire goes to a channel; "
                                  "publish to a channel that only this client may subscribe to")

    async def on_connect(self, websocket, connection_id):
        raise NotImplementedError("on_connect: Fanwire's workers accept the connections and send "
                                  "the welcome that the configuration names")

    async def on_disconnect(self, websocket, connection_id):
        raise NotImplementedError("on_disconnect: Fanwire's workers hold the connections")

    async def on_message(self, websocket, message):
        raise NotImplementedError("on_message: Fanwire's workers answer the requests of clients")

    def authenticate_websocket(self, token):
        raise NotImplementedError("authenticate_websocket: Fanwire's workers check tokens, with "
                                  "the keys of the configuration's `auth`")

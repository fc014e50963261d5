"""WebSocket connections by the package `websockets`, version 10.4 (Debian 12) or newer.

This module alone knows that package and the names that changed between its versions.
"""
import asyncio
import inspect

try:
    import websockets
except ImportError as error:
    raise ImportError(
        "fanwire.subscriber needs the package websockets, version 10.4 or newer: "
        'pip install "fanwire[subscriber]", or on Debian: apt install python3-websockets'
    ) from error

MAX_MESSAGE_BYTES = 16 << 20  # an event has at most 1 MiB, a confirmation of many channels more
QUEUED_MESSAGES = 16          # what `websockets` reads ahead
CLOSE_TIMEOUT = 2.0


class Closed(Exception):
    """The connection has ended.

    code    of the peer's close frame; 1006 if there was none
    reason  a text for people
    """

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self):
        return f"closed with {self.code}{': ' if self.reason else ''}{self.reason}"


# What opening a connection may raise beside Closed.
OPEN_ERRORS = (OSError, EOFError, asyncio.TimeoutError, websockets.WebSocketException)


class Socket:
    """An open connection."""

    def __init__(self, connection):
        self._connection = connection

    async def recv(self):
        """Returns the next message; raises Closed.  A cancelled call loses no message."""
        try:
            return await self._connection.recv()
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None

    async def send(self, text):
        """Sends a message; raises Closed."""
        try:
            await self._connection.send(text)
        except websockets.ConnectionClosed as error:
            raise _closed(error) from None

    async def close(self):
        """Says goodbye, and waits a short time for the answer."""
        await self._connection.close()


def _closed(error):
    received = error.rcvd
    if received is None:
        return Closed(1006, str(error.__cause__ or "the connection was lost"))
    return Closed(received.code, received.reason)


async def open_socket(url, *, headers, ssl, timeout, ping_interval):
    """Opens a connection; raises one of OPEN_ERRORS."""
    connect = websockets.connect
    # Version 14 gave the argument another name.
    newer = "additional_headers" in inspect.signature(connect).parameters
    options = {"additional_headers" if newer else "extra_headers": headers}
    if ssl is not None:
        options["ssl"] = ssl
    return Socket(await connect(
        url, open_timeout=timeout, ping_interval=ping_interval, ping_timeout=ping_interval,
        close_timeout=CLOSE_TIMEOUT, max_size=MAX_MESSAGE_BYTES, max_queue=QUEUED_MESSAGES,
        compression=None, **options))

"""What can go wrong while publishing and subscribing."""


class PublisherError(Exception):
    """The base of all errors of publishing."""


class EventRefused(PublisherError):
    """Control refused an event, or the event can never be accepted.

    code     a gRPC status code by name, such as "INVALID_ARGUMENT"
    message  what was wrong, in control's words
    service, channel, event   of the refused event
    """

    def __init__(self, code, message, service="", channel="", event=""):
        super().__init__(code, message, service, channel, event)
        self.code = code
        self.message = message
        self.service = service
        self.channel = channel
        self.event = event

    def __str__(self):
        return f"{self.service} {self.channel} {self.event}: {self.code}: {self.message}"


class RequestError(PublisherError):
    """A handler raises it: the client gets this error instead of an answer.

    code  NOT_FOUND, INVALID_REQUEST, FORBIDDEN, UNAVAILABLE (another process is asked, if there is
          one) or INTERNAL_ERROR (the client reads only "Internal server error")
    """

    CODES = ("NOT_FOUND", "INVALID_REQUEST", "FORBIDDEN", "UNAVAILABLE", "INTERNAL_ERROR")

    def __init__(self, code, message=""):
        if code not in self.CODES:
            raise ValueError(f"code {code!r}: expected one of {', '.join(self.CODES)}")
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self):
        return f"{self.code}: {self.message}"


class EventDropped(PublisherError):
    """The buffer was full, and this event was the oldest one that had not been sent."""


class BufferFull(PublisherError):
    """The buffer is full, and the event was not taken."""


class PublisherClosed(PublisherError):
    """The publisher is closed, or was closed before the event had its receipt."""


class ReceiptTimeout(PublisherError, TimeoutError):
    """An event had no receipt in time.  It stays in the buffer and may still be accepted."""


class SubscriberError(Exception):
    """The base of all errors of subscribing."""


class RequestFailed(SubscriberError):
    """The server answered a request with an error.

    code     such as "FORBIDDEN", "INVALID_REQUEST" or "UNAVAILABLE": docs/protocol.md
    message  what was wrong, in the server's words
    """

    def __init__(self, code, message=""):
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self):
        return f"{self.code}: {self.message}"


class TokenRefused(RequestFailed):
    """The server refused the token, or wants one and there is none."""


class SubscriptionEnded(RequestFailed):
    """The server refused the subscription, or has ended it.

    code  the error code of the refusal, or the reason: "permissions_changed"
    """


class RequestTimeout(SubscriberError, TimeoutError):
    """There was no answer in time.  The request may have been carried out all the same."""


class ConnectionLost(SubscriberError, ConnectionError):
    """The connection ended before the answer.  The client connects again; the request is not
    repeated."""


class Disconnected(SubscriberError):
    """The client is closed, or the server has closed the connection for good.

    code    the close code, such as 4500; 1000 after close()
    reason  a text for people
    """

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self):
        return f"{self.reason} ({self.code})"

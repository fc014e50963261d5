"""Responder answers clients' requests for one service, over ServeRequests.

A process that serves a request is one of several that may: control gives each request to one of
them, and to another if this one is lost.  The answers of a lost connection are forgotten.

Threading: a thread of its own connects and reads; gRPC's thread that sends pulls messages from
           _messages().  Handlers run where `run` puts them, and their answers may come from any
           thread.  One lock, under which no handler runs.
"""
import collections
import json
import threading
import time

import grpc

from fanwire import messages
from fanwire.backoff import Backoff
from fanwire.errors import RequestError
from fanwire.safe_log import SafeLog
from fanwire.target import fork_hint

log = SafeLog("fanwire.serving")

METHOD = "/fanwire.v1.Publisher/ServeRequests"
GREETING_TIMEOUT = 10.0
MESSAGE_BYTES = 1 << 20  # of answers; the last one may exceed it

ServeRequestsRequest = messages.message_class("fanwire.v1.ServeRequestsRequest")
ServeRequestsResponse = messages.message_class("fanwire.v1.ServeRequestsResponse")
RequestAnswers = messages.message_class("fanwire.v1.RequestAnswers")
CODES = {value.name[len("REQUEST_ERROR_CODE_"):]: value.number for value in
         messages.pool.FindEnumTypeByName("fanwire.v1.RequestErrorCode").values}


class Request:
    """What a client asks.

    name           the request's name, such as "get_state"
    json, data     the request's data: as bytes, in which numbers have all their digits; and parsed
    connection_id  of the client's session
    user_id        "" if the client is anonymous
    permissions    of the client's token
    attempt        1; more if another process was asked before and may have done the work
    cancelled      whether nobody waits for the answer any more
    """

    def __init__(self, message):
        self.name = message.request
        self.json = message.data
        self.connection_id = message.connection_id
        self.user_id = message.user_id
        self.permissions = list(message.permissions)
        self.attempt = message.attempt
        self.cancelled = False
        self._deadline = time.monotonic() + message.remaining.ToMilliseconds() / 1000
        self._data = None

    @property
    def data(self):
        if self._data is None:
            self._data = json.loads(self.json or b"{}")
        return self._data

    @property
    def remaining(self):
        """Seconds for which the client waits from now on."""
        return max(0.0, self._deadline - time.monotonic())

    def __repr__(self):
        return f"<Request {self.name} {self.json.decode(errors='replace')}>"


class _Connection:
    """One ServeRequests call.  Guarded by the Responder's lock."""

    def __init__(self, names):
        self.names = names
        self.address = ""
        self.call = None
        self.welcomed = False
        self.leaving = False          # go_away was sent or received
        self.said_go_away = False
        self.over = False
        self.requests = {}            # request_id -> Request, without an answer
        self.answers = collections.deque()

    def cancel(self):
        if self.call is not None:
            self.call.cancel()


class Responder:
    def __init__(self, target, service, *, run, dumps, max_concurrent, backoff, responder_id):
        """run(handler, request, answer) calls the handler somewhere, and then answer(result), or
        answer(exception)."""
        self._target = target
        self._service = service
        self._run_handler = run
        self._dumps = dumps
        self._max_concurrent = max_concurrent
        self._backoff = Backoff(*backoff)
        self._responder_id = responder_id
        self._handlers = {}           # name -> handler
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._changed = threading.Condition(self._lock)
        self._connection = None
        self._thread = None
        self._stopped = False
        self._last_error = ""

    def add(self, name, handler):
        """Serves one more name."""
        with self._lock:
            if name in self._handlers:
                raise ValueError(f"{self._service} {name}: it has a handler already")
            self._handlers[name] = handler
            if self._connection is not None:  # its hello had fewer names
                self._connection.leaving = True
                self._work.notify_all()

    def start(self):
        with self._lock:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="fanwire-serving",
                                                daemon=True)
                self._thread.start()

    def serving(self):
        """Whether control gives it requests, for all of its names."""
        connection = self._connection
        return connection is not None and connection.welcomed and not connection.leaving

    def wait_serving(self, timeout):
        with self._lock:
            return self._changed.wait_for(self.serving, timeout)

    def state(self):
        connection = self._connection
        address = connection.address if connection is not None else ""
        if self.serving():
            return f"serving at {address}"
        return f"not serving at {address}: {self._last_error or fork_hint() or 'connecting'}"

    def stop(self, timeout):
        """Takes no more requests, waits for the answers of those that it has, and ends."""
        with self._lock:
            self._stopped = True
            self._work.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        if thread.is_alive():
            with self._lock:
                connection = self._connection
            if connection is not None:
                connection.cancel()
            thread.join(5)

    # ------------------------------------------------------------------------- the connection

    def _run(self):
        told = False
        while True:
            with self._lock:
                if self._stopped:
                    return
                connection = self._connection = _Connection(sorted(self._handlers))
            error = self._serve(connection)
            with self._lock:
                served, connection.welcomed = connection.welcomed, False
                renewed = connection.names != sorted(self._handlers)
                self._last_error = error
                self._changed.notify_all()
                if self._stopped:
                    return
            if renewed and served:
                continue
            told = told and not served
            if not told:
                told = True
                log.warning("%s: requests are not served at %s: %s; trying again", self._service,
                            connection.address, error)
            with self._lock:
                deadline = time.monotonic() + self._backoff.next(served)
                while not self._stopped and time.monotonic() < deadline:
                    self._work.wait(max(0, deadline - time.monotonic()))

    def _serve(self, connection):
        """Runs one connection to its end; returns why it ended."""
        channel = None
        try:
            connection.address, channel = self._target.open()
            call = channel.stream_stream(
                METHOD, request_serializer=ServeRequestsRequest.SerializeToString,
                response_deserializer=ServeRequestsResponse.FromString)(
                    self._messages(connection), metadata=self._target.metadata())
            connection.call = call
            for response in call:
                self._take(connection, response)
            return "control ended the stream"
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        except Exception as error:  # the caller's functions for a token and metadata may raise
            return f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                connection.over = True
                for request in connection.requests.values():
                    request.cancelled = True
                self._work.notify_all()
            if channel is not None:
                channel.close()

    def _take(self, connection, response):
        kind = response.WhichOneof("message")
        if kind == "requests":
            for message in response.requests.requests:
                self._begin(connection, message)
        elif kind == "refused":
            log.warning("%s: control refused the answer to request %d: %s", self._service,
                        response.refused.request_id, response.refused.status.message)
        elif kind == "cancel":
            with self._lock:
                for request_id in response.cancel.request_ids:
                    if request_id in connection.requests:
                        connection.requests[request_id].cancelled = True
        else:
            with self._lock:
                if kind == "welcome":
                    connection.welcomed = True
                elif kind == "go_away":
                    connection.leaving = connection.said_go_away = True
                self._changed.notify_all()
                self._work.notify_all()
            if kind == "welcome":  # without the lock: a handler of the log may do anything
                log.info("%s: serving %s at %s", self._service, ", ".join(connection.names),
                         connection.address)

    def _messages(self, connection):
        """The messages of a connection; gRPC asks for the next one when one is sent."""
        first = ServeRequestsRequest()
        first.hello.service = self._service
        first.hello.requests.extend(connection.names)
        first.hello.max_concurrent = self._max_concurrent
        first.hello.responder_id = self._responder_id
        yield first
        deadline = time.monotonic() + GREETING_TIMEOUT
        while True:
            message = ServeRequestsRequest()
            with self._lock:
                while True:
                    if connection.over:
                        return
                    if connection.answers:
                        size = 0
                        while connection.answers and size < MESSAGE_BYTES:
                            message.answers.answers.append(connection.answers.popleft())
                            size += len(message.answers.answers[-1].json)
                        break
                    if connection.welcomed and not connection.said_go_away and (
                            connection.leaving or self._stopped):
                        connection.leaving = connection.said_go_away = True
                        message.go_away.reason = ("the service stops" if self._stopped
                                                  else "it serves more names now")
                        break
                    if self._stopped and not connection.welcomed:
                        connection.cancel()
                        return
                    left = None if connection.welcomed else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        connection.cancel()
                        return
                    self._work.wait(left)
            yield message

    # ------------------------------------------------------------------------- requests

    def _begin(self, connection, message):
        request = Request(message)
        request_id = message.request_id
        handler = self._handler_of(request.name)
        with self._lock:
            connection.requests[request_id] = request

        def answer(result):
            self._answer(connection, request_id, request, result)
        if handler is None:  # control sends only what hello named
            answer(RequestError("UNAVAILABLE", f"{request.name} is not served here"))
            return
        try:
            self._run_handler(handler, request, answer)
        except RuntimeError as error:  # the threads or the event loop have ended
            answer(RequestError("UNAVAILABLE", str(error)))

    def _handler_of(self, name):
        """The handler of the name, else that of the longest pattern."""
        handler = self._handlers.get(name)
        if handler is not None:
            return handler
        fitting = [each for each in list(self._handlers)
                   if each.endswith("*") and name.startswith(each[:-1])]
        return self._handlers[max(fitting, key=len)] if fitting else None

    def _answer(self, connection, request_id, request, result):
        answer = RequestAnswers().answers.add()
        answer.request_id = request_id
        try:
            if isinstance(result, BaseException):
                raise result
            answer.json = _to_json(result, self._dumps)
        except RequestError as error:
            answer.error.code = CODES[error.code]
            answer.error.message = _text(error.message)
        except BaseException as error:
            if not request.cancelled:
                log.error("%r: the handler failed", request, exc_info=error)
            answer.error.code = CODES["INTERNAL_ERROR"]
            answer.error.message = f"{type(error).__name__}: {_text(error)}"
        with self._lock:
            if connection.over or connection.requests.pop(request_id, None) is None:
                return
            connection.answers.append(answer)
            self._work.notify_all()


def _text(message):
    """What protobuf takes as a text, whatever the message of an error is."""
    try:
        return str(message).encode("utf-8", "replace").decode()
    except Exception as error:
        return f"({type(error).__name__} in __str__)"


def _to_json(result, dumps):
    if result is None:
        return b"{}"
    if isinstance(result, dict):
        result = dumps(result)
    if isinstance(result, (bytes, str)):
        return result if isinstance(result, bytes) else result.encode()
    raise TypeError(f"the handler returned {type(result).__qualname__}; expected a dict, a JSON "
                    "object as str or bytes, or None")

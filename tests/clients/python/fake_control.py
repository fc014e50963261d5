"""A control in this process that publishers connect to, with switches for what goes wrong.

It treats seqs as the real one does: a seq that comes again is not accepted again, but answered.
"""
import concurrent.futures
import contextlib
import json
import logging
import queue
import random
import threading

import grpc

from fanwire import encoding, messages

PATIENCE = 20.0  # only catches hangs

logging.getLogger("fanwire").addHandler(logging.NullHandler())  # not to stderr


class FakeControl:
    def __init__(self, address="127.0.0.1:0"):
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # Switches:
        self.credit = 1000                 # of streams that begin
        self.max_batch = 10000
        self.refuse = lambda event: None   # returns (code, message) to refuse it
        self.hold = False                  # receipts wait for release()
        self.shuffle = False               # receipts of a message come in another order
        self.break_after = None            # ends the stream after so many further items, unanswered
        self.fail_hello = None             # (grpc.StatusCode, text)
        self.health = {"status": "healthy", "host": "127.0.0.1", "port": 9999, "connections": 3,
                       "rooms": 2, "max_connections": 500, "message_rate_limit": 50}
        # What happened:
        self.accepted = []                 # events, each once, in order
        self.hellos = []
        self.metadata = []
        self.messages = []                 # numbers of items
        self.violations = []               # of the protocol, by the publisher
        self.after_go_away = 0             # items that came on a stream after it was told
        self._by_seq = {}                  # (publisher, seq) -> (fingerprint, receipt)
        self._streams = []
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.stream_stream_rpc_method_handler(
            self._publish_stream,
            request_deserializer=messages.PublishStreamRequest.FromString,
            response_serializer=messages.PublishStreamResponse.SerializeToString)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "fanwire.v1.Publisher", {"PublishStream": handler}),
            grpc.method_handlers_generic_handler("fanwire.v1.Admin", {
                "HealthCheck": grpc.unary_unary_rpc_method_handler(self._health_check)})))
        port = self._server.add_insecure_port(address)
        self.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        self.release()
        with self._lock:
            for stream in self._streams:
                stream.responses.put(None)
        self._server.stop(0).wait()

    def wait(self, condition, what):
        with self._lock:
            if not self._changed.wait_for(condition, PATIENCE):
                raise AssertionError(f"timed out waiting for {what}")

    def wait_accepted(self, count):
        self.wait(lambda: len(self.accepted) >= count, f"{count} accepted events")

    def release(self):
        """Sends the receipts that were held, and holds no more."""
        with self._lock:
            self.hold = False
            for stream in self._streams:
                stream.answer(stream.held)
                stream.held = []

    def go_away(self, reason="stopping"):
        with self._lock:
            for stream in self._streams:
                if not stream.over and not stream.going_away:
                    response = messages.PublishStreamResponse()
                    response.go_away.reason = reason
                    stream.going_away = True
                    stream.responses.put(response)

    def set_credit(self, credit):
        """Tells all streams another credit; what is under way may exceed it."""
        with self._lock:
            self.credit = credit
            for stream in self._streams:
                stream.credit = max(stream.credit, credit)
                response = messages.PublishStreamResponse()
                response.credit.credit = credit
                stream.responses.put(response)

    def cut(self):
        """Ends all streams without a word."""
        with self._lock:
            for stream in self._streams:
                stream.responses.put(ConnectionError("cut"))

    def _health_check(self, request, context):
        if self.health is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request[2:].decode()}")
        return encoding.text_field(json.dumps(self.health))

    def _publish_stream(self, requests, context):
        stream = _Stream(self)
        with self._lock:
            self.metadata.append(dict(context.invocation_metadata()))
            self._streams.append(stream)
        threading.Thread(target=self._read, args=(stream, requests), daemon=True).start()
        while True:
            response = stream.responses.get()
            if response is None:
                return
            if isinstance(response, ConnectionError):
                context.abort(grpc.StatusCode.UNAVAILABLE, str(response))
            if isinstance(response, tuple):
                context.abort(*response)
            yield response

    def _read(self, stream, requests):
        with contextlib.suppress(Exception):  # the publisher went away
            for request in requests:
                with self._lock:
                    self._take(stream, request)
                    self._changed.notify_all()
        with self._lock:
            stream.ended = True
            stream.end_if_answered()

    def _take(self, stream, request):
        if request.WhichOneof("message") == "hello":
            self.hellos.append(request.hello)
            stream.publisher = request.hello.publisher_id
            if self.fail_hello:
                stream.responses.put(self.fail_hello)
                return
            response = messages.PublishStreamResponse()
            response.welcome.credit = stream.credit = self.credit
            stream.responses.put(response)
            return
        items = request.items.items
        self.messages.append(len(items))
        if len(items) > self.max_batch:
            stream.responses.put((grpc.StatusCode.INVALID_ARGUMENT,
                                  f"items: {len(items)}, at most {self.max_batch} allowed"))
            stream.over = True
            return
        if stream.going_away:
            self.after_go_away += len(items)
        answers = []
        for item in items:
            if stream.over:
                return
            stream.unanswered += 1
            if stream.unanswered > stream.credit:
                self.violations.append(f"{stream.unanswered} items without a receipt")
            if item.seq <= stream.last:
                self.violations.append(f"seq {item.seq} after {stream.last}")
            stream.last = item.seq
            answers.append(self._accept(stream.publisher, item))
            if self.break_after is not None:
                self.break_after -= 1
                if self.break_after == 0:
                    self.break_after = None
                    stream.over = True
                    stream.responses.put(ConnectionError("broken"))
                    return
        if self.shuffle:
            random.shuffle(answers)
        if self.hold:
            stream.held += answers
        else:
            stream.answer(answers)

    def _accept(self, publisher, item):
        answer = messages.PublishStreamResponse().receipts.receipts.add()
        answer.seq = item.seq
        refusal = self.refuse(item.event)
        if refusal:
            answer.receipt.status.code, answer.receipt.status.message = refusal
            return answer
        bytes_of_event = item.event.SerializeToString()
        known = self._by_seq.get((publisher, item.seq))
        if known is not None:
            if known[0] != bytes_of_event:
                self.violations.append(f"seq {item.seq} came again with another event")
            answer.receipt.CopyFrom(known[1])
            answer.receipt.duplicate = True
            return answer
        self.accepted.append(item.event)
        answer.receipt.id = item.event.id
        answer.receipt.position.epoch = "epoch"
        answer.receipt.position.offset = len(self.accepted)
        answer.receipt.level = messages.LEVELS["accepted"]
        self._by_seq[publisher, item.seq] = (bytes_of_event, answer.receipt)
        return answer


class _Stream:
    """Guarded by the control's lock."""

    def __init__(self, control):
        self.control = control
        self.publisher = ""
        self.responses = queue.Queue()
        self.held = []
        self.last = 0
        self.unanswered = 0
        self.credit = 0
        self.going_away = False
        self.ended = False    # the publisher sends no more
        self.over = False

    def answer(self, answers):
        if answers:
            response = messages.PublishStreamResponse()
            response.receipts.receipts.extend(answers)
            self.unanswered -= len(answers)
            self.responses.put(response)
        self.end_if_answered()

    def end_if_answered(self):
        if self.ended and not self.held:
            self.over = True
            self.responses.put(None)

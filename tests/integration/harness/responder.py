"""Answers requests through the gRPC API (ServeRequests)."""
import queue
import sys
import threading

import grpc
from fanwire.v1 import publish_pb2, publish_pb2_grpc


class Responder:
    """One stream.  `answer` is called for each request, on a thread of the responder's own, and
    returns the answer's bytes, an error as (code, message), or None: the test answers later.

    requests, cancelled, refused   queues of what came: IncomingRequest, request ids, RefusedAnswer
    """

    def __init__(self, address, *names, answer=None, service="mahavishnu", patience=20, **hello):
        self.requests = queue.Queue()
        self.cancelled = queue.Queue()
        self.refused = queue.Queue()
        self.go_away = threading.Event()
        self.ended = threading.Event()
        self.code = None
        self._answer = answer
        self._outgoing = queue.Queue()
        self._channel = grpc.insecure_channel(address)
        stub = publish_pb2_grpc.PublisherStub(self._channel)
        self._incoming = stub.ServeRequests(iter(self._outgoing.get, None))
        self._send(hello=publish_pb2.ResponderHello(service=service, requests=names, **hello))
        self.welcome = None
        self._welcomed = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if not self._welcomed.wait(patience):
            raise AssertionError("no welcome")
        if self.welcome is None:
            raise AssertionError(f"refused: {self.code} {self._incoming.details()}")

    def _send(self, **message):
        self._outgoing.put(publish_pb2.ServeRequestsRequest(**message))

    def _read(self):
        try:
            for message in self._incoming:
                self._take(message)
        except grpc.RpcError:
            pass
        self.code = self._incoming.code()
        self.ended.set()
        self._welcomed.set()

    def _take(self, message):
        kind = message.WhichOneof("message")
        if kind == "welcome":
            self.welcome = message.welcome
            self._welcomed.set()
        elif kind == "requests":
            for request in message.requests.requests:
                self.requests.put(request)
                answer = self._answer(request) if self._answer else None
                if isinstance(answer, tuple):
                    self.fail(request.request_id, *answer)
                elif answer is not None:
                    self.answer(request.request_id, answer)
        elif kind == "cancel":
            for request_id in message.cancel.request_ids:
                self.cancelled.put(request_id)
        elif kind == "refused":
            self.refused.put(message.refused)
        elif kind == "go_away":
            self.go_away.set()

    def answer(self, request_id, json):
        self._send(answers=publish_pb2.RequestAnswers(answers=[
            publish_pb2.RequestAnswer(request_id=request_id, json=json)]))

    def fail(self, request_id, code, message):
        """`code` without its prefix: "NOT_FOUND"."""
        error = publish_pb2.RequestError(
            code=publish_pb2.RequestErrorCode.Value(f"REQUEST_ERROR_CODE_{code}"), message=message)
        self._send(answers=publish_pb2.RequestAnswers(answers=[
            publish_pb2.RequestAnswer(request_id=request_id, error=error)]))

    def leave(self):
        """Wants no more requests."""
        self._send(go_away=publish_pb2.ResponderGoAway(reason="test"))

    def close(self):
        """Ends the stream at once."""
        self._incoming.cancel()
        self._outgoing.put(None)
        self._thread.join()
        self._channel.close()


def main():
    """A responder in a process of its own, which a test can kill: writes the name of each request
    that it gets, and answers none.
    """
    address, service, name = sys.argv[1:]
    Responder(address, name, service=service,
              answer=lambda request: print(request.request, flush=True)).ended.wait()

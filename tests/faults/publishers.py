"""Publishers of the fault suite, each on a thread of its own."""
import threading
import time

import grpc
from fanwire.publisher import Publisher
from fanwire.v1 import publish_pb2, publish_pb2_grpc
from harness.publisher import LEVELS
from harness.publisher import Publisher as Calls

from journal import hash_of

SERVICE = "mahavishnu"
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
         grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


class _Base:
    """Publishes to the channels in turn, `rate` events a second, until stop()."""

    def __init__(self, name, address, channels, journal, rate, random, level="accepted"):
        self.name = name
        self.level = level
        self.sent = 0
        self._address = address
        self._channels = channels
        self._journal = journal
        self._rate = rate
        self._random = random
        self._numbers = dict.fromkeys(channels, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        self._stop.set()

    def join(self, timeout):
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AssertionError(f"{self.name}: still publishing after {timeout} s")

    def _events(self):
        """Yields (channel, id, data) at the rate."""
        while not self._stop.wait(1 / self._rate):
            channel = self._channels[self.sent % len(self._channels)]
            self._numbers[channel] += 1
            self.sent += 1
            name = f"{self.name}-{channel}-{self._numbers[channel]}"
            data = {"of": name, "fill": "x" * self._random.choice((0, 100, 2000))}
            self._journal.write("sent", publisher=self.name, channel=channel, id=name,
                                n=self._numbers[channel], hash=hash_of(data))
            yield channel, name, data

    def _receipt(self, channel, name, epoch, offset, level, delivery):
        self._journal.write("receipt", id=name, channel=channel, epoch=epoch, offset=offset,
                            level=level, matched=delivery.matched, written=delivery.written)


class StreamPublisher(_Base):
    """The Python library: a stream, and a publisher_id by which control knows what comes again."""

    def _run(self):
        publisher = Publisher(self._address, level=self.level, wait=1.0, backoff=(0.05, 0.5),
                              max_pending=500, block_timeout=None, close_timeout=90,
                              on_refused=lambda error: None)
        try:
            for channel, name, data in self._events():
                pending = publisher.publish(SERVICE, channel, "fault.event", data, id=name)
                pending.add_done_callback(self._done(channel, name))
        finally:
            publisher.close()

    def _done(self, channel, name):
        def done(pending):
            error = pending.exception()
            if error is not None:
                self._journal.write("outcome", id=name, error=repr(error))
                return
            receipt = pending.result()
            self._receipt(channel, name, receipt.epoch, receipt.offset, receipt.level,
                          receipt.delivery)
        return done


class UnaryPublisher(_Base):
    """Calls one by one; repeats a call with the same idempotency key until there is an answer."""

    def _run(self):
        with _channel(self._address) as channel:
            stub = publish_pb2_grpc.PublisherStub(channel)
            for target, name, data in self._events():
                self._publish(stub, target, name, data)

    def _publish(self, stub, channel, name, data):
        request = publish_pb2.PublishRequest(
            event=Calls.event(channel, "fault.event", data, id=name, idempotency_key=name),
            receipt_level=LEVELS[self.level])
        request.wait.FromMilliseconds(1000)
        deadline = time.monotonic() + 120
        while True:
            try:
                receipt = stub.Publish(request, timeout=4).receipt
            except grpc.RpcError as error:
                if error.code() in AGAIN and time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                self._journal.write("outcome", id=name, error=f"{error.code()} {error.details()}")
                return
            level = next(key for key, value in LEVELS.items() if value == receipt.level)
            self._receipt(channel, name, receipt.position.epoch, receipt.position.offset, level,
                          receipt.delivery)
            return


class LastPublisher(UnaryPublisher):
    """Publishes one event to each channel, when all is quiet.

    last  the position of each
    """

    def publish_last(self):
        self.last = {}
        for channel in self._channels:
            name = f"{self.name}-{channel}-1"
            data = {"of": name}
            self._journal.write("sent", publisher=self.name, channel=channel, id=name, n=1,
                                hash=hash_of(data))
            with _channel(self._address) as connection:
                stub = publish_pb2_grpc.PublisherStub(connection)
                self._publish(stub, channel, name, data)

    def _receipt(self, channel, name, epoch, offset, level, delivery):
        super()._receipt(channel, name, epoch, offset, level, delivery)
        self._journal.write("final", channel=channel, epoch=epoch, offset=offset)
        self.last[channel] = (epoch, offset)


def _channel(address):
    return grpc.insecure_channel(address, options=[
        ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 500)])

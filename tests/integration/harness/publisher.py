"""Publishes through the gRPC API."""
import json

import grpc
from fanwire.v1 import publish_pb2, publish_pb2_grpc

LEVELS = {"accepted": publish_pb2.RECEIPT_LEVEL_ACCEPTED,
          "routed": publish_pb2.RECEIPT_LEVEL_ROUTED,
          "written": publish_pb2.RECEIPT_LEVEL_WRITTEN}


class Publisher:
    def __init__(self, server):
        self._channel = grpc.insecure_channel(server.address)
        self.stub = publish_pb2_grpc.PublisherStub(self._channel)

    def close(self):
        self._channel.close()

    @staticmethod
    def event(channel, name="test.event", data=None, service="mahavishnu", **fields):
        """Returns an Event; `fields` are further fields of the message."""
        event = publish_pb2.Event(service=service, channel=channel, event=name,
                                  json=json.dumps({} if data is None else data).encode())
        ttl_ms = fields.pop("ttl_ms", None)
        if ttl_ms is not None:
            event.ttl.FromMilliseconds(ttl_ms)
        for field, value in fields.items():
            setattr(event, field, value)
        return event

    def publish(self, channel, name="test.event", data=None, service="mahavishnu",
                level="accepted", wait_ms=None, **fields):
        """Publishes one event and returns its Receipt; raises grpc.RpcError."""
        request = publish_pb2.PublishRequest(
            event=self.event(channel, name, data, service, **fields), receipt_level=LEVELS[level])
        if wait_ms is not None:
            request.wait.FromMilliseconds(wait_ms)
        return self.stub.Publish(request, timeout=30).receipt

    def publish_batch(self, events, level="accepted"):
        request = publish_pb2.PublishBatchRequest(events=events, receipt_level=LEVELS[level])
        return list(self.stub.PublishBatch(request, timeout=60).receipts)

    def publish_many(self, channel, count, first=1, service="mahavishnu", name="test.event"):
        """Publishes `count` events in batches; their data is {"n": first}, {"n": first + 1} …"""
        for start in range(first, first + count, 500):
            events = [self.event(channel, name, {"n": n}, service)
                      for n in range(start, min(start + 500, first + count))]
            for receipt in self.publish_batch(events):
                if receipt.status.code:
                    raise AssertionError(f"refused: {receipt.status}")

"""The base of the integration tests."""
import asyncio
import time
import unittest

from .client import Client
from .config import small_config
from .publisher import Publisher
from .server import PATIENCE, Server


async def eventually(condition, what="the condition"):
    """Waits until condition() is true and returns its value."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        await asyncio.sleep(0.02)
    raise AssertionError(f"timed out waiting for {what}")


class Case(unittest.IsolatedAsyncioTestCase):
    """Tests of one class share one server, with the configuration that `config()` returns."""

    server = None
    publisher = None

    @classmethod
    def config(cls):
        return small_config()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.config())
        try:
            cls.server.start()
        except BaseException:
            cls.server.process.kill()
            cls.server.process.wait()
            cls.server._left_behind()
            raise
        cls.publisher = Publisher(cls.server)
        cls.publish = cls.publisher.publish

    @classmethod
    def tearDownClass(cls):
        cls.publisher.close()
        cls.server.stop()

    async def connect(self, service="mahavishnu", listener=0, path="", **options):
        """Returns a Client that is closed after the test."""
        client = await Client.connect(self.server.url(service, listener, path), **options)
        self.addAsyncCleanup(client.close)
        return client


def main():
    unittest.main(verbosity=2)

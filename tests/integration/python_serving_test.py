"""The Python library serves requests of real clients, also while processes die and restart."""
import asyncio
import json
import logging
import subprocess
import sys

from fanwire.publisher import AsyncPublisher, Publisher, RequestError
from harness import Case, eventually, main, service, small_config
from harness.server import PATIENCE

DIES = """
import os, sys
from fanwire.publisher import Publisher
publisher = Publisher(sys.argv[1])

@publisher.serve("mahavishnu", "shared")
def shared(request):
    os.kill(os.getpid(), 9)

publisher.start_serving()
while not publisher.serving:
    pass
print("serving", flush=True)
sys.stdin.read()
"""


class Serving(Case):
    @classmethod
    def config(cls):
        return small_config(service(served_requests=[{"request": "slow", "timeout": "300ms"}]),
                            control={"adopt_window": "3s"}, limits={"control_wait": "20s"})

    def make(self, kind=AsyncPublisher):
        return kind(self.server.address, backoff=(0.01, 0.1))

    async def until_served(self, publisher, client, name):
        """Waits until workers know the name, too."""
        await eventually(lambda: publisher.serving, "serving")
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            reply = await client.request(name, {})
            if reply["error_code"] != "UNKNOWN_REQUEST":
                return reply
            self.assertLess(asyncio.get_running_loop().time(), deadline, reply)
            await asyncio.sleep(0.05)

    async def test_an_answer_reaches_the_client_with_all_digits(self):
        client = await self.connect()
        async with self.make() as publisher:
            asked = []

            @publisher.serve("mahavishnu", "add")
            async def add(request):
                asked.append(request)
                if "a" not in request.data:
                    raise RequestError("INVALID_REQUEST", "data.a is missing")
                return {"sum": request.data["a"] + request.data["b"]}
            reply = await self.until_served(publisher, client, "add")
            self.assertEqual((reply["error_code"], reply["error_message"]),
                             ("INVALID_REQUEST", "data.a is missing"))
            await client.send('{"type":"request","id":"q","event":"add",'
                              '"data":{"a":123456789012345678901234567890,"b":1}}')
            text = await client.recv_text()
            self.assertIn('"sum":123456789012345678901234567891', text)
            self.assertEqual(json.loads(text)["correlation_id"], "q")
            self.assertEqual((asked[-1].connection_id, asked[-1].user_id, asked[-1].attempt),
                             (client.connection_id, "", 1))

    async def test_a_deadline(self):
        client = await self.connect()
        async with self.make() as publisher:
            cancelled = asyncio.Event()

            @publisher.serve("mahavishnu", "slow")
            async def slow(request):
                self.assertLessEqual(request.remaining, 0.3)
                while not request.cancelled:
                    await asyncio.sleep(0.01)
                cancelled.set()
            await eventually(lambda: publisher.serving, "serving")
            deadline = asyncio.get_running_loop().time() + PATIENCE
            while not cancelled.is_set():  # at first the worker may not know that it is served
                self.assertEqual((await client.request("slow"))["error_code"], "UNAVAILABLE")
                await asyncio.sleep(0.05)
                self.assertLess(asyncio.get_running_loop().time(), deadline)

    async def test_a_process_that_dies_is_replaced_within_the_deadline(self):
        client = await self.connect()
        dies = subprocess.Popen([sys.executable, "-c", DIES, self.server.address], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(dies.wait)
        self.addCleanup(dies.kill)
        self.addCleanup(dies.stdin.close)
        self.addCleanup(dies.stdout.close)
        loop = asyncio.get_running_loop()
        self.assertEqual(await loop.run_in_executor(None, dies.stdout.readline), "serving\n")
        async with self.make() as publisher:
            @publisher.serve("mahavishnu", "shared")
            async def shared(request):
                return {"attempt": request.attempt}
            attempts = []
            reply = await self.until_served(publisher, client, "shared")
            while 2 not in attempts:  # the two take turns
                attempts.append(reply["data"]["attempt"])
                await asyncio.sleep(0.02)
                reply = await client.request("shared")
            self.assertEqual(await loop.run_in_executor(None, dies.wait), -9)

    async def test_serving_goes_on_after_a_restart_of_control(self):
        client = await self.connect()
        publisher = self.make(Publisher)
        publisher.serve("mahavishnu", "kept")(lambda request: {"kept": True})
        publisher.start_serving()
        try:
            await self.until_served(publisher, client, "kept")
            self.server.kill()
            await asyncio.get_running_loop().run_in_executor(None, self.server.start)
            await eventually(lambda: publisher.serving, "serving")
            reply = await self.until_served(publisher, client, "kept")
            while reply["type"] == "error":  # the worker has not attached yet
                self.assertEqual(reply["error_code"], "UNAVAILABLE")
                await asyncio.sleep(0.02)
                reply = await client.request("kept")
            self.assertEqual(reply["data"], {"kept": True})
        finally:
            await asyncio.get_running_loop().run_in_executor(None, publisher.close)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()

"""The Python library's Publisher against the real programs, also while they are killed."""
import asyncio
import contextlib
import logging
import os
import re
import threading

from fanwire.publisher import AsyncPublisher, EventRefused, Publisher
from harness import Case, main, service, small_config
from harness.config import ROOT


async def in_thread(function, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class Publishing(Case):
    @classmethod
    def config(cls):
        # The subscriber reads only after everything is published: it must not count as slow.
        return small_config(service(), limits={"max_batch": 100, "max_event_bytes": 1000,
                                               "session_backlog_bytes": "16MiB"})

    async def test_the_lines_of_the_readme_publish(self):
        client = await self.connect()
        await client.subscribe("workflow:wf_demo")
        code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]
        self.assertLessEqual(len(code.strip().splitlines()), 5)
        os.environ["FANWIRE_SERVER"] = self.server.address
        self.addCleanup(os.environ.pop, "FANWIRE_SERVER")
        await in_thread(exec, code, {})
        self.assertEqual((await client.event("workflow.started"))["data"],
                         {"workflow_id": "wf_demo"})

    async def test_events_arrive_in_order_once_although_control_takes_smaller_messages(self):
        client = await self.connect()
        await client.subscribe("many:a")

        def publish():
            with Publisher(self.server.tcp_address) as publisher:
                for n in range(5000):
                    publisher.publish("mahavishnu", "many:a", "test.event", {"n": n})
        await in_thread(publish)
        self.assertEqual(await client.numbers(5000), list(range(5000)))
        self.assertEqual(await client.until_quiet(), [])

    async def test_the_envelope_has_what_was_given(self):
        client = await self.connect()
        await client.subscribe("one:a")
        async with AsyncPublisher(self.server.address, level="written") as publisher:
            receipt = await publisher.publish("mahavishnu", "one:a", "test.event", {"ä": 2**64},
                                              id="mine")
            self.assertEqual((receipt.id, receipt.offset, receipt.level, receipt.delivery.matched,
                              receipt.delivery.written), ("mine", 1, "written", 1, 1))
            frame = await client.event()
            self.assertEqual((frame["id"], frame["data"], frame["offset"], frame["epoch"]),
                             ("mine", {"ä": 2**64}, receipt.offset, receipt.epoch))
            skipped = await publisher.publish("mahavishnu", "one:a", "test.event",
                                              skip_history=True)
            self.assertEqual((skipped.epoch, skipped.offset), ("", 0))

    async def test_refusals_say_what_control_says(self):
        async with AsyncPublisher(self.server.address) as publisher:
            for arguments, code, text in (
                    (("nobody", "a:b", "test.event"), "NOT_FOUND", '"nobody"'),
                    (("mahavishnu", "a:*", "test.event"), "INVALID_ARGUMENT", "a:*"),
                    (("mahavishnu", "a:b", "channel.skipped"), "INVALID_ARGUMENT",
                     "channel.skipped"),
                    (("mahavishnu", "a:b", "test.event", b"[]"), "INVALID_ARGUMENT", "object"),
                    (("mahavishnu", "a:b", "test.event", {"a": "x" * 2000}), "INVALID_ARGUMENT",
                     "1000")):
                with self.assertRaises(EventRefused) as caught:
                    await publisher.publish(*arguments)
                self.assertEqual(caught.exception.code, code)
                self.assertIn(text, caught.exception.message)

    async def test_an_idempotency_key_publishes_once(self):
        async with AsyncPublisher(self.server.address) as first, \
                AsyncPublisher(self.server.address) as second:
            one = await first.publish("mahavishnu", "key:a", "test.event", idempotency_key="k")
            two = await second.publish("mahavishnu", "key:a", "test.event", idempotency_key="k")
            self.assertEqual((one.duplicate, two.duplicate, one.offset, two.offset, one.id),
                             (False, True, 1, 1, two.id))


class Link:
    """A TCP connection to control that the test can cut."""

    def __init__(self, address):
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._tasks = set()
        self._writers = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *unused):
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self):
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        with contextlib.suppress(OSError):
            other_reader, other_writer = await asyncio.open_connection(self._host, self._port)
            self._writers |= {writer, other_writer}
            await asyncio.gather(self._copy(reader, other_writer),
                                 self._copy(other_reader, writer))

    async def _copy(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Source(threading.Thread):
    """Publishes numbers: at most AHEAD more than were read, so that the reader is never slow."""

    AHEAD = 300

    def __init__(self, publisher, channel, count):
        super().__init__(daemon=True)
        self._publisher = publisher
        self._channel = channel
        self._count = count
        self._allowed = threading.Semaphore(self.AHEAD)
        self.start()

    def run(self):
        for n in range(self._count):
            self._allowed.acquire()
            self._publisher.publish("mahavishnu", self._channel, "test.event", {"n": n})

    def was_read(self):
        self._allowed.release()


class Losing(Case):
    @classmethod
    def config(cls):
        return small_config(service(), control={"adopt_window": "3s"},
                            limits={"control_wait": "20s"})

    async def test_a_connection_that_is_cut_again_and_again_loses_and_repeats_nothing(self):
        client = await self.connect()
        await client.subscribe("cut:a")
        async with Link(self.server.tcp_address) as link:
            publisher = Publisher(link.address, backoff=(0.01, 0.05))
            source = Source(publisher, "cut:a", 4000)
            for n in range(4000):
                self.assertEqual((await client.event())["data"]["n"], n)
                source.was_read()
                if n % 500 == 250:
                    link.cut()
            await in_thread(publisher.close)
        self.assertEqual(await client.until_quiet(), [])
        self.assertGreater(publisher.stats()["connections"], 4)

    async def test_a_killed_control_loses_nothing_and_repeats_only_what_clients_can_tell(self):
        client = await self.connect()
        await client.subscribe("kill:a")
        # WRITTEN: what has a receipt is with the subscriber, and not only in control's memory.
        publisher = Publisher(self.server.address, level="written", backoff=(0.01, 0.1))
        source = Source(publisher, "kill:a", 2000)
        numbers = {}  # by id, in the order in which they came first
        kills = {500, 1200}
        while len(numbers) < 2000:
            frame = await client.event()
            if frame["event"] == "channel.skipped":
                continue  # offsets start again
            if frame["id"] in numbers:
                self.assertEqual(numbers[frame["id"]], frame["data"]["n"])
                continue
            numbers[frame["id"]] = frame["data"]["n"]
            source.was_read()
            if len(numbers) in kills:
                self.server.kill()
                await in_thread(self.server.start)
        await in_thread(publisher.close)
        self.assertEqual(list(numbers.values()), list(range(2000)))
        late = {frame["id"] for frame in await client.until_quiet()}
        self.assertEqual(late - set(numbers), set())
        self.assertEqual(publisher.stats()["connections"], 3)


if __name__ == "__main__":
    logging.getLogger("fanwire").addHandler(logging.NullHandler())
    main()

"""The fault proxy breaks links as it says, and never lets bytes pass behind lost ones."""
import asyncio
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fault_proxy import DOWN, UP, FaultProxy  # noqa: E402

PATIENCE = 20


class FaultProxyTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.accepted = asyncio.Queue()  # (reader, writer) of the server behind the proxy
        self.server = await asyncio.start_server(
            lambda *streams: self.accepted.put_nowait(streams), "127.0.0.1", 0)
        self.proxy = FaultProxy(self.server.sockets[0].getsockname()[1])
        await self.proxy.start()
        self.addAsyncCleanup(self.end)
        self.open = []

    async def end(self):
        for writer in self.open:
            writer.transport.abort()
        await self.proxy.close()
        self.server.close()

    async def connect(self):
        """Returns (reader, writer) of the client and of the server."""
        client = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        server = await asyncio.wait_for(self.accepted.get(), PATIENCE)
        self.open += [client[1], server[1]]
        await self.passes(client[1], server[0], b"up")
        await self.passes(server[1], client[0], b"down")
        return client, server

    async def passes(self, writer, reader, data):
        writer.write(data)
        self.assertEqual(await asyncio.wait_for(reader.readexactly(len(data)), PATIENCE), data)

    async def rest(self, reader):
        """Returns what comes until the connection ends."""
        data = b""
        try:
            while part := await asyncio.wait_for(reader.read(100), PATIENCE):
                data += part
        except ConnectionError:
            pass
        return data

    async def test_cut_ends_connections_and_refuses_new_ones_until_it_is_healed(self):
        client, server = await self.connect()
        self.proxy.cut()
        self.assertEqual(await self.rest(client[0]), b"")
        self.assertEqual(await self.rest(server[0]), b"")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        self.open.append(writer)
        self.assertEqual(await self.rest(reader), b"")
        self.assertTrue(self.accepted.empty())
        self.proxy.heal()
        await self.connect()

    async def test_held_bytes_come_when_it_is_healed(self):
        client, server = await self.connect()
        self.proxy.hold(UP)
        client[1].write(b"held")
        held = asyncio.ensure_future(server[0].readexactly(4))
        for _ in range(5):  # the other direction is open, which takes longer than the bytes would
            await self.passes(server[1], client[0], b"open")
        self.assertFalse(held.done())
        self.proxy.heal()
        self.assertEqual(await asyncio.wait_for(held, PATIENCE), b"held")
        await self.passes(client[1], server[0], b"more")

    async def test_nothing_comes_behind_lost_bytes(self):
        client, server = await self.connect()
        self.proxy.lose(DOWN)
        server[1].write(b"lost")
        for _ in range(5):
            await self.passes(client[1], server[0], b"open")
        self.proxy.heal()
        self.assertEqual(await self.rest(client[0]), b"")

    async def test_a_connection_without_lost_bytes_stays(self):
        client, server = await self.connect()
        self.proxy.lose(DOWN)
        await self.passes(client[1], server[0], b"open")
        self.proxy.heal()
        await self.passes(server[1], client[0], b"down")

    async def test_half_of_the_bytes_come(self):
        client, server = await self.connect()
        self.proxy.cut_in_the_middle()
        server[1].write(b"12345678")
        self.assertEqual(await self.rest(client[0]), b"1234")

    async def test_bytes_are_late(self):
        client, server = await self.connect()
        self.proxy.delay(0.05)
        before = asyncio.get_running_loop().time()
        await self.passes(client[1], server[0], b"late")
        self.assertGreaterEqual(asyncio.get_running_loop().time() - before, 0.05)

    async def test_the_end_of_one_side_reaches_the_other(self):
        client, server = await self.connect()
        server[1].write(b"last")
        server[1].close()
        self.assertEqual(await self.rest(client[0]), b"last")

    async def test_unix_sockets(self):
        with tempfile.TemporaryDirectory(prefix="fanwire-") as folder:
            behind = await asyncio.start_unix_server(
                lambda *streams: self.accepted.put_nowait(streams), folder + "/behind")
            proxy = FaultProxy(path=folder + "/proxy", target_path=folder + "/behind")
            await proxy.start()
            reader, writer = await asyncio.open_unix_connection(folder + "/proxy")
            server = await asyncio.wait_for(self.accepted.get(), PATIENCE)
            self.open += [writer, server[1]]
            await self.passes(writer, server[0], b"up")
            await self.passes(server[1], reader, b"down")
            await proxy.close()
            behind.close()


if __name__ == "__main__":
    unittest.main()

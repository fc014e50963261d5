"""A TCP proxy of the test's own, which cuts and stalls what goes through it."""
import asyncio
import contextlib


class Proxy:
    """Listens on a free port and forwards to `port`.

    cut_after   aborts a connection when so many bytes came from the server; None: never
    stalled     whether bytes of the server stay in the proxy: the link is dead, and nobody is told
    """

    def __init__(self, port, cut_after=None):
        self.cut_after = cut_after
        self.stalled = False
        self.connections = 0
        self._port = port
        self._writers = set()
        self._tasks = set()
        self._server = None

    @property
    def url(self):
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *unused):
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self):
        """Resets all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        self._writers.add(writer)
        upstream = None
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.add(upstream)
            await asyncio.wait([asyncio.ensure_future(self._pump(reader, upstream, None)),
                                asyncio.ensure_future(
                                    self._pump(upstream_reader, writer, self.cut_after))],
                               return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for each in (writer, upstream):
                self._writers.discard(each)
                if each is not None:
                    each.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def _pump(self, reader, writer, limit):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.stalled:
                    continue  # swallowed
                if limit is not None and len(data) >= limit:
                    writer.write(data[:limit])  # in the middle of a frame
                    await writer.drain()
                    return
                limit = None if limit is None else limit - len(data)
                writer.write(data)
                await writer.drain()

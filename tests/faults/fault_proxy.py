"""A proxy for TCP and unix sockets that breaks links as networks do.

What it does to the bytes of a connection is what a real TCP can do: they come late, or not at all
and then the connection ends.  It never lets bytes pass that come after lost ones.
"""
import asyncio
import contextlib

UP, DOWN = "up", "down"  # to the server, to the client


class FaultProxy:
    """Listens on a free port of 127.0.0.1, or at `path`, and forwards to `port` or `target_path`.

    Threading: one event loop.
    """

    def __init__(self, port=None, *, path=None, target_path=None):
        self._port, self._path, self._target_path = port, path, target_path
        self._server = None
        self._tasks = set()
        self._writers = set()
        self._healed = asyncio.Event()
        self._healed.set()
        self._clear()

    def _clear(self):
        self._refuses = False
        self._held = frozenset()
        self._losing = frozenset()
        self._delay = 0.0
        self._lost = set()    # writers whose bytes were lost, and get no more
        self._middle = False

    @property
    def port(self):
        return self._server.sockets[0].getsockname()[1]

    async def start(self):
        if self._path is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        else:
            self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def close(self):
        if self._server is None:
            return
        self._server.close()
        self.heal()
        self._abort(self._writers)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    # ------------------------------------------------------------------------- faults

    def cut(self):
        """Resets all connections and refuses new ones."""
        self._refuses = True
        self._abort(self._writers)

    def hold(self, *directions):
        """Bytes in these directions wait in the proxy."""
        self._held = frozenset(directions)
        self._healed.clear()

    def lose(self, *directions):
        """Bytes in these directions are lost; connections that have lost some end with heal()."""
        self._losing = frozenset(directions)

    def delay(self, seconds):
        """Bytes come so much later, and at most so many times a second."""
        self._delay = seconds

    def cut_in_the_middle(self):
        """The next bytes of each connection end it: half of them come."""
        self._middle = True

    def heal(self):
        lost = self._lost
        self._clear()
        self._abort(lost)
        self._healed.set()

    @staticmethod
    def _abort(writers):
        for writer in list(writers):
            writer.transport.abort()

    # ------------------------------------------------------------------------- links

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        pair = [writer]
        pumps = []
        self._writers.add(writer)
        try:
            if self._refuses:
                return
            if self._target_path is None:
                other_reader, other = await asyncio.open_connection("127.0.0.1", self._port)
            else:
                other_reader, other = await asyncio.open_unix_connection(self._target_path)
            pair.append(other)
            self._writers.add(other)
            pumps = [asyncio.ensure_future(self._pump(reader, other, UP)),
                     asyncio.ensure_future(self._pump(other_reader, writer, DOWN))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            for each in pair:
                self._writers.discard(each)
                self._lost.discard(each)
                each.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.discard(task)

    async def _pump(self, reader, writer, direction):
        with contextlib.suppress(OSError):
            while data := await reader.read(16384):
                if direction in self._losing:
                    self._lost.add(writer)
                if writer in self._lost:
                    continue
                while direction in self._held:
                    await self._healed.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                if self._middle:
                    writer.write(data[:len(data) // 2])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
            if writer not in self._lost:
                # Let what was written go out before the connection is aborted.
                writer.write_eof()
                await asyncio.sleep(0.05)

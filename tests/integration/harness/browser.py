"""A page in Chromium without a window, driven over the DevTools protocol."""
import asyncio
import itertools
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

import websockets

from .server import PATIENCE

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage"]


class Browser:
    """One browser with one page."""

    def __init__(self, url):
        self._profile = tempfile.mkdtemp(prefix="fanwire-chromium-")
        self._process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-port=0",
             url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self._socket = None
        self._ids = itertools.count(1)

    async def attach(self):
        """Waits until the browser has the page."""
        port = pathlib.Path(self._profile, "DevToolsActivePort")

        def pages():
            address = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                return [one for one in json.load(answer) if one["type"] == "page"]
        deadline = time.monotonic() + PATIENCE * 3
        while True:
            try:
                [page] = await asyncio.to_thread(pages)
                break
            except (OSError, IndexError, ValueError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
        self._socket = await websockets.connect(page["webSocketDebuggerUrl"], max_size=None)

    async def command(self, method, **parameters):
        number = next(self._ids)
        await self._socket.send(json.dumps(
            {"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE))
            if answer.get("id") == number:
                return answer["result"]

    async def evaluate(self, expression):
        """Returns the value of a JavaScript expression in the page; None if it throws."""
        answer = await self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, expression, value):
        """Waits until an expression in the page has the value."""
        deadline = time.monotonic() + PATIENCE * 2
        while (got := await self.evaluate(expression)) != value:
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression}: expected {value!r}, it is {got!r}")
            await asyncio.sleep(0.05)

    async def move_mouse(self, x, y):
        await self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def close(self):
        if self._socket is not None:
            await self._socket.close()
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, PATIENCE)
        shutil.rmtree(self._profile, True)

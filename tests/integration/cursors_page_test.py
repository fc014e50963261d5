"""docs/examples/subscribe/cursors.html in two browsers: each shows where the other's mouse is."""
import asyncio
import functools
import http.server
import json
import threading
import urllib.parse

from fanwire.v1 import admin_pb2
from harness import Case, main, shipped_config
from harness.browser import Browser
from harness.config import ROOT

PAGE = "docs/examples/subscribe/cursors.html"
# What the page shows of the others.
SHOWN = """Object.fromEntries([...document.querySelectorAll('.cursor')].map(
    (cursor) => [cursor.textContent, cursor.style.translate]))"""
STATUS = "document.getElementById('status').textContent"


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *unused):
        pass


class Cursors(Case):
    @classmethod
    def config(cls):
        return shipped_config()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Files, directory=ROOT))
        threading.Thread(target=cls.site.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.site.shutdown()
        cls.site.server_close()
        super().tearDownClass()

    def open_page(self, **query):
        query = urllib.parse.urlencode({"url": self.server.url("excalidraw"), **query})
        browser = Browser(f"http://127.0.0.1:{self.site.server_address[1]}/{PAGE}?{query}")
        self.addAsyncCleanup(browser.close)
        return browser

    def wait_for_both(self, unlike=None):
        """Waits until both pages are subscribed, on another worker than the process `unlike`."""
        def subscribed():
            rooms = self.server.admin.ListRooms(
                admin_pb2.ToolRequest(service="excalidraw"), timeout=5).json
            room = json.loads(rooms)["rooms"].get("diagram:example", {})
            return (room.get("subscribers") == 2 and
                    unlike not in [worker.pid for worker in self.server.workers()])
        self.server.wait(subscribed, "both pages")

    async def test_two_browsers(self):
        ana, bob = [self.open_page(name=name) for name in ("ana", "bob")]
        for browser in (ana, bob):
            await browser.attach()
        await asyncio.to_thread(self.wait_for_both)
        self.assertEqual(await ana.evaluate(STATUS), "move the mouse, ana")
        await ana.move_mouse(120, 80)
        await bob.until(SHOWN, {"↖ ana": "120px 80px"})
        await bob.move_mouse(33, 44)
        await ana.until(SHOWN, {"↖ bob": "33px 44px"})
        # The last position arrives, however fast the mouse moves.
        for x in range(50):
            await ana.move_mouse(x, 2 * x)
        await bob.until(SHOWN, {"↖ ana": "49px 98px"})
        # Nobody's own cursor is shown.
        self.assertEqual(await ana.evaluate(SHOWN), {"↖ bob": "33px 44px"})
        # A lost connection does no harm.
        [worker] = self.server.workers()
        self.server.kill(worker.pid)
        await asyncio.to_thread(self.wait_for_both, worker.pid)
        await bob.move_mouse(5, 6)
        await ana.until(SHOWN, {"↖ bob": "5px 6px"})
        # The cursor goes with its page.
        await bob.close()
        await ana.until(SHOWN, {})


if __name__ == "__main__":
    main()

"""A page in headless Chromium subscribes and receives every event."""
import asyncio
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import urllib.parse

from harness import Case, main
from harness.browser import FLAGS
from harness.server import PATIENCE

PAGE = pathlib.Path(__file__).with_name("chromium_page.html")
COUNT = 500


class Reports:
    """Serves the page, and puts what the page posts into one queue for each path."""

    def __init__(self):
        reports = self
        self._queues = {"subscribed": queue.Queue(), "done": queue.Queue()}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if not self.path.startswith("/page"):
                    self.send_error(404)
                    return
                self._answer(PAGE.read_bytes(), "text/html")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reports._queues[self.path[1:]].put(json.loads(body))
                self._answer(b"", "text/plain")

            def _answer(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *unused):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, **query):
        port = self._server.server_address[1]
        return f"http://127.0.0.1:{port}/page?{urllib.parse.urlencode(query)}"

    def get(self, name):
        return self._queues[name].get(timeout=PATIENCE * 3)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Chromium(Case):
    async def test_a_page_gets_every_event(self):
        reports = Reports()
        self.addCleanup(reports.close)
        profile = tempfile.mkdtemp(prefix="fanwire-chromium-")
        self.addCleanup(shutil.rmtree, profile, True)
        browser = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0",
             reports.url(url=self.server.url(), channel="page:a", count=COUNT)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            confirmation = await asyncio.to_thread(reports.get, "subscribed")
            self.assertEqual(confirmation["data"]["status"], "subscribed")
            await asyncio.to_thread(self.publisher.publish_many, "page:a", COUNT)
            done = await asyncio.to_thread(reports.get, "done")
        finally:
            browser.terminate()
            browser.wait(PATIENCE)
        self.assertEqual(done["welcome"]["data"]["server"], "mahavishnu")
        self.assertEqual([event["data"]["n"] for event in done["events"]],
                         list(range(1, COUNT + 1)))
        self.assertEqual({event["room"] for event in done["events"]}, {"page:a"})
        self.assertEqual((done["code"], done["wasClean"]), (1000, True))
        self.assertEqual((done["extensions"], done["protocol"]), ("", ""))


if __name__ == "__main__":
    main()

"""The page of docs/clients.md as it stands there, served as it says, in headless Chromium: it shows
every event over kill -9 of its worker and over a sleep, and a gap after a restart of control.
"""
import asyncio
import http.server
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import main, service, small_config
from harness.browser import FLAGS
from harness.config import ROOT
from harness.js_clients import DocumentCase, block, line
from harness.ports import free_port
from harness.server import PATIENCE

# Tells the test what the page shows.
REPORT = """<script type="module">
  for (let told; ;) {
    const text = document.getElementById('log').textContent;
    if (text !== told)
      await fetch('URL', {method: 'POST', mode: 'no-cors', body: JSON.stringify(told = text)});
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
</script>
"""


class Site:
    """Serves the page with the document's commands, and keeps what the page shows."""

    def __init__(self, page, commands):
        self._shown = queue.Queue()
        self._last = ""
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                site._shown.put(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *unused):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-page-", dir="/tmp"))
        (self._folder / "clients").symlink_to(ROOT / "clients")
        (self._folder / "page").mkdir()
        (self._folder / "page/index.html").write_text(page + REPORT.replace(
            "URL", f"http://127.0.0.1:{self._server.server_address[1]}/"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        assert commands.count("8000") == 1, commands
        self._process = subprocess.Popen(
            ["bash", "-ec", commands.replace("8000", str(port))], cwd=self._folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self._wait_for(port)

    def _wait_for(self, port):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.close()
                    raise
                time.sleep(0.05)

    def until_shown(self, text):
        """Waits until the page shows a text that ends so; returns its lines."""
        deadline = time.monotonic() + PATIENCE * 3
        while not self._last.endswith(text):
            try:
                self._last = self._shown.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not shown: {text}; but {self._last[-500:]}") from None
        return self._last.splitlines()

    def close(self):
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        shutil.rmtree(self._folder)
        self._server.shutdown()
        self._server.server_close()


class Page(DocumentCase):
    @classmethod
    def config(cls):
        return small_config(service(), workers=2, control={"adopt_window": "3s"},
                            limits={"ping_interval": "1s", "pong_timeout": "2s"})

    def worker_of_the_session(self):
        [session] = self.server.wsctl_json("connections", "list")
        [pid] = [one.pid for one in self.server.workers() if one.id == session["worker_id"]]
        return pid

    def open_page(self):
        """Opens the document's page in a browser; returns (site, the browser's process)."""
        site = Site(block(self.server, "html", "fanwire-client"),
                    block(self.server, "sh", "http.server"))
        self.addCleanup(site.close)
        profile = tempfile.mkdtemp(prefix="fanwire-chromium-")
        self.addCleanup(shutil.rmtree, profile, True)
        browser = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0",
             site.url],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(browser.wait, PATIENCE)
        self.addCleanup(browser.terminate)
        return site, browser

    async def test_a_killed_worker_and_a_restarted_control(self):
        site, _ = self.open_page()
        await self.subscribed()
        await self.publish_numbers(1, 50)
        await asyncio.to_thread(site.until_shown, f"{line(50)}\n")
        self.server.kill(self.worker_of_the_session())
        await self.publish_numbers(51, 100)
        shown = await asyncio.to_thread(site.until_shown, f"{line(100)}\n")
        self.assertEqual(shown, [line(number) for number in range(1, 101)])
        await asyncio.to_thread(self.server.wait_ready)
        self.server.kill()
        await asyncio.to_thread(self.server.start)
        await asyncio.to_thread(site.until_shown, "events are missing: epoch_changed\n")
        await self.publish_numbers(101, 103)
        shown = await asyncio.to_thread(site.until_shown, f"{line(103)}\n")
        self.assertEqual(shown[100:], ["events are missing: epoch_changed",
                                       line(101), line(102), line(103)])

    async def test_a_sleep(self):
        """All processes of the browser stand still until the server has given it up."""
        site, browser = self.open_page()
        await self.subscribed()
        await self.publish_numbers(1, 10)
        await asyncio.to_thread(site.until_shown, f"{line(10)}\n")
        os.killpg(browser.pid, signal.SIGSTOP)
        try:
            await self.publish_numbers(11, 20)
            await asyncio.to_thread(self.server.wait, lambda: not self.rooms(),
                                    "the server to give the page up")
            await self.publish_numbers(21, 30)
        finally:
            os.killpg(browser.pid, signal.SIGCONT)
        shown = await asyncio.to_thread(site.until_shown, f"{line(30)}\n")
        self.assertEqual(shown, [line(number) for number in range(1, 31)])


if __name__ == "__main__":
    main()

"""The proxies of docs/deploying.md, run with the configurations as they stand there."""
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

from harness import Case, Client, RawClient, eventually, main, small_config
from harness.config import ROOT
from harness.ports import free_port

BACKEND, FRONTEND = "8690", "8080"  # ports in the document


def block(language):
    """Returns the only code block of docs/deploying.md in this language."""
    text = (ROOT / "docs/deploying.md").read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} blocks of {language}"
    return found[0]


class Proxy(Case):
    """A proxy before a running server; `start_proxy` writes its files and returns its command."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-proxy-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.port = free_port()

    def text(self, language):
        """Returns the document's block for the ports of this test."""
        text = block(language)
        self.assertEqual(text.count(BACKEND), 1)
        self.assertEqual(text.count(FRONTEND), 1)
        return text.replace(BACKEND, str(self.server.port())).replace(FRONTEND, str(self.port))

    def run_proxy(self, *command):
        log = open(self.directory / "log", "wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    def get(self, path, port=None):
        port = port or self.port
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return None  # it does not listen yet
        with RawClient(port, handshake=False) as client:
            return client.http(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")[0]

    async def check_clients(self):
        await eventually(lambda: self.get("/health") == 200, "the proxy to pass requests on")
        cookie = {"Cookie": "session=" + "x" * 20000}
        client = await Client.connect(f"ws://127.0.0.1:{self.port}/ws?x=1", extra_headers=cookie)
        self.addAsyncCleanup(client.close)
        await client.subscribe("workflow:1")
        for n in range(10):
            self.publish("workflow:1", "workflow.started", {"n": n})
        for n in range(10):
            self.assertEqual((await client.event("workflow.started"))["data"]["n"], n)
        # The page's origin arrives, and so does the refusal.
        with RawClient(self.port, handshake=False) as refused:
            status, _, body = refused.http(
                "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                "Origin: https://evil.example\r\n\r\n")
        self.assertEqual(status, 403)
        self.assertIn("auth.allowed_origins", body)
        return client

    async def check_without_control(self, client):
        """Clients stay, and new ones come in, while control is away."""
        self.server.kill()
        try:
            await eventually(lambda: self.get("/readyz", self.server.port()) == 503,
                             "the worker to notice")
            await self.wait_for_checks()
            self.assertEqual(self.get("/health"), 200)
            late = await Client.connect(f"ws://127.0.0.1:{self.port}/")
            await late.close()
            await client.reply({"type": "ping"})
        finally:
            self.server.start()

    async def wait_for_checks(self):
        """Returns when the proxy has had time to take the server out."""

    @classmethod
    def config(cls):
        return small_config()


class Nginx(Proxy):
    async def test_the_documents_configuration(self):
        (self.directory / "fanwire.conf").write_text(self.text("nginx"))
        paths = "".join(f"{kind}_temp_path {self.directory}/{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.directory / "nginx.conf").write_text(
            f"daemon off;\nmaster_process off;\npid {self.directory}/pid;\nerror_log stderr;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}"
            f"include {self.directory}/fanwire.conf;\n}}\n")
        self.run_proxy("nginx", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"))
        await self.check_without_control(await self.check_clients())


class Haproxy(Proxy):
    def states(self):
        """Returns the state of each server by its proxy's name."""
        with socket.socket(socket.AF_UNIX) as stats:
            stats.connect(str(self.directory / "stats"))
            stats.sendall(b"show stat\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
        rows = [line.split(",") for line in text.splitlines() if line]
        names = [name.lstrip("# ") for name in rows[0]]
        states = {}
        for row in rows[1:]:
            entry = dict(zip(names, row))
            if entry["svname"] not in ("FRONTEND", "BACKEND"):
                states[entry["pxname"]] = entry["status"]
        return states

    async def wait_for_checks(self):
        # A balancer that checks /readyz takes the server out; the document's one does not.
        await eventually(lambda: self.states()["readyz"] == "DOWN", "a check of /readyz to fail")
        self.assertEqual(self.states(), {"fanwire": "UP", "plain": "UP", "readyz": "DOWN"})

    async def test_the_documents_configuration(self):
        (self.directory / "haproxy.cfg").write_text(self.text("haproxy"))
        backend = f"    server local 127.0.0.1:{self.server.port()} check inter 2s fall 3 rise 2\n"
        (self.directory / "more.cfg").write_text(
            f"global\n    stats socket {self.directory}/stats\n"
            "backend plain\n    option httpchk\n" + backend +
            "backend readyz\n    option httpchk\n"
            "    http-check send meth GET uri /readyz\n    http-check expect status 200\n" + backend)
        self.run_proxy("haproxy", "-db", "-f", str(self.directory / "haproxy.cfg"),
                       "-f", str(self.directory / "more.cfg"))
        client = await self.check_clients()
        await eventually(lambda: set(self.states().values()) == {"UP"}, "all checks to succeed")
        await self.check_without_control(client)


if __name__ == "__main__":
    main()

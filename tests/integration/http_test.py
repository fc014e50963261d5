"""Plain HTTP on a service port, and the ops ports of control and workers."""
import datetime
import json

from harness import Case, RawClient, eventually, main, service, small_config


class ServicePort(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("akosha"))

    def get(self, path, port=None, method="GET", more=""):
        with RawClient(port or self.server.port(), handshake=False) as client:
            return client.http(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n")

    async def test_health(self):
        clients = [await self.connect() for _ in range(3)]

        def three():
            return json.loads(self.get("/health")[2])["metrics"]["active_connections"] == 3
        await eventually(three, "three connections")
        for path in ("/health", "/healthz"):
            status, head, body = self.get(path)
            self.assertEqual(status, 200)
            self.assertRegex(head.lower(), r"content-type: application/json")
            health = json.loads(body)
            self.assertEqual(health["status"], "healthy")
            self.assertEqual(health["server"], "mahavishnu")
            self.assertEqual(health["worker"], "worker-0")
            datetime.datetime.fromisoformat(health["timestamp"])
            self.assertEqual(health["checks"]["websocket"], "passing")
            self.assertEqual(set(health["checks"].values()), {"passing"})
            self.assertGreaterEqual(health["metrics"]["total_connections"], len(clients))
            self.assertGreaterEqual(health["metrics"]["uptime_seconds"], 0)
        self.assertEqual(json.loads(self.get("/health", self.server.port("akosha"))[2])["server"],
                         "akosha")

    async def test_readyz(self):
        self.assertEqual(self.get("/readyz")[0], 200)

    async def test_other_requests(self):
        self.assertEqual(self.get("/")[0], 426)
        self.assertEqual(self.get("/nothing")[0], 426)
        self.assertGreaterEqual(self.get("/health", method="DELETE")[0], 400)

    async def test_query_and_head(self):
        self.assertEqual(self.get("/health?verbose=1")[0], 200)

    async def test_the_check_of_a_balancer(self):
        for request in ("OPTIONS / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"):
            with RawClient(self.server.port(), handshake=False) as client:
                self.assertEqual(client.http(request)[0], 200)


class Timeouts(Case):
    @classmethod
    def config(cls):
        return small_config(limits={"handshake_timeout": "300ms"})

    async def test_who_does_not_finish_the_request_is_cut_off(self):
        with RawClient(self.server.port(), handshake=False) as client:
            client.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            self.assertTrue(client.at_end())
        with RawClient(self.server.port(), handshake=False) as client:
            self.assertTrue(client.at_end())


class OpsPorts(Case):
    @classmethod
    def config(cls):
        return small_config(workers=2)

    def get(self, address, path):
        with RawClient(int(address.rpartition(":")[2]), handshake=False) as client:
            return client.http(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")

    async def test_control(self):
        address = self.server.config["control"]["ops_listen"]
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.get(address, path)[0], 200, path)
        self.assertEqual(self.get(address, "/nothing")[0], 404)

    async def test_workers(self):
        workers = self.server.workers()
        self.assertEqual(len({worker.ops_address for worker in workers}), 2)
        for worker in workers:
            for path in ("/healthz", "/readyz"):
                self.assertEqual(self.get(worker.ops_address, path)[0], 200, path)

    async def test_head_options_and_no_host(self):
        for address in [self.server.config["control"]["ops_listen"],
                        self.server.workers()[0].ops_address]:
            for request, status in (("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
                                    ("HEAD /healthz HTTP/1.0\r\n\r\n", "200"),
                                    ("HEAD /readyz HTTP/1.0\r\n\r\n", "200"),
                                    ("OPTIONS / HTTP/1.0\r\n\r\n", "200"),
                                    ("GET /healthz HTTP/1.1\r\n\r\n", "400")):
                with RawClient(int(address.rpartition(":")[2]), handshake=False) as client:
                    client.socket.sendall(request.encode())
                    self.assertEqual(client.http_head().split(" ")[1], status, request)
                    if request.startswith("HEAD"):
                        self.assertTrue(client.at_end())

    async def test_a_worker_without_control_is_alive_but_not_ready(self):
        worker = self.server.workers()[0]
        self.server.kill()
        try:
            await eventually(lambda: self.get(worker.ops_address, "/readyz")[0] == 503,
                             "the worker to be unready")
            self.assertEqual(self.get(worker.ops_address, "/healthz")[0], 200)
        finally:
            self.server.start()


if __name__ == "__main__":
    main()

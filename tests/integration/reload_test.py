"""SIGHUP and `wsctl config reload`: keys that change at once, keys that do not, and bad files."""
import contextlib
import copy
import signal
import socket

from harness import Case, Client, eventually, main, service, small_config
from harness.ports import free_port


@contextlib.contextmanager
def taken_port():
    """A port on which another program listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


class Reload(Case):
    @classmethod
    def config(cls):
        return small_config(service(max_channels_per_session=5), workers=2)

    def setUp(self):
        self.saved = copy.deepcopy(self.server.config)

    def tearDown(self):
        self.server.config = self.saved
        self.server.write_config()
        self.server.wsctl("config", "reload")

    def reload(self):
        self.server.write_config()
        return self.server.wsctl_json("config", "reload")

    async def max_channels(self):
        return (await self.connect()).welcome["data"]["limits"]["max_channels"]

    async def test_a_limit_changes_live_and_is_acknowledged_by_all_workers(self):
        client = await self.connect()
        await client.subscribe("kept")
        self.server.config["services"][0]["max_channels_per_session"] = 7
        answer = self.reload()
        self.assertTrue(any("max_channels_per_session" in path for path in answer["applied"]),
                        answer)
        self.assertFalse(answer.get("needs_restart"))
        self.assertEqual(len(answer["workers"]), 2)
        self.assertFalse(any(worker.get("error") for worker in answer["workers"]))
        for _ in range(6):  # whichever worker takes the connection
            self.assertEqual(await self.max_channels(), 7)
        self.publish("kept")
        await client.event("test.event")

    async def test_sighup_does_the_same(self):
        self.server.config["services"][0]["max_channels_per_session"] = 9
        self.server.write_config()
        self.server.process.send_signal(signal.SIGHUP)
        in_a_row = 0  # workers apply the new file at slightly different times
        for _ in range(400):
            in_a_row = in_a_row + 1 if await self.max_channels() == 9 else 0
            if in_a_row == 12:
                break
        self.assertEqual(in_a_row, 12)

    async def test_a_new_service_opens_its_port_and_leaves_again(self):
        port = free_port()
        self.server.config["services"].append({"name": "billing", "port": port,
                                               "welcome_message": "Connected to billing"})
        self.reload()
        client = await Client.connect(f"ws://127.0.0.1:{port}")
        self.assertEqual(client.welcome["data"]["message"], "Connected to billing")
        await client.subscribe("invoice:1")
        self.publish("invoice:1", service="billing")
        await client.event("test.event")
        self.server.config["services"].pop()
        self.reload()
        code, _ = await client.closed()
        self.assertEqual(code, 1012)
        with self.assertRaises(OSError):
            await Client.connect(f"ws://127.0.0.1:{port}")

    async def test_a_bad_file_changes_nothing_and_is_named_by_place(self):
        client = await self.connect()
        await client.subscribe("kept:bad")
        good = self.server.config_file.read_text()
        bad = good.replace("max_channels_per_session: 5", "max_chanels_per_session: 5")
        self.assertNotEqual(bad, good)
        self.server.config_file.write_text(bad)
        done = self.server.wsctl("config", "reload", check=False)
        self.assertEqual(done.returncode, 67)  # INVALID_ARGUMENT
        self.assertRegex(done.stderr, r"fanwire\.yaml:\d+:\d+: .*max_chanels_per_session")
        self.server.process.send_signal(signal.SIGHUP)
        self.assertEqual(await self.max_channels(), 5)
        self.publish("kept:bad")
        await client.event("test.event")

    async def test_what_needs_a_restart_is_said(self):
        self.server.config["control"]["grpc_listen"] = f"127.0.0.1:{free_port()}"
        answer = self.reload()
        self.assertTrue(any("grpc_listen" in path for path in answer["needs_restart"]), answer)

    async def test_the_same_file_changes_nothing(self):
        answer = self.reload()
        self.assertFalse(answer.get("applied"))
        self.assertFalse(answer.get("needs_restart"))

    def reload_onto(self, port):
        """Reloads a file with another port, which is refused; returns wsctl's error."""
        self.server.config["services"][0]["listeners"][0]["port"] = port
        self.server.config["services"][0]["max_channels_per_session"] = 6
        self.server.write_config()
        done = self.server.wsctl("config", "reload", check=False)
        self.server.config = copy.deepcopy(self.saved)  # the one in force, not the file's
        self.assertEqual(done.returncode, 73, done.stderr)  # FAILED_PRECONDITION
        return done.stderr

    async def test_a_port_that_is_taken_is_refused_and_the_old_configuration_stays(self):
        port = self.server.port()
        client = await self.connect()
        await client.subscribe("kept:port")
        with taken_port() as taken:
            error = self.reload_onto(taken)
        self.assertRegex(error, rf"refused by worker-\d: .*:{taken}: .*the previous "
                                r"configuration stays in force, as version \d+")
        self.assertEqual(await self.max_channels(), 5)
        self.publish("kept:port")
        await client.event("test.event")
        shown = self.server.wsctl("config", "show").stdout
        self.assertIn(f"port: {port}", shown)
        self.assertNotIn(str(taken), shown)
        # All workers have the same configuration again.
        for worker in self.server.workers():
            self.assertEqual(worker.config_error, "")
            self.assertEqual([listener.port for listener in worker.listeners], [port])
        self.assertEqual(len({worker.config_version for worker in self.server.workers()}), 1)
        self.assertFalse(self.reload().get("applied"))

    async def test_a_worker_that_starts_after_a_refused_reload_serves(self):
        with taken_port() as taken:
            self.reload_onto(taken)
            gone = {worker.pid for worker in self.server.workers()}
            for pid in gone:
                self.server.kill(pid)
            await eventually(
                lambda: len([worker for worker in self.server.ready_workers()
                             if worker.pid not in gone]) == 2, "two new workers that serve")
            client = await self.connect()
            await client.subscribe("kept:again")
            self.publish("kept:again")
            await client.event("test.event")


if __name__ == "__main__":
    main()

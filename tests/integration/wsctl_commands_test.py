"""The commands of wsctl except the tools and --batch: JSON, tables and exit codes."""
import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import jwt

from harness import Case, eventually, main, service, small_config
from harness.server import BIN, PATIENCE
from harness.token import SECRET


def rows(answer, key):
    """Returns the list in `answer`, which is the list or an object with the list under `key`."""
    return answer if isinstance(answer, list) else answer[key]


class Commands(Case):
    @classmethod
    def config(cls):
        return small_config(service(), service("akosha"), workers=2)

    def wsctl(self, *arguments, **options):
        return self.server.wsctl(*arguments, **options)

    def json(self, *arguments, **options):
        return self.server.wsctl_json(*arguments, **options)

    async def test_publish_and_its_receipts(self):
        client = await self.connect()
        await client.subscribe("p:a")
        receipt = self.json("publish", "mahavishnu", "p:a", "x.y", '{"n": 1}')
        frame = await client.event("x.y")
        self.assertEqual(frame["data"], {"n": 1})
        self.assertEqual(receipt["position"], {"epoch": frame["epoch"], "offset": 1})
        self.assertEqual((receipt["id"], receipt["level"]), (frame["id"], "accepted"))
        receipt = self.json("publish", "mahavishnu", "p:a", "x.y", "--receipt", "written")
        self.assertEqual(receipt["level"], "written")
        self.assertEqual((receipt["delivery"]["matched"], receipt["delivery"]["written"]), (1, 1))
        self.assertEqual((await client.event())["data"], {})

    async def test_publish_from_a_file_and_from_stdin(self):
        client = await self.connect()
        await client.subscribe("p:file")
        path = self.server.directory / "data.json"
        path.write_text('{"from": "file"}')
        self.wsctl("publish", "mahavishnu", "p:file", "x.y", f"@{path}")
        self.assertEqual((await client.event())["data"], {"from": "file"})
        self.wsctl("publish", "mahavishnu", "p:file", "x.y", "-", stdin='{"from": "stdin"}')
        self.assertEqual((await client.event())["data"], {"from": "stdin"})

    async def test_refused_publications(self):
        for arguments, code in [
                (("nobody", "a", "x.y"), 69), (("mahavishnu", "a:*", "x.y"), 67),
                (("mahavishnu", "a", "x.y", "[1]"), 67), (("mahavishnu", "a", "x.y", "{"), 67),
                (("mahavishnu", "a", ""), 67), (("mahavishnu",), 2),
                (("mahavishnu", "a", "x.y", "{}", "--receipt", "never"), 2)]:
            with self.subTest(arguments=arguments):
                done = self.wsctl("publish", *arguments, check=False)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertTrue(done.stderr)
                self.assertEqual(done.stdout, "")

    async def test_a_service_that_is_not_configured_is_not_found(self):
        for command in (["channels", "list"], ["connections", "list"], ["ledger"],
                        ["connections", "disconnect"], ["health-check"]):
            with self.subTest(command=command):
                done = self.wsctl(*command, "--service", "nobody", check=False)
                self.assertEqual(done.returncode, 69, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertIn('service "nobody" is not configured', done.stderr)

    async def test_usage_errors_and_help(self):
        self.assertEqual(self.wsctl("no-such-command", check=False).returncode, 2)
        self.assertEqual(self.wsctl("workers", "list", "--no-such-flag", check=False).returncode, 2)
        for command in ([], ["publish"], ["workers"], ["workers", "drain"], ["channels", "history"],
                        ["connections", "list"], ["config", "check"], ["token", "mint"], ["tail"]):
            with self.subTest(command=command):
                self.assertIn("Usage", self.wsctl(*command, "--help").stdout)

    async def test_tail(self):
        process = subprocess.Popen(
            self.server.wsctl_command("--output", "json", "tail", "mahavishnu", "tail:*"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.server.environment)
        try:
            # The tail may attach a moment later than the process starts.
            line = None
            os.set_blocking(process.stdout.fileno(), False)
            for number in range(400):
                self.publish("tail:a", data={"n": number})
                self.publish("elsewhere:a")
                line = process.stdout.readline()
                if line:
                    break
                await asyncio.sleep(0.05)
            seen = json.loads(line)
            self.assertEqual((seen["service"], seen["channel"], seen["event"]),
                             ("mahavishnu", "tail:a", "test.event"))
            self.assertEqual(set(seen["position"]), {"epoch", "offset"})
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)

    async def test_services_list(self):
        services = {row["name"]: row for row in rows(self.json("services", "list"), "services")}
        self.assertEqual(set(services), {"mahavishnu", "akosha"})
        self.assertEqual(services["mahavishnu"]["listeners"][0]["port"], self.server.port())
        self.assertIn(str(self.server.port()), self.wsctl("services", "list").stdout)

    async def test_channels(self):
        client = await self.connect()
        await client.subscribe("ch:a")
        self.publisher.publish_many("ch:a", 7)
        self.publisher.publish_many("ch:b", 2)
        listed = rows(self.json("channels", "list", "--service", "mahavishnu", "--pattern",
                                "ch:*"), "channels")
        self.assertEqual([(row["channel"], row["head"]["offset"]) for row in listed],
                         [("ch:a", 7), ("ch:b", 2)])
        shown = self.json("channels", "show", "mahavishnu", "ch:a")
        self.assertEqual((shown["channel"], shown["head"]["offset"], shown["subscribers"],
                          shown["history_publications"]), ("ch:a", 7, 1, 7))
        self.assertEqual(self.wsctl("channels", "show", "mahavishnu", "no:such",
                                    check=False).returncode, 69)
        history = self.json("channels", "history", "mahavishnu", "ch:a", "--limit", "3")
        events = rows(history, "publications")
        self.assertEqual([event["position"]["offset"] for event in events], [5, 6, 7])
        for arguments, offsets in ((["--before", "5"], [3, 4]), (["--since", "2"], [3, 4]),
                                   (["--since", "2", "--before", "4"], [3]),
                                   (["--reverse"], [7, 6]), (["--before", "1"], [])):
            events = self.json("channels", "history", "mahavishnu", "ch:a", "--limit", "2",
                               *arguments)
            self.assertEqual([event["position"]["offset"] for event in events], offsets)
        self.assertIn("ch:a", self.wsctl("channels", "list").stdout)

    async def test_a_history_of_more_than_one_answer(self):
        # Control cuts an answer at 1 MiB.
        for n in range(60):
            self.publish("large:a", data={"n": n, "text": "x" * 60000})
        for arguments, numbers in (([], range(60)), (["--limit", "40"], range(20, 60)),
                                   (["--since", "10", "--limit", "40"], range(10, 50)),
                                   (["--before", "51", "--limit", "40"], range(10, 50)),
                                   (["--reverse", "--limit", "40"], range(59, 19, -1))):
            events = self.json("channels", "history", "mahavishnu", "large:a", *arguments)
            self.assertEqual([event["envelope"]["data"]["n"] for event in events], list(numbers))

    async def test_connections(self):
        client = await self.connect()
        await client.subscribe("conn:a")
        self.publish("conn:a", level="written")
        await client.event()

        def listed():
            return [row for row in rows(self.json("connections", "list"), "connections")
                    if row["id"] == client.connection_id and row["delivered"] == 1]
        row = (await eventually(listed, "the connection in the list"))[0]
        self.assertEqual(row["service"], "mahavishnu")
        self.assertEqual(row["channels"], ["conn:a"])
        self.assertEqual((row["backlog_bytes"], row["dropped"]), (0, 0))
        self.assertFalse(row["user"])
        self.assertRegex(row["address"], r"^127\.0\.0\.1:\d+$")
        self.assertRegex(row["connected_at"], r"^\d{4}-\d\d-\d\dT")
        shown = self.json("connections", "show", client.connection_id)
        self.assertEqual(shown["id"], client.connection_id)
        self.assertEqual(self.wsctl("connections", "show", "nobody", check=False).returncode, 69)
        self.assertIn(client.connection_id[:8], self.wsctl("connections", "list").stdout)

    async def test_connections_by_any_form_of_their_address(self):
        client = await self.connect()
        address = self.json("connections", "show", client.connection_id)["address"]
        port = address.rpartition(":")[2]
        for form in (address, "127.0.0.1", "[127.0.0.1]", "::ffff:127.0.0.1", "::FFFF:7f00:1",
                     f"[::ffff:127.0.0.1]:{port}"):
            ids = [row["id"] for row in self.json("connections", "list", "--address", form)]
            self.assertIn(client.connection_id, ids, form)
        for form in ("[::1]", "127.0.0.2", "127.0.0.1:1", "localhost"):
            self.assertEqual(self.json("connections", "list", "--address", form), [], form)

    async def test_disconnect_of_nobody_is_not_found(self):
        done = self.wsctl("connections", "disconnect", "no-such-id", check=False)
        self.assertEqual(done.returncode, 69)
        self.assertEqual(done.stderr, 'wsctl: NOT_FOUND: no connection "no-such-id"\n')

    async def test_arguments_that_are_not_utf8_are_named(self):
        config = self.server.directory / "latin1.yaml"
        config.write_bytes(b'services: []\nlog: {level: "caf\xe9"}\n')
        data = self.server.directory / "latin1.json"
        data.write_bytes(b'{"a": "\xe9"}')
        for command, code, message in [
                (["publish", "mahavishnu", b"caf\xe9", "any.event"], 2,
                 'wsctl: CHANNEL: "caf\\xe9" is not UTF-8\nTry `wsctl publish --help`.\n'),
                (["connections", "list", "--user", b"\xff"], 2,
                 'wsctl: --user: "\\xff" is not UTF-8\nTry `wsctl connections list --help`.\n'),
                (["token", "mint", "--secret", SECRET, "--user", b"caf\xe9"], 2,
                 'wsctl: --user: "caf\\xe9" is not UTF-8\nTry `wsctl token mint --help`.\n'),
                (["publish", "mahavishnu", "utf:8", "any.event", f"@{data}"], 67,
                 f"wsctl: INVALID_ARGUMENT: {data}:1:8: byte 0xE9 is not UTF-8\n"),
                (["config", "check", str(config)], 67,
                 f"wsctl: INVALID_ARGUMENT: {config}: 1 fault\n")]:
            with self.subTest(command=command):
                done = subprocess.run(self.server.wsctl_command(*command), capture_output=True,
                                      env=self.server.environment, timeout=PATIENCE)
                self.assertEqual((done.returncode, done.stderr.decode()), (code, message))

    def on_a_terminal(self, *command, columns=80):
        """Returns what wsctl prints on a terminal of this width, without colours."""
        here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(self.server.wsctl_command("--no-color", *command), stdout=there,
                                   stderr=subprocess.PIPE, env=self.server.environment)
        os.close(there)
        text = b""
        try:
            while part := os.read(here, 65536):
                text += part
        except OSError:  # nobody has the terminal open any more
            pass
        os.close(here)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        return text.decode().replace("\r\n", "\n")

    async def test_tables_fit_a_terminal_of_80_columns(self):
        client = await self.connect()
        await client.subscribe("fit:" + "a-long-name-" * 12 + "1")
        self.publish("fit:" + "a-long-name-" * 12 + "1")
        for command in (["services"], ["channels"], ["connections"], ["workers"], ["ledger"],
                        ["health-check"], ["get-status"], ["list-rooms"], ["get-metrics"]):
            with self.subTest(command=command):
                lines = self.on_a_terminal(*command).splitlines()
                self.assertGreater(len(lines), 1)
                self.assertLessEqual(max(map(len, lines)), 80, lines)
        self.assertIn(str(self.server.port()), self.on_a_terminal("services"))
        self.assertIn(client.connection_id, self.on_a_terminal("connections"))
        self.assertIn("-name-1\n", self.on_a_terminal("channels"))
        self.assertIn("a-long-name-" * 12, self.on_a_terminal("channels", "--wide"))

    async def test_names_do_not_reorder_a_terminal(self):
        self.publish("bidi:\u202egpj", data={"a": "\u202e"})
        for command in (["channels", "--pattern", "bidi:*"],
                        ["channels", "history", "mahavishnu", "bidi:\u202egpj"],
                        ["-o", "json", "channels", "history", "mahavishnu", "bidi:\u202egpj"]):
            text = self.on_a_terminal(*command, columns=200)
            self.assertNotIn("\u202e", text)
            self.assertIn("bidi:\\u202egpj", text)

    async def test_a_group_is_its_list_and_help_names_a_command(self):
        for group in ("services", "workers", "channels", "connections"):
            self.assertEqual(self.wsctl(group).returncode, 0)
        self.assertEqual([row["name"] for row in self.json("services")], ["mahavishnu", "akosha"])
        self.assertEqual(self.wsctl("help", "workers", "drain").stdout,
                         self.wsctl("workers", "drain", "--help").stdout)
        self.assertEqual(self.json("services", "show", "akosha")["name"], "akosha")
        self.assertEqual(self.json("workers", "show", "worker-1")["id"], "worker-1")
        self.assertEqual(self.wsctl("services", "show", "nobody", check=False).returncode, 69)

    async def test_a_tail_whose_time_is_over_has_done_its_work(self):
        done = self.wsctl("tail", "mahavishnu", "nothing:*", "--timeout", "1s")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    async def test_disconnect_by_filter(self):
        clients = [await self.connect() for _ in range(3)]
        for client in clients[:2]:
            await client.subscribe("bye:a")
        self.wsctl("connections", "disconnect", "--channel", "bye:a", "--code", "4501",
                   "--reason", "go")
        for client in clients[:2]:
            self.assertEqual(await client.closed(), (4501, "go"))
        self.assertEqual(await clients[2].until_quiet(), [])
        self.assertNotEqual(self.wsctl("connections", "disconnect", check=False).returncode, 0)
        self.assertEqual(self.wsctl("connections", "disconnect", "--channel", "bye:a", "--code",
                                    "1006", check=False).returncode, 67)

    async def test_workers_list(self):
        workers = rows(self.json("workers", "list"), "workers")
        self.assertEqual([row["id"] for row in workers], ["worker-0", "worker-1"])
        for row in workers:
            self.assertTrue(os.path.exists(f"/proc/{row['pid']}"))
            self.assertEqual(row["state"], "ready")
            self.assertTrue(row["address"])
            self.assertIsInstance(row["sessions"], int)
        self.assertIn("worker-0", self.wsctl("workers", "list").stdout)

    async def test_ledger(self):
        client = await self.connect("akosha")
        await client.subscribe("l:a")
        for _ in range(10):
            self.publish("l:a", service="akosha")
        await client.events(10)

        def balanced():
            entry = [row for row in rows(self.json("ledger"), "entries")
                     if row["service"] == "akosha"][0]
            return entry["matched"] == 10 and entry
        entry = await eventually(balanced, "the heartbeat's counters")
        self.assertEqual((entry["published"], entry["written"], entry["queued"],
                          entry["difference"]), (10, 10, 0, 0))

    async def test_engine_status(self):
        self.publish("engine:a", data={"text": "x" * 5000})
        status = self.json("engine", "status")
        self.assertGreater(status.pop("history_bytes"), 5000)
        self.assertEqual(status, {"kind": "memory", "healthy": True, "reason": None, "path": None,
                                  "max_history_bytes": 1 << 30, "disk_bytes": 0,
                                  "waiting_publications": 0, "lag_seconds": 0.0})
        self.assertRegex(self.wsctl("engine", "status").stdout,
                         r"^engine +memory\nhealth +healthy\nhistory bytes +[\d.]+ [KM]iB\n"
                         r"history bound +1\.0 GiB\ndisk bytes +0 B\nwaiting +0\nlag +0s\n$")
        self.assertEqual(self.json("version")["server"]["engine"], "memory")

    async def test_config(self):
        shown = self.wsctl("config", "show").stdout
        self.assertIn("mahavishnu", shown)
        good = self.server.config_file
        self.assertEqual(self.wsctl("config", "check", str(good)).returncode, 0)
        bad = self.server.directory / "bad.yaml"
        bad.write_text("services:\n  - name: mahavishnu\n    prot: 8690\n")
        done = self.wsctl("config", "check", str(bad), check=False)
        self.assertEqual(done.returncode, 67)
        self.assertRegex(done.stdout + done.stderr, r"bad\.yaml:3:5: .*prot")

    async def test_config_check_needs_no_control(self):
        bad = self.server.directory / "bad2.yaml"
        bad.write_text("services: 5\n")
        done = subprocess.run([str(BIN / "fanwire-control"), "--config", str(bad),
                               "--check-config"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr + done.stdout, r"bad2\.yaml:1:\d+: .*services")
        done = subprocess.run([str(BIN / "fanwire-control"), "--config",
                               str(self.server.config_file), "--check-config"],
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Without control, wsctl runs the same program.
        def check(*arguments):
            return subprocess.run([str(BIN / "wsctl"), "--server", "127.0.0.1:1", "config", "check",
                                   *arguments], capture_output=True, text=True, timeout=PATIENCE,
                                  env=self.server.environment)
        done = check(str(bad))
        self.assertEqual(done.returncode, 67, done.stderr)
        self.assertRegex(done.stdout, r"bad2\.yaml:1:\d+: .*services")
        self.assertIn("control is not reachable; checked on this machine", done.stderr)
        good = str(self.server.config_file)
        self.assertEqual(check(good).stdout, f"{good}: fine\n")
        self.assertEqual(check(good, "--resolved").stdout, self.wsctl("config", "check", good, "--resolved").stdout)

    async def test_token(self):
        minted = self.wsctl("token", "mint", "--secret", SECRET, "--user", "ana", "--permission",
                            "workflow:read", "--permission", "pool:read", "--expires",
                            "10m").stdout.strip()
        claims = jwt.decode(minted, SECRET, algorithms=["HS256"])
        self.assertEqual((claims["user_id"], claims["permissions"]),
                         ("ana", ["workflow:read", "pool:read"]))
        self.assertEqual(claims["exp"] - claims["iat"], 600)
        inspected = self.json("token", "inspect", minted)
        self.assertIn("ana", json.dumps(inspected))
        self.assertNotEqual(self.wsctl("token", "inspect", "nonsense", check=False).returncode, 0)

    async def test_version(self):
        self.assertRegex(self.wsctl("version").stdout, r"\d+\.\d+\.\d+")
        self.assertTrue(re.search(r"\d+\.\d+\.\d+", json.dumps(self.json("version"))))

    async def test_completion_is_valid_bash(self):
        script = self.wsctl("completion", "bash").stdout
        self.assertIn("wsctl", script)
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    async def test_results_go_to_stdout_without_colour_in_a_pipe(self):
        for command in (["services", "list"], ["workers", "list"], ["channels", "list"],
                        ["connections", "list"], ["health-check"]):
            done = self.wsctl(*command)
            self.assertNotIn("\x1b[", done.stdout)
            self.assertEqual(done.stderr, "", command)


if __name__ == "__main__":
    main()

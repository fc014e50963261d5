"""Configurations that must not harm: check, reload and start refuse them alike, and go on."""
import os
import signal
import socket
import subprocess

from harness import Case, eventually, main, service, small_config
from harness.server import BIN, PATIENCE
from harness.token import SECRET

LOOP = ("services:\n- name: mahavishnu\n  port: 1\n  status_requests:\n"
        "  - {request: x, argument: id, initial: &x {a: *x}}\n")
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
BAD = [
    (LOOP.encode(), "{file}:5:48: the alias stands for a value that contains the alias itself"),
    (LAUGHS.encode(), "100000 keys and values"),
    (b"[" * 100_000, "{file}:1:33: lists and maps lie more than 64 levels deep"),
    (b"services: [{name: a, port: 1}]\n---\nworkers: auto\n", "{file}:2:1: a second YAML document"),
    (b"x: &x {a: 1}\ny: {<<: *x}\n", "{file}:2:5: merge keys (<<) are not supported"),
    (b"services:\n- {name: a, port: 1, welcome_message: \"caf\xe9\"}\n",
     "{file}:2:43: byte 0xE9 is not UTF-8"),
    (b"services: [{name: a, port: 1, welcome_message: \"a\\0\"}]\n", "NUL character"),
    (b"services: [{name: a, port: 1, keys: [{secret: \"$SECRET_OF_SOMEBODY\"}]}]\n",
     "a variable that was not replaced"),
    (b"services: [{name: a, port: 1}, {name: b, listeners: [{host: localhost, port: 1}]}]\n",
     "service \"b\" cannot use localhost:1: 127.0.0.1:1 is taken by service \"a\""),
    (b"# nothing\n", "{file}: the file has no settings"),
]


class Config(Case):
    @classmethod
    def config(cls):
        # A service that wsctl config show must print so that it loads again.
        return small_config(service("akosha", welcome_message="costs ${X} \"é\"".replace("$", "$$"),
                                    keys=[{"secret": SECRET}]))

    def control(self, *arguments, environment=None):
        return subprocess.run([str(BIN / "fanwire-control"), *map(str, arguments)],
                              env={**self.server.environment, **(environment or {})},
                              capture_output=True, text=True, timeout=PATIENCE)

    async def test_check_reload_and_start_refuse_bad_files_alike_and_control_goes_on(self):
        pid = self.server.process.pid
        for index, (text, fault) in enumerate(BAD):
            with self.subTest(fault=fault):
                file = self.server.directory / f"bad{index}.yaml"
                file.write_bytes(text)
                checked = self.server.wsctl("config", "check", str(file), check=False)
                self.assertEqual(checked.returncode, 67, checked.stderr)
                self.assertIn(fault.replace("{file}", str(file)), checked.stdout)
                started = self.control("--config", file)
                self.assertEqual(started.returncode, 2, started.stderr)
                self.assertIn(fault.replace("{file}", str(file)), started.stderr)
                self.server.config_file.write_bytes(text)
                reloaded = self.server.wsctl("config", "reload", check=False)
                self.assertEqual(reloaded.returncode, 67, reloaded.stderr)
                self.assertIn(fault.replace("{file}", str(self.server.config_file)),
                              reloaded.stderr)
        self.server.write_config()
        self.assertEqual(self.server.wsctl_json("config", "reload")["applied"], [])
        self.assertEqual((self.server.process.pid, self.server.process.poll()), (pid, None))
        self.assertEqual(len(self.server.ready_workers()), 1)

    async def test_what_is_not_a_file_says_what_it_is(self):
        directory = self.server.directory
        empty, pipe = directory / "empty.yaml", directory / "pipe.yaml"
        empty.touch()
        os.mkfifo(pipe)
        for path, what in ((directory, "this is a directory; expected a YAML file"),
                           (pipe, "this is a named pipe; expected a YAML file"),
                           (empty, "the file is empty"), ("/dev/null", "this is a device"),
                           (directory / "none", "cannot read the file: No such file")):
            done = self.control("--config", path)
            self.assertEqual(done.returncode, 2)
            self.assertTrue(done.stderr.startswith(f"{path}: {what}"), done.stderr)
        # Standard input is read to its end.
        done = subprocess.run([str(BIN / "fanwire-control"), "--config", "/dev/stdin",
                               "--check-config"], input="services: [{name: a, port: 1}]\n",
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, "/dev/stdin: fine\n"))

    async def test_a_wrong_argument_is_one_line_and_exit_code_2(self):
        for program, arguments, problem in (
                ("fanwire-control", [], "--config is required"),
                ("fanwire-control", ["--config"], "--config needs TEXT"),
                ("fanwire-control", ["--config", "a", "b"], "unexpected argument: b"),
                ("fanwire-control", ["--config", "a", "--json"], "--json needs --check-config"),
                ("fanwire-fanout", ["--slot", "x"],
                 '--slot: "x" is not a number from 0 to 4294967295')):
            done = subprocess.run([str(BIN / program), *arguments], capture_output=True, text=True,
                                  timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (2, "", f"{program}: {problem}; see {program} --help\n"))

    async def test_settings_from_elsewhere_are_checked_like_the_file(self):
        file = self.server.config_file
        bad = b"caf\xe9"
        for arguments, environment in (
                (["--set", b"services.akosha.server_name=" + bad], {}),
                ([], {b"FANWIRE_SERVICES__AKOSHA__SERVER_NAME": bad})):
            done = subprocess.run(
                [str(BIN / "fanwire-control"), "--config", str(file), *arguments],
                env={**{os.fsencode(k): os.fsencode(v)
                        for k, v in self.server.environment.items()}, **environment},
                capture_output=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("byte 0xE9 (byte 4 of the text) is not UTF-8", done.stderr.decode())

    async def test_the_verdict_has_the_same_words_everywhere(self):
        file = str(self.server.config_file)
        self.assertEqual(self.control("--config", file, "--check-config").stdout, f"{file}: fine\n")
        self.assertEqual(self.server.wsctl("config", "check", file).stdout, f"{file}: fine\n")
        bad = self.server.directory / "two.yaml"
        bad.write_text("workers: [1]\nlimits: 5\n")
        self.assertIn(f"{bad}: 2 faults\n", self.control("--config", bad, "--check-config").stderr)
        self.assertIn(f"{bad}: 2 faults\n",
                      self.server.wsctl("config", "check", str(bad), check=False).stderr)

    async def test_what_config_show_prints_loads_again_apart_from_secrets(self):
        shown = self.server.wsctl("config", "show").stdout
        self.assertIn('secret: "***"', shown)
        self.assertIn('default_service: "mahavishnu"', shown)  # which this file does not have
        copy = self.server.directory / "shown.yaml"
        copy.write_text(shown)
        refused = self.server.wsctl("config", "check", str(copy), check=False)
        self.assertEqual(refused.returncode, 67)
        self.assertIn("as `wsctl config show` prints it", refused.stdout)
        copy.write_text(shown.replace("***", SECRET))
        self.assertEqual(self.server.wsctl("config", "check", str(copy), "--resolved").stdout, shown)
        # And control itself would find no difference.
        self.server.config_file.write_text(copy.read_text())
        answer = self.server.wsctl_json("config", "reload")
        self.server.write_config()
        self.assertEqual((answer["applied"], answer["needs_restart"]), ([], []))

    async def test_sighup_with_a_bad_file_shows_in_the_metrics(self):
        host, port = self.server.config["control"]["ops_listen"].split(":")

        def metric(name):
            with socket.create_connection((host, int(port)), PATIENCE) as probe:
                probe.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: probe.recv(65536), b"")).decode()
            name = f"fanwire_config_last_reload_{name} "
            return next(float(line[len(name):]) for line in answer.splitlines()
                        if line.startswith(name))
        before = metric("timestamp_seconds")
        self.server.config_file.write_text("services: 5\n")
        self.server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: metric("success") == 0, "the metric of a failed reload")
        self.assertGreater(metric("timestamp_seconds"), before)
        self.server.write_config()
        self.server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: metric("success") == 1, "the metric of a good reload")


class Off(Case):
    @classmethod
    def config(cls):
        config = small_config()
        config["control"]["grpc_listen"] = config["control"]["ops_listen"] = "off"
        config["worker"]["ops_listen"] = "off"
        return config

    async def test_what_is_switched_off_does_not_listen_and_all_else_works(self):
        client = await self.connect()
        await client.subscribe("c")
        self.publish("c")
        await client.event("test.event")
        self.assertEqual([worker.ops_address for worker in self.server.workers()], [""])


if __name__ == "__main__":
    main()

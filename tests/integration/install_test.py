"""`cmake --install` into an empty folder installs everything, and the programs run from there."""
import pathlib
import re
import shutil
import subprocess
import tempfile

import harness.server
from harness import Case, Client, Publisher, Server, main, small_config
from harness.config import ROOT, SHIPPED

BUILD = harness.server.BIN.parent


class Install(Case):
    @classmethod
    def setUpClass(cls):
        cls.prefix = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-install-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.prefix, ignore_errors=True)
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(cls.prefix), "--strip"],
                       check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        pass

    def run_program(self, name, *arguments):
        return subprocess.run([str(self.prefix / "bin" / name), *arguments], text=True,
                              capture_output=True, timeout=harness.server.PATIENCE)

    async def test_what_is_installed(self):
        files = {str(path.relative_to(self.prefix))
                 for path in self.prefix.rglob("*") if path.is_file()}
        self.assertEqual(files, {
            "bin/fanwire-control", "bin/fanwire-fanout", "bin/wsctl",
            "lib/systemd/system/fanwire-control.service", "lib/sysusers.d/fanwire.conf",
            "share/bash-completion/completions/wsctl", "share/zsh/site-functions/_wsctl",
            "share/fish/vendor_completions.d/wsctl.fish", "share/fanwire/fanwire.yaml",
            "share/doc/fanwire/CHANGELOG.md", "share/doc/fanwire/LICENSE",
            "share/doc/fanwire/README.md"})

    async def test_each_program_tells_its_version(self):
        for name in ("fanwire-control", "fanwire-fanout", "wsctl"):
            done = self.run_program(name, "--version")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    async def test_the_configuration_is_the_shipped_one_and_good(self):
        installed = self.prefix / "share/fanwire/fanwire.yaml"
        self.assertEqual(installed.read_text(), SHIPPED.read_text())
        done = self.run_program("fanwire-control", "--config", str(installed), "--check-config")
        self.assertEqual(done.returncode, 0, done.stderr)

    async def test_the_unit_runs_what_was_installed(self):
        unit = (self.prefix / "lib/systemd/system/fanwire-control.service").read_text()
        programs = re.findall(r"^Exec\w+=(\S+)", unit, re.MULTILINE)
        self.assertEqual(programs, [f"{self.prefix}/bin/fanwire-control"] * 2 + ["/bin/kill"])
        self.assertIn(f"Documentation=file:{self.prefix}/share/doc/fanwire/README.md\n", unit)
        # Except for the prefix it equals the file in the checkout, to every semicolon and bracket.
        source = (ROOT / "deploy/systemd/fanwire-control.service").read_text()
        self.assertEqual(unit.replace(f"{self.prefix}/", "/usr/"), source)

    async def test_the_completion_scripts_are_wsctls_own(self):
        for shell, path in [("bash", "share/bash-completion/completions/wsctl"),
                            ("zsh", "share/zsh/site-functions/_wsctl"),
                            ("fish", "share/fish/vendor_completions.d/wsctl.fish")]:
            self.assertEqual(self.run_program("wsctl", "completion", shell).stdout,
                             (self.prefix / path).read_text())

    async def test_an_event_goes_through_the_installed_programs(self):
        bin_before = harness.server.BIN
        harness.server.BIN = self.prefix / "bin"
        self.addCleanup(setattr, harness.server, "BIN", bin_before)
        server = Server(small_config())
        self.addCleanup(server.stop)
        server.start()
        worker = server.workers()[0]
        self.assertEqual(str(pathlib.Path(f"/proc/{worker.pid}/exe").resolve()),
                         str(self.prefix / "bin/fanwire-fanout"))
        publisher = Publisher(server)
        self.addCleanup(publisher.close)
        async with await Client.connect(server.url()) as client:
            await client.subscribe("i:a")
            publisher.publish("i:a", data={"n": 1})
            self.assertEqual((await client.event())["data"], {"n": 1})
            server.wsctl("workers", "list")


if __name__ == "__main__":
    main()

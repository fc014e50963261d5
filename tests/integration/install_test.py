"""`cmake --install` into an empty folder installs everything, and the programs run from there.  From
a tree that lacks a program or the library it installs nothing."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import harness.server
from harness import Case, Client, Publisher, Server, main, small_config
from harness.config import ROOT, SHIPPED

BUILD = harness.server.BIN.parent


# What is built, by its place in a build tree.
PROGRAMS = ("fanwire-control", "fanwire-fanout", "wsctl")
BINARIES = (*PROGRAMS, "fanwire-catalog-generator")
LIBRARY = "clients/cpp/libfanwire_publisher.a"
HEADERS = "clients/cpp/include/fanwire/catalog"  # those that are generated


def build_type(tree):
    """As CMakeLists.txt chooses it."""
    return re.search(r"^CMAKE_BUILD_TYPE:\w+=(\w*)$", (tree / "CMakeCache.txt").read_text(),
                     re.MULTILINE).group(1).lower() or "release"


def everything(tree):
    """All files that this build tree installs."""
    return EVERYTHING | {
        f"lib/cmake/Fanwire/FanwireTargets-{build_type(tree)}.cmake",
        *(f"include/fanwire/catalog/{path.name}" for path in (BUILD / HEADERS).iterdir())}


EVERYTHING = {
    "lib/libfanwire_publisher.a", "lib/cmake/Fanwire/FanwireConfig.cmake",
    "lib/cmake/Fanwire/FanwireConfigVersion.cmake", "lib/cmake/Fanwire/FanwireTargets.cmake",
    *(f"include/fanwire/{path.name}"
      for path in (ROOT / "clients/cpp/include/fanwire").glob("*.h")),
    *(f"bin/{name}" for name in BINARIES),
    "lib/systemd/system/fanwire-control.service", "lib/sysusers.d/fanwire.conf",
    "share/bash-completion/completions/wsctl", "share/zsh/site-functions/_wsctl",
    "share/fish/vendor_completions.d/wsctl.fish", "share/fanwire/fanwire.yaml",
    "share/doc/fanwire/CHANGELOG.md", "share/doc/fanwire/LICENSE", "share/doc/fanwire/README.md",
    *(f"share/fanwire/{path.relative_to(ROOT)}"
      for path in (ROOT / "proto/fanwire/catalog").rglob("*.proto")),
    *(f"share/doc/fanwire/{path.relative_to(ROOT)}" for path in (ROOT / "docs").rglob("*")
      if path.suffix in (".md", ".svg"))}


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


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
        self.assertEqual(files_below(self.prefix), everything(BUILD))
        self.assertIn("include/fanwire/catalog/mahavishnu.h", everything(BUILD))

    async def test_the_documents_link_only_to_what_is_installed(self):
        for page in sorted(self.prefix.rglob("*.md")):
            for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
                if not re.match(r"[a-z]+:", link):
                    self.assertTrue((page.parent / link).exists(), f"{page.name}: {link}")
        readme = (self.prefix / "share/doc/fanwire/README.md").read_text()
        self.assertIn("[wsctl](docs/cli.md)", readme)
        self.assertIn("the configuration (`deploy/config/fanwire.yaml`)", readme)

    async def test_each_program_tells_its_version(self):
        for name in PROGRAMS:
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


class PartOfTheTree(unittest.TestCase):
    """A tree that holds what is installed and nothing else."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="fanwire-install-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tree = self.folder / "tree"
        subprocess.run(["cmake", "-S", str(ROOT), "-B", str(self.tree), "-G", "Ninja",
                        "-DFANWIRE_TESTS=OFF", "-DFANWIRE_BENCH=OFF"],
                       check=True, stdout=subprocess.DEVNULL)
        (self.tree / "bin").mkdir(exist_ok=True)
        for name in BINARIES:
            shutil.copy2(harness.server.BIN / name, self.tree / "bin" / name)
        shutil.copy2(BUILD / LIBRARY, self.tree / LIBRARY)
        shutil.copytree(BUILD / HEADERS, self.tree / HEADERS, dirs_exist_ok=True)

    def install(self):
        """Installs below the folder `staged`, as the build of a package does."""
        return subprocess.run(["cmake", "--install", str(self.tree), "--prefix", "/usr"], text=True,
                              capture_output=True,
                              env={**os.environ, "DESTDIR": str(self.folder / "staged")})

    def test_an_installation_is_complete(self):
        files_before = files_below(self.tree)
        done = self.install()
        self.assertEqual(done.returncode, 0, done.stderr)
        staged = self.folder / "staged/usr"
        self.assertEqual(files_below(staged), everything(self.tree))
        unit = (staged / "lib/systemd/system/fanwire-control.service").read_text()
        self.assertIn("ExecStart=/usr/bin/fanwire-control ", unit)
        manifest = (self.tree / "install_manifest.txt").read_text().splitlines()
        self.assertEqual({str(pathlib.Path(path).relative_to("/usr")) for path in manifest},
                         everything(self.tree))
        # The tree may belong to another user than the one who installs.
        self.assertEqual(files_below(self.tree) - files_before, {"install_manifest.txt"})

    def test_without_a_program_or_the_library_nothing_is_copied(self):
        for path in (*(f"bin/{name}" for name in BINARIES), LIBRARY):
            with self.subTest(missing=path):
                program = self.tree / path
                program.rename(self.folder / program.name)
                done = self.install()
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("nothing is installed", done.stderr)
                self.assertIn(path, done.stderr)
                self.assertFalse((self.folder / "staged").exists())
                (self.folder / program.name).rename(program)

    def test_with_a_wsctl_that_does_not_run_nothing_is_copied(self):
        (self.tree / "bin/wsctl").write_text("#!/bin/sh\necho broken >&2\nexit 5\n")
        done = self.install()
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"nothing is installed(.|\n)*broken")
        self.assertFalse((self.folder / "staged").exists())


if __name__ == "__main__":
    main()

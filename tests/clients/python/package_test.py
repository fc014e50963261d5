"""The package builds and installs offline, with what Debian has, and works from there; and what it
ships is in step with the checkout."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from fake_control import FakeControl

ROOT = pathlib.Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "clients/python"


class Package(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_python(self, *arguments, **options):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True,
                              text=True, env={**environment, **options.pop("env", {})}, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_installs_and_publishes(self):
        source, target = self.folder / "source", self.folder / "target"
        # pip writes into the folder that it builds from.
        shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build"))
        self.run_python("-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index",
                        "--no-cache-dir", "--quiet", "--disable-pip-version-check",
                        "--root-user-action=ignore", "--target", target, source)
        shipped = {str(path.relative_to(PACKAGE / "src"))
                   for path in (PACKAGE / "src/fanwire").rglob("*")
                   if path.is_file() and path.suffix != ".pyc"}
        installed = {str(path.relative_to(target)) for path in (target / "fanwire").rglob("*")
                     if path.is_file() and path.suffix != ".pyc"}
        self.assertEqual(installed, shipped)
        program = ("import fanwire.publisher\n"
                   "with fanwire.publisher.Publisher() as publisher:\n"
                   "    receipt = publisher.publish('s', 'c', 'e').result(20)\n"
                   "    print(fanwire.__file__, receipt.offset)")
        with FakeControl() as control:
            output = self.run_python("-c", program, cwd=self.folder, env={
                "PYTHONPATH": str(target), "FANWIRE_SERVER": control.address})
        self.assertEqual(output, f"{target}/fanwire/__init__.py 1\n")

    def test_the_version_is_the_projects(self):
        text = (ROOT / "CMakeLists.txt").read_text()
        project = re.search(r"project\(fanwire VERSION (\S+)", text)
        self.assertIn(f'\nversion = "{project[1]}"\n', (PACKAGE / "pyproject.toml").read_text())

    def test_the_descriptor_sets_are_those_of_the_protos(self):
        made = self.folder / "made"
        made.mkdir()
        subprocess.run([PACKAGE / "make_descriptors", made], check=True)
        for path in sorted(made.iterdir()):
            self.assertEqual(
                (PACKAGE / "src/fanwire" / path.name).read_bytes(), path.read_bytes(),
                f"{path.name} is older than proto/: run clients/python/make_descriptors")


if __name__ == "__main__":
    unittest.main(verbosity=2)

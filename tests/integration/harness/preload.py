"""Builds small C libraries that tests load into the programs with LD_PRELOAD."""
import pathlib
import shutil
import subprocess
import unittest


def build(source, directory):
    """Compiles C source text into a shared library in `directory`.

    Returns the environment of a program that loads the library.  Skips the test if there is no C
    compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise unittest.SkipTest("no C compiler")
    library = pathlib.Path(directory) / "preload.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-x", "c", "-",
                    "-o", str(library), "-ldl", "-pthread"],
                   input=source, text=True, check=True)
    # A sanitizer's runtime demands to be the first library otherwise.
    return {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"}

"""Compilers and binary tools that the gates run."""

import shutil
import subprocess

import pytest

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(*command, **options):
    """The standard output of a command that must succeed."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if result.returncode != 0:
        pytest.fail(" ".join(map(str, command)) + f" ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def needs(tool):
    """A parameter or test that is skipped where `tool` is not installed."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def each(*tools):
    return [pytest.param(tool, marks=needs(tool)) for tool in tools]


def any_compiler():
    """Some C compiler, for tests that only need a program built."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    return compiler

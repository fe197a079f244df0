"""Distributions installed into folders of their own, without network and without their dependencies."""

import subprocess
import sys


def install(source, target):
    """Install the project in `source` into the folder `target`, as `pip install --target` does."""
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    subprocess.run(command, check=True)

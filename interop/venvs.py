#!/usr/bin/env python3
"""The Python environments of the tools, one for each set of versions that don't go together. As a program, `venvs.py NAME…` makes them and
prints the path of each one's Python; bench/compare takes them from here. The exit status is 3 where they can't be had."""

import argparse
import hashlib
import os
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Each has its requirements in requirements/NAME.txt. One that is built on another sees its packages, unless it has its own version of
# them: PyTorch takes gigabytes.
VENVS = {"torch": None, "transformers4": "torch", "openvino": "torch", "peers": "openvino", "tensorflow": None, "serve": None, "plain": "torch", "infinity": None}


class Unavailable(Exception):
    """Packages can't be had here."""


def root():
    """The folder of the environments."""
    if path := os.environ.get("BERT_INTEROP_VENV"):
        return Path(path)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "bert-interop"


def python(name):
    return root() / name / "bin" / "python"


def requirements(name):
    return HERE / "requirements" / f"{name}.txt"


def fingerprint(name):
    """What the environment has to be made of anew when it changes."""
    texts = sys.version + requirements(name).read_text()
    if base := VENVS[name]:
        texts += fingerprint(base)
    return hashlib.sha256(texts.encode()).hexdigest()


def make(name):
    """Makes an environment, unless it is there. Raises Unavailable."""
    stamp = root() / f"{name}.made-of"
    if stamp.exists() and stamp.read_text() == fingerprint(name):
        return
    base = VENVS[name]
    if base:
        make(base)
    began = time.monotonic()
    print(f"installing {requirements(name).name} into {root() / name}", file=sys.stderr, flush=True)
    try:
        venv.create(root() / name, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise Unavailable(f"{root() / name}: {e}") from e
    if base:
        packages = sysconfig.get_path("purelib", "venv", {"base": str(root() / name)})
        below = sysconfig.get_path("purelib", "venv", {"base": str(root() / base)})
        Path(packages, "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")  # with what that one is built on
    pip = [python(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements(name)]
    done = subprocess.run(pip, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Unavailable(f"pip install -r {requirements(name).name}: {done.stderr.strip().splitlines()[-1:]}")
    stamp.write_text(fingerprint(name))
    print(f"installed {requirements(name).name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("names", nargs="+", choices=VENVS, metavar="NAME", help=f"of: {', '.join(VENVS)}")
    try:
        for name in p.parse_args().names:
            make(name)
            print(python(name))
    except Unavailable as e:
        print(f"{p.prog}: {e}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())

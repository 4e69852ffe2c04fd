"""A Debian machine of one's own for a test: what is done in it as root is done for real, and gone at its end.

This host's files under a layer that takes every change (overlayfs), with namespaces of its own for mounts, network,
processes and control groups, and a systemd that runs Debian's units. There is no network but loopback, and every port
is free. What stands in for the world outside is in `layer/`: packages of Debian are those that are installed here, PyPI
is the environment that runs the tests, and certificates come from an authority that only this machine trusts.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support.machine.terminal import Answer, Terminal

__all__ = ["ROOT", "Answer", "Machine", "missing"]

ROOT = Path(__file__).resolve().parents[3]
BOOT_SECONDS = 60
_HERE = Path(__file__).parent
_DEBIAN_PYTHON = "/usr/bin/python3"
_PACKAGES = ("python3-venv", "systemd-sysv", "mariadb-server", "postfix", "curl", "openssl")
_NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup")
# Units of systemd's own start that set up a host's kernel or devices, which are not this machine's.
_MASKED = """
    dev-hugepages.mount dev-mqueue.mount kmod-static-nodes.service proc-sys-fs-binfmt_misc.automount
    sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount
    systemd-binfmt.service systemd-firstboot.service systemd-machine-id-commit.service systemd-modules-load.service
    systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service systemd-repart.service
    systemd-sysctl.service systemd-sysusers.service systemd-timesyncd.service systemd-tmpfiles-setup-dev.service
    systemd-udevd.service systemd-udev-trigger.service systemd-update-utmp.service network-online.target
""".split()


@cache
def missing(*packages: str) -> str | None:
    """Why no machine with these Debian packages can be run here; None where it can."""
    if os.geteuid() != 0:
        return "a machine of one's own must be started by root"
    if not Path("/lib/systemd/systemd").exists() or not shutil.which("dpkg-query"):
        return "a machine of one's own needs Debian with systemd"
    if "overlay" not in Path("/proc/filesystems").read_text() or _control_groups() is None:
        return "a machine of one's own needs overlayfs and cgroup2"
    tried = subprocess.run(["unshare", *_NAMESPACES, "--fork", "mount", "--make-rprivate", "/"], capture_output=True)
    if tried.returncode != 0:
        return f"no namespaces here: {tried.stderr.decode().strip()}"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not shutil.which(f"/usr/bin/python{version}"):
        return f"the tests run on Python {version}, and Debian's is another"
    if lacking := [name for name in ("pip", "setuptools", "wheel") if find_spec(name) is None]:
        return f"the tests' environment lacks {', '.join(lacking)}"
    absent = [package for package in (*_PACKAGES, *packages) if not _installed(package)]
    return f"install Debian's {' '.join(absent)}" if absent else None


def _installed(package: str) -> bool:
    asked = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(asked, capture_output=True, text=True).stdout == "installed"


def _control_groups() -> Path | None:
    """Where the host has its cgroup2 hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return Path(place)
    return None


class Machine:
    """A machine that is not started yet. As a context manager it is started, and stopped at the end."""

    def __init__(self, checkout: str = "/usr/src/lightmail") -> None:
        """`checkout` is where a copy of this project's source lies in it."""
        self._directory = Path(tempfile.mkdtemp(prefix="machine-"))
        self._checkout = checkout
        groups = _control_groups()
        assert groups is not None, missing()
        self._group = groups / self._directory.name
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    @property
    def files(self) -> Path:
        """Its root directory, as seen from here. Its absolute symbolic links lead astray."""
        return Path(f"/proc/{self._init}/root")

    def start(self) -> None:
        """Start it and wait until its systemd has come up."""
        layer = self._directory / "layer"
        self._lay(layer)
        place = self._directory / "place"
        place.mkdir()
        self._group.mkdir()
        seen = [
            f"{sysconfig.get_path('purelib')}=/usr/lib/machine/packages",
            f"{sysconfig.get_path('scripts')}=/usr/lib/machine/scripts",
        ]
        unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", _HERE / "boot.sh", place, layer, *seen]
        with (self._directory / "console").open("wb") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"', self._group, *unshare],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self._wait_until_up()
        self.run("/usr/lib/machine/fresh")

    def _lay(self, layer: Path) -> None:
        """Make the files that lie over the host's."""
        shutil.copytree(_HERE / "layer", layer, symlinks=True)
        (layer / "usr/lib/machine").mkdir(parents=True)
        shutil.copy(_HERE / "fresh.sh", layer / "usr/lib/machine/fresh")
        for unit in _MASKED:
            (layer / "etc/systemd/system" / unit).symlink_to("/dev/null")
        source = layer / self._checkout.lstrip("/")
        ignored = shutil.ignore_patterns(
            ".git", ".venv", "var", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
        )
        shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)

    def _wait_until_up(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + BOOT_SECONDS
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while self._process.poll() is None and time.monotonic() < deadline:
            found = children.read_text().split()
            if found:
                self._init = int(found[0])
                if self._asked("systemctl", "is-active", "--quiet", "machine.target").returncode == 0:
                    return
            time.sleep(0.02)
        said = (self._directory / "console").read_text(errors="replace")[-3000:]
        self.stop()
        raise RuntimeError(f"the machine did not start: {said}")

    def _entered(self, *command: str) -> list[str]:
        """The command line that runs a command in it, as root logs in."""
        login = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb"
        return [
            *("nsenter", "--target", str(self._init), *_NAMESPACES, "--root", f"--wd={self.files}/root"),
            *("env", "-i", *login.split(), *command),
        ]

    def _asked(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._entered(*command), capture_output=True, text=True, timeout=60, check=False)

    def run(self, *command: str) -> str:
        """What a command prints. Raises AssertionError with all it said when its status is not 0."""
        done = self._asked(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def at_a_terminal(self, *command: str, answers: Sequence[Answer] = ()) -> Terminal:
        """Start a command on a terminal of its own, where `answers` are typed when they are asked for."""
        return Terminal(self._entered(*command), answers)

    def stop(self) -> None:
        """End it, with everything that runs in it."""
        process, self._process = self._process, None
        if process is not None:
            if self._init:
                with suppress(ProcessLookupError):
                    os.kill(self._init, signal.SIGKILL)
            process.kill()
            process.wait()
        deadline = time.monotonic() + 10
        while self._group.exists() and time.monotonic() < deadline:
            self._remove_groups()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _remove_groups(self) -> None:
        """Remove its control groups, which the kernel allows as soon as the last process of each is gone."""
        for directory, _, _ in os.walk(self._group, topdown=False):
            with suppress(OSError):
                os.rmdir(directory)

    def __enter__(self) -> Machine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

"""A device behind OpenSSH: one connection, one temporary directory that lives no longer than the connection.

The user's ssh_config and known_hosts decide as they do for `ssh`; only what would ask or hang is turned off. The first
session of the connection makes the directory, waits for the end of its input, kills the agent if it still runs, and
removes the directory. So the device cleans up by itself, whether we end well, are killed, or the network does.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from voxc.compiler.core import interrupt
from voxc.compiler.core.errors import DeviceError, MissingRuntimeError
from voxc.compiler.device.address import Address
from voxc.compiler.device.engines import receive, wrong_size
from voxc.compiler.device.process import Deadline, kill, printable, running, start

READY = "voxc-device "
HELD_FOR = 10.0  # seconds that the device may take to clean up

#: Holds the temporary directory, whose name it prints after $0.
KEEP = """
umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/voxc-XXXXXXXX") || exit 1
end() { if [ -f "$d/pid" ]; then kill -9 "$(cat "$d/pid")" 2>/dev/null; fi; rm -rf "$d"; }
trap end EXIT
trap "exit 1" HUP INT TERM
printf "%s%s\\n" "$0" "$d"
cat > /dev/null
"""

#: Runs a program whose temporary files go to the directory $0, and leaves its process id where KEEP finds it.
RUN = """
d=$0
TMPDIR=$d
export TMPDIR
case "$1" in "~/"*) program=$HOME/${1#"~/"} ;; *) program=$1 ;; esac
shift
"$program" "$@" < /dev/null &
printf "%s" "$!" > "$d/pid"
wait "$!"
code=$?
rm -f "$d/pid"
exit "$code"
"""

#: What ssh says when there is no connection, and what that means. The first that is found counts.
REASONS: tuple[tuple[str, str], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is not the one in known_hosts: someone else may answer"),
    ("Host key verification failed", "its host key is not known: connect once with `ssh {address}` and check it"),
    ("Too many authentication failures", "it refuses every key that ssh offers; say which with IdentityFile"),
    ("Permission denied", "it refuses the key: `ssh {address}` must work without a password"),
    ("Could not resolve hostname", "cannot be reached: its name cannot be resolved"),
    ("Connection refused", "cannot be reached: no ssh server answers there"),
    ("timed out", "cannot be reached: it does not answer"),
    ("No route to host", "cannot be reached: there is no route to it"),
    ("Network is unreachable", "cannot be reached: the network is unreachable"),
)


@dataclass(frozen=True)
class SshDevice:
    """A device that is connected: `directory` is ours until the connection ends."""

    name: str
    directory: str
    ssh: tuple[str, ...]
    address: Address
    deadline: Deadline

    def send(self, agent: Path, bundle: Path, files: Sequence[str], tell: Callable[[str], None]) -> tuple[str, str]:
        """Copies the agent, and `files` of the bundle; gives the paths of both there.

        Raises:
            DeviceError: they did not get there.
        """
        place, there = f"{self.directory}/{agent.name}", f"{self.directory}/bundle"
        self.copy({agent.name: agent, **{f"bundle/{name}": bundle / name for name in files}}, tell)
        return place, there

    def copy(self, files: Mapping[str, Path], tell: Callable[[str], None]) -> None:
        """Copies files to paths below the directory."""
        command = self.remote('tar -xof - -C "$0"', self.directory)
        with tempfile.TemporaryFile() as said:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": said}
            with running(command, **streams) as process, self.deadline.ends(process) as over:
                assert process.stdin is not None
                # When the other end is gone, its exit status tells more than the broken pipe.
                with contextlib.suppress(BrokenPipeError), process.stdin as stream:
                    write_archive(stream, files, tell)
                code = process.wait()
            if over.is_set():
                raise DeviceError(f"took longer than {self.deadline.seconds:g} s (--limit) to take the bundle")
            if code:
                raise DeviceError(f"the bundle could not be copied there: {last_line(said) or f'status {code}'}")

    def fetch(self, name: str, stream: IO[bytes], size: int, tell: Callable[[str], None]) -> None:
        """Copies a file below the directory, of `size` bytes.

        Raises:
            DeviceError: it did not come, or has another size.
        """
        command = self.remote('exec cat "$0/$1"', self.directory, name)
        with tempfile.TemporaryFile() as said:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": said}
            with running(command, **streams) as process, self.deadline.ends(process) as over:
                assert process.stdout is not None
                with process.stdout as source:
                    came = receive(source, stream, size, tell)
                    if came > size:
                        kill(process)
                    code = process.wait()
            if over.is_set():
                raise DeviceError(f"took longer than {self.deadline.seconds:g} s (--limit) to send an engine")
            if code and came <= size:
                raise DeviceError(f"{name} could not be fetched: {last_line(said) or f'status {code}'}")
            if came != size:
                raise wrong_size(name, came, size)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """What runs a program there; `~/` at its beginning is the user's home there."""
        return self.remote(RUN, self.directory, *arguments)

    def remote(self, script: str, *arguments: str) -> list[str]:
        # Were the connection gone, ssh would make a new one: the proxy command keeps it from that.
        return [*self.ssh, "-o", "ProxyCommand=false", *self.address.arguments, through_sh(script, *arguments)]


@contextlib.contextmanager
def connect(address: Address, config: Path | None, deadline: Deadline) -> Iterator[SshDevice]:
    """Connects; when the block ends, the device kills what still runs and removes the directory.

    Raises:
        MissingRuntimeError: there is no ssh.
        DeviceError: there is no connection, or no temporary directory.
    """
    program = shutil.which("ssh")
    if program is None:
        raise MissingRuntimeError("no ssh on this machine: install the OpenSSH client")
    ssh = [program] if config is None else [program, "-F", str(config)]
    with tempfile.TemporaryDirectory(prefix="voxc-") as folder, tempfile.TemporaryFile() as said:
        socket = str(Path(folder) / "s").replace("%", "%%")
        ssh += ["-T", *impatience(ssh, address), "-o", f"ControlPath={socket}"]
        ssh += [
            "-o",
            "BatchMode=yes",
            "-o",
            "ClearAllForwardings=yes",
            "-o",
            "RemoteCommand=none",
            "-o",
            "ControlPersist=no",
        ]
        keeper = start(
            [*ssh, "-o", "ControlMaster=yes", *address.arguments, through_sh(KEEP, READY)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        try:
            directory = wait_for_directory(keeper, address, said, deadline)
            session = (*ssh, "-o", "ControlMaster=no")
            yield SshDevice(str(address), directory, session, address, deadline)
        finally:
            release(keeper)


def wait_for_directory(keeper: subprocess.Popen[str], address: Address, said: IO[bytes], deadline: Deadline) -> str:
    """The directory's name, when it is there; what a login shell prints before is passed over."""
    assert keeper.stdout is not None
    with deadline.ends(keeper) as over:
        for line in keeper.stdout:
            if READY in line:
                return line.partition(READY)[2].rstrip("\n")
        keeper.wait()
    if over.is_set():
        raise DeviceError(f"{address}: no connection in {deadline.seconds:g} s (--limit)")
    raise DeviceError(f"{address}: {reason(said, address)}")


@interrupt.uncut
def release(keeper: subprocess.Popen[str]) -> None:
    """Ends the keeper's input, and waits until it has cleaned up."""
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        keeper.stdin.close()
    try:
        keeper.wait(HELD_FOR)
    except subprocess.TimeoutExpired:
        kill(keeper)
        keeper.wait()
    keeper.stdout.close()


def impatience(ssh: Sequence[str], address: Address) -> list[str]:
    """Time limits for devices that do not answer, where the user's configuration has none.

    Raises:
        DeviceError: ssh cannot read its configuration.
    """
    asked = subprocess.run([*ssh, "-G", *address.arguments], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise DeviceError(f"{address}: {printable(asked.stderr)}")
    settings = set(asked.stdout.splitlines())
    options = ["-o", "ConnectTimeout=15"] if "connecttimeout none" in settings else []
    return options + (["-o", "ServerAliveInterval=10"] if "serveraliveinterval 0" in settings else [])


def reason(said: IO[bytes], address: Address) -> str:
    """Why there is no connection, in our words where we know ssh's."""
    said.seek(0)
    text = said.read().decode(errors="replace")
    for words, meaning in REASONS:
        if words in text:
            return meaning.format(address=address)
    return f"ssh failed: {last_line(said) or 'it said nothing'}"


def last_line(stream: IO[bytes]) -> str:
    stream.seek(0)
    lines = [printable(line) for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def through_sh(script: str, *arguments: str) -> str:
    """One string for the login shell there: `script` in sh, with `arguments` as $0, $1 and so on."""
    return "exec sh -c " + " ".join(map(shlex.quote, (script, *arguments)))


def write_archive(stream: IO[bytes], files: Mapping[str, Path], tell: Callable[[str], None]) -> None:
    """A tar stream of `files` by their names in it, readable by their owner alone."""
    total, done = sum(path.stat().st_size for path in files.values()), 0
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for name, path in files.items():
            tell(f"sending, {done / 1e6:.0f} of {total / 1e6:.0f} MB")
            entry = tarfile.TarInfo(name)
            with path.open("rb") as content:
                entry.size, entry.mode = path.stat().st_size, 0o600
                archive.addfile(entry, content)
            done += entry.size

"""A real sshd for tests, on a port of its own, with keys of its own, that lets in who runs the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PRIVILEGE_SEPARATION = Path("/run/sshd")  # an sshd that root starts insists on it


@dataclass(frozen=True)
class Server:
    """`config` is for the client; `temporary` is the device's directory for temporary files."""

    folder: Path
    port: int
    temporary: Path

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@localhost:{self.port}"

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    def config_with(self, path: Path, **changes: str) -> Path:
        """A client's configuration that differs in some settings."""
        settings = dict(line.split(" ", 1) for line in self.config.read_text().splitlines())
        path.write_text("".join(f"{name} {value}\n" for name, value in {**settings, **changes}.items()))
        return path


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    daemon = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if daemon is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH's client and server are needed (Debian: openssh-client, openssh-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(folder, port, folder / "tmp")
    server.temporary.mkdir()
    write_settings(server)
    with contextlib.ExitStack() as undo:
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)  # stays: another sshd may need it by now
        command = [daemon, "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        undo.callback(process.wait)
        undo.callback(process.kill)
        assert process.stderr is not None
        said = ""
        while "Server listening" not in said:
            said = process.stderr.readline()
            assert said, "sshd ended"
        yield server


def write_settings(server: Server) -> None:
    folder = server.folder
    for name in ("host_key", "key", "other_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    host_key = (folder / "host_key.pub").read_text()
    other_key = (folder / "other_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[localhost]:{server.port} {host_key}")
    (folder / "changed_hosts").write_text(f"[localhost]:{server.port} {other_key}")
    (folder / "authorized_keys").write_text((folder / "key.pub").read_text())
    daemon = {
        "Port": server.port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "authorized_keys", "PidFile": "none", "StrictModes": "no", "UsePAM": "no",
        "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "PermitRootLogin": "yes",
        "SetEnv": f"TMPDIR={server.temporary}",
    }  # fmt: skip
    client = {
        "IdentityFile": folder / "key", "IdentitiesOnly": "yes", "UserKnownHostsFile": folder / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null", "StrictHostKeyChecking": "yes", "AddressFamily": "inet",
    }  # fmt: skip
    for name, settings in (("sshd_config", daemon), ("ssh_config", client)):
        (folder / name).write_text("".join(f"{key} {value}\n" for key, value in settings.items()))

"""`voxc measure --on`, against a real sshd."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.compiler.device.conftest import edit_manifest, module_that
from tests.compiler.device.server import Server
from tests.conftest import Voxc
from voxc.compiler.core.errors import DeviceError
from voxc.compiler.device.measure import MeasureOptions, measure_bundle
from voxc.compiler.device.ssh import READY
from voxc.compiler.manifest import MANIFEST_NAME, read_manifest

Measure = Callable[..., Result]


@pytest.fixture
def measure(voxc: Voxc, server: Server, bundle: Path) -> Measure:
    """`voxc measure` of the bundle on the server, quickly; keywords become options."""

    def run(**options: object) -> Result:
        given = {"on": server.url, "ssh_config": server.config, "python": sys.executable, "runs": 2, **options}
        pairs = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
        return voxc("measure", bundle, *pairs)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """What stands for the device's Python: a shell script that may do what devices do."""

    def write(body: str) -> Path:
        file = tmp_path / "python"
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
        return file

    return write


def complaint(result: Result) -> str:
    """The one line of an error."""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    return line


def test_measures_and_merges(measure: Measure, server: Server, bundle: Path) -> None:
    result = measure(threads=1)
    assert result.exit_code == 0, result.stderr
    manifest = read_manifest(bundle)
    (run,) = manifest.measurements.devices
    assert run.evidence == "device"  # of onnxruntime-cpu any machine is one
    assert run.settings == {"threads": 1}
    assert run.runtime.keys() == {"onnxruntime", "numpy"}
    figures = run.components["synthesizer"].figures
    assert figures["snr"].value > 100
    assert figures["latency_median"].value > 0
    assert "2 runs after 2 warm-ups" in figures["latency_p99"].how
    assert "sending" in result.stderr
    assert "synthesizer: timing" in result.stderr
    assert run.host in result.stdout
    assert not list(server.temporary.iterdir())


def test_json_is_the_run(measure: Measure, bundle: Path, voxc: Voxc, server: Server) -> None:
    result = voxc("measure", bundle, "--on", server.url, "--ssh-config", server.config, "--python", sys.executable,
                  "--runs", 1, "--json")  # fmt: skip
    document = json.loads(result.stdout)
    assert document["merged"]
    assert document["run"] == read_manifest(bundle).measurements.devices[0].model_dump(mode="json")


def unharmed(bundle: Path, server: Server) -> Callable[[], bool]:
    before = (bundle / MANIFEST_NAME).read_bytes(), sorted(path.name for path in bundle.rglob("*"))

    def check() -> bool:
        now = (bundle / MANIFEST_NAME).read_bytes(), sorted(path.name for path in bundle.rglob("*"))
        return now == before and not list(server.temporary.iterdir())

    return check


def test_nobody_answers(measure: Measure, bundle: Path, server: Server) -> None:
    check = unharmed(bundle, server)
    result = measure(on="ssh://localhost:1")
    assert result.exit_code == 3
    assert complaint(result) == "voxc: error: localhost: cannot be reached: no ssh server answers there"
    assert check()


def test_no_such_host(measure: Measure) -> None:
    result = measure(on="ssh://no-such-host.invalid")
    assert result.exit_code == 3
    assert "no-such-host.invalid: cannot be reached: its name cannot be resolved" in complaint(result)


def test_the_wrong_key(measure: Measure, bundle: Path, server: Server, tmp_path: Path) -> None:
    check = unharmed(bundle, server)
    config = server.config_with(tmp_path / "config", IdentityFile=str(server.folder / "other_key"))
    result = measure(ssh_config=config)
    assert result.exit_code == 3
    assert "it refuses the key: `ssh " in complaint(result)
    assert check()


@pytest.mark.parametrize(
    ("known", "message"),
    [("/dev/null", "its host key is not known: connect once"), ("changed_hosts", "its host key is not the one in")],
)
def test_host_keys_are_the_users_affair(
    measure: Measure, bundle: Path, server: Server, tmp_path: Path, known: str, message: str
) -> None:
    check = unharmed(bundle, server)
    result = measure(ssh_config=server.config_with(tmp_path / "config", UserKnownHostsFile=str(server.folder / known)))
    assert result.exit_code == 3
    assert message in complaint(result)
    assert check()


def test_no_python_there(measure: Measure, bundle: Path, server: Server) -> None:
    check = unharmed(bundle, server)
    result = measure(python="python1.5")
    assert result.exit_code == 3
    assert "cannot run python1.5" in complaint(result)
    assert "--python" in complaint(result)
    assert check()


def test_no_runtime_there(
    measure: Measure, bundle: Path, server: Server, tmp_path: Path, script: Callable[[str], Path]
) -> None:
    check = unharmed(bundle, server)
    path = module_that(tmp_path / "path", "onnxruntime", "raise ImportError('none')")
    result = measure(python=script(f'PYTHONPATH={path} exec {sys.executable} "$@"'))
    assert result.exit_code == 3
    assert "onnxruntime cannot be imported by" in complaint(result)
    assert "pip install onnxruntime" in complaint(result)
    assert check()


def test_the_home_of_python_may_be_a_tilde(measure: Measure, server: Server, script: Callable[[str], Path]) -> None:
    inside = os.path.relpath(script(f'exec {sys.executable} "$@"'), Path.home())
    assert measure(python=f"~/{inside}").exit_code == 0


def test_the_agent_is_killed(measure: Measure, bundle: Path, server: Server, script: Callable[[str], Path]) -> None:
    check = unharmed(bundle, server)
    result = measure(python=script("echo 'voxc-agent: synthesizer: loading' >&2; kill -9 $$"))
    assert result.exit_code == 3
    assert "the agent was killed by signal 9 at 'synthesizer: loading', perhaps because memory ran out" in complaint(
        result
    )
    assert check()


def test_the_agent_fails(measure: Measure, bundle: Path, server: Server, script: Callable[[str], Path]) -> None:
    check = unharmed(bundle, server)
    result = measure(python=script("echo Traceback >&2; echo 'ValueError: out of paper' >&2; exit 1"))
    assert result.exit_code == 3
    assert "the agent failed at 'starting': ValueError: out of paper" in complaint(result)
    assert check()


# When the host has seen the progress: from the agent upwards to the process of sshd that serves the connection; without
# it the line is dead.
LOSE_LINE = """
echo 'voxc-agent: synthesizer: timing, run 7' >&2
read seen < {fifo}
p=$$
while [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(awk '$1 == "PPid:" {{print $2}}' /proc/$p/status); done
kill -9 $p
sleep 60
"""


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="finds sshd in /proc")
def test_the_connection_breaks(bundle: Path, server: Server, script: Callable[[str], Path], tmp_path: Path) -> None:
    check = unharmed(bundle, server)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    options = MeasureOptions(on=server.url, ssh_config=server.config, python=str(script(LOSE_LINE.format(fifo=fifo))))

    keepers: list[int] = []

    def report(message: str) -> None:
        if message.endswith("timing, run 7"):
            keepers.append(os.pidfd_open(keeper_of(server)))
            fifo.write_text("seen")

    with pytest.raises(DeviceError, match="the connection broke at 'synthesizer: timing, run 7'"):
        measure_bundle(bundle, options, report)
    assert select.select(keepers, [], [], 60)[0], "the device did not clean up"
    assert check()


def keeper_of(server: Server) -> int:
    """The shell on the device that holds the temporary directory."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            theirs = f"TMPDIR={server.temporary}".encode() in (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
            if theirs and command.startswith(b"sh\0") and READY.encode() in command:
                return int(process.name)
    raise AssertionError("no keeper")


@pytest.mark.parametrize("said", ["{", "hello", '{"agent": 2}', '{"agent": 1, "components": {}}'])
def test_an_answer_that_is_none(
    measure: Measure, bundle: Path, server: Server, script: Callable[[str], Path], said: str
) -> None:
    check = unharmed(bundle, server)
    result = measure(python=script(f"echo '{said}'"))
    assert result.exit_code == 3
    assert "what came back is not the agent's document" in complaint(result)
    assert check()


def test_a_result_that_differs(measure: Measure, bundle: Path, server: Server) -> None:
    edit_manifest(bundle, lambda document: document["build"]["components"][0].update(min_snr_db=500))
    check = unharmed(bundle, server)
    result = measure()
    assert result.exit_code == 1
    assert "dB, below 500 dB; the manifest is as it was" in complaint(result)
    assert check()


def test_the_agent_takes_too_long(
    measure: Measure, bundle: Path, server: Server, script: Callable[[str], Path], tmp_path: Path
) -> None:
    check = unharmed(bundle, server)
    result = measure(python=script(f"echo $$ > {tmp_path}/pid; exec sleep 60"), limit=2)
    assert result.exit_code == 3
    assert "took longer than 2 s (--limit), the last step was 'starting'" in complaint(result)
    assert gone(int((tmp_path / "pid").read_text()))
    assert check()


def test_ctrl_c_stops_the_agent_too(
    bundle: Path, server: Server, script: Callable[[str], Path], tmp_path: Path
) -> None:
    check = unharmed(bundle, server)
    os.mkfifo(tmp_path / "fifo")
    python = script(f"echo $$ > {tmp_path}/fifo; exec sleep 60")
    command = [sys.executable, "-m", "voxc.compiler", "measure", str(bundle), "--on", server.url,
               "--ssh-config", str(server.config), "--python", str(python)]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        agent = int((tmp_path / "fifo").read_text())  # waits until it is written
        assert not gone(agent)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.endswith("voxc: interrupted\n")
    assert gone(agent)
    assert check()


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"

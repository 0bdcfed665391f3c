"""Bundles, as the agent reads them."""

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Set

from voxc.compiler.core.device_errors import BundleError
from voxc.compiler.device.agent.need import need

HASHED_AT_ONCE = 1 << 20

Arrays = Dict[str, Any]


def hashed(file: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(HASHED_AT_ONCE), b""):
            digest.update(block)
    return digest.hexdigest()


class Bundle:
    """A bundle directory by its manifest, which is believed only as far as files have the hashes that it lists."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checked: Set[Path] = set()
        path = directory / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            self.target: Dict[str, Any] = manifest["build"]["target"]
            self.components: List[Dict[str, Any]] = manifest["build"]["components"]
            self.reference: Dict[str, Any] = manifest["measurements"]["reference"]
            self.devices: List[Dict[str, Any]] = manifest["measurements"].get("devices", [])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path}: not a manifest of a bundle ({error!r})") from error

    def file(self, record: Dict[str, Any]) -> Path:
        """The path of a file whose bytes are those of the manifest."""
        relative = Path(record["path"])
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleError(f"{relative}: leads out of the bundle")
        path = self.directory / relative
        if path in self.checked:
            return path
        try:
            digest = hashed(path)
        except OSError as error:
            raise BundleError(f"{path}: not readable ({error.strerror})") from error
        if digest != record["sha256"]:
            raise BundleError(f"{path}: its SHA-256 is not the manifest's")
        self.checked.add(path)
        return path

    def chosen(self, names: Sequence[str]) -> List[Dict[str, Any]]:
        """The components called `names`, all of them if there are no names."""
        known = [component["name"] for component in self.components]
        for name in names:
            if name not in known:
                raise BundleError(f"the bundle has no component {name}; it has {', '.join(known)}")
        return [component for component in self.components if not names or component["name"] in names]

    def tensors(self, component: Dict[str, Any], part: str) -> Arrays:
        """The reference tensors of a component's `inputs` or `outputs`, as their specs describe them."""
        np = need(["numpy"], "pip install numpy")
        arrays = {}
        file = self.file(self.reference)
        try:
            with np.load(str(file), allow_pickle=False) as archive:
                for spec in component[part]:
                    array = archive[f"{component['name']}/{spec['name']}"]
                    arrays[spec["name"]] = np.ascontiguousarray(array, dtype=spec["dtype"])
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{file}: not the reference tensors of the manifest ({error})") from error
        return arrays

"""Addresses of devices, as `--on` takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from voxc.compiler.core.errors import RecipeError

#: Names as ssh_config may have them, none that ssh would take as an option.
ADDRESS = re.compile(
    r"ssh://(?:(?P<user>\w[\w.+-]*)@)?(?:(?P<host>\w[\w.+-]*)|\[(?P<address>[0-9a-fA-F:.]+(?:%\w+)?)\])"
    r"(?::(?P<port>\d{1,5}))?/?\Z"
)


@dataclass(frozen=True)
class Address:
    """Where ssh connects to: `ssh://[user@]host[:port]`."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises RecipeError for anything else, and for what ssh would take as an option."""
        match = ADDRESS.match(text)
        if match is None:
            raise RecipeError(f"--on {text}: give ssh://[user@]host[:port]")
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 0 < port < 1 << 16:
            raise RecipeError(f"--on {text}: {port} is no port")
        return cls(match["host"] or match["address"], match["user"], port)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def arguments(self) -> list[str]:
        user, port = ["-l", self.user] if self.user else [], ["-p", str(self.port)] if self.port else []
        return [*user, *port, "--", self.host]

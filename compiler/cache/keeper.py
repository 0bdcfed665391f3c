"""What is kept on disk of one compile, by a digest of all that it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from voxc.compiler.cache.keys import digest
from voxc.compiler.cache.store import Store

VALUE_NAME = "value.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Keeper:
    """A store and a key: the digest of what everything that is kept through it depends on.

    Without a store, or without a key because nobody can tell what a thing depends on, nothing is kept. `label` says to
    people what it is of.
    """

    store: Store | None = None
    key: str | None = None
    label: str = ""

    def on(self, *parts: object) -> Keeper:
        """A keeper of what depends on these parts too; see `digest` for what they may be."""
        return self if self.key is None else replace(self, key=digest(self.key, *parts))

    def keep(self, kind: str, make: Callable[[], T], save: Callable[[T, Path], object], load: Callable[[Path], T]) -> T:
        """What is kept; if nothing is, what `make` gives, which is then kept. `save` fills a directory, `load` reads
        it."""
        if self.store is None or self.key is None:
            return make()

        def write(value: T, folder: Path) -> None:
            save(value, folder)

        return self.store.get(kind, self.key, make, write, load, self.label)

    def json(self, kind: str, value_type: Any, make: Callable[[], T]) -> T:
        """The same for a value that is JSON by pydantic's rules for `value_type`."""
        adapter: TypeAdapter[T] = TypeAdapter(value_type)

        def save(value: T, folder: Path) -> None:
            (folder / VALUE_NAME).write_bytes(adapter.dump_json(value))

        def load(folder: Path) -> T:
            return adapter.validate_json((folder / VALUE_NAME).read_bytes())

        return self.keep(kind, make, save, load)

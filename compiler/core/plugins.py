"""What other packages add to voxc: classes that entry points name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from functools import cached_property
from importlib import metadata
from typing import Generic, TypeVar

from voxc.compiler.core.errors import PluginError

T = TypeVar("T")
OURS = "voxc"


class Plugins(MutableMapping[str, T], Generic[T]):
    """Instances of `kind` by name, of the classes that the entry points of a group name; voxc's own are among them.

    A class is imported when its name is first looked up. Its `name` is that of its entry point.
    """

    def __init__(self, group: str, kind: type[T]) -> None:
        self.group, self.kind = group, kind
        self.loaded: dict[str, T] = {}

    @cached_property
    def entries(self) -> dict[str, metadata.EntryPoint]:
        """The entry points by name, voxc's own first.

        Raises:
            PluginError: two packages claim a name, or voxc's own are missing.
        """
        found = metadata.entry_points(group=self.group)
        entries: dict[str, metadata.EntryPoint] = {}
        for entry in sorted(found, key=lambda each: owner(each) != OURS):
            other = entries.setdefault(entry.name, entry)
            if other.value != entry.value:
                raise PluginError(
                    f"{self.group}: both {owner(other)} ({other.value}) and {owner(entry)} ({entry.value}) bring "
                    f"{entry.name!r}; uninstall one of them"
                )
        return entries

    @property
    def foreign(self) -> list[str]:
        """The names that other packages bring."""
        return [name for name, entry in self.entries.items() if owner(entry) != OURS]

    def __getitem__(self, name: str) -> T:
        """Raises KeyError if there is no such name, and PluginError if its class cannot be loaded."""
        if name not in self.loaded:
            self.loaded[name] = self.load(self.entries[name])
        return self.loaded[name]

    def load(self, entry: metadata.EntryPoint) -> T:
        where = f"{owner(entry)}: the entry point {entry.name} = {entry.value} of {self.group}"
        try:
            named = entry.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(f"{where} cannot be imported ({error}); repair or uninstall it") from error
        if not (isinstance(named, type) and issubclass(named, self.kind)):
            raise PluginError(f"{where} does not name a {self.kind.__name__}; repair or uninstall it")
        plugin = named()
        if getattr(plugin, "name", entry.name) != entry.name:
            raise PluginError(f"{where} is of a {self.kind.__name__} with another name; repair or uninstall it")
        return plugin

    def __setitem__(self, name: str, plugin: T) -> None:
        self.loaded[name] = plugin

    def __delitem__(self, name: str) -> None:
        del self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.entries, **self.loaded})

    def __len__(self) -> int:
        return len({**self.entries, **self.loaded})


def owner(entry: metadata.EntryPoint) -> str:
    """The package that an entry point is of."""
    return entry.dist.name if entry.dist is not None else "an unknown package"

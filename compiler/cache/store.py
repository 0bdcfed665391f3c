"""The cache on disk: entries by kind and key, bounded in size, shared by processes, and never half."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from voxc.compiler.cache.entry import (
    FILES_NAME,
    INDEX_NAME,
    DamagedEntry,
    Entry,
    UnsuitableEntry,
    check_files,
    describe,
    read_index,
    touch,
    write_index,
)
from voxc.compiler.core import interrupt
from voxc.compiler.core.locks import held
from voxc.compiler.core.staging import PARTIAL_PREFIX, remove_abandoned, workplace

DEFAULT_LIMIT_BYTES = 10 << 30
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of kinds and keys, which are names of directories
OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)
#: How often the entries of all processes are counted: after this part of the free space has been written by one of
#: them. So that many may write at once without exceeding the limit.
RECOUNT_PART = 8

T = TypeVar("T")


class Store:
    """Entries by kind and key in `directory`, which need not exist yet.

    An entry is written in a workplace of its own and renamed into place. A reader holds a shared lock on its index, so
    that it is not removed meanwhile. Whoever adds one beyond `limit_bytes` removes those that were used least recently.

    A cache that cannot be read or written is no error: `warn` gets one message, and the work is done anew.
    """

    def __init__(
        self,
        directory: Path,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.warn = warn
        self.writable = True
        self.uncounted = 0  # bytes that may be written until entries are counted again
        with suppress(OSError):
            remove_abandoned(directory, PARTIAL_PREFIX)

    def read(self, kind: str, key: str, load: Callable[[Path], T]) -> T | None:
        """What `load` makes of the entry's files; None if there is no such entry.

        The files are those that were written, byte for byte. Where they are not, or where `load` raises DamagedEntry,
        OSError or ValueError, the entry is removed.
        """
        place = self.place(kind, key)
        if not place.exists():
            return None
        mine = False
        try:
            with held(place / INDEX_NAME, shared=True) as mine:
                if not mine:
                    return None
                check_files(place, read_index(place))
                result = load(place / FILES_NAME)
                touch(place)
                return result
        except (DamagedEntry, OSError, ValueError) as error:
            bare = not mine and isinstance(error, FileNotFoundError)  # or another process has just removed it
            if self.remove(place, bare=bare) or (not bare and place.exists()):
                self.warn(f"{place}: the cache entry is damaged and not used ({error})")
            return None

    def write(self, kind: str, key: str, save: Callable[[Path], None], label: str = "") -> None:
        """Has `save` fill an empty directory, and keeps that under the key. An entry that is there already stays.

        `label` says to people what it is. Where `save` raises UnsuitableEntry, nothing is kept.
        """
        place = self.place(kind, key)
        if not self.writable or (place / INDEX_NAME).exists():
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.uncounted -= self.add(place, save, label)
            if self.uncounted < 0:
                self.evict()
        except UnsuitableEntry as error:
            self.warn(f"{label or key}: cannot be kept in the cache: {error}")
        except OSError as error:
            self.writable = False
            self.warn(f"{self.directory}: the cache cannot be written ({error.strerror or error}); going on without it")

    def get(
        self,
        kind: str,
        key: str,
        make: Callable[[], T],
        save: Callable[[T, Path], None],
        load: Callable[[Path], T],
        label: str = "",
    ) -> T:
        """What the entry holds; if there is none, what `make` gives, which is then kept."""
        result = self.read(kind, key, load)
        if result is None:
            made = result = make()
            self.write(kind, key, lambda folder: save(made, folder), label)
        return result

    def entries(self) -> list[Entry]:
        """All entries, by kind and key. Damaged ones are not among them."""
        return [entry for place in self.places() if (entry := describe(place))]

    def clear(self, kinds: Collection[str] = ()) -> int:
        """Removes the entries of some kinds, or all; gives how many. What a process is reading just now stays."""
        return sum(self.remove(place) for place in self.places() if not kinds or place.parent.name in kinds)

    def place(self, kind: str, key: str) -> Path:
        for name in (kind, key):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be a kind or a key of the cache")
        return self.directory / kind / key

    def places(self) -> Iterator[Path]:
        """Where entries are."""
        with suppress(OSError):  # there is no cache yet
            for folder in sorted(self.directory.iterdir()):
                if NAME.fullmatch(folder.name) and folder.is_dir():
                    yield from sorted(place for place in folder.iterdir() if place.is_dir())

    def add(self, place: Path, save: Callable[[Path], None], label: str) -> int:
        """Makes an entry; gives its bytes.

        Raises:
            OSError: the directory cannot be written, or is full.
        """
        with workplace(self.directory, PARTIAL_PREFIX) as work:
            new = work / "new"
            (new / FILES_NAME).mkdir(parents=True)
            save(new / FILES_NAME)
            index = write_index(new, label)
            if index.bytes > self.limit_bytes:
                self.warn(f"{label or place.name}: {index.bytes} bytes are more than the cache may take")
                return 0
            interrupt.check()
            place.parent.mkdir(exist_ok=True)
            if not (place / INDEX_NAME).exists():
                self.remove(place)  # what is left of a damaged one
            try:
                new.rename(place)
            except OSError as error:
                if error.errno not in OCCUPIED:  # another process was faster
                    raise
            return index.bytes

    def evict(self) -> None:
        """Removes what was used least recently until the limit is kept."""
        entries = sorted(self.entries(), key=lambda entry: entry.last_used)
        free = self.limit_bytes - sum(entry.bytes for entry in entries)
        for entry in entries:
            if free >= 0:
                break
            if self.remove(self.place(entry.kind, entry.key)):
                free += entry.bytes
        self.uncounted = max(free, 0) // RECOUNT_PART

    def remove(self, place: Path, *, bare: bool = False) -> bool:
        """Removes an entry, whole at once, or only a `bare` one, which has no index; False if a process is reading it,
        or if that is not possible."""
        with suppress(OSError), ExitStack() as stack:
            try:
                (place / INDEX_NAME).open("xb").close()  # only an index can be locked
            except FileExistsError:
                if bare:
                    return False
            if not stack.enter_context(held(place / INDEX_NAME)):
                return False
            work = stack.enter_context(workplace(self.directory, PARTIAL_PREFIX))
            place.rename(work / "old")
            return True
        return False

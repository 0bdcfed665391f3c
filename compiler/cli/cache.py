"""`voxc cache`: what the cache holds, and how to empty it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json
from voxc.compiler.core.errors import InputError

if TYPE_CHECKING:
    from voxc.compiler.cache.entry import Entry
    from voxc.compiler.cache.store import Store

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30


def cache(
    cache: options.Cache = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only entries of this kind; several times.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the entries.")] = False,
    json: options.Json = False,
) -> None:
    """Show what is kept between compiles, or remove it."""
    from voxc.compiler.cache.place import cache_directory
    from voxc.compiler.cache.store import Store
    from voxc.compiler.terminal import show

    directory = cache_directory(cache)
    refuse_unreadable(directory)
    store = Store(directory)
    entries = [entry for entry in store.entries() if not kind or entry.kind in kind]
    if clear:
        removed, freed = remove(store, kind or [], entries)
        if json:
            print_json({"directory": str(directory), "removed": removed, "bytes": freed})
        else:
            show(f"{directory}: removed {count(removed)}, {size(freed)}")
    elif json:
        print_json(document(store, entries))
    else:
        print_table(store, entries)


def refuse_unreadable(directory: Path) -> None:
    """Raises InputError if something is at the place that is not a readable directory."""
    try:
        next(directory.iterdir(), None)
    except FileNotFoundError:
        pass  # nothing has been kept yet
    except OSError as error:
        raise InputError(
            f"{directory}: the cache cannot be read ({error.strerror}); choose another place with --cache"
        ) from error


def remove(store: Store, kinds: Sequence[str], entries: Sequence[Entry]) -> tuple[int, int]:
    """Empties the cache; gives how many entries and bytes that were.

    Raises:
        InputError: some stay, as they are in use or cannot be removed.
    """
    removed = store.clear(kinds)
    left = [entry for entry in store.entries() if not kinds or entry.kind in kinds]
    if left:
        raise InputError(f"{store.directory}: removed {count(removed)}; {count(len(left))} in use or write-protected")
    return removed, sum(entry.bytes for entry in entries)


def document(store: Store, entries: Sequence[Entry]) -> dict[str, Any]:
    return {
        "directory": str(store.directory),
        "limit_bytes": store.limit_bytes,
        "bytes": sum(entry.bytes for entry in entries),
        "entries": [
            {
                "kind": entry.kind, "key": entry.key, "label": entry.label, "bytes": entry.bytes,
                "created": entry.created.isoformat(), "last_used": entry.last_used.isoformat(),
            }
            for entry in entries
        ],
    }  # fmt: skip


def print_table(store: Store, entries: Sequence[Entry]) -> None:
    """A line for all, and a row for each kind."""
    from voxc.compiler.terminal import show, table

    total = sum(entry.bytes for entry in entries)
    show(f"{store.directory}: {count(len(entries))}, {size(total)} of at most {size(store.limit_bytes)}")
    kinds = {kind: [entry for entry in entries if entry.kind == kind] for kind in sorted({e.kind for e in entries})}
    rows = [
        (
            kind, str(len(mine)), size(sum(entry.bytes for entry in mine)),
            f"{max(entry.last_used for entry in mine).astimezone():%Y-%m-%d %H:%M}",
            ", ".join(sorted({entry.label for entry in mine if entry.label})),
        )
        for kind, mine in kinds.items()
    ]  # fmt: skip
    if rows:
        show(table("", ("kind", "entries", "size", "last used", "of"), rows))


def count(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries} entries"


def size(number: int) -> str:
    """Bytes for people."""
    return f"{number / GIBIBYTE:.1f} GiB" if number >= GIBIBYTE else f"{number / MEBIBYTE:.1f} MiB"

"""Counts what a protobuf message holds before it is parsed: a small file can unfold into a lot of memory."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}
MOST_VARINT_BYTES = 10


def count_fields(data: memoryview, descriptor: Descriptor, most: int) -> int:
    """The fields in `data` and in all messages inside it; stops after `most`.

    Raises:
        ValueError: `data` is not such a message.
    """
    submessages: dict[Descriptor, dict[int, Descriptor]] = {}
    left = [(0, len(data), descriptor)]
    count = 0
    while left and count <= most:
        place, end, kind = left.pop()
        inner = submessages.setdefault(
            kind,
            {each.number: each.message_type for each in kind.fields if each.type == FieldDescriptor.TYPE_MESSAGE},
        )
        while place < end and count <= most:
            count += 1
            tag, place = varint(data, place)
            wire = tag & 7
            if wire == VARINT:
                _, place = varint(data, place)
            elif wire == BYTES:
                size, place = varint(data, place)
                if tag >> 3 in inner:
                    left.append((place, place + size, inner[tag >> 3]))
                place += size
            elif wire in FIXED:
                place += FIXED[wire]
            else:
                raise ValueError(f"wire type {wire}")
        if place > end and count <= most:
            raise ValueError("a field ends beyond its message")
    return count


def varint(data: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index in range(MOST_VARINT_BYTES):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place
    raise ValueError("a number without an end")

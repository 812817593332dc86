"""A run's figures, as a table (CSV) and as an event file that TensorBoard shows.

The event file is written here, because the format is small: records of TFRecord (length, masked CRC-32C, bytes, masked
CRC-32C; tensorflow/core/lib/io/record_writer) that hold ``Event`` protocol buffers (tensorflow/core/util/event.proto:
1 wall_time double, 2 step int64, 3 file_version string, 5 summary; a summary's field 1 is a value with 1 tag string and
2 simple_value float). Pictures are left out: generated faces are written signed, or not at all.
"""

from __future__ import annotations

import csv
import struct
import time
from pathlib import Path

_POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), RFC 3720 appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def tfrecord(data: bytes) -> bytes:
    """One record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def scalars_event(step: int, values: dict[str, float], wall_time: float) -> bytes:
    """An ``Event`` with scalar values by tag."""
    summary = b"".join(
        _field(1, _field(1, tag.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", value))
        for tag, value in values.items()
    )
    head = _varint(1 << 3 | 1) + struct.pack("<d", wall_time) + _varint(2 << 3) + _varint(step)
    return head + _field(5, summary)


class RunLog:
    """Appends to ``log.csv`` and to an event file in one folder; a resumed run begins a new event file.

    Args:
        folder: made if it is missing.
        first_step: of this run. Rows of later steps, from an interrupted run, are dropped.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._table = folder / "log.csv"
        rows = []
        if self._table.is_file():
            with self._table.open(newline="") as stream:
                rows = [
                    row for row in csv.reader(stream) if row[:1] != ["step"] and int(row[0]) <= first_step
                ]
        with self._table.open("w", newline="") as stream:
            csv.writer(stream).writerows([("step", "name", "value"), *rows])
        started = time.time()
        self._events = folder / f"events.out.tfevents.{int(started)}.veilmark.{first_step}"
        version = _varint(1 << 3 | 1) + struct.pack("<d", started) + _field(3, b"brain.Event:2")
        self._events.write_bytes(tfrecord(version))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Figures of one step, by name; a name's part before ``/`` groups them."""
        with self._table.open("a", newline="") as stream:
            csv.writer(stream).writerows((step, name, f"{value:.6g}") for name, value in values.items())
        with self._events.open("ab") as stream:
            stream.write(tfrecord(scalars_event(step, values, time.time())))

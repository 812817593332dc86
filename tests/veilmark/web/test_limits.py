"""Too much, too slow, too many: what is refused, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import time
import zipfile
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from provenance.home import Home
from tests.veilmark.web.conftest import Make, csrf_of, running, send


def left_over(home: Home) -> list[Path]:
    """Folders of uploads that were not acknowledged."""
    return [one for one in (home.data / "web" / "jobs").iterdir() if not (one / "job.json").exists()]


def test_too_large_or_too_many_is_refused_and_removed(make: Make, home: Home) -> None:
    client = make(limits={"upload_bytes": 100_000, "files": 3})
    form = {"csrf": csrf_of(client)}
    large = client.post("/verify", data=form, files=[("file", ("a.jpg", b"x" * 200_000))])
    assert large.status_code == 413
    many = client.post("/verify", data=form, files=[("file", (f"{n}.jpg", b"x")) for n in range(4)])
    assert many.status_code == 413
    assert client.post("/verify", data=form).status_code == 400
    assert client.post("/verify", json=form).status_code == 415
    assert client.post("/verify", data=form, files=[("other", ("", b""))]).status_code == 400
    assert left_over(home) == []


def test_a_length_that_is_not_told_is_counted(make: Make, home: Home) -> None:
    client = make(limits={"upload_bytes": 100_000})
    csrf = csrf_of(client)
    head = f'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n'.encode()
    head += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'

    def body() -> object:
        yield head
        for _ in range(100):
            yield b"x" * 10_000

    answer = client.post(
        "/verify", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413
    assert left_over(home) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n",
        b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nx',
        b"--b\r\n" + b"X" * 20_000,
        b"--b\r\n" + b"A: b\r\n" * 5000,
        b"no form at all",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nbefore its token\r\n--b--\r\n',
    ],
)
def test_odd_forms_are_refused(make: Make, home: Home, body: bytes) -> None:
    client = make()
    client.get("/verify")
    answer = client.post("/verify", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code in (400, 403, 413), answer.text
    assert left_over(home) == []


def png_bomb(side: int) -> bytes:
    """A PNG of some kilobytes that would be ``side`` times ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row, rows = b"\0" * (side // 8 + 1), []
    for _ in range(side):
        rows.append(packer.compress(row))
    rows.append(packer.flush())
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"".join(rows)) + chunk(b"IEND", b"")


def test_pixel_bombs_and_zip_bombs_are_not_unpacked(make: Make, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_bomb(16_000))  # 256 megapixels
    assert bomb.stat().st_size < 1_000_000
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("huge.jpg", b"\0" * 20_000_000)
    zipped = tmp_path / "bomb.zip"
    zipped.write_bytes(packed.getvalue())
    began = time.monotonic()
    page = send(make(), "/verify", [bomb, zipped]).text
    assert page.count("Could not check") + page.count("No credential") == 2
    assert time.monotonic() - began < 20


def test_too_many_requests_of_one_address(make: Make) -> None:
    client = make(limits={"requests_per_minute": 5})
    codes = [client.get("/healthz").status_code for _ in range(8)]
    assert codes[:5] == [200] * 5 and set(codes[5:]) == {429}
    assert int(client.get("/").headers["retry-after"]) >= 1


def test_uploads_of_one_address_are_counted(make: Make, portrait_files: dict[str, Path]) -> None:
    client = make(limits={"uploads_per_minute": 2})
    codes = [send(client, "/verify", [portrait_files["hopper"]]).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def small_form(csrf: str) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(packed, "JPEG")
    parts = f'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n'.encode()
    parts += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    return parts + packed.getvalue() + b"\r\n--b--\r\n"


def opened(address: str) -> tuple[str, str]:
    """Cookie and form token of a fresh session."""
    answer = httpx.get(f"{address}/verify", timeout=30)
    token = answer.text.split('name=csrf value="')[1][:64]
    return answer.headers["set-cookie"].split(";")[0], token


def head_of(address: str, cookie: str, length: int) -> bytes:
    return (
        f"POST /verify HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\nCookie: {cookie}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_slow_uploads_and_a_thousand_at_once(home: Home, tmp_path: Path) -> None:
    limits = "upload_seconds = 2\nuploads = 16\nqueue = 40\njobs_each = 1000\n"
    limits += "requests_per_minute = 100000\nuploads_per_minute = 100000\n"
    with running(home, f"[limits]\n{limits}", tmp_path) as (address, process):
        cookie, token = opened(address)
        body = small_form(token)
        host, port = "127.0.0.1", urlsplit(address).port

        # a connection that says nothing more is let go of
        with socket.create_connection((host, port), timeout=30) as slow:
            began = time.monotonic()
            slow.sendall(head_of(address, cookie, len(body)) + body[:200])
            assert slow.recv(64).startswith(b"HTTP/1.1 408")
            assert time.monotonic() - began < 15

        async def one() -> str:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(head_of(address, cookie, len(body)) + body)
                await writer.drain()
                line = await asyncio.wait_for(reader.readline(), 60)
                writer.close()
                return line.decode().split(" ")[1] if line else "closed"
            except OSError:
                return "closed"

        async def all_at_once() -> list[str]:
            return await asyncio.gather(*(one() for _ in range(1000)))

        codes = asyncio.run(all_at_once())
        assert set(codes) <= {"303", "503", "closed"}, set(codes)
        assert codes.count("303") >= 16 and "503" in codes
        assert httpx.get(f"{address}/healthz", timeout=30).status_code == 200
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            peak = int(status.read_text().split("VmHWM:")[1].split()[0])
            assert peak < 900_000, f"{peak} kB"
    assert left_over(home) == []

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
The brick against somebody else's OpenAI-compatible server: test_mock_llm.py DRIVE BUILD_FOLDER

The server, @dwmkerr/mock-llm from the npm registry, has a fixed port, so it and the client get a
network namespace of their own. Skipped without npm, unshare, root or a registry.
"""

import fcntl
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent / "mock-llm"
URL = "http://127.0.0.1:6556/v1"
TEXT = "Grüße, 你好! 😀😀 a😀 {braces} and the end"
SKIPPED = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def install(folder):
    """Once for each state of the lock file."""
    lock = (HERE / "package-lock.json").read_text()
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == lock:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    npm = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    if npm.returncode != 0:
        skip("npm ci: " + npm.stderr.strip()[-500:])
    stamp.write_text(lock)


def raise_loopback():
    """As `ip link set lo up`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def wait_for_server(server):
    for _ in range(300):
        assert server.poll() is None, "mock-llm has ended"
        try:
            socket.create_connection(("127.0.0.1", 6556), 1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise TimeoutError("mock-llm does not listen")


def call(drive, *calls):
    out = subprocess.run(
        [drive, f'{{ base_url: "{URL}", model: "m-1", retry_min: 1ms, retry_max: 2ms }}'],
        input="\n".join(map(json.dumps, calls)),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "no_proxy": "*"},
    ).stdout
    return [json.loads(line) for line in out.splitlines()]


def check_streams(drive):
    for text in (TEXT, "x" + TEXT, "😀", "once busy", "a" * 5000):
        (result,) = call(drive, {"method": "stream", "prompt": text})
        assert result["code"] == 200, result
        assert "".join(part for part, _ in result["replies"]) == text, result
        assert result["replies"][-1] == ["", True], result
        assert all(part and not final for part, final in result["replies"][:-1]), result
        assert "x-model=m-1\nx-finish-reason=stop\n" == result["trailers"], result


def check_unary(drive):
    (result,) = call(drive, {"method": "unary", "prompt": TEXT, "model": "other"})
    assert result["replies"] == [[TEXT, True]], result
    assert "x-model=other\n" in result["trailers"], result
    assert "x-usage-total-tokens=23\n" in result["trailers"], result


def check_errors(drive):
    for method in ("unary", "stream"):
        (result,) = call(drive, {"method": method, "prompt": "wrong key"})
        assert result["code"] == 401, result
        assert result["message"] == "Incorrect API key provided: {none}.", result
        assert result["detail"].endswith("invalid_request_error/invalid_api_key"), result
        assert result["replies"] == [], result


def check_many(drive):
    results = call(drive, {"method": "stream", "prompt": TEXT, "repeat": 100})
    assert len(results) == 100
    for result in results:
        assert "".join(part for part, _ in result["replies"]) == TEXT, result


def inside(drive, folder):
    raise_loopback()
    server = subprocess.Popen(
        ["node", "node_modules/@dwmkerr/mock-llm/dist/main.js", "--config", HERE / "mock-llm.yaml"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HOST": "127.0.0.1", "PORT": "6556"},
    )
    try:
        wait_for_server(server)
        check_streams(drive)
        check_unary(drive)
        check_errors(drive)
        check_many(drive)
    finally:
        server.kill()
        server.wait()


def main():
    drive, folder = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute() / "mock-llm"
    if sys.argv[3:] == ["inside"]:
        return inside(drive, folder)
    for program in ("node", "npm", "unshare"):
        if not shutil.which(program):
            skip(f"{program} is missing")
    if os.geteuid() != 0:
        skip("a network namespace needs root")
    install(folder)
    if subprocess.run(["unshare", "-n", "true"], check=False).returncode != 0:
        skip("no network namespace to be had")
    os.execvp("unshare", ["unshare", "-n", sys.executable, "-B", __file__, *sys.argv[1:3], "inside"])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives a QMP server with QEMU's own client library, qemu.qmp.

usage: qmp_client.py SERVER VENV

SERVER is started as `SERVER PATH`. The library comes from this Python if it
has it, else from the virtual environment VENV, which is made when needed.
Exits with 77 and one line of reason when the library cannot be had.
"""

import asyncio
import os
import subprocess
import sys
import tempfile

SKIP = 77
REQUIREMENT = "qemu.qmp>=0.0.3,<0.1"


def has_library(python):
    """Whether that interpreter can import the library."""
    return subprocess.run(
        [python, "-c", "import qemu.qmp"],
        stderr=subprocess.DEVNULL, check=False).returncode == 0


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def install(venv):
    """Makes the virtual environment; returns its interpreter."""
    python = os.path.join(venv, "bin", "python3")
    if os.path.exists(python) and has_library(python):
        return python
    steps = (
        [sys.executable, "-m", "venv", "--clear", venv],
        [python, "-m", "pip", "install", "--quiet", "--retries", "1",
         "--timeout", "15", "--disable-pip-version-check", REQUIREMENT],
    )
    for step in steps:
        try:
            done = subprocess.run(step, stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=120,
                                  check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            skip(f"cannot install {REQUIREMENT}: {error}")
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").split("\n")
            reasons = [x for x in lines if x.startswith("ERROR")] or lines
            skip(f"cannot install {REQUIREMENT}: {reasons[0]}")
    return python


def check(condition, what):
    if not condition:
        sys.exit(f"failed: {what}")
    print(f"ok: {what}")


async def refused(client, command, arguments, error_class, text):
    """The command must fail, with that class and text."""
    from qemu.qmp import ExecuteError
    try:
        await client.execute(command, arguments)
    except ExecuteError as error:
        check(error.error_class == error_class, f"{command}: {error_class}")
        check(text in str(error), f"{command}: {error}")
        return
    sys.exit(f"failed: {command} was not refused")


async def talk(path):
    """One session: queries, errors, events, a second client, the end."""
    from qemu.qmp import EventListener, QMPClient
    client = QMPClient("first")
    await client.connect(path)
    check(client.greeting.QMP.version["package"].startswith("kvmlet"),
          "greeting")

    commands = {c["name"] for c in await client.execute("query-commands")}
    check({"stop", "cont", "quit", "query-status"} <= commands, "commands")
    status = await client.execute("query-status")
    check(status == {"running": True, "status": "running"}, "query-status")
    cpus = await client.execute("query-cpus-fast")
    check([c["cpu-index"] for c in cpus] == [0, 1], "query-cpus-fast")

    await refused(client, "no-such-command", None, "CommandNotFound",
                  "has not been found")
    await refused(client, "stop", {"x": 1}, "GenericError", "unexpected")
    await refused(client, "__org.kvmlet_resize-disk", {"id": "no"},
                  "DeviceNotFound", "not found")

    other = QMPClient("second")
    await other.connect(path)
    with other.listener(("STOP", "RESUME")) as listener:
        await client.execute("stop")
        check((await listener.get())["event"] == "STOP", "STOP event")
        await client.execute("cont")
        check((await listener.get())["event"] == "RESUME", "RESUME event")

    replies = await asyncio.gather(
        *(other.execute("query-name") for _ in range(200)))
    check(all(r == {"name": "fake"} for r in replies), "200 commands at once")

    end = EventListener("SHUTDOWN")
    with other.listen(end):
        await client.execute("quit")
        event = await end.get()
    check(event["data"] == {"guest": False, "reason": "host-qmp-quit"},
          "SHUTDOWN event")
    for one in (client, other):
        try:
            await one.disconnect()
        except (EOFError, ConnectionError):
            pass


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    server_path, venv = sys.argv[1:]
    if not has_library(sys.executable):
        python = install(venv)
        os.execv(python, [python, __file__, server_path, venv])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "qmp.sock")
        with subprocess.Popen([server_path, path]) as server:
            try:
                for _ in range(1000):
                    if os.path.exists(path):
                        break
                    server.poll()
                    if server.returncode is not None:
                        sys.exit("failed: the server did not start")
                    asyncio.run(asyncio.sleep(0.01))
                asyncio.run(asyncio.wait_for(talk(path), 60))
                check(server.wait(timeout=10) == 0, "the server ended")
            finally:
                if server.poll() is None:
                    server.kill()
        check(not os.path.exists(path), "the socket is removed")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""A QMP session with a running guest, by QEMU's client library.

usage: qmp_session.py SOCKET
Exits 0 when every command was answered as it should be and every event came."""

import asyncio
import sys

from qemu.qmp import QMPClient


async def expect(client, name):
    """The next event must be this one."""
    event = await asyncio.wait_for(client.events.get(), 60)
    if event["event"] != name:
        sys.exit(f"event {event['event']} instead of {name}")
    print(event)


async def session(path):
    client = QMPClient("kvmlet-test")
    await client.connect(path)
    status = await client.execute("query-status")
    assert status["running"] and status["status"] == "running", status
    await client.execute("stop")
    await expect(client, "STOP")
    status = await client.execute("query-status")
    assert not status["running"] and status["status"] == "paused", status
    await client.execute("cont")
    await expect(client, "RESUME")
    cpus = await client.execute("query-cpus-fast")
    assert [cpu["cpu-index"] for cpu in cpus] == [0, 1], cpus
    assert all(cpu["thread-id"] > 0 for cpu in cpus), cpus
    await client.execute("system_powerdown")
    await expect(client, "POWERDOWN")
    await client.execute("quit")
    await expect(client, "SHUTDOWN")
    try:
        await client.disconnect()
    except EOFError:
        pass


asyncio.run(session(sys.argv[1]))

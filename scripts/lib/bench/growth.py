# SPDX-License-Identifier: Apache-2.0
"""Memory that a guest plugs and unplugs: how fast, what it costs the monitor, and what stays."""

import copy
import json
import mmap
import os
import socket
import time

import monitors
import timing

GIB = 1 << 30
# How often the monitor is asked how far the guest is: an answer costs CPU time that the guest would have, of
# one monitor more than of the other, and one of the two gives none while it populates memory. So few of them,
# and later ones are rarer: a figure is at most a tenth too small.
POLL, POLL_PART = 0.01, 0.1  # seconds; of the time that has passed
LARGE, SMALL = 256 * GIB, GIB  # maxima whose start is compared
# The guest's own RAM has to hold the description of what is plugged: 16 MiB a GiB.
RAM = 1024  # MiB
SIZES = (1, 4, 8)  # GiB
# name: populated when plugged, pages of the hugetlb pool
KINDS = {"plain": (False, False), "prealloc": (True, False), "hugetlb": (False, True), "hugetlb_prealloc": (True, True)}
# What a machine needs beside what a guest plugs, to have all of it at once.
BESIDE = 2.5  # GiB
POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"


class Qmp:
    """A client that knows what is needed here."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise timing.Failed(f"no answer to {command}")
            reply = json.loads(line)
            if "error" in reply:
                raise timing.Failed(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def size(self):
        return self.run("query-memory-devices")[0]["data"]["size"]

    def resize(self, size):
        """Seconds until the guest has plugged or unplugged it."""
        start = time.monotonic()
        self.run("qom-set", **{"path": "/machine/peripheral/vm0", "property": "requested-size", "value": size})
        while self.size() != size:
            passed = time.monotonic() - start
            if passed > timing.TIMEOUT:
                raise timing.Failed(f"the guest stays at {self.size()} bytes, not {size}")
            time.sleep(max(POLL, passed * POLL_PART))
        return time.monotonic() - start


def connect(monitor, path):
    end = time.monotonic() + timing.TIMEOUT
    while True:
        try:
            return Qmp(path)
        except OSError:
            if monitor.process.poll() is not None or time.monotonic() > end:
                raise timing.Failed(f"no QMP socket: {' '.join(monitor.command)}") from None
            time.sleep(0.002)


def resident(pid):
    """Bytes of all that the monitor has, guest memory and pages of the hugetlb pool included."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
        for line in f:
            word, value = line.split()[:2]
            if word in ("Pss:", "Private_Hugetlb:", "Shared_Hugetlb:"):
                total += int(value) << 10
    return total


def own_time(pid):
    """CPU seconds of the threads that are no vCPUs."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as f:
            if f.read().lower().startswith(("vcpu", "cpu ")):
                continue
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def memory_here(what):
    """Bytes, by the name that /proc/meminfo has for them."""
    with open("/proc/meminfo", encoding="utf-8") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith(f"{what}:"))


def sizes_here(populated):
    """The sizes that fit into this machine; without pages behind them all do."""
    if not populated:
        return SIZES
    has = memory_here("MemTotal")
    return tuple(size for size in SIZES if size == 1 or (size + BESIDE) * GIB <= has)


def touch_memory():
    """Uses most of this machine's memory once: an emulated one is slow the first time, which would count
    against whoever comes first."""
    size = min(memory_here("MemAvailable") * 3 // 4, (max(SIZES) + 2) * GIB) & -4096
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        page = bytes(1 << 20)
        for at in range(0, len(memory) - len(page), len(page)):
            memory[at:at + len(page)] = page


class Growth:
    """Commands for kvmlet and QEMU, and the samples of their runs."""

    def __init__(self, programs, kernel, initrd, work):
        self.monitors = copy.copy(programs)
        self.monitors.console += " memhp_default_state=online_movable"
        self.machine = monitors.LINUX_PEERS[programs.arch][0]
        self.kernel, self.initrd = kernel, initrd
        self.path = os.path.join(work, "qmp")

    def commands(self, most, prealloc, hugetlb):
        return {"kvmlet": self.monitors.linux_kvmlet(
                    self.kernel, self.initrd, RAM, extra=monitors.kvmlet_growth(most, prealloc, hugetlb, self.path)),
                "qemu": self.monitors.linux_qemu(
                    self.machine, self.kernel, self.initrd, f"{RAM}M,maxmem={RAM * 2 + (most >> 20)}M",
                    extra=monitors.qemu_growth(most, prealloc, hugetlb, self.path))}

    def start_cost(self, command):
        """Seconds until the monitor answers about its memory devices, and what it then has."""
        start = time.monotonic()
        with timing.Background(command) as monitor:
            connect(monitor, self.path).size()
            wall = time.monotonic() - start
            cost = {"wall": wall, "resident": resident(monitor.process.pid)}
        self.clean()
        return cost

    def run(self, command, sizes):
        """{(what, size): figure} of one guest."""
        figures = {}
        with timing.Background(command) as monitor:
            monitor.wait_for("bench-idle")
            qmp, pid = connect(monitor, self.path), monitor.process.pid
            for size in sizes:
                before, spent = resident(pid), own_time(pid)
                figures["plug", size] = size * GIB / qmp.resize(size * GIB)
                figures["unplug", size] = size * GIB / qmp.resize(0)
                figures["own", size] = own_time(pid) - spent
                figures["left", size] = max(0, resident(pid) - before)
        self.clean()
        return figures

    def clean(self):
        if os.path.exists(self.path):
            os.unlink(self.path)


class Pool:
    """Huge pages of 2 MiB for a while."""

    def __init__(self, size):
        self.pages = size // (2 << 20)

    def __enter__(self):
        self.set(self.pages)
        with open(POOL, encoding="utf-8") as f:
            if int(f.read()) < self.pages:
                self.set(0)
                raise timing.Failed(f"this machine has no {self.pages} huge pages of 2 MiB")

    def __exit__(self, *_):
        self.set(0)

    @staticmethod
    def set(pages):
        with open(POOL, "w", encoding="utf-8") as f:
            f.write(f"{pages}\n")

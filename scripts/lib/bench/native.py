# SPDX-License-Identifier: Apache-2.0
"""What is measured on this machine itself: starting, the cost of an exit, sizes on disk."""

import os
import platform
import re
import subprocess
import tempfile

import timing
from table import Budget, Row

RUNS = 20
EXIT_RUNS = 10
EXITS = (5_000, 55_000)  # two guests; their difference is free of what starting costs
QEMU_DONE = 1  # QEMU's exit device turns N into 2N + 1


def start(monitors, helpers):
    """Rows, and the command lines for the text below them."""
    payload = os.path.join(helpers, "first.elf")
    first = {"kvmlet": monitors.tiny_kvmlet(payload, serial="stdio"), "floor": monitors.tiny_floor(payload),
             "qemu": monitors.tiny_qemu(payload, serial=True)}
    whole = {"kvmlet": monitors.tiny_kvmlet(payload), "floor": monitors.tiny_floor(payload),
             "qemu": monitors.tiny_qemu(payload)}
    samples = timing.in_turns("start to the guest's first instruction", {
        name: (lambda c=command: timing.FirstOutput(c)) for name, command in first.items()}, RUNS)
    output = timing.pick(samples, "wall")
    samples = timing.in_turns("start to end of the process", {
        name: (lambda n=name, c=command: timing.Run(c, QEMU_DONE if n == "qemu" else 0))
        for name, command in whole.items()}, RUNS)
    wall, cpu = timing.pick(samples, "wall"), timing.pick(samples, "cpu")
    goal = Budget("<= 1.2 x floor, <= 0.2 x QEMU", lambda k, f, q: k <= 1.2 * f and k <= 0.2 * q)
    rows = [Row("start to first guest instruction", "ms", 1e3, output["kvmlet"], output["floor"], output["qemu"], goal),
            Row("start to end of process", "ms", 1e3, wall["kvmlet"], wall["floor"], wall["qemu"]),
            Row("start to end, CPU time", "ms", 1e3, cpu["kvmlet"], cpu["floor"], cpu["qemu"])]
    return rows, [*first.values(), *whole.values()]


class ExitCost:
    """CPU seconds for one exit: other work on the machine does not count."""

    def __init__(self, command, expect):
        few, many = [timing.Run(command(n), expect).cpu for n in EXITS]
        self.cost = (many - few) / (EXITS[1] - EXITS[0])


def exits(monitors, payloads):
    rows, commands = [], []
    for name, payload in (("PIO", "pio_bench.elf"), ("MMIO", "mmio_bench.elf")):
        path = os.path.join(payloads, payload)
        who = {"kvmlet": (monitors.tiny_kvmlet, 0), "floor": (monitors.tiny_floor, 0),
               "qemu": (monitors.tiny_qemu, QEMU_DONE)}
        samples = timing.in_turns(f"{name} exits", {
            n: (lambda m=make, e=expect: ExitCost(lambda count: m(path, f"count={count}"), e))
            for n, (make, expect) in who.items()}, EXIT_RUNS)
        cost = timing.pick(samples, "cost")
        own = {n: timing.summary([s.cost - f.cost for s, f in zip(samples[n], samples["floor"])])
               for n in ("kvmlet", "qemu")}
        rows += [Row(f"{name} exit", "ns", 1e9, cost["kvmlet"], cost["floor"], cost["qemu"]),
                 Row(f"{name} exit, monitor's own share", "ns", 1e9, own["kvmlet"], None, own["qemu"],
                     Budget("<= 300 ns", lambda k, f, q: k <= 300e-9))]
        commands += [make(path, f"count={EXITS[1]}") for make, _ in who.values()]
    return rows, commands


def stripped_size(program, arch):
    own = platform.machine() in (arch, {"arm64": "aarch64"}.get(arch))
    strip = "strip" if own else "aarch64-linux-gnu-strip"
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run([strip, "-o", copy.name, program], check=True)
        return os.stat(copy.name).st_size


def libraries_of(program, folders, found):
    """Adds the libraries that a program of any architecture loads to 'found': {name: path}."""
    listing = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", listing):
        paths = [path for path in (os.path.join(folder, name) for folder in folders) if os.path.exists(path)]
        if paths and name not in found:
            found[name] = os.path.realpath(paths[0])
            libraries_of(found[name], folders, found)


def size_with_libraries(program):
    """Those beside it, for an unpacked one, or the machine's own."""
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":") + [
        f"{directory}/{platform.machine()}-linux-gnu" for directory in ("/usr/lib", "/lib")]
    found = {}
    libraries_of(program, [folder for folder in folders if folder], found)
    return sum(os.stat(path).st_size for path in [program, *found.values()])


def size(monitors):
    rows = [Row("program, stripped; QEMU with its libraries", "MB", 1e-6,
                timing.summary([stripped_size(os.path.realpath(monitors.kvmlet), monitors.arch)]), None,
                timing.summary([size_with_libraries(monitors.qemu_small)]),
                Budget("<= 3 MB", lambda k, f, q: k <= 3e6))]
    return rows, [["strip", monitors.kvmlet], ["readelf", "-d", monitors.qemu_small]]

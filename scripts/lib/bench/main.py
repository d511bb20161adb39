# SPDX-License-Identifier: Apache-2.0
"""Measures kvmlet beside its peers and prints the table. Started by scripts/bench.

Usage: main.py --arch A --runs N --kvmlet P --helpers DIR --payloads DIR --guest DIR --qemu P [--lab P] --out DIR WHAT...
"""

import argparse
import os
import platform
import shlex
import sys

import debugging
import guests
import native
import table
import timing
from monitors import Monitors

NATIVE = {
    "start": lambda m, a: native.start(m, a.helpers),
    "exits": lambda m, a: native.exits(m, a.payloads),
    "size": lambda m, a: native.size(m),
    "debug": lambda m, a: debugging.debug(m),
}
NEEDS_KVM = ("start", "exits", "debug")
GUESTS = ("boot", "memory", "blk", "net", "vfio", "virtio-mem")


def parse():
    parser = argparse.ArgumentParser()
    for name in ("arch", "kvmlet", "helpers", "payloads", "guest", "qemu", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lab")
    parser.add_argument("what", nargs="+", choices=[*NATIVE, *GUESTS])
    return parser.parse_args()


def measure_here(arguments, monitors, failures):
    rows, commands = [], {}
    for name in arguments.what:
        if name not in NATIVE:
            continue
        if name in NEEDS_KVM and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            failures[name] = "this machine has no /dev/kvm to measure on"
            continue
        try:
            new_rows, commands[name] = NATIVE[name](monitors, arguments)
            rows += new_rows
        except (timing.Failed, OSError, ValueError) as error:
            failures[name] = str(error)
    return rows, commands


def measure_guests(arguments, failures):
    what = [name for name in arguments.what if name in GUESTS]
    if not what:
        return [], {}
    helper = lambda name: os.path.join(arguments.helpers, name)
    image = lambda name: os.path.join(arguments.guest, name)
    # Where there is a kernel that needs no unpacking all of them boot that.
    kernel = image("vmlinux-6.12") if os.path.exists(image("vmlinux-6.12")) else image("vmlinuz-6.12")
    results = guests.measure({
        "arch": arguments.arch, "runs": arguments.runs, "kvmlet": arguments.kvmlet, "qemu": arguments.qemu, "kernel": kernel,
        "initrd": image("initrd-6.12.img"), "blkload": helper("blkload"), "netload": helper("netload"),
        "measure": what}, arguments.lab, arguments.out)
    failures.update(results["failures"])
    return guests.rows_of(results), results["commands"]


def notes(arguments, commands):
    where = "in the lab, an emulated machine" if arguments.lab else "on this machine"
    lines = [f"Host: Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the end.",
             f"Guests: {arguments.arch}. start, exits, size and debug: on this machine; the others: {where}.",
             "Cells: median (best). Ratios are of medians: kvmlet / the other."]
    for name, list_of_commands in commands.items():
        lines += ["", f"{name}:"] + [f"  {shlex.join(command)}" for command in list_of_commands]
    return "\n".join(lines) + "\n"


def write(directory, name, text):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
        f.write(text)


def main():
    arguments = parse()
    os.makedirs(arguments.out, exist_ok=True)
    timing.be_urgent()
    monitors = Monitors(arguments.arch, arguments.kvmlet, os.path.join(arguments.helpers, "floor"), arguments.qemu)
    failures = {}
    with_qemu = dict(os.environ)
    os.environ.update(monitors.environment)
    rows, commands = measure_here(arguments, monitors, failures)
    os.environ.clear()
    os.environ.update(with_qemu)
    more_rows, more_commands = measure_guests(arguments, failures)
    rows += more_rows
    commands.update(more_commands)
    for name, why in failures.items():
        timing.say(f"not measured: {name}: {why}")
    text = notes(arguments, commands)
    write(arguments.out, "results.tsv", table.tsv_table(rows))
    write(arguments.out, "results.md", f"{table.markdown_table(rows)}\n```\n{text}```\n")
    print(f"{table.text_table(rows)}\n{text}", end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

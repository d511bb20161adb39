# SPDX-License-Identifier: Apache-2.0
"""Runs inside.py where Linux guests run, and makes rows of what it measured."""

import json
import os
import subprocess

import growth
import passing
import timing
from table import Budget, Row

SMALL = Budget("<= 3 MiB", lambda k, f, q: k <= 3 << 20)
SOONER = Budget("<= 0.67 x QEMU", lambda k, f, q: 1.5 * k <= q)
FASTER = Budget(">= 1.2 x QEMU", lambda k, f, q: k >= 1.2 * q)
# result: name, unit, scale, monitor in the reference column, in the peer column, budget
ROWS = {
    "boot_wall": ("boot to power-off (reference: QEMU q35)", "s", 1, "q35", "microvm",
                  Budget("<= 0.7 x microvm, <= q35", lambda k, f, q: k <= 0.7 * q and k <= f)),
    "boot_cpu": ("boot to power-off, CPU time (reference: q35)", "s", 1, "q35", "microvm", None),
    "pss": ("monitor's memory, idle guest (reference: q35)", "MiB", 1 / (1 << 20), "q35", "microvm",
            SMALL),
    "rand1": ("disk, random 4 KiB reads, 1 at a time", "kIO/s", 1e-3, None, "qemu", FASTER),
    "rand16": ("disk, random 4 KiB reads, 16 at a time", "kIO/s", 1e-3, None, "qemu", FASTER),
    "seq": ("disk, sequential reads of 1 MiB", "MB/s", 1e-6, None, "qemu", None),
    "tap_send": ("network, guest to host, no vhost", "MB/s", 1e-6, None, "qemu", FASTER),
    "tap_receive": ("network, host to guest, no vhost", "MB/s", 1e-6, None, "qemu", FASTER),
    "vhost_send": ("network, guest to host, vhost", "MB/s", 1e-6, None, "qemu", None),
    "vhost_receive": ("network, host to guest, vhost", "MB/s", 1e-6, None, "qemu", None),
    "vfio_rand1": ("passed-through disk, random 4 KiB reads, 1 at a time", "kIO/s", 1e-3, None, "qemu", None),
    "vfio_rand16": ("passed-through disk, random 4 KiB reads, 16 at a time", "kIO/s", 1e-3, None, "qemu", None),
}
for pages in passing.PAGES:
    for size in passing.SIZES:
        ROWS[f"vf_start_{pages}_{size}"] = (f"start with a VF, {size} MiB in {pages.upper()} pages", "s", 1, None, "qemu",
                                            SOONER)
    ROWS[f"vf_map_{pages}"] = (f"memory mapped for devices, {pages.upper()} pages", "ms/GiB", 1e3, None, "qemu", None)
ROWS["vf_bytes"] = ("VF, one stream to the guest", "MB/s", 1e-6, None, "qemu", None)
ROWS["vf_packets"] = ("VF, packets of it, both directions", "k/s", 1e-3, None, "qemu", None)
ROWS["vf_interrupts"] = ("VF, interrupts of it", "k/s", 1e-3, None, "qemu", None)
GROWTH = Budget(">= 1.5 x QEMU", lambda k, f, q: k >= 1.5 * q)
KINDS = {"plain": "memory", "prealloc": "memory, prealloc", "hugetlb": "huge pages",
         "hugetlb_prealloc": "huge pages, prealloc"}
for kind, text in KINDS.items():
    for size in growth.SIZES:
        of = f"{size} GiB of {text}"
        ROWS[f"{kind}_plug_{size}"] = (f"plug {of}", "GiB/s", 1 / (1 << 30), None, "qemu", GROWTH)
        ROWS[f"{kind}_unplug_{size}"] = (f"unplug {of}", "GiB/s", 1 / (1 << 30), None, "qemu", GROWTH)
        ROWS[f"{kind}_own_{size}"] = (f"monitor's CPU time, both, {of}", "ms", 1e3, None, "qemu", None)
        ROWS[f"{kind}_left_{size}"] = (f"more resident than before, {of}", "MiB", 1 / (1 << 20), None, "qemu", None)
ROWS["large_wall"] = ("start, at most 256 GiB instead of 1", "ms", 1e3, None, "qemu", None)
ROWS["large_resident"] = ("resident, at most 256 GiB instead of 1", "MiB", 1 / (1 << 20), None, "qemu",
                          Budget("<= 8 MiB", lambda k, f, q: k <= 8 << 20))
# Where there is no small machine of QEMU, the one there is.
ONE_PEER = {
    "boot_wall": ("boot to power-off (peer: QEMU virt)", "s", 1, None, "virt",
                  Budget("<= 0.7 x virt", lambda k, f, q: k <= 0.7 * q)),
    "boot_cpu": ("boot to power-off, CPU time (peer: virt)", "s", 1, None, "virt", None),
    "pss": ("monitor's memory, idle guest (peer: virt)", "MiB", 1 / (1 << 20), None, "virt", SMALL),
}


# What a lab needs for the largest sizes; the lab has less otherwise, for the card in it.
GROWTH_LAB = 12  # GiB


def measure(job, lab, work):
    """Runs it, in the lab with 'lab' being its starter; the results, or what there is of them."""
    large = [name for name in job["measure"] if name == "virtio-mem"]
    others = [name for name in job["measure"] if name not in large]
    parts = [(others, [])] if others else []
    if large:
        fits = growth.memory_here("MemAvailable") >> 30 > GROWTH_LAB
        parts.append((large, ["--memory", f"{GROWTH_LAB}G"] if lab and fits else []))
    results = {"commands": {}, "failures": {}}
    for what, options in parts:
        part = measure_part({**job, "measure": what}, [lab, *options] if lab else None, work)
        for key in ("commands", "failures"):
            results[key].update(part.pop(key))
        results.update(part)
    return results


def measure_part(job, lab, work):
    here = os.path.dirname(os.path.abspath(__file__))
    job_path, result = os.path.join(work, "job.json"), os.path.join(work, "guests.json")
    with open(job_path, "w", encoding="utf-8") as f:
        json.dump(job, f)
    if os.path.exists(result):
        os.unlink(result)
    # In the lab /run/lab/out is that directory.
    there = "/run/lab/out/guests.json" if lab else result
    command = ["/usr/bin/python3", os.path.join(here, "inside.py"), job_path, there]
    if lab:
        timing.say("starting the lab")
        # The disks that are passed through, beside the network card.
        disk = ["--nvme"] if "vfio" in job["measure"] else []
        command = [*lab, "--arch", job["arch"], *disk, "--timeout", "7200", "--", *command]
    environment = dict(os.environ, LAB_OUT=work)
    status = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, check=False).returncode
    results = {"commands": {}, "failures": {}}
    if os.path.exists(result):
        with open(result, encoding="utf-8") as f:
            results = json.load(f)
    if status != 0:
        results["failures"]["guests"] = f"{command[0]} ended with status {status}"
    return results


def rows_of(results):
    rows = []
    for key, row in ROWS.items():
        if key in results:
            sides = results[key]
            name, unit, scale, reference, peer, budget = ONE_PEER[key] if "virt" in sides else row
            rows.append(Row(name, unit, scale, sides["kvmlet"], sides.get(reference), sides[peer], budget))
    return rows

# SPDX-License-Identifier: Apache-2.0
"""What is measured with Linux guests, on a machine whose KVM runs them: the lab, or this one.

Usage: inside.py JOB RESULT. JOB is JSON: the programs, kernel and initrd, and what to measure; RESULT
gets JSON: {measurement: {monitor: summary}}, "commands" and "failures".
"""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import growth
import monitors
import passing
import timing

SECONDS = 2  # of load for one figure
SETTLE = 3  # seconds until a guest is idle
IDLE_MEMORY = 256  # MiB
DISK_SIZE = 256 << 20
TAP, HOST_IP, GUEST_IP = "kvmlet-bench0", "10.213.0.1", "10.213.0.2"
# name: kind, block size, threads
LOADS = {"rand1": ("random", 4096, 1), "rand16": ("random", 4096, 16), "seq": ("sequential", 1 << 20, 2)}


class Bench:
    """The measurements; each fills 'results' and 'commands'."""

    def __init__(self, job, work):
        self.work = work
        self.results, self.commands = {}, {}
        self.runs = job["runs"]
        kept = {}
        for key in ("kvmlet", "kernel", "initrd", "blkload", "netload"):
            # Off a slow file system, so that every run finds the same.
            kept[key] = shutil.copy(os.path.realpath(job[key]), os.path.join(work, key))
        self.kernel, self.initrd = kept["kernel"], kept["initrd"]
        self.programs = {name: kept[name] for name in ("blkload", "netload")}
        self.monitors = monitors.Monitors(job["arch"], kept["kvmlet"], None, job["qemu"])
        os.environ.update(self.monitors.environment)

    def initrd_for(self, name, script, *programs):
        """The initrd with /exec.sh, which its init runs, and programs, in an archive behind it."""
        directory = tempfile.mkdtemp(dir=self.work)
        with open(os.path.join(directory, "exec.sh"), "w", encoding="utf-8") as f:
            f.write(script)
        for program in programs:
            shutil.copy(self.programs[program], directory)
        archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=directory, check=True, text=False,
                                 input="\n".join(os.listdir(directory)).encode(), capture_output=True).stdout
        path = os.path.join(self.work, f"{name}.img")
        shutil.copy(self.initrd, path)
        with open(path, "ab") as f:
            f.write(archive)
        return path

    def boot(self):
        initrd = self.initrd_for("true", "true\n")
        commands = self.monitors.linux(self.kernel, initrd)
        samples = timing.in_turns("boot to power-off", {
            name: (lambda c=command: timing.Run(c)) for name, command in commands.items()}, self.runs)
        self.results["boot_wall"] = timing.pick(samples, "wall")
        self.results["boot_cpu"] = timing.pick(samples, "cpu")
        self.commands["boot"] = list(commands.values())

    def memory(self):
        initrd = self.initrd_for("idle", "echo bench-idle\nsleep 10000\n")
        commands = self.monitors.linux(self.kernel, initrd, IDLE_MEMORY)
        samples = timing.in_turns("memory beside the guest's", {
            name: (lambda c=command: idle_pss(c)) for name, command in commands.items()}, runs=2, warm_up=0)
        self.results["pss"] = {name: timing.summary(values) for name, values in samples.items()}
        self.commands["memory"] = list(commands.values())

    def blk(self):
        disk = os.path.join(self.work, "disk")
        with open(disk, "wb") as f:
            for _ in range(DISK_SIZE >> 20):
                f.write(os.urandom(1 << 20))
        lines = [f"echo bench {name} $(/blkload /dev/vda {kind} {size} {threads} {SECONDS})"
                 for name, (kind, size, threads) in LOADS.items()]
        initrd = self.initrd_for("blk", "\n".join(lines) + "\n", "blkload")
        m, machine = self.monitors, monitors.LINUX_PEERS[self.monitors.arch][0]
        commands = {"kvmlet": m.linux_kvmlet(self.kernel, initrd, extra=monitors.kvmlet_disk(disk)),
                    "qemu": m.linux_qemu(machine, self.kernel, initrd, extra=monitors.qemu_disk(disk))}
        samples = timing.in_turns("disk reads", {
            name: (lambda c=command: disk_figures(c)) for name, command in commands.items()}, self.runs)
        for load in LOADS:
            self.results[load] = {name: timing.summary([s[load] for s in series]) for name, series in samples.items()}
        self.commands["blk"] = list(commands.values())
        os.unlink(disk)

    def virtio_mem(self):
        """Guests are slow to plug: fewer runs than of the others."""
        self.commands["virtio-mem"] = []
        initrd = self.initrd_for("idle", "echo bench-idle\nsleep 10000\n")
        growth.touch_memory()
        memory = growth.Growth(self.monitors, self.kernel, initrd, self.work)
        for name, (prealloc, hugetlb) in growth.KINDS.items():
            sizes = growth.sizes_here(prealloc or hugetlb)
            runs = min(self.runs, 2 if prealloc or hugetlb else 3)
            commands = memory.commands(max(sizes) * growth.GIB, prealloc, hugetlb)
            self.commands["virtio-mem"] += commands.values()
            with growth.Pool(max(sizes) * growth.GIB) if hugetlb else contextlib.nullcontext():
                samples = timing.in_turns(f"memory that grows, {name}", {
                    who: (lambda c=command: memory.run(c, sizes)) for who, command in commands.items()}, runs, warm_up=0)
            for what, size in samples["kvmlet"][0]:
                self.results[f"{name}_{what}_{size}"] = {
                    who: timing.summary([s[what, size] for s in series]) for who, series in samples.items()}
        self.start_cost(memory)

    def start_cost(self, memory):
        sizes = {"large": growth.LARGE, "small": growth.SMALL}
        samples = timing.in_turns("start with a large maximum", {
            (who, name): (lambda c=command: memory.start_cost(c)) for name, size in sizes.items()
            for who, command in memory.commands(size, False, False).items()}, self.runs)
        for what in ("wall", "resident"):
            self.results[f"large_{what}"] = {
                who: timing.summary([large[what] - small[what] for large, small in zip(
                    samples[who, "large"], samples[who, "small"])]) for who in ("kvmlet", "qemu")}

    def net(self):
        set_up_tap()
        try:
            for vhost in (False, True):
                self.net_with(vhost)
        finally:
            subprocess.run(["ip", "link", "del", TAP], check=False)

    def net_with(self, vhost):
        script = f"""ip addr add {GUEST_IP}/24 dev eth0
ip link set eth0 up
/netload client {HOST_IP} 5001 send {SECONDS}
echo bench receive $(/netload client {HOST_IP} 5002 receive {SECONDS})
"""
        initrd = self.initrd_for("net", script, "netload")
        m, machine = self.monitors, monitors.LINUX_PEERS[self.monitors.arch][0]
        commands = {"kvmlet": m.linux_kvmlet(self.kernel, initrd, extra=monitors.kvmlet_net(TAP, vhost)),
                    "qemu": m.linux_qemu(machine, self.kernel, initrd, extra=monitors.qemu_net(TAP, vhost))}
        word = "vhost" if vhost else "tap"
        samples = timing.in_turns(f"network stream, {'with' if vhost else 'without'} vhost", {
            name: (lambda c=command: net_figures(c, self.programs["netload"]))
            for name, command in commands.items()}, self.runs)
        for direction in ("send", "receive"):
            self.results[f"{word}_{direction}"] = {
                name: timing.summary([s[direction] for s in series]) for name, series in samples.items()}
        self.commands.setdefault("net", []).extend(commands.values())

    def vfio(self):
        devices = passing.Passing(self)
        vf = devices.set_up()
        devices.starts(vf)
        devices.traffic(vf)
        devices.reads({name: load for name, load in LOADS.items() if load[0] == "random"}, disk_figures)


def idle_pss(command):
    """Bytes of the monitor's memory beside the guest's RAM, by the kernel's proportional count."""
    with timing.Background(command) as monitor:
        monitor.wait_for("bench-idle")
        time.sleep(SETTLE)
        total = mapping = 0
        with open(f"/proc/{monitor.process.pid}/smaps", encoding="utf-8") as f:
            for line in f:
                word, value = line.split()[:2]
                if word == "Size:":
                    mapping = int(value) << 10
                elif word == "Pss:" and mapping < (IDLE_MEMORY << 20) * 3 // 4:
                    total += int(value) << 10
        return total


def guest_figures(command, names):
    """{name: [number]} of the lines "bench NAME NUMBER..." that the guest prints."""
    output = timing.Run(command).output
    lines = [line.split()[1:] for line in output.splitlines() if line.startswith("bench ")]
    figures = {words[0]: [int(word) for word in words[1:]] for words in lines if len(words) > 1}
    if not set(names) <= set(figures):
        raise timing.Failed(f"the guest printed no figures: {shlex.join(command)}: {output[-500:]}")
    return figures


def disk_figures(command, loads=None):
    loads = loads or LOADS
    figures = {}
    lines = guest_figures(command, loads)
    for name, (kind, _, _) in loads.items():
        requests, size, elapsed = lines[name]
        figures[name] = (requests if kind == "random" else size) / (elapsed / 1e9)
    return figures


def net_figures(command, netload):
    with timing.Background([netload, "server", "5001", "receive"]) as sink, \
            timing.Background([netload, "server", "5002", "send"]):
        size, elapsed = guest_figures(command, ["receive"])["receive"]
        sent, time_sent = [int(word) for word in sink.rest(timeout=10).split()]
    return {"send": sent / (time_sent / 1e9), "receive": size / (elapsed / 1e9)}


def set_up_tap():
    if os.geteuid() != 0:
        raise timing.Failed("a tap interface needs root")
    for words in (["tuntap", "add", "dev", TAP, "mode", "tap"], ["addr", "add", f"{HOST_IP}/24", "dev", TAP],
                  ["link", "set", TAP, "up"]):
        subprocess.run(["ip", *words], check=True)


def main():
    job_path, result_path = sys.argv[1:]
    with open(job_path, encoding="utf-8") as f:
        job = json.load(f)
    timing.be_urgent()
    failures = {}
    with tempfile.TemporaryDirectory(prefix="kvmlet-bench.") as work:
        bench = Bench(job, work)
        for name in job["measure"]:
            try:
                getattr(bench, name.replace("-", "_"))()
            except (timing.Failed, subprocess.CalledProcessError, KeyError, ValueError, OSError) as error:
                failures[name] = f"{type(error).__name__}: {error}"
                timing.say(f"{name}: {failures[name]}")
            # After each, so that an interrupted run keeps what it has.
            with open(result_path, "w", encoding="utf-8") as f:
                json.dump({**bench.results, "commands": bench.commands, "failures": failures}, f, indent=1)


if __name__ == "__main__":
    main()

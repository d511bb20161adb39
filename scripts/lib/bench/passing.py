# SPDX-License-Identifier: Apache-2.0
"""What is measured with passed-through devices, in the lab that has them: a virtual function of the network
card, and an NVMe disk."""

import contextlib
import os
import re
import subprocess

import growth
import monitors
import timing

NIC, DISK = "0000:01:00.0", "0000:03:00.0"
HOST_IP, GUEST_IP, PORT = "10.9.0.1", "10.9.0.2", 5002
SIZES = (256, 512, 1024)  # MiB of the guest
PAGES = ("4k", "2m")
SECONDS = 4  # of traffic
TRACING = "/sys/kernel/tracing"
REQUEST, PIN = "vfio_iommu_type1_ioctl", "vfio_pin_pages_remote"

WAIT_FOR_NIC = "until ls -d /sys/bus/pci/drivers/igbvf/0* >/dev/null 2>&1; do usleep 10000; done\n"
TRAFFIC = f"""{WAIT_FOR_NIC}for n in /sys/class/net/*; do [ ! -e $n/device ] || NIC=$(basename $n); done
ip link set $NIC up
until [ "$(cat /sys/class/net/$NIC/carrier 2>/dev/null)" = 1 ]; do usleep 100000; done
ip address add {GUEST_IP}/24 dev $NIC
until ping -c 1 -W 5 {HOST_IP} >/dev/null; do :; done
counts() {{
    cat /sys/class/net/$NIC/statistics/rx_packets /sys/class/net/$NIC/statistics/tx_packets
    sed -n "s/^ *[0-9]*: *\\([0-9]*\\) .*$NIC.*/\\1/p" /proc/interrupts
}}
before=$(echo $(counts))
received=$(/netload client {HOST_IP} {PORT} receive {SECONDS})
echo bench traffic $received
echo bench before $before
echo bench after $(counts)
"""


class Passing:
    """Guests of a Bench with one of the devices each."""

    def __init__(self, bench):
        self.bench, self.monitors = bench, bench.monitors
        self.machine = monitors.LINUX_PEERS[self.monitors.arch][0]

    def set_up(self):
        for device in (NIC, DISK):
            if "LAB" not in os.environ or not os.path.isdir(f"/sys/bus/pci/devices/{device}"):
                raise timing.Failed("only in a lab that has the network card and NVMe disks")
        subprocess.run(["modprobe", "-a", "vfio_iommu_type1", "vfio-pci", "igb"], check=True)
        sriov = [self.monitors.kvmlet, "sriov"]
        subprocess.run([*sriov, "create", NIC, "1"], check=True)
        vf = os.path.basename(os.readlink(f"/sys/bus/pci/devices/{NIC}/virtfn0"))
        subprocess.run([*sriov, "bind", vf, DISK], check=True)
        name = os.listdir(f"/sys/bus/pci/devices/{NIC}/net")[0]
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        subprocess.run(["ip", "address", "replace", f"{HOST_IP}/24", "dev", name], check=True)
        return vf

    def commands(self, device, initrd, size=SIZES[0], pages="4k"):
        """{name: command} of guests with the device."""
        ours, theirs = monitors.kvmlet_vfio(device), monitors.qemu_vfio(device)
        if pages == "2m":
            ours = [*ours, "--memory", f"{size}M,hugepages=2M"]
            theirs = [*theirs, "-machine", "memory-backend=ram",
                      "-object", f"memory-backend-memfd,id=ram,size={size}M,hugetlb=on,hugetlbsize=2M"]
        m, kernel = self.monitors, self.bench.kernel
        return {"kvmlet": m.linux_kvmlet(kernel, initrd, size, extra=ours),
                "qemu": m.linux_qemu(self.machine, kernel, initrd, size, extra=theirs)}

    def take_turns(self, what, commands, sampler):
        """Starts take long in an emulated host: none of them warms it up."""
        self.bench.commands.setdefault("vfio", []).extend(commands.values())
        return timing.in_turns(what, {who: (lambda c=command: sampler(c)) for who, command in commands.items()},
                               self.bench.runs, warm_up=0)

    def starts(self, vf):
        results, initrd = self.bench.results, self.bench.initrd_for("vf", WAIT_FOR_NIC)
        for pages in PAGES:
            for size in SIZES:
                with growth.Pool(size << 20) if pages == "2m" else contextlib.nullcontext():
                    samples = self.take_turns(f"start with a VF, {size} MiB in {pages.upper()} pages",
                                              self.commands(vf, initrd, size, pages), traced_start)
                results[f"vf_start_{pages}_{size}"] = timing.pick(samples, "wall")
                if size == SIZES[-1]:
                    results[f"vf_map_{pages}"] = {who: timing.summary([s.mapping / (size / 1024) for s in series])
                                                  for who, series in samples.items()}

    def traffic(self, vf):
        initrd = self.bench.initrd_for("traffic", TRAFFIC, "netload")
        server = [self.bench.programs["netload"], "server", str(PORT), "send"]
        samples = self.take_turns("network stream to a VF", self.commands(vf, initrd),
                                  lambda command: traffic_figures(command, server))
        for what in ("bytes", "packets", "interrupts"):
            self.bench.results[f"vf_{what}"] = {who: timing.summary([s[what] for s in series])
                                                for who, series in samples.items()}

    def reads(self, loads, figures):
        lines = ["until [ -b /dev/nvme0n1 ]; do usleep 100000; done"] + [
            f"echo bench {name} $(/blkload /dev/nvme0n1 {kind} {size} {threads} 2)"
            for name, (kind, size, threads) in loads.items()]
        initrd = self.bench.initrd_for("nvme", "\n".join(lines) + "\n", "blkload")
        samples = self.take_turns("reads of a passed-through disk", self.commands(DISK, initrd),
                                  lambda command: figures(command, loads))
        for load in loads:
            self.bench.results[f"vfio_{load}"] = {who: timing.summary([s[load] for s in series])
                                                  for who, series in samples.items()}


def put(name, text):
    with open(f"{TRACING}/{name}", "w", encoding="ascii") as f:
        f.write(text)


def traced_start(command):
    """A Run, with the seconds that the kernel took to map memory for devices, as its tracer counts them."""
    if not os.path.ismount(TRACING):
        subprocess.run(["mount", "-t", "tracefs", "none", TRACING], check=True)
    put("set_ftrace_filter", f"{REQUEST}\n{PIN}\n")
    put("current_tracer", "function_graph")
    put("trace", "")
    try:
        run = timing.Run(command)
        with open(f"{TRACING}/trace", encoding="ascii", errors="replace") as f:
            run.mapping = mapping_seconds(f)
    finally:
        put("current_tracer", "nop")
    return run


def mapping_seconds(lines):
    """Of the requests in which pages were pinned: the others unmap, or ask."""
    total, pinned, open_request = 0.0, False, False
    for line in lines:
        if REQUEST in line and line.rstrip().endswith("{"):
            open_request, pinned = True, False
        elif PIN in line:
            pinned = True
        elif open_request and "}" in line:
            time = re.search(r"([\d.]+) us", line)
            if pinned and time:
                total += float(time.group(1)) / 1e6
            open_request = False
    if not total:
        raise timing.Failed("the kernel's trace shows no memory that was mapped for devices")
    return total


def traffic_figures(command, server):
    with timing.Background(server):
        output = timing.Run(command).output
    lines = {words[1]: [int(word) for word in words[2:]] for words in map(str.split, output.splitlines())
             if words[:1] == ["bench"]}
    if not {"traffic", "before", "after"} <= set(lines):
        raise timing.Failed(f"the guest printed no figures: {output[-500:]}")
    (size, elapsed), counts = lines["traffic"], [b - a for a, b in zip(lines["before"], lines["after"])]
    seconds = elapsed / 1e9
    return {"bytes": size / seconds, "packets": sum(counts[:2]) / seconds, "interrupts": sum(counts[2:]) / seconds}

# SPDX-License-Identifier: Apache-2.0
"""Command lines of the monitors that are compared: everything off that a guest does not need."""

import glob
import os

MICROVM = "microvm,x-option-roms=off,pit=off,pic=off,auto-kernel-cmdline=off"
CONSOLE = {"x86_64": "console=ttyS0 panic=-1 quiet loglevel=1 no_timer_check",
           "arm64": "console=ttyAMA0 panic=-1 quiet loglevel=1"}
# QEMU's machines that boot Linux: the one that can do everything, and the small one.
LINUX_PEERS = {"x86_64": ("q35", "microvm"), "arm64": ("virt",)}


def find_qemu(starter):
    """(program, arguments, environment): of a QEMU that scripts/lib/qemu.sh has unpacked, the program
    behind its starter, so that no shell is measured."""
    with open(starter, "rb") as f:
        if f.read(2) != b"#!":
            return starter, [], {}
    here = os.path.dirname(os.path.realpath(starter))
    libraries = glob.glob(f"{here}/usr/lib/*-linux-gnu") + glob.glob(f"{here}/lib/*-linux-gnu")
    firmware = ["-L", f"{here}/usr/share/qemu", "-L", f"{here}/usr/share/seabios"]
    return (f"{here}/usr/bin/{os.path.basename(starter)}", firmware,
            {"LD_LIBRARY_PATH": ":".join(libraries), "QEMU_MODULE_DIR": f"{libraries[0]}/qemu"})


class Monitors:
    """Where the programs are, and the command lines made of them. They run in 'environment'."""

    def __init__(self, arch, kvmlet, floor, qemu):
        self.arch, self.console = arch, CONSOLE[arch]
        self.kvmlet, self.floor = kvmlet, floor
        self.qemu, self.firmware, self.environment = find_qemu(qemu)
        # Distributions build a QEMU with nothing but this machine, too: it starts faster.
        small = self.qemu + "-microvm"
        self.qemu_small = small if os.access(small, os.X_OK) else self.qemu

    def tiny_kvmlet(self, payload, arguments="", serial="null"):
        command = [self.kvmlet, "run", "--kernel", payload, "--memory", "128M", "--serial", serial]
        return command + (["--append", arguments] if arguments else [])

    def tiny_floor(self, payload, arguments=""):
        return [self.floor, payload] + ([arguments] if arguments else [])

    def tiny_qemu(self, payload, arguments="", serial=False):
        """Ends by the exit device, status 1, unless it has a serial port."""
        machine = f"{MICROVM},rtc=off,acpi=off,isa-serial={'on' if serial else 'off'}"
        device = ["-serial", "stdio"] if serial else ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        return self._qemu(self.qemu_small if serial else self.qemu, machine, 128, 1) + device + [
            "-bios", "qboot.rom", "-kernel", payload, "-append", arguments]

    def _qemu(self, program, machine, memory, cpus):
        # ARCH_CAPABILITIES: QEMU insists on it where a paravirtual KVM refuses it.
        cpu = "host,-arch-capabilities" if self.arch == "x86_64" else "host"
        return [program, *self.firmware, "-M", machine, "-enable-kvm", "-cpu", cpu,
                "-m", str(memory), "-smp", str(cpus), "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]

    def linux_kvmlet(self, kernel, initrd, memory=256, cpus=1, extra=()):
        return [self.kvmlet, "run", "--kernel", kernel, "--initrd", initrd, "--memory", f"{memory}M",
                "--cpus", str(cpus), "--append", self.console, *extra]

    def linux_qemu(self, machine, kernel, initrd, memory=256, cpus=1, extra=()):
        """QEMU with one of LINUX_PEERS."""
        linux = ["-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", self.console, *extra]
        if machine == "microvm":
            # Without the clock Linux boots twice as long.
            return self._qemu(self.qemu_small, f"{MICROVM},rtc=on,isa-serial=on", memory, cpus) + [
                "-bios", "qboot.rom", *linux]
        options = {"q35": "q35,smbus=off,sata=off,usb=off,vmport=off", "virt": "virt,gic-version=3,acpi=off"}
        return self._qemu(self.qemu, options[machine], memory, cpus) + linux

    def linux(self, kernel, initrd, memory=256):
        """{name: command} of everyone who boots this."""
        commands = {"kvmlet": self.linux_kvmlet(kernel, initrd, memory)}
        for machine in LINUX_PEERS[self.arch]:
            commands[machine] = self.linux_qemu(machine, kernel, initrd, memory)
        return commands


def kvmlet_disk(path):
    return ["--disk", f"{path},ro"]


def qemu_disk(path):
    return ["-object", "iothread,id=io0",
            "-drive", f"file={path},format=raw,if=none,id=d0,readonly=on,aio=io_uring",
            "-device", "virtio-blk-pci,drive=d0,iothread=io0,disable-legacy=on"]


def kvmlet_vfio(device):
    return ["--vfio", device]


def qemu_vfio(device):
    return ["-device", f"vfio-pci,host={device}"]


def kvmlet_net(tap, vhost):
    return ["--net", f"tap={tap},vhost={'on' if vhost else 'off'}"]


def qemu_net(tap, vhost):
    return ["-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no,vhost={'on' if vhost else 'off'}",
            "-device", "virtio-net-pci,netdev=n0,disable-legacy=on,romfile="]


def kvmlet_growth(most, prealloc, hugetlb, qmp):
    words = f"id=vm0,max={most}" + (",prealloc" if prealloc else "") + (",hugepages=2M" if hugetlb else "")
    return ["--virtio-mem", words, "--qmp", f"unix:{qmp}"]


def qemu_growth(most, prealloc, hugetlb, qmp):
    kind = "memfd,hugetlb=on,hugetlbsize=2M" if hugetlb else "ram"
    return ["-object", f"memory-backend-{kind},id=mem0,size={most},reserve=off",
            "-device", f"virtio-mem-pci,id=vm0,memdev=mem0,requested-size=0,prealloc={'on' if prealloc else 'off'}",
            # Threads get names, by which the vCPUs' are told from the others.
            "-qmp", f"unix:{qmp},server=on,wait=off", "-name", "debug-threads=on"]

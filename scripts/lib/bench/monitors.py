# SPDX-License-Identifier: Apache-2.0
"""Command lines of the monitors that are compared: everything off that a guest does not need."""

import os

MICROVM = "microvm,x-option-roms=off,pit=off,pic=off,auto-kernel-cmdline=off"
CONSOLE = "console=ttyS0 panic=-1 quiet loglevel=1 no_timer_check"


def find_qemu(starter):
    """(program, arguments, environment): of a QEMU that scripts/lib/qemu.sh has unpacked, the program
    behind its starter, so that no shell is measured."""
    with open(starter, "rb") as f:
        if f.read(2) != b"#!":
            return starter, [], {}
    here = os.path.dirname(os.path.realpath(starter))
    libraries = [f"{here}/usr/lib/x86_64-linux-gnu", f"{here}/lib/x86_64-linux-gnu"]
    firmware = ["-L", f"{here}/usr/share/qemu", "-L", f"{here}/usr/share/seabios"]
    return (f"{here}/usr/bin/{os.path.basename(starter)}", firmware,
            {"LD_LIBRARY_PATH": ":".join(libraries), "QEMU_MODULE_DIR": f"{libraries[0]}/qemu"})


class Monitors:
    """Where the programs are, and the command lines made of them. They run in 'environment'."""

    def __init__(self, kvmlet, floor, qemu):
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
        return [program, *self.firmware, "-M", machine, "-enable-kvm", "-cpu", "host,-arch-capabilities",
                "-m", str(memory), "-smp", str(cpus), "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]

    def linux_kvmlet(self, kernel, initrd, memory=256, cpus=1, extra=()):
        return [self.kvmlet, "run", "--kernel", kernel, "--initrd", initrd, "--memory", f"{memory}M",
                "--cpus", str(cpus), "--append", CONSOLE, *extra]

    def linux_microvm(self, kernel, initrd, memory=256, cpus=1):
        # Without the clock Linux boots twice as long.
        return self._qemu(self.qemu_small, f"{MICROVM},rtc=on,isa-serial=on", memory, cpus) + [
            "-bios", "qboot.rom", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", CONSOLE]

    def linux_q35(self, kernel, initrd, memory=256, cpus=1, extra=()):
        return self._qemu(self.qemu, "q35,smbus=off,sata=off,usb=off,vmport=off", memory, cpus) + [
            "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", CONSOLE, *extra]


def kvmlet_disk(path):
    return ["--disk", f"{path},ro"]


def qemu_disk(path):
    return ["-object", "iothread,id=io0",
            "-drive", f"file={path},format=raw,if=none,id=d0,readonly=on,aio=io_uring",
            "-device", "virtio-blk-pci,drive=d0,iothread=io0,disable-legacy=on"]


def kvmlet_net(tap, vhost):
    return ["--net", f"tap={tap},vhost={'on' if vhost else 'off'}"]


def qemu_net(tap, vhost):
    return ["-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no,vhost={'on' if vhost else 'off'}",
            "-device", "virtio-net-pci,netdev=n0,disable-legacy=on,romfile="]

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What each vCPU of a Linux guest was doing, by drgn.

usage: vcpus.py CORE VMLINUX [MODULE.ko]...

Prints the task and the stack of every vCPU in a core file of kvmlet's. drgn
looks for a task's registers by its PID, as the kernel itself writes them into
its own core files; here the threads are the vCPUs, so their registers are taken
from the file.
"""

import struct
import sys

import drgn
from drgn.helpers.linux.percpu import per_cpu

# ELF-64 (gABI), struct elf_prstatus.
PHDR = struct.Struct("<IIQQQQQQ")
PT_NOTE, NT_PRSTATUS, REGISTERS_AT = 4, 1, 112
# How many bytes of the registers are the start of struct pt_regs.
REGISTERS = {62: 21 * 8, 183: 34 * 8}
DEEPEST = 64


def read_notes(file):
    """(name, type, content) of each."""
    header = file.read(64)
    machine, = struct.unpack_from("<H", header, 18)
    at, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    notes = []
    for i in range(count):
        file.seek(at + i * size)
        kind, _, offset, _, _, length, _, _ = PHDR.unpack(file.read(PHDR.size))
        if kind != PT_NOTE:
            continue
        file.seek(offset)
        data, place = file.read(length), 0
        while place + 12 <= len(data):
            name, content, number = struct.unpack_from("<III", data, place)
            name_at = place + 12
            content_at = name_at + (name + 3) // 4 * 4
            notes.append((data[name_at:name_at + name].rstrip(b"\0"), number,
                          data[content_at:content_at + content]))
            place = content_at + (content + 3) // 4 * 4
    return machine, notes


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        machine, notes = read_notes(file)
    program = drgn.Program()
    program.set_core_dump(sys.argv[1])
    program.load_debug_info(sys.argv[2:])
    kind = program.type("struct pt_regs")
    threads = [content for name, number, content in notes
               if name == b"CORE" and number == NT_PRSTATUS]
    for number, content in enumerate(threads):
        task = per_cpu(program["runqueues"], number).curr
        print(f"vcpu {number}: {task.comm.string_().decode(errors='replace')}, "
              f"pid {task.pid.value_()}")
        raw = content[REGISTERS_AT:REGISTERS_AT + REGISTERS[machine]]
        registers = drgn.Object.from_bytes_(program, kind,
                                            raw.ljust(kind.size, b"\0"))
        trace = program.stack_trace(registers)
        for i in range(min(len(trace), DEEPEST)):
            if not trace[i].name:
                break
            print(f"  {trace[i].pc:016x} {trace[i].name}")


if __name__ == "__main__":
    main()

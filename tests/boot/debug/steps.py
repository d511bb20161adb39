#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Steps a Linux guest through system calls, by raw packets, while its timer
and its other CPUs ask for interrupts.

usage: steps.py SOCKET KALLSYMS STEPS

Stops where a system call enters the kernel, and makes at least STEPS steps from
there on that vCPU, until it saw a system call and a return. Fails when a step gets lost, lands in an interrupt handler, or a system
call or its return does not arrive where the architecture says; tells how many
it saw, how fast, and how long an interrupt of the client's took.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "debug"))
from rsp import Client

# By the machine: gdb's number of the program counter, the system-call entry,
# entries of interrupts, a kind of breakpoint, and instructions that a step
# must follow to where they lead.
X86_64 = {
    "pc": 16, "kind": 1, "entry": "entry_SYSCALL_64", "length": 3,
    "interrupts": ("asm_sysvec_apic_timer_interrupt", "asm_common_interrupt",
                   "asm_sysvec_reschedule_ipi",
                   "asm_sysvec_call_function_single"),
}
ARM64 = {
    "pc": 32, "kind": 4, "entry": "el0_svc", "length": 4,
    "interrupts": ("el1h_64_irq", "el0t_64_irq"),
}
MACHINE = ARM64 if os.uname().machine == "aarch64" else X86_64
X86_RCX = 2
# The longest way through the kernel, in so many times the steps asked for.
PATIENCE = 10


def program_counter(reply):
    """What a stop reply carries."""
    key = f"{MACHINE['pc']:x}:"
    field = next(f for f in reply[3:].split(";") if f.startswith(key))
    return int.from_bytes(bytes.fromhex(field[len(key):]), "little")


def thread(reply):
    return next(f[7:] for f in reply[3:].split(";") if f.startswith("thread:"))


def landing(client, code, symbols):
    """What the instruction is, and where it leads; None for all others."""
    if MACHINE is X86_64:
        if code[:2] == b"\x0f\x05":
            return "calls", symbols[MACHINE["entry"]]
        if code == b"\x48\x0f\x07":
            return "returns", client.register(X86_RCX)
        if code[:2] == b"\x48\xcf":
            return "returns", None
        return None
    if len(code) == 4 and code[0] & 0x1f == 1 and code[3] == 0xD4:
        return "calls", None
    if code == b"\xe0\x03\x9f\xd6":
        return "returns", None
    return None


def run(client, symbols, steps):
    entry = symbols[MACHINE["entry"]]
    interrupts = {symbols[name]: name for name in MACHINE["interrupts"]
                  if name in symbols}
    assert interrupts, "no interrupt's entry among the symbols"
    breakpoint = f"1,{entry:x},{MACHINE['kind']}"
    assert client.ask("Z" + breakpoint) == "OK"
    reply = client.ask("vCont;c")
    if program_counter(reply) != entry:
        sys.exit(f"stopped elsewhere: {reply}")
    assert client.ask("z" + breakpoint) == "OK"
    who, pc = thread(reply), program_counter(reply)
    client.ask("Hg" + who)
    seen = {"calls": 0, "returns": 0}
    places = {}
    for number in range(PATIENCE * steps):
        if number >= steps and 0 not in seen.values():
            break
        places[pc] = places.get(pc, 0) + 1
        reply = client.ask(f"m{pc:x},{MACHINE['length']:x}")
        code = b"" if reply.startswith("E") else bytes.fromhex(reply)
        where = landing(client, code, symbols)
        reply = client.ask(f"vCont;s:{who}")
        if not reply.startswith(f"T05thread:{who};"):
            sys.exit(f"step {number} from {pc:#x}: {reply}")
        before, pc = pc, program_counter(reply)
        if where is not None:
            seen[where[0]] += 1
            if where[1] not in (None, pc):
                sys.exit(f"step {number} went to {pc:#x}, not {where[1]:#x}")
        if pc in interrupts:
            sys.exit(f"step {number} from {before:#x} went into "
                     f"{interrupts[pc]}")
    if 0 in seen.values():
        most = sorted(places, key=places.get)[-5:]
        sys.exit(f"{seen} after {number + 1} steps, {len(places)} places, most "
                 f"of all {[(hex(at), places[at]) for at in most]}")
    return number, seen


def main():
    client = Client(sys.argv[1])
    symbols = {}
    with open(sys.argv[2], encoding="utf-8") as file:
        for line in file:
            words = line.split()
            symbols[words[2]] = int(words[0], 16)
    client.ask("qSupported:multiprocess+;swbreak+;hwbreak+")
    client.no_acks()
    client.ask("?")
    start = time.monotonic()
    steps, seen = run(client, symbols, int(sys.argv[3]))
    rate = steps / (time.monotonic() - start)
    print(f"{steps} steps, {seen['calls']} system calls, "
          f"{seen['returns']} returns, {rate:.0f}/s")
    client.send("vCont;c")
    time.sleep(0.2)
    start = time.monotonic()
    reply = client.interrupt()
    print(f"an interrupt took {1000 * (time.monotonic() - start):.1f} ms")
    if not reply.startswith("T02"):
        sys.exit(f"interrupted: {reply}")
    client.ask("D;1")


if __name__ == "__main__":
    main()

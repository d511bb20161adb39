# SPDX-License-Identifier: Apache-2.0
"""The gdb stub beside QEMU's: packets of the tests' own client, and gdb itself, on a tiny guest of this
machine's KVM that counts for ever."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import timing
from table import Budget, Row

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "tests", "debug"))
from rsp import COUNTING, LOOP, Client, multiboot

RUNS = 3
STEPS = 2000
GDB_STEPS = 1000
READ = 8 << 20  # bytes of guest memory
READ_AT = 1 << 20
INTERRUPTS = 20
PATIENCE = 60  # seconds for a monitor to listen


class Stub:
    """A monitor whose guest stands in its loop, and a client of it."""

    def __init__(self, command, path, stops_at_start):
        self.program = timing.Background(command)
        self.path = path
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.client = Client(path)
                break
            except OSError:
                if self.program.process.poll() is not None or time.monotonic() > end:
                    raise timing.Failed(f"no debugger's socket: {' '.join(command)}: {self.program.rest()}") from None
                time.sleep(0.01)
        reply = self.client.ask("qSupported:multiprocess+;swbreak+;hwbreak+")
        self.packet = next(int(f[11:], 16) for f in reply.split(";") if f.startswith("PacketSize="))
        self.client.send("QStartNoAckMode")
        if self.client.packet() == "OK":
            self.client.acks = False
        self.client.ask("?")
        if stops_at_start:
            self.to_the_loop()

    def to_the_loop(self):
        """QEMU's guest stands before its firmware."""
        where = f"1,{LOOP:x},1"
        if self.client.ask("Z" + where) != "OK" or not self.client.ask("vCont;c:p1.-1").startswith("T05"):
            raise timing.Failed("the guest did not reach its loop")
        self.client.ask("z" + where)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.program.__exit__()


def steps(stub):
    start = time.monotonic()
    for _ in range(STEPS):
        reply = stub.client.ask("vCont;s:p1.1")
    if not reply.startswith("T05"):
        raise timing.Failed(f"a step ended with {reply}")
    return STEPS / (time.monotonic() - start)


def bulk(stub, command, encoded):
    """Bytes of memory a second, by the largest packets that the stub takes; None if it knows no such packet.
    'encoded': the size of a byte in a reply."""
    socket, size = stub.client.socket, (stub.packet - 8) // encoded
    if not stub.client.ask(f"{command}{READ_AT:x},1"):
        return None
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    start, at = time.monotonic(), 0
    while at < READ:
        stub.client.send(f"{command}{READ_AT + at:x},{min(size, READ - at):x}")
        got = 0
        while True:
            new = socket.recv_into(view[got:])
            if not new:
                raise timing.Failed("the stub hung up")
            hash_at = buffer.find(b"#", got, got + new)
            got += new
            if hash_at >= 0:
                break
        while got < hash_at + 3:
            got += socket.recv_into(view[got:])
        if stub.client.acks:
            socket.sendall(b"+")
        if buffer[buffer.index(b"$") + 1:][:1] == b"E":
            raise timing.Failed(f"{command} was refused")
        at += size
    return READ / (time.monotonic() - start)


def interrupt(stub):
    """Median seconds from Ctrl-C to the answer."""
    samples = []
    for _ in range(INTERRUPTS):
        stub.client.send("vCont;c:p1.-1")
        if stub.client.acks:
            stub.client.byte()
        time.sleep(0.01)
        start = time.monotonic()
        reply = stub.client.interrupt()
        samples.append(time.monotonic() - start)
        if not reply.startswith("T02"):
            raise timing.Failed(f"an interrupt was answered by {reply}")
    return sorted(samples)[INTERRUPTS // 2]


def gdb_steps(path):
    clock = "import time; start = time.monotonic()"
    commands = ["set confirm off", "set architecture i386:x86-64", f"target remote {path}", f"python {clock}",
                f"stepi {GDB_STEPS}", 'python print("took", time.monotonic() - start)']
    command = ["gdb", "-nx", "-batch"] + [word for text in commands for word in ("-ex", text)]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timing.TIMEOUT,
                         check=False)
    for line in run.stdout.splitlines():
        if line.startswith("took "):
            return GDB_STEPS / float(line[5:])
    raise timing.Failed(f"gdb: {run.stderr[-300:]}")


class Sample:
    """One run of one monitor: everything measured on it."""

    def __init__(self, command, path, stops_at_start):
        if os.path.exists(path):
            os.unlink(path)
        with Stub(command, path, stops_at_start) as stub:
            self.steps = steps(stub)
            self.hex = bulk(stub, "m", 2)
            self.binary = bulk(stub, "x", 1)
            self.interrupt = interrupt(stub)
            stub.client.close()
            self.gdb = None
            if shutil.which("gdb"):
                self.gdb = gdb_steps(path)


def debug(monitors):
    """Rows, and the command lines for the text below them."""
    with tempfile.TemporaryDirectory(prefix="kvmlet-bench.") as folder:
        kernel = os.path.join(folder, "kernel")
        with open(kernel, "wb") as f:
            f.write(multiboot(COUNTING))
        paths = {name: os.path.join(folder, name) for name in ("kvmlet", "qemu")}
        commands = {"kvmlet": monitors.tiny_kvmlet(kernel) + ["--gdb", f"unix:{paths['kvmlet']},wait,on-disconnect=stop"],
                    "qemu": monitors.tiny_qemu(kernel) + ["-S", "-gdb", f"unix:{paths['qemu']},server=on,wait=off"]}
        samples = timing.in_turns("gdb stubs", {
            name: (lambda n=name, c=command: Sample(c, paths[n], n == "qemu")) for name, command in commands.items()},
            RUNS)

    def series(name, attribute):
        values = [getattr(s, attribute) for s in samples[name]]
        return None if None in values else timing.summary(values)

    five_times = Budget(">= 5 x QEMU", lambda k, f, q: k >= 5 * q)
    rows = []
    for title, unit, scale, attribute, budget in (
            ("gdb stub: steps, raw packets", "1000/s", 1e-3, "steps", five_times),
            ("gdb stub: steps, by gdb's stepi", "1000/s", 1e-3, "gdb", None),
            ("gdb stub: memory read, m", "MB/s", 1e-6, "hex", five_times),
            ("gdb stub: memory read, x", "MB/s", 1e-6, "binary", None),
            ("gdb stub: Ctrl-C until the answer", "ms", 1e3, "interrupt", None)):
        if series("kvmlet", attribute):
            rows.append(Row(title, unit, scale, series("kvmlet", attribute), None, series("qemu", attribute), budget))
    return rows, list(commands.values())

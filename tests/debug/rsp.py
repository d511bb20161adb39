# SPDX-License-Identifier: Apache-2.0
"""A client of gdb's remote protocol that sends exactly what it is told, tiny
guests to debug, and the monitor's program as a child process."""

import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time

# Generous: time-outs are for hangs only.
PATIENCE = int(os.environ.get("KVMLET_PATIENCE", "60"))
BASE = 0x100020
COUNTER = 0x200000
EXIT_PORT = 0xF4


def multiboot(code):
    """A multiboot kernel of nothing but this code, which runs at BASE."""
    magic, flags = 0x1BADB002, 1 << 16
    header = struct.pack("<8I", magic, flags, -magic - flags & 0xFFFFFFFF,
                         BASE - 32, BASE - 32, 0, 0, BASE)
    return header + code


# Counts in eax and at COUNTER for ever. 32-bit code, plain instructions only:
# some hosts emulate ring 0.
#   0x100020  mov $0, %eax
#   0x100025  inc %eax            LOOP
#   0x100026  mov %eax, COUNTER   STORE
#   0x10002b  jmp LOOP            JUMP
LOOP, STORE, JUMP = BASE + 5, BASE + 6, BASE + 11
COUNTING = bytes.fromhex("b800000000" "40" "a300002000" "ebf8")
# Counts to 1000, then leaves with the status 7.
#   inc %eax; mov %eax, COUNTER; cmp $1000, %eax; jne LOOP
#   mov $7, %eax; out %eax, $0xf4; cli; hlt
ENDING = bytes.fromhex("b800000000" "40" "a300002000" "3de8030000" "75f3"
                       "b807000000" "e7f4" "fa" "f4")


class Monitor:
    """kvmlet run, with --gdb on a socket in a folder of its own."""

    def __init__(self, binary, code, *flags, gdb="wait", at=None):
        self.folder = tempfile.mkdtemp(prefix="kvmlet-gdb.")
        self.path = os.path.join(self.folder, "gdb")
        kernel = os.path.join(self.folder, "kernel")
        with open(kernel, "wb") as file:
            file.write(multiboot(code))
        where = (at or "unix:" + self.path) + ("," + gdb if gdb else "")
        self.process = subprocess.Popen(
            [binary, "run", "--kernel", kernel, "--gdb", where, "--serial",
             "null", "--timeout", "300s", "--memory", "16M", *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)

    def connect(self):
        """A client, as soon as the monitor listens and has no other."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return Client(self.path)
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(
                        self.process.stderr.read().decode()) from None
                if time.monotonic() > until:
                    raise
            time.sleep(0.005)

    def wait(self):
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Closed(Exception):
    pass


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.input = b""
        self.acks = True

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, payload):
        if isinstance(payload, str):
            payload = payload.encode()
        self.send_raw(b"$%s#%02x" % (payload, sum(payload) & 255))

    def _fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed()
        self.input += data

    def byte(self):
        while not self.input:
            self._fill()
        first, self.input = self.input[:1], self.input[1:]
        return first

    def packet(self):
        """The next packet's payload; acknowledgements before it are eaten."""
        while True:
            match = re.match(rb"[+]*\$([^#]*)#([0-9a-f]{2})", self.input, re.S)
            if match:
                self.input = self.input[match.end():]
                if sum(match[1]) & 255 != int(match[2], 16):
                    raise AssertionError(f"bad checksum of {match[1]!r}")
                if self.acks:
                    try:
                        self.send_raw(b"+")
                    except ConnectionError:
                        pass  # the last reply, to a goodbye
                return match[1].decode("latin-1")
            self._fill()

    def ask(self, payload):
        self.send(payload)
        return self.packet()

    def no_acks(self):
        reply = self.ask("QStartNoAckMode")
        self.acks = False
        return reply

    def interrupt(self):
        self.send_raw(b"\x03")
        return self.packet()

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")),
                              "little")

    def set_register(self, number, value, size=8):
        return self.ask(f"P{number:x}=" + value.to_bytes(size, "little").hex())

    def pc(self):
        return self.register(16)

    def memory(self, address, length):
        return bytes.fromhex(self.ask(f"m{address:x},{length:x}"))

    def monitor(self, command):
        """The text of `monitor COMMAND`, and the final reply."""
        text = ""
        reply = self.ask("qRcmd," + command.encode().hex())
        while reply.startswith("O") and reply != "OK":
            text += bytes.fromhex(reply[1:]).decode()
            reply = self.packet()
        return text, reply

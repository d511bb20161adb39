# SPDX-License-Identifier: Apache-2.0
"""Starts the lab's QEMU and connects a command in it to this process's input and output.

Usage: run.py JOB CONSOLE_LOG TIMEOUT QEMU ARGUMENTS...

JOB is the directory that holds the command; this program adds the environment file to it, and
removes it in the end. The exit status is the command's, 124 after TIMEOUT seconds, 70 when the
lab ends before the command does.
"""

import atexit
import ctypes
import fcntl
import os
import secrets
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty

READY_TIMEOUT = 120  # seconds from the start until the lab has to be up
EX_SOFTWARE = 70
EX_TIMEOUT = 124
ESCAPE = b"\x1d"  # Ctrl-], three in a row give the terminal back


def say(text):
    sys.stderr.write(f"lab: {text}\n")
    sys.stderr.flush()


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def same_file(a, b):
    try:
        x, y = os.fstat(a), os.fstat(b)
    except OSError:
        return False
    return (x.st_dev, x.st_ino) == (y.st_dev, y.st_ino)


def terminal_size():
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        rows = columns = 0
    return rows or 24, columns or 80


def write_all(fd, data):
    while data:
        try:
            data = data[os.write(fd, data):]
        except BlockingIOError:
            time.sleep(0.01)
        except BrokenPipeError:
            return  # the reader has gone, the command goes on


class Output:
    """One stream out of the lab: passes everything on, up to the end mark."""

    def __init__(self, fd, mark):
        self.fd = fd
        self.mark = mark
        self.held = b""
        self.done = False

    def feed(self, data):
        if self.done:
            return
        data = self.held + data
        end = data.find(self.mark)
        if end >= 0:
            self.done = True
            self.held = b""
            write_all(self.fd, data[:end])
            return
        keep = 0
        for n in range(min(len(self.mark) - 1, len(data)), 0, -1):
            if self.mark.startswith(data[-n:]):
                keep = n
                break
        self.held = data[len(data) - keep:]
        write_all(self.fd, data[:len(data) - keep])


class LabEnded(Exception):
    """The emulated machine ended while the command was running."""


class Lab:
    """One run of the emulated machine."""

    def __init__(self, job, console, timeout, command):
        self.job = job
        self.console = console
        self.timeout = timeout
        self.tty = os.isatty(0) and os.isatty(1)
        self.merge = not self.tty and same_file(1, 2)
        self.mark_text = secrets.token_hex(16)
        self.mark = b"\0lab-end-" + self.mark_text.encode() + b"\0"
        self.ready = False
        self.status = None
        self.escapes = 0
        self.outputs = []
        self.selector = selectors.DefaultSelector()
        self.write_environment()
        self.start(command)

    def write_environment(self):
        rows, columns = terminal_size()
        values = {
            "LAB_MARK": self.mark_text,
            "LAB_TTY": "yes" if self.tty else "no",
            "LAB_MERGE": "yes" if self.merge else "no",
            "LAB_ROWS": rows,
            "LAB_COLUMNS": columns,
        }
        with open(os.path.join(self.job, "environment"), "w", encoding="utf-8") as f:
            for key, value in values.items():
                f.write(f"{key}={value}\n")
            term = os.environ.get("TERM", "")
            if term.replace("-", "").replace(".", "").replace("+", "").isalnum():
                f.write(f"export TERM={term}\n")

    def start(self, command):
        ours, theirs = {}, {}
        names = ["status", "tty", "winsize"] if self.tty else ["status", "out", "err", "in"]
        arguments = ["-device", "virtio-serial-pci,id=ports,max_ports=8"]
        for name in names:
            ours[name], theirs[name] = socket.socketpair()
            device = "virtconsole" if name == "tty" else f"virtserialport,name=lab.{name}"
            arguments += ["-chardev", f"socket,id=chr-{name},fd={theirs[name].fileno()}"]
            arguments += ["-device", f"{device},bus=ports.0,chardev=chr-{name}"]
        self.process = subprocess.Popen(
            command + arguments + ["-serial", f"file:{self.console}"],
            stdin=subprocess.DEVNULL, stdout=2, pass_fds=[s.fileno() for s in theirs.values()],
            start_new_session=True, preexec_fn=die_with_parent)
        for s in theirs.values():
            s.close()
        self.ports = ours
        watch = self.selector.register
        self.status_text = b""
        watch(ours["status"], selectors.EVENT_READ, self.on_status)
        self.add_output("tty" if self.tty else "out", 1)
        if not self.tty and not self.merge:
            self.add_output("err", 2)
        # A second descriptor, so that both directions can be waited for apart.
        self.input = ours["tty" if self.tty else "in"].dup()
        self.input.setblocking(False)
        self.backlog = b""
        self.watch_stdin()

    def add_output(self, name, fd):
        output = Output(fd, self.mark)
        self.outputs.append(output)

        def on_data(port):
            data = self.receive(port)
            if data:
                output.feed(data)
            else:
                self.selector.unregister(port)
        self.selector.register(self.ports[name], selectors.EVENT_READ, on_data)

    @staticmethod
    def receive(port):
        try:
            return port.recv(65536)
        except ConnectionError:
            return b""

    def watch_stdin(self):
        try:
            self.selector.register(0, selectors.EVENT_READ, self.on_stdin)
            self.file = False
        except OSError:
            # A regular file or /dev/null is always readable: the other end sets the pace.
            self.file = True
            self.selector.register(self.input, selectors.EVENT_WRITE, self.on_writable)

    def end_input(self):
        if not self.tty:
            self.input.shutdown(socket.SHUT_WR)

    def read_stdin(self):
        try:
            return os.read(0, 65536)
        except OSError:
            return b""

    def on_stdin(self, _):
        self.backlog = self.read_stdin()
        if self.tty:
            self.escapes = self.escapes + 1 if self.backlog == ESCAPE else 0
            if self.escapes == 3:
                raise KeyboardInterrupt
        self.selector.unregister(0)
        if self.backlog:
            self.selector.register(self.input, selectors.EVENT_WRITE, self.on_writable)
        else:
            self.end_input()

    def on_writable(self, _):
        if self.file and not self.backlog:
            self.backlog = self.read_stdin()
        try:
            self.backlog = self.backlog[self.input.send(self.backlog):] if self.backlog else None
        except BlockingIOError:
            return
        except OSError:
            self.backlog = None  # nobody reads any more
        if self.backlog is None:
            self.selector.unregister(self.input)
            self.end_input()
        elif not self.backlog and not self.file:
            self.selector.unregister(self.input)
            self.watch_stdin()

    def on_status(self, port):
        data = self.receive(port)
        if not data:
            self.selector.unregister(port)
            return
        self.status_text += data
        *lines, self.status_text = self.status_text.split(b"\n")
        for line in lines:
            if line == b"ready":
                self.ready = True
            elif line.startswith(b"status "):
                self.status = int(line.split()[1])

    def on_resize(self, *_):
        rows, columns = terminal_size()
        try:
            self.ports["winsize"].send(f"{rows} {columns}\n".encode())
        except OSError:
            pass

    def run(self):
        """The command's status; None when the lab did not come up."""
        started = time.monotonic()
        if self.tty:
            signal.signal(signal.SIGWINCH, self.on_resize)
        while True:
            if self.status is not None and all(o.done for o in self.outputs):
                return self.status
            elapsed = time.monotonic() - started
            limit = self.timeout if self.ready else min(READY_TIMEOUT, self.timeout)
            if elapsed > limit:
                if self.ready:
                    say(f"no end after {self.timeout} s: switched off")
                    return EX_TIMEOUT
                return None
            for key, _ in self.selector.select(timeout=min(1, limit - elapsed + 0.01)):
                key.data(key.fileobj)
            if self.process.poll() is not None and not self.pending():
                if self.ready:
                    raise LabEnded
                return None

    def pending(self):
        """Something that the lab has written is still to be read."""
        return any(events & selectors.EVENT_READ and key.fd != 0
                   for key, events in self.selector.select(timeout=0))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.selector.close()
        self.input.close()
        for port in self.ports.values():
            port.close()


def on_signal(number, _):
    raise SystemExit(128 + number)


def show_console(path):
    say(f"the end of its console ({path}):")
    with open(path, "rb") as f:
        for line in f.read()[-4000:].splitlines()[-15:]:
            sys.stderr.write("    " + line.decode(errors="replace").rstrip() + "\n")


def attempt(job, console, timeout, command):
    saved = termios.tcgetattr(0) if os.isatty(0) and os.isatty(1) else None
    lab = None
    try:
        if saved:
            tty.setraw(0)
        lab = Lab(job, console, timeout, command)
        return lab.run()
    finally:
        if lab:
            lab.stop()
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def main():
    job, console, timeout, *command = sys.argv[1:]
    atexit.register(shutil.rmtree, job, ignore_errors=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        for again in (True, False):
            started = time.monotonic()
            status = attempt(job, console, int(timeout), command)
            if status is not None:
                return status
            say(f"the emulated machine did not come up in {time.monotonic() - started:.0f} s"
                + (", trying once more" if again else ""))
            if again and os.path.exists(console):
                os.replace(console, console + ".first")
    except LabEnded:
        say("the emulated machine ended before the command did")
    show_console(console)
    return EX_SOFTWARE


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)

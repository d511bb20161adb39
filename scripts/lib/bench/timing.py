# SPDX-License-Identifier: Apache-2.0
"""Starts programs and times them, in turns, so that what disturbs one disturbs all."""

import os
import select
import signal
import statistics
import subprocess
import sys
import time

TIMEOUT = 240  # seconds for one run of one program
PROGRESS_EVERY = 2  # seconds


class Failed(Exception):
    """A program did not do what is to be measured."""


def say(text):
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def be_urgent():
    """Other work on the machine is to wait, where that is allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    except PermissionError:
        say("not root: other work on this machine disturbs the figures more")


class Run:
    """One run of a program: wall and CPU seconds from its start to its end, and its output."""

    def __init__(self, command, expect=0, timeout=TIMEOUT):
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, close_fds=True)
        output, self.first = b"", None
        while True:
            if not select.select([process.stdout], [], [], max(0, start + timeout - time.monotonic()))[0]:
                process.kill()
                process.wait()
                raise Failed(f"no end after {timeout} s: {' '.join(command)}")
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            self.first = self.first or time.monotonic() - start
            output += data
        _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        self.output = output.decode(errors="replace")
        if process.returncode != expect:
            raise Failed(f"status {process.returncode}, not {expect}: {' '.join(command)}: {self.output[-300:]}")


class Background:
    """A program that runs while something is measured."""

    def __init__(self, command, **options):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, **options)
        self.text = ""

    def read(self, timeout=TIMEOUT):
        """Waits for more output."""
        if not select.select([self.process.stdout], [], [], max(0, timeout))[0]:
            raise Failed(f"silent for too long: {' '.join(self.command)}: {self.text[-300:]}")
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            raise Failed(f"ended too early: {' '.join(self.command)}: {self.text[-300:]}")
        self.text += data.decode(errors="replace")

    def wait_for(self, text, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while text not in self.text:
            self.read(end - time.monotonic())

    def rest(self, timeout=TIMEOUT):
        """Its output when it has ended."""
        try:
            output, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end after {timeout} s: {' '.join(self.command)}") from None
        return self.text + output.decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


class Progress:
    """Lines for a person while something takes long."""

    def __init__(self, what, total):
        self.what, self.total, self.done = what, total, 0
        self.last = time.monotonic()
        say(what)

    def step(self):
        self.done += 1
        if time.monotonic() - self.last >= PROGRESS_EVERY and self.done < self.total:
            self.last = time.monotonic()
            say(f"{self.what}: {self.done} of {self.total}")


def in_turns(what, samplers, runs, warm_up=1):
    """Calls every sampler once a turn; {name: [sample]}, without the turns that warm up."""
    progress = Progress(what, len(samplers) * (runs + warm_up))
    samples = {name: [] for name in samplers}
    for turn in range(-warm_up, runs):
        for name, sampler in samplers.items():
            sample = sampler()
            if turn >= 0:
                samples[name].append(sample)
            progress.step()
    return samples


def summary(values):
    """What is kept of a series."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "runs": len(values)}


def pick(samples, attribute):
    """{name: summary} of one attribute of the samples of in_turns."""
    return {name: summary([getattr(s, attribute) for s in series]) for name, series in samples.items()}


class FirstOutput:
    """Wall seconds from a program's start to its first output; it is killed then."""

    def __init__(self, command):
        start = time.monotonic()
        with Background(command) as program:
            program.read()
            self.wall = time.monotonic() - start

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gdb itself, in batch mode, on a tiny guest on the real KVM.

usage: gdb_client.py KVMLET [unittest options]

Exits with 77 and one line of reason where gdb or a usable /dev/kvm is missing.
"""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rsp import BASE, COUNTER, COUNTING, ENDING, JUMP, LOOP, STORE, Monitor

KVMLET = ""


class GdbTest(unittest.TestCase):
    def start(self, code, *flags, **options):
        monitor = Monitor(KVMLET, code, *flags, **options)
        self.addCleanup(monitor.close)
        monitor.connect().close()  # it listens
        return monitor

    def gdb(self, monitor, *commands, before=()):
        """gdb's output after these commands; its errors too."""
        arguments = ["gdb", "-nx", "-batch"]
        for command in ("set confirm off", "set architecture i386:x86-64",
                        *before, f"target remote {monitor.path}", *commands):
            arguments += ["-ex", command]
        done = subprocess.run(arguments, capture_output=True, text=True,
                              timeout=300, stdin=subprocess.DEVNULL,
                              check=False)
        return done.stdout + done.stderr

    def stopped(self, code=COUNTING, *flags):
        return self.start(code, *flags, gdb="wait,on-disconnect=stop")

    def test_registers_and_memory(self):
        out = self.gdb(self.stopped(), "info registers rip", "p/x $cr0 & 1",
                       f"x/4xb {BASE + 5}", "p $ymm3", "p/x $fs_base",
                       "info registers eflags", "p/x $xmm0.uint128")
        self.assertIn(f"{BASE:#x}", out)
        self.assertIn("$1 = 0x1", out)
        self.assertRegex(out, "0x40.*0xa3.*0x00.*0x00")
        self.assertIn("v8_float", out)
        self.assertNotIn("Error", out)
        self.assertNotIn("truncated", out)

    def test_steps_breakpoints_and_the_end(self):
        monitor = self.stopped(ENDING)
        out = self.gdb(monitor, "stepi", "stepi", "p/x $pc",
                       f"hbreak *{STORE}", f"break *{LOOP}", "continue",
                       "p $eax", "info breakpoints", "continue", "p/x $pc",
                       "delete", "continue")
        self.assertIn(f"$1 = {STORE:#x}", out)
        self.assertIn("breakpoint already hit 1 time", out)
        self.assertIn(f"= {STORE:#x}", out)
        self.assertIn("exited with code 07", out)
        self.assertEqual(monitor.wait(), 7)

    def test_a_thousand_steps_do_not_get_lost(self):
        out = self.gdb(self.stopped(), "stepi", "stepi 999", "p/x $pc",
                       "p $eax")
        # Three instructions a turn.
        self.assertIn(f"$1 = {(LOOP, STORE, JUMP)[999 % 3]:#x}", out)
        self.assertIn(f"$2 = {(999 + 2) // 3}", out)

    def test_a_condition_and_an_ignore_count(self):
        out = self.gdb(self.stopped(), f"hbreak *{STORE} if $rax == 20",
                       "continue", "p $eax", "info breakpoints",
                       "ignore 1 0", "delete",
                       f"break *{JUMP}", "ignore 2 9", "continue", "p $eax")
        self.assertIn("$1 = 20", out)
        self.assertIn("(target evals)", out)
        self.assertIn("$2 = 29", out)

    def test_threads(self):
        out = self.gdb(self.stopped(COUNTING, "--cpus", "4"), "info threads",
                       "thread 3", "p/x $rip", "thread 1",
                       "set scheduler-locking on", "stepi", "p/x $rip")
        for number in range(4):
            self.assertIn(f'"vCPU {number}"', out)
        self.assertIn("$1 = 0xfff0", out)
        self.assertIn(f"$2 = {LOOP:#x}", out)

    def test_a_variable_is_written(self):
        out = self.gdb(self.stopped(), f"set *(int *){COUNTER} = 0x1234",
                       f"p/x *(int *){COUNTER}", "set $rax = 41", "stepi",
                       "set $rax = 41", "stepi", "p $eax")
        self.assertIn("$1 = 0x1234", out)
        self.assertIn("$2 = 42", out)

    def test_too_many_breakpoints_are_explained(self):
        breaks = [f"hbreak *{0x300000 + i}" for i in range(5)]
        out = self.gdb(self.stopped(), *breaks, "continue", "monitor hwbp")
        self.assertIn("all hardware slots are taken", out)

    def test_monitor_commands(self):
        out = self.gdb(self.stopped(), "monitor help", "monitor caps",
                       "monitor nonsense")
        self.assertIn("single step                 yes", out)
        self.assertIn("monitor help names them all", out)

    def test_an_exit_is_caught(self):
        out = self.gdb(self.stopped(ENDING), "monitor catch io 0xf4 write",
                       "continue", "p/x $pc", "continue")
        self.assertIn("catch 1: vCPU 0, io write of 4 bytes at 0xf4: "
                      "0x00000007", out)
        self.assertIn(f"$1 = {BASE + len(ENDING) - 2:#x}", out)
        self.assertIn("exited with code 07", out)

    def test_non_stop(self):
        monitor = self.stopped(COUNTING, "--cpus", "2")
        out = self.gdb(monitor, "thread 1", "stepi", f"hbreak *{STORE}",
                       "continue", "p $eax", "continue", "p $eax",
                       "info threads", "delete", "continue &", "info threads",
                       f"x/1dw {COUNTER}", "kill", before=("set non-stop on",))
        self.assertIn("$1 = 1", out)
        self.assertIn("$2 = 2", out)
        self.assertRegex(out, r"\* 1 .*vCPU 0.* 0x0*100026 in")
        self.assertRegex(out, r"\* 1 .*vCPU 0.*\(running\)")
        self.assertRegex(out, r"  2 .*vCPU 1.*\(running\)")
        self.assertRegex(out, f"{COUNTER:#x}:\t[1-9]")
        self.assertNotIn("internal-error", out)
        self.assertEqual(monitor.wait(), 0)

    def test_non_stop_until_the_end(self):
        monitor = self.stopped(ENDING)
        out = self.gdb(monitor, "stepi", "continue",
                       before=("set non-stop on",))
        self.assertIn("exited with code 07", out)
        self.assertEqual(monitor.wait(), 7)

    def test_detach_and_attach_again(self):
        monitor = self.start(COUNTING, gdb="")
        for _ in range(2):
            out = self.gdb(monitor, "p/x $pc", "stepi", "detach")
            self.assertIn("$1 = 0x1000", out)
            self.assertIn("detached", out)
        self.gdb(monitor, "kill")
        self.assertEqual(monitor.wait(), 0)


def main():
    global KVMLET
    KVMLET = sys.argv.pop(1)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: no /dev/kvm here")
        sys.exit(77)
    if shutil.which("gdb") is None:
        print("skipped: gdb is not installed")
        sys.exit(77)
    unittest.main()


if __name__ == "__main__":
    main()

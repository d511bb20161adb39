#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`monitor catch`: stops at KVM exits of a tiny guest on the real KVM.

usage: raw_catches.py KVMLET [unittest options]
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import raw_case
from raw_case import RawTest
from rsp import BASE, COUNTING, ENDING

# mov $0xf8000000, %ebx; mov %eax, (%ebx); mov (%ebx), %eax;
# out %al, $0x80; in $0x80, %al; inc %eax; jmp BASE
TOUCHING = bytes.fromhex("bb000000f8" "8903" "8b03" "e680" "e480" "40" "ebf0")
AFTER_STORE, AFTER_LOAD, AFTER_OUT, AFTER_IN = (BASE + at
                                                for at in (7, 9, 11, 13))
# mov $0x1000, %esi; mov $3, %ecx; mov $0x80, %dx; rep outsb; jmp BASE
STRING = bytes.fromhex("be00100000" "b903000000" "66ba8000" "f36e" "ebee")
# mov $0xfe, %al; out %al, $0x64: the reset line; inc %eax; jmp to it
RESETTING = bytes.fromhex("b0fe" "e664" "40" "ebfd")


class Catches(RawTest):
    def catch(self, client, what):
        text, reply = client.monitor("catch " + what)
        self.assertEqual(reply, "OK", text)
        return text

    def caught(self, client, resume="vCont;c"):
        """What the user reads, and where the vCPU stands."""
        reply = client.ask(resume)
        self.assertTrue(reply.startswith("O"), reply)
        self.assertRegex(client.packet(), "^T05thread:p1.[1-9];10:")
        return bytes.fromhex(reply[1:]).decode(), client.pc()

    def test_ports_and_device_memory_by_range_and_way(self):
        _, client = self.stopped(TOUCHING)
        for what, text, pc in (
                ("io 0x80 write", "io write of 1 byte at 0x80: 0x00",
                 AFTER_OUT),
                ("io 0x7e-0x80 read", "io read of 1 byte at 0x80: 0xff",
                 AFTER_IN),
                ("mmio 0xf8000000 write",
                 "mmio write of 4 bytes at 0xf8000000: 0x00000100",
                 AFTER_STORE),
                ("mmio 0xf8000003-0xf80000ff read",
                 "mmio read of 4 bytes at 0xf8000000: 0xffffffff",
                 AFTER_LOAD)):
            number = int(self.catch(client, what).split(":")[0])
            # Where it goes on from, so that each has its turn.
            client.set_register(0, 0x100 if "mmio write" in text else 0)
            client.set_register(16, BASE)
            for _ in range(3):
                said, at = self.caught(client)
                self.assertEqual(at, pc)
                self.assertIn(f"catch {number}: vCPU 0, ", said)
                self.assertTrue(said.endswith("\n"))
                if "write" not in text:
                    self.assertIn(text, said)
            self.assertIn(f"{number}: {what}\n", client.monitor("catch")[0])
            self.catch(client, f"off {number}")
        self.assertTrue(client.monitor("catch")[0].startswith(
            "no exit is caught\nlast: catch 4: vCPU 0, mmio read of 4 bytes"))

    def test_the_first_of_a_kind_has_its_value(self):
        _, client = self.stopped(TOUCHING)
        self.catch(client, "mmio")
        client.set_register(0, 0x1234)
        self.assertIn("mmio write of 4 bytes at 0xf8000000: 0x00001234",
                      self.caught(client)[0])
        self.assertIn("mmio read of 4 bytes at 0xf8000000: 0xffffffff",
                      self.caught(client)[0])
        self.assertEqual(client.register(0), 0xFFFFFFFF)

    def test_a_whole_reason(self):
        _, client = self.stopped(TOUCHING)
        self.catch(client, "io")
        self.assertEqual([self.caught(client)[1] for _ in range(4)],
                         [AFTER_OUT, AFTER_IN, AFTER_OUT, AFTER_IN])

    def test_other_ports_do_not_stop_it(self):
        monitor, client = self.stopped(ENDING)
        self.catch(client, "io 0xf8-0xffff")
        self.catch(client, "io 0-0xf3")
        self.catch(client, "io 0xf4 read")
        self.catch(client, "mmio")
        self.assertEqual(client.ask("vCont;c"), "W07")
        self.assertEqual(monitor.wait(), 7)

    def test_steps_and_ranges_stop_there_too(self):
        _, client = self.stopped(TOUCHING)
        self.catch(client, "io 0x80")
        for _ in range(3):
            client.ask("vCont;s:p1.1")
        self.assertEqual(client.pc(), AFTER_LOAD)
        self.assertEqual(self.caught(client, "vCont;s:p1.1")[1], AFTER_OUT)
        self.assertEqual(self.caught(client, "vCont;s:p1.1")[1], AFTER_IN)
        client.ask("vCont;s:p1.1")
        self.assertEqual(client.pc(), AFTER_IN + 1)
        resume = f"vCont;r{BASE:x},{BASE + 16:x}:p1.1"
        self.assertEqual(self.caught(client, resume)[1], AFTER_OUT)

    def test_no_step_loses_its_catch(self):
        _, client = self.stopped(TOUCHING)
        client.ask("vCont;s:p1.1")
        self.catch(client, "mmio write")
        for _ in range(300):
            client.set_register(16, BASE + 5)
            self.assertEqual(self.caught(client, "vCont;s:p1.1")[1],
                             AFTER_STORE)

    def test_a_breakpoint_behind_it_is_hit_as_well(self):
        _, client = self.stopped(TOUCHING)
        self.catch(client, "io 0x80 read")
        client.ask(f"Z1,{AFTER_IN + 1:x},1")
        for _ in range(3):
            self.assertEqual(self.caught(client)[1], AFTER_IN)
            self.assertIn("hwbreak:;", client.ask("vCont;c"))
            self.assertEqual(client.pc(), AFTER_IN + 1)

    def test_a_string_of_outs(self):
        _, client = self.stopped(STRING)
        self.catch(client, "io 0x80")
        said, _ = self.caught(client)
        self.assertIn("io write of ", said)
        self.assertIn("at 0x80: 0x", said)

    def test_who_ends_the_machine_is_seen_before_it_ends(self):
        monitor, client = self.stopped(ENDING)
        self.catch(client, "io 0xf4")
        said, pc = self.caught(client)
        self.assertIn("io write of 4 bytes at 0xf4: 0x00000007", said)
        self.assertEqual(pc, BASE + len(ENDING) - 2)
        self.assertIsNone(monitor.process.poll())
        self.assertEqual(client.ask("vCont;c"), "W07")
        self.assertEqual(monitor.wait(), 7)

    def test_who_resets_it_is_seen_before_it_is_reset(self):
        _, client = self.stopped(RESETTING)
        self.catch(client, "io 0x64 write")
        for _ in range(3):
            said, pc = self.caught(client)
            self.assertIn("0xfe", said)
            self.assertEqual(pc, BASE + 4)
        # Going on is the reset; what is caught stays so.
        client.send("vCont;c")
        client.packet()
        self.assertRegex(client.packet(), "^T05")
        # A reset in between makes the guest's own void.
        self.assertEqual(client.monitor("reset")[1], "OK")
        self.assertEqual(client.pc(), BASE)
        self.assertEqual(self.caught(client)[1], BASE + 4)

    def test_a_request_outlives_the_client_that_saw_it(self):
        monitor, client = self.stopped(ENDING)
        self.catch(client, "io 0xf4")
        self.caught(client)
        client.ask("D;1")
        self.assertEqual(monitor.wait(), 7)

    def test_a_step_of_another_vcpu_is_not_going_on(self):
        monitor, client = self.stopped(ENDING, "--cpus", "2")
        self.catch(client, "io 0xf4")
        _, pc = self.caught(client)
        client.send("vCont;s:p1.2")  # which was never started
        self.assertRegex(client.interrupt(), "^T02")
        self.assertIsNone(monitor.process.poll())
        self.assertEqual(client.ask("Hgp1.1"), "OK")
        self.assertEqual(client.pc(), pc)
        self.assertEqual(client.ask("vCont;c"), "W07")

    def test_nothing_is_left_after_detaching(self):
        monitor, client = self.stopped(TOUCHING)
        self.catch(client, "io")
        self.caught(client)
        client.ask("D;1")
        client.close()
        client = self.connect(monitor)
        self.assertEqual(client.monitor("catch")[0], "no exit is caught\n")
        client.send("vCont;c")
        self.assertRegex(client.interrupt(), "^T02")

    def test_one_of_two_vcpus(self):
        _, client = self.stopped(TOUCHING, "--cpus", "2")
        self.catch(client, "io 0x80 write")
        for _ in range(5):
            said, pc = self.caught(client)
            self.assertIn("vCPU 0, ", said)
            self.assertEqual(pc, AFTER_OUT)

    def test_wrong_words(self):
        _, client = self.stopped(COUNTING)
        for what, why in (("nonsense", "'nonsense' is no exit"),
                          ("intr", "no exit that can be caught"),
                          ("debug", "no exit that can be caught"),
                          ("shutdown 5", "only io and mmio"),
                          ("io x", "'x' is not FIRST"),
                          ("io 5-3", "'5-3' is not FIRST"),
                          ("io 5-", "'5-' is not FIRST"),
                          ("io 5 6", "'6' is not FIRST"),
                          ("io read write", "'write' is not FIRST"),
                          ("mmio 0x10000000000000000", "is not FIRST"),
                          ("off 1", "there is no 1"),
                          ("off x", "there is no x"),
                          ("off 4294967297", "there is no 4294967297")):
            text, reply = client.monitor("catch " + what)
            self.assertEqual(reply, "E01", what)
            self.assertIn(why, text)
        for _ in range(64):
            self.catch(client, "io")
        text, reply = client.monitor("catch io")
        self.assertEqual((reply, "64 already" in text), ("E01", True))
        self.catch(client, "off")
        self.assertEqual(client.monitor("catch")[0], "no exit is caught\n")


if __name__ == "__main__":
    raw_case.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Non-stop: vCPUs of a tiny guest on the real KVM that stop and go on each for
itself.

usage: raw_non_stop.py KVMLET [unittest options]
"""

import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import raw_case
from raw_case import RawTest
from rsp import BASE, COUNTER, COUNTING, ENDING, JUMP, LOOP, STORE


class NonStop(RawTest):
    def setUp(self):
        self.events = []

    def non_stop(self, code=COUNTING, *flags):
        """A client with the first vCPU stopped; the others run."""
        monitor, client = self.stopped(code, *flags)
        client.no_acks()
        self.assertEqual(client.ask("QNonStop:1"), "OK")
        return monitor, client

    def take(self, client):
        """Moves a notification that is next in the input to self.events."""
        match = re.match(rb"%Stop:([^#]*)#([0-9a-f]{2})", client.input)
        if not match:
            return False
        payload = b"Stop:" + match[1]
        self.assertEqual(sum(payload) & 255, int(match[2], 16))
        client.input = client.input[match.end():]
        self.events.append(match[1].decode())
        return True

    def ask(self, client, payload):
        """The reply; notifications before it are events."""
        client.send(payload)
        return self.reply(client)

    def reply(self, client):
        while True:
            while not re.match(rb"[%$][^#]*#..", client.input):
                client._fill()
            if not self.take(client):
                return client.packet()

    def event(self, client):
        """The next notification, confirmed; with those that it stands for."""
        while not self.events:
            if not self.take(client):
                client._fill()
        stops = [self.events.pop(0)]
        while (reply := self.ask(client, "vStopped")) != "OK":
            stops.append(reply)
        return stops

    def pc(self, client, thread):
        self.assertEqual(self.ask(client, f"Hgp1.{thread}"), "OK")
        reply = self.ask(client, "p10")
        self.assertFalse(reply.startswith("E"), reply)
        return int.from_bytes(bytes.fromhex(reply), "little")

    def count(self, client):
        return int.from_bytes(
            bytes.fromhex(self.ask(client, f"m{COUNTER:x},4")), "little")

    def assert_counts(self, client):
        before, until = self.count(client), time.monotonic() + 30
        while self.count(client) == before:
            self.assertLess(time.monotonic(), until)

    def test_it_is_offered_and_one_vcpu_stays(self):
        _, client = self.stopped(COUNTING, "--cpus", "3")
        self.assertIn(";QNonStop+", client.ask("qSupported:multiprocess+"))
        self.assertEqual(client.ask("QNonStop:1"), "OK")
        self.assertEqual(client.ask("?")[:15], "T02thread:p1.1;")
        self.assertEqual(client.ask("vStopped"), "OK")
        self.assertEqual(client.ask("vStopped"), "OK")
        self.assertEqual(client.ask("Hgp1.3"), "OK")
        self.assertEqual(client.ask("g"), "E22")

    def test_a_vcpu_runs_while_the_client_asks(self):
        _, client = self.non_stop()
        self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
        self.assert_counts(client)
        self.assertEqual(self.ask(client, "?"), "OK")
        self.assertEqual(self.ask(client, "vCont;t:p1.1"), "OK")
        stops = self.event(client)
        self.assertEqual(len(stops), 1)
        self.assertRegex(stops[0], "^T00thread:p1.1;10:")
        before = self.count(client)
        self.assertEqual(self.count(client), before)
        self.assertIn(self.pc(client, 1), (LOOP, STORE, JUMP))

    def test_registers_of_one_that_runs_are_not_to_be_had(self):
        _, client = self.non_stop(COUNTING, "--cpus", "2")
        self.assertEqual(self.ask(client, "vCont;c:p1.1;t:p1.2"), "OK")
        self.event(client)
        self.assertEqual(self.ask(client, "Hgp1.1"), "OK")
        for packet in ("g", "p10", "P10=0000000000000000", "G00"):
            self.assertEqual(self.ask(client, packet), "E22", packet)
        self.assertEqual(self.ask(client, "Hgp1.2"), "OK")
        self.assertFalse(self.ask(client, "g").startswith("E"))

    def test_one_stops_and_the_other_runs_on(self):
        # The second vCPU is never started: it waits, and runs all the same.
        _, client = self.non_stop(COUNTING, "--cpus", "2")
        self.assertEqual(self.ask(client, f"Z1,{STORE:x},1"), "OK")
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        for count in range(1, 6):
            stops = self.event(client)
            self.assertEqual(len(stops), 1)
            self.assertRegex(stops[0], "^T05thread:p1.1;hwbreak:;10:")
            self.assertEqual(self.pc(client, 1), STORE)
            self.assertEqual(self.count(client), count - 1)
            self.assertEqual(self.ask(client, "Hgp1.2"), "OK")
            self.assertEqual(self.ask(client, "g"), "E22")
            self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
        self.event(client)
        self.assertEqual(self.ask(client, "vCont;t:p1.2"), "OK")
        self.assertRegex(self.event(client)[0], "^T00thread:p1.2;")

    def test_breakpoints_come_and_go_while_it_runs(self):
        _, client = self.non_stop()
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assert_counts(client)
        for address in (LOOP, STORE, JUMP):
            self.assertEqual(self.ask(client, f"Z1,{address:x},1"), "OK")
            self.assertRegex(self.event(client)[0], "^T05.*hwbreak")
            self.assertEqual(self.pc(client, 1), address)
            self.assertEqual(self.ask(client, f"z1,{address:x},1"), "OK")
            self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
            self.assert_counts(client)
        self.assertEqual(self.events, [])

    def test_no_step_is_lost_or_made_twice(self):
        _, client = self.non_stop()
        places = (LOOP, STORE, JUMP)
        for step in range(60):
            self.assertEqual(self.ask(client, "vCont;s:p1.1"), "OK")
            # The world is held meanwhile, again and again.
            self.count(client)
            self.assertRegex(self.event(client)[0], "^T05thread:p1.1;10:")
            self.assertEqual(self.pc(client, 1), places[step % 3])

    def test_a_breakpoint_is_passed_however_often_the_world_is_held(self):
        _, client = self.non_stop()
        self.ask(client, f"Z1,{LOOP:x},1")
        self.ask(client, f"Z1,{STORE:x},1")
        expected = LOOP
        for _ in range(40):
            self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
            for _ in range(3):
                self.count(client)
            self.assertRegex(self.event(client)[0], "^T05.*hwbreak")
            self.assertEqual(self.pc(client, 1), expected)
            expected = STORE if expected == LOOP else LOOP

    def test_ranges(self):
        _, client = self.non_stop()
        self.ask(client, "vCont;s:p1.1")
        self.event(client)
        self.assertEqual(
            self.ask(client, f"vCont;r{LOOP:x},{JUMP:x}:p1.1"), "OK")
        self.event(client)
        self.assertEqual(self.pc(client, 1), JUMP)

    def test_interrupts(self):
        _, client = self.non_stop()
        for interrupt in (lambda: self.ask(client, "vCtrlC"),
                          lambda: client.send_raw(b"\x03")):
            self.assertEqual(self.ask(client, "vCont;c"), "OK")
            self.assert_counts(client)
            interrupt()
            self.assertRegex(self.event(client)[0], "^T02thread:p1.1;")
        # Nothing runs: nothing is told.
        self.assertEqual(self.ask(client, "vCtrlC"), "OK")
        self.assertEqual(self.ask(client, "qC"), "QCp1.1")
        self.assertEqual(self.events, [])

    def test_events_wait_for_their_turn(self):
        _, client = self.non_stop(COUNTING, "--cpus", "3")
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assertEqual(self.ask(client, "vCont;t"), "OK")
        stops = self.event(client)
        self.assertEqual([stop[:15] for stop in stops],
                         [f"T00thread:p1.{i};" for i in (1, 2, 3)])
        # One that the client has not heard of cannot be let go.
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assertEqual(self.ask(client, "vCont;t"), "OK")
        self.assertEqual(self.ask(client, "vCont;c:p1.2"), "OK")
        self.assertEqual(len(self.event(client)), 3)
        self.assertEqual(self.ask(client, "?")[:15], "T00thread:p1.1;")
        self.assertEqual(self.ask(client, "vStopped")[:15], "T00thread:p1.2;")

    def test_the_end_is_an_event(self):
        monitor, client = self.non_stop(ENDING)
        self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
        self.assertEqual(self.event(client), ["W07;process:1"])
        self.assertEqual(monitor.wait(), 7)

    def test_the_end_waits_for_its_turn(self):
        monitor, client = self.non_stop(ENDING, "--cpus", "2")
        self.assertEqual(self.ask(client, "vCont;t:p1.2"), "OK")
        self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
        # Most often it ends before the first is confirmed.
        time.sleep(0.3)
        stops = self.event(client)
        if len(stops) == 1:
            stops += self.event(client)
        self.assertEqual([stop[:4] for stop in stops], ["T00t", "W07;"])
        self.assertEqual(monitor.wait(), 7)

    def test_a_client_that_does_not_fetch_the_end_is_not_waited_for_long(self):
        monitor, client = self.non_stop(ENDING)
        self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
        self.assertEqual(monitor.wait(), 7)

    def test_an_unconfirmed_stop_is_not_resumed(self):
        _, client = self.non_stop()
        self.ask(client, f"Z1,{STORE:x},1")
        for _ in range(20):
            burst = ["vCont;c:p1.1"] + ["qC"] * 30 + ["vCont;c"]
            for payload in burst:
                client.send(payload)
            for payload in burst:
                self.assertIn(self.reply(client), ("OK", "QCp1.1"))
            self.assertEqual(len(self.event(client)), 1)
            self.assertEqual(self.pc(client, 1), STORE)

    def test_a_crash_is_an_event_before_it_is_the_end(self):
        monitor, client = self.non_stop(bytes.fromhex("0f0b"), "--cpus", "2")
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assertEqual([stop[:15] for stop in self.event(client)],
                         ["T0bthread:p1.1;", "T00thread:p1.2;"])
        self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
        self.assertEqual(self.event(client), ["X06;process:1"])
        self.assertEqual(monitor.wait(), 81)

    def test_an_exit_that_is_caught(self):
        _, client = self.non_stop(bytes.fromhex("e680" "40" "ebfb"))
        self.assertEqual(client.monitor("catch io 0x80 write")[1], "OK")
        for _ in range(3):
            self.assertEqual(self.ask(client, "vCont;c:p1.1"), "OK")
            self.assertRegex(self.event(client)[0], "^T05thread:p1.1;10:")
            self.assertEqual(self.pc(client, 1), BASE + 2)
        self.assertIn("last: catch 1: vCPU 0, io write of 1 byte at 0x80: 0x",
                      client.monitor("catch")[0])

    def test_back_to_all_stop(self):
        _, client = self.non_stop()
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assertEqual(self.ask(client, "QNonStop:0"), "OK")
        self.assertRegex(client.ask("?"), "^T0")
        client.send("vCont;c")
        self.assertRegex(client.interrupt(), "^T02")
        for wrong in ("QNonStop:2", "QNonStop:", "QNonStop:x"):
            self.assertEqual(client.ask(wrong), "E22")

    def test_leaving_lets_all_run(self):
        monitor, client = self.non_stop(ENDING, "--cpus", "2")
        self.assertEqual(self.ask(client, "vCont;t:p1.2"), "OK")
        client.close()
        self.assertEqual(monitor.wait(), 7)

    def test_a_client_that_comes_anew_and_what_it_cannot_have(self):
        _, client = self.non_stop()
        self.assertEqual(self.ask(client, "vAttach;1"), "OK")
        self.assertEqual(self.ask(client, "vRun;"), "E22")
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assertEqual(self.ask(client, "c"), "E22")

    def test_resets(self):
        _, client = self.non_stop()
        self.assertEqual(self.ask(client, "vCont;c"), "OK")
        self.assert_counts(client)
        self.assertEqual(client.monitor("reset")[1], "OK")
        self.assert_counts(client)
        self.assertEqual(self.ask(client, "vCont;t"), "OK")
        self.event(client)
        self.assertEqual(client.monitor("reset")[1], "OK")
        self.assertEqual(self.pc(client, 1), BASE)


if __name__ == "__main__":
    raw_case.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gdb stub against a client that is right, wrong or hostile: raw packets
about registers, memory, breakpoints and the protocol itself.

usage: raw_packets.py KVMLET [unittest options]
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from raw_case import RawTest, main
from rsp import BASE, COUNTER, COUNTING, LOOP, STORE


class Registers(RawTest):
    def test_general_registers_go_there_and_back(self):
        _, client = self.stopped()
        block = client.ask("g")
        self.assertEqual(len(block) // 2,
                         17 * 8 + 7 * 4 + 80 + 32 + 256 + 4 + 16 + 256)
        self.assertEqual(client.ask("G" + block), "OK")
        self.assertEqual(client.ask("g"), block)
        for number in (0, 5, 15):
            value = 0x1234567890ABCDEF + number
            self.assertEqual(client.set_register(number, value), "OK")
            self.assertEqual(client.register(number), value)

    def test_vector_registers(self):
        _, client = self.stopped()
        for number in (40, 55, 59, 74):
            value = (1 << 127) + number
            self.assertEqual(client.set_register(number, value, 16), "OK")
            self.assertEqual(client.register(number), value, number)

    def test_system_registers_by_name(self):
        _, client = self.stopped()
        xml, offset = "", 0
        while True:
            part = client.ask(f"qXfer:features:read:target.xml:{offset:x},800")
            xml += part[1:]
            offset += len(part) - 1
            if part[0] == "l":
                break
        self.assertTrue(xml.endswith("</target>\n"))
        number = int(xml.split('name="cr0"')[1].split('regnum="')[1]
                     .split('"')[0])
        self.assertEqual(client.register(number) & 1, 1, "protected mode")

    def test_wrong_registers(self):
        _, client = self.stopped()
        block = client.ask("g")
        for packet in ("p", "pzz", "p10000", "p-1", "P", "P0", "P0=",
                       "P0=00", "P0=" + "00" * 9, "P9999=00", "P0=zz",
                       "G", "G00", "G" + block[:-2], "G" + block + "00",
                       "Gzz"):
            self.assertEqual(client.ask(packet), "E22", packet[:20])
        self.assertEqual(client.ask("g"), block)


class Memory(RawTest):
    def test_reads_and_writes(self):
        _, client = self.stopped()
        self.assertEqual(client.memory(BASE, len(COUNTING)), COUNTING)
        self.assertEqual(client.ask(f"M{COUNTER:x},4:01020304"), "OK")
        self.assertEqual(client.memory(COUNTER, 4), b"\1\2\3\4")
        self.assertEqual(client.ask(f"X{COUNTER:x},0:"), "OK")
        raw = f"X{COUNTER:x},4:".encode() + b"}\x03}\x04}\x5d\xff"
        self.assertEqual(client.ask(raw), "OK")
        self.assertEqual(client.memory(COUNTER, 4), b"\x23\x24\x7d\xff")

    def test_binary_reads(self):
        _, client = self.stopped()
        raw = f"X{COUNTER:x},3:".encode() + b"}\x03ab"
        client.ask(raw)
        self.assertEqual(client.ask(f"x{COUNTER:x},3"), "b}\x03ab")
        self.assertEqual(client.ask(f"x{COUNTER:x},0"), "b")

    def test_a_read_ends_where_memory_does(self):
        _, client = self.stopped()
        end = 16 << 20
        self.assertEqual(len(client.memory(end - 16, 64)), 16)
        self.assertEqual(client.ask(f"m{end:x},1"), "E14")
        self.assertEqual(client.ask(f"M{end - 2:x},4:01020304"), "E14")
        self.assertEqual(client.memory(end - 2, 2), b"\0\0", "all or nothing")

    def test_a_long_read_is_cut(self):
        _, client = self.stopped()
        self.assertEqual(len(client.ask(f"m{0:x},{1 << 20:x}")),
                         0x20000 - 2 & ~1)
        self.assertTrue(client.ask("m0,ffffffffffffffff"))
        self.assertTrue(client.ask("mffffffffffffffff,10").startswith("E"))

    def test_wrong_accesses(self):
        _, client = self.stopped()
        for packet in ("m", "m,", "mzz,1", "m0", "m0,", "m-1,4", "m0,1,2",
                       "M", "M0,1", "M0,1:", "M0,1:0", "M0,1:0011",
                       "M0,2:00", "X0,2:a", "X0,1:ab", "X", "x", "x0,"):
            self.assertEqual(client.ask(packet), "E22", packet)
        self.assertEqual(client.memory(0, 1), b"\0")

    def test_search(self):
        _, client = self.stopped()
        pattern = COUNTING[5:11]
        raw = b"qSearch:memory:100000;1000;" + pattern
        self.assertEqual(client.ask(raw), f"1,{LOOP:x}")
        self.assertEqual(client.ask("qSearch:memory:100000;1000;nowhere"), "0")

    def test_physical_mode(self):
        _, client = self.stopped()
        self.assertEqual(client.ask("qqemu.PhyMemMode"), "0")
        self.assertEqual(client.ask("Qqemu.PhyMemMode:1"), "OK")
        self.assertEqual(client.memory(BASE, 4), COUNTING[:4])
        self.assertEqual(client.ask("Qqemu.PhyMemMode:2"), "E22")


class Breakpoints(RawTest):
    def test_the_slots_are_four(self):
        _, client = self.stopped()
        for i in range(4):
            self.assertEqual(client.ask(f"Z1,{STORE + i:x},1"), "OK")
        self.assertEqual(client.ask(f"Z1,{STORE:x},1"), "OK", "again")
        self.assertEqual(client.ask("Z1,400000,1"), "E22")
        self.assertIn("all hardware slots are taken",
                      client.monitor("hwbp")[0])
        self.assertEqual(client.ask(f"z1,{STORE + 3:x},1"), "OK")
        self.assertEqual(client.ask("Z1,400000,1"), "OK")
        self.assertEqual(client.ask("z1,999999,1"), "OK", "not there")

    def test_wrong_breakpoints(self):
        _, client = self.stopped()
        for packet in ("Z", "Z0", "Z0,", "Z0,1000", "Z0,1000,0", "Z0,1000,63",
                       "Zz,1,1", "Z0,1000,3"):
            self.assertEqual(client.ask(packet), "E22", packet)
        for packet in ("Z5,1000,1", "Z9,1000,1", "Z3,1000,4", "Z2,1000,0",
                       "Z2,1001,40"):
            self.assertEqual(client.ask(packet), "", packet)


class Protocol(RawTest):
    def test_a_damaged_packet_is_asked_for_again(self):
        _, client = self.stopped()
        client.input = b""
        client.send_raw(b"$qC#00")
        self.assertEqual(client.byte(), b"-")
        self.assertEqual(client.ask("qC"), "QCp1.1")
        client.send_raw(b"-")
        self.assertEqual(client.packet(), "QCp1.1")

    def test_the_reply_that_ends_acknowledgements_is_acknowledged(self):
        _, client = self.stopped()
        client.input = b""
        client.send("QStartNoAckMode")
        self.assertEqual(client.byte(), b"+")
        self.assertEqual(client.packet(), "OK")
        client.acks = False
        client.send("qC")
        self.assertEqual(client.byte(), b"$")

    def test_one_byte_at_a_time(self):
        _, client = self.stopped()
        for byte in b"+$qC#b4":
            client.send_raw(bytes([byte]))
        self.assertEqual(client.packet(), "QCp1.1")

    def test_garbage_is_survived(self):
        _, client = self.stopped()
        client.no_acks()
        client.send_raw(b"\0\xff garbage" * 10000)
        client.send_raw(b"$" + b"a" * 3000000 + b"#00")
        self.assertEqual(client.ask("qC"), "QCp1.1")
        client.send(b"m" + b"0" * 200000)
        self.assertEqual(client.packet(), "E22")

    def test_unknown_packets_have_empty_answers(self):
        _, client = self.stopped()
        for packet in ("vMustReplyEmpty", "qUnknown", "Qx", "bs", "bc", "",
                       "\0", "vFile:open:2f,0,0", "qTStatus", "_", "A"):
            self.assertEqual(client.ask(packet), "", packet)

    def test_wrong_resumptions(self):
        _, client = self.stopped()
        for packet in ("vCont", "vCont;", "vCont;x", "vCont;s:", "vCont;s:q",
                       "vCont;r1", "vCont;r1,", "vCont;c:p1.1:p1.1", "C", "S",
                       "c1000", "vCont;Czz"):
            self.assertEqual(client.ask(packet), "E22", packet)
        for packet in ("vCont;t", "vCont;c:p1.9", "vCont;s:p1.7;c:p1.8"):
            self.assertEqual(client.ask(packet), "N", packet)
        # The leftmost action that names a thread is its.
        many = ";c:p1.1" * 10000
        self.assertRegex(client.ask("vCont;s:p1.1" + many), "^T05")
        self.assertEqual(client.pc(), LOOP)

    def test_wrong_transfers(self):
        _, client = self.stopped()
        read = "qXfer:features:read:"
        for packet, reply in ((read + "target.xml:0,", "E22"),
                              (read + "target.xml:ffffffff,10", "E22"),
                              (read + "target.xml:0,0", "m"),
                              (read + "../secret:0,10", "E00"),
                              ("qXfer:features:write:target.xml:0:", ""),
                              ("qXfer:memory-map:read::0,10", ""),
                              ("qXfer:", "")):
            self.assertEqual(client.ask(packet), reply, packet)

    def test_monitor_commands(self):
        _, client = self.stopped()
        self.assertIn("monitor caps", client.monitor("help")[0])
        for command in ("caps", "exits", "hwbp", "vcpus", "stats", "regs",
                        "walk 0x1000", "phys 0x100020 16", "sstep irq"):
            text, reply = client.monitor(command)
            self.assertEqual(reply, "OK", command)
            self.assertTrue(text, command)
        for command in ("nonsense", "walk", "walk x", "phys 0xffffffffff 16",
                        "phys 0 99999", "sstep"):
            self.assertEqual(client.monitor(command)[1], "E01", command)
        self.assertEqual(client.ask("qRcmd,zz"), "E22")
        self.assertIn("40 a3", client.monitor("phys 0x100025 2")[0])


if __name__ == "__main__":
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What drgn reads in a core file of a Linux guest without the kernel's debug
information: the kernel's release from VMCOREINFO, and memory.

usage: drgn_core.py CORE ADDRESS

Prints the release, and the string at the virtual ADDRESS (hexadecimal).
"""

import sys

import drgn

LONGEST = 256


def main():
    program = drgn.Program()
    program.set_core_dump(sys.argv[1])
    if not program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
        sys.exit("drgn takes it for a process's core file: it found no "
                 "VMCOREINFO")
    print("release", program["UTS_RELEASE"].string_().decode())
    text = program.read(int(sys.argv[2], 16), LONGEST)
    print("text", text.split(b"\0")[0].decode().strip())


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes an ELF file of a running kernel's symbols, for a gdb without vmlinux.

usage: kallsyms_elf.py [--text ADDRESS] [--orc VMLINUX] KALLSYMS OUTPUT

KALLSYMS is a copy of the guest's /proc/kallsyms, read as root with
kernel.kptr_restrict=0. The file has symbols and no code: gdb reads that from
the guest. With --text the symbol _text comes to this address, in hexadecimal,
and all others with it: as they are in a boot with nokaslr. With --orc the
tables for unwinding stacks come from this ELF file of the same kernel.
"""

import os
import struct
import sys

# ELF-64 and its sections (System V ABI, chapter 4).
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
EXECUTABLE = 2
MACHINES = {"x86_64": 62, "aarch64": 183}
PROGBITS, NOBITS, SYMTAB, STRTAB = 1, 8, 2, 3
FUNCTION, OBJECT, GLOBAL = 2, 1, 1 << 4


def read_symbols(path):
    symbols = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            # Modules have a fourth word: they come and go.
            if len(words) == 3 and int(words[0], 16) > 1 << 32:
                symbols.append((int(words[0], 16), words[1], words[2]))
    return sorted(symbols)


def read_orc(path):
    """(name, address, bytes) of each section whose name begins with .orc_unwind."""
    with open(path, "rb") as file:
        data = file.read()
    header = HEADER.unpack_from(data)
    sections = [SECTION.unpack_from(data, header[6] + i * header[11]) for i in range(header[12])]
    names = sections[header[13]][4]
    found = []
    for section in sections:
        name = data[names + section[0]:].split(b"\0", 1)[0]
        if name.startswith(b".orc_unwind"):
            found.append((name, section[3], data[section[4]:section[4] + section[5]]))
    return found


def write_elf(symbols, path, extra=()):
    text = [s[0] for s in symbols if s[1] in "tTwW"]
    low, high = min(text), max(text) + 4096
    names, table = bytearray(b"\0"), bytearray(SYMBOL.size)
    for address, kind, name in symbols:
        code = kind in "tTwW"
        table += SYMBOL.pack(len(names), GLOBAL | (FUNCTION if code else OBJECT),
                             0, 1 if code else 0xFFF1, address, 0)
        names += name.encode() + b"\0"
    section_names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    at = HEADER.size
    table_at, names_at = at, at + len(table)
    section_names_at = names_at + len(names)
    more_at = section_names_at + len(section_names) + sum(len(name) + 1 for name, _, _ in extra)
    more = []
    for name, address, content in extra:
        more.append((len(section_names), PROGBITS, 2, address, more_at, len(content), 0, 0, 1, 0))
        section_names += name + b"\0"
        more_at += len(content)
    headers_at = more_at
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, NOBITS, 6, low, at, high - low, 0, 0, 16, 0),
        (7, SYMTAB, 0, 0, table_at, len(table), 3, 1, 8, SYMBOL.size),
        (15, STRTAB, 0, 0, names_at, len(names), 0, 0, 1, 0),
        (23, STRTAB, 0, 0, section_names_at, len(section_names), 0, 0, 1, 0),
    ] + more
    with open(path, "wb") as file:
        file.write(HEADER.pack(b"\x7fELF\2\1\1" + bytes(9), EXECUTABLE, MACHINES[os.uname().machine],
                               1, low, 0, headers_at, 0, HEADER.size, 0, 0,
                               SECTION.size, len(sections), 4))
        file.write(table + names + section_names)
        for _, _, content in extra:
            file.write(content)
        for section in sections:
            file.write(SECTION.pack(*section))


def moved(symbols, text):
    offset = text - next(s[0] for s in symbols if s[2] == "_text")
    return [(at + offset, kind, name) for at, kind, name in symbols]


def main():
    arguments, text, orc = sys.argv[1:], None, ()
    if arguments[:1] == ["--text"] and len(arguments) > 1:
        text = int(arguments[1], 16)
        arguments = arguments[2:]
    if arguments[:1] == ["--orc"] and len(arguments) > 1:
        orc = read_orc(arguments[1])
        if not orc:
            sys.exit(f"kallsyms_elf: {arguments[1]} has no sections .orc_unwind")
        arguments = arguments[2:]
    if len(arguments) != 2:
        sys.exit(__doc__)
    symbols = read_symbols(arguments[0])
    if not symbols:
        sys.exit("kallsyms_elf: no addresses in there: read it as root, with "
                 "kernel.kptr_restrict=0")
    if text is not None:
        symbols = moved(symbols, text)
    write_elf(symbols, arguments[1], orc)


if __name__ == "__main__":
    main()

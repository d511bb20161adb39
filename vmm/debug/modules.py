# SPDX-License-Identifier: Apache-2.0
"""Symbols of a guest's modules for gdb, wherever the kernel and they are.

    (gdb) source vmm/debug/modules.py
    (gdb) modules FOLDER...

`modules` asks the guest's memory, or its core file, which modules there are and
where their sections are, and adds the symbols of each NAME.ko that it finds
below the folders. It needs the symbols of vmlinux with its types, and after
`symbol-file -o` it works with KASLR, too. A module that is just being loaded
(a stop in do_init_module) counts; call it again when there are new ones.
"""

import os

import gdb

LIVE, UNFORMED = 0, 3  # enum module_state
WORD = (1 << 64) - 1
# For what is in the file and not in memory: gdb would take it to be at 0. Neither
# x86-64 nor arm64 has code there.
NOWHERE = 0xffffffffffe00000


def find_files(folders):
    """Module name: path."""
    files = {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise gdb.GdbError(f"modules: there is no folder {folder}")
        for place, _, names in os.walk(folder):
            for name in names:
                if name.endswith(".ko") or name.endswith(".ko.debug"):
                    module = name.split(".ko")[0].replace("-", "_")
                    files.setdefault(module, os.path.join(place, name))
    return files


def loaded_modules():
    """struct module of each, in the kernel's order."""
    head = gdb.parse_and_eval("&modules")
    kind = gdb.lookup_type("struct module")
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == "list")
    entry, seen = head["next"], 0
    # The list is the guest's: it may have no end.
    while int(entry) & WORD != int(head) & WORD and seen < 4096:
        module = gdb.Value((int(entry) & WORD) - offset).cast(kind.pointer())
        if int(module["state"]) != UNFORMED:
            yield module.dereference()
        entry, seen = entry["next"], seen + 1


def sections_of(module):
    """Section name: address."""
    table = module["sect_attrs"]
    live = int(module["state"]) == LIVE
    sections = {"__versions": NOWHERE, ".modinfo": NOWHERE}
    for i in range(min(int(table["nsections"]), 256)):
        attribute = table["attrs"][i]
        name = attribute["battr"]["attr"]["name"].string()
        # What was only there to start it has been given back by now.
        gone = live and ".init" in name
        sections[name] = NOWHERE if gone else int(attribute["address"]) & WORD
    return sections


class Modules(gdb.Command):
    """modules FOLDER...: adds the symbols of the modules that are loaded."""

    def __init__(self):
        super().__init__("modules", gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)
        self.known = {}

    def invoke(self, argument, _from_tty):
        folders = gdb.string_to_argv(argument)
        if not folders:
            raise gdb.GdbError("usage: modules FOLDER...")
        files = find_files(folders)
        for module in loaded_modules():
            name = module["name"].string()
            if name not in files:
                print(f"{name}: no {name}.ko below {' '.join(folders)}")
                continue
            self.add(name, files[name], sections_of(module))

    def add(self, name, path, sections):
        if self.known.get(name) == sections or ".text" not in sections:
            return
        if name in self.known:
            text = self.known[name][".text"]
            gdb.execute(f"remove-symbol-file -a {text:#x}", to_string=True)
        more = " ".join(f"-s {section} {address:#x}"
                        for section, address in sections.items()
                        if section != ".text")
        gdb.execute(f"add-symbol-file {path} {sections['.text']:#x} {more}",
                    to_string=True)
        self.known[name] = sections
        print(f"{name}: {path} at {sections['.text']:#x}")


Modules()

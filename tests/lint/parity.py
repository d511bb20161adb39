# SPDX-License-Identifier: Apache-2.0
"""The README's table of what works on which architecture: every 'yes' names a test that exists. So do the
tables of cases in the READMEs of tests/boot.

usage: parity.py ROOT
A name is GROUP/TEST of tests/boot, or Suite.Test of a unit test.
"""

import functools
import glob
import os
import re
import sys

HEADING = "## What works where"


def rows(readme):
    """[feature, x86-64, arm64] of each line of the table."""
    with open(readme, encoding="utf-8") as f:
        text = f.read()
    section = text[text.index(HEADING):].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def boot_test_exists(root, arch, group, test):
    for path in glob.glob(f"{root}/tests/boot/{group}/*.sh"):
        other = re.search(r"\.(x86_64|arm64)\.sh$", path)
        if other and other.group(1) != arch:
            continue
        with open(path, encoding="utf-8") as f:
            names = re.findall(r"(?:^|\|\|)\s*(?:run|long|both)_test (\S+)", f.read(), re.M)
        # In a loop part of a name is a variable.
        patterns = [re.sub(r"\\\$\\?\{?\w+\\?\}?", ".+", re.escape(name.strip("\"'"))) for name in names]
        if any(re.fullmatch(pattern, test) for pattern in patterns):
            return True
    return False


@functools.cache
def unit_tests(root):
    found = set()
    for path in glob.glob(f"{root}/tests/**/*.cc", recursive=True):
        with open(path, encoding="utf-8") as f:
            found.update(".".join(names) for names in re.findall(r"TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", f.read()))
    return found


def exists(root, arch, name):
    if "/" in name:
        return boot_test_exists(root, arch, *name.split("/", 1))
    return name in unit_tests(root)


def faults_of_cases(root):
    """What the tables of cases name that is not there."""
    for path in sorted(glob.glob(f"{root}/tests/boot/*/README.md")):
        with open(path, encoding="utf-8") as f:
            cells = [line.split("|")[3] for line in f if re.match(r"\|( \d|\d)", line)]
        for name in re.findall(r"`([\w-]+/[\w.-]+|[A-Z]\w*\.\w+)`", " ".join(cells)):
            if not any(exists(root, arch, name) for arch in ("x86_64", "arm64")):
                yield f"{os.path.relpath(path, root)}: there is no test {name}"


def main():
    root = sys.argv[1]
    faults, count = [], 0
    for feature, *cells in rows(os.path.join(root, "README.md")):
        for arch, cell in zip(("x86_64", "arm64"), cells):
            names = re.findall(r"`([^`]*)`", cell)
            if cell.startswith("yes") and not names:
                faults.append(f"{feature}: {arch} says yes without a test")
            count += len(names)
            faults += [f"{feature}: there is no test {name} for {arch}"
                       for name in names if not exists(root, arch, name)]
    if not count:
        faults.append("the table names no test")
    faults = [f"README.md: {fault}" for fault in faults] + list(faults_of_cases(root))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

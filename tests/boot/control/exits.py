# SPDX-License-Identifier: Apache-2.0
"""A trace of exits against the monitor's counters, while the guest stands still.

usage: exits.py COUNTED.json TRACED.json LIST
What `ctl info exits --json`, `exits --json` and `exits --list` have printed.
"""

import collections
import json
import sys


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def main():
    counted, traced, lines = json.loads(read(sys.argv[1])), json.loads(read(sys.argv[2])), read(sys.argv[3]).splitlines()
    by_counter, by_vcpu = collections.Counter(), collections.Counter()
    for group in counted:
        for stat in group["stats"] if group["provider"] == "__org.kvmlet_exits" else []:
            by_counter[stat["name"]] += stat["value"]
            by_vcpu[group["qom-path"]] += stat["value"]
    by_trace = collections.Counter({entry["reason"]: entry["exits"] for entry in traced["reasons"]})
    assert traced["lost"] == 0, f"{traced['lost']} records were lost"
    assert not traced["complete"], "the trace of a running machine says that it ended"
    by_line = collections.Counter(line.split()[2] for line in lines)
    assert by_counter, "nothing was counted"
    assert by_trace == by_counter, f"traced {dict(by_trace)}, counted {dict(by_counter)}"
    assert by_line == by_counter, f"listed {dict(by_line)}, counted {dict(by_counter)}"
    for vcpu, part in enumerate(traced["vcpus"]):
        assert part["exits"] == by_vcpu[f"/machine/cpu[{vcpu}]"], f"vCPU {vcpu}: {part}, counted {dict(by_vcpu)}"
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times), "the list is not in the order of time"
    for entry in traced["reasons"]:
        for side in ("monitor", "guest"):
            assert entry[side]["p50-ns"] <= entry[side]["p99-ns"] <= entry[side]["max-ns"], entry
    print(f"{sum(by_counter.values())} exits: {dict(by_counter)}")


if __name__ == "__main__":
    main()

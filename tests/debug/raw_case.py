# SPDX-License-Identifier: Apache-2.0
"""What the raw-packet tests share: a guest, its clients, and the command line
KVMLET [unittest options]."""

import os
import sys
import unittest

from rsp import COUNTING, Monitor

KVMLET = ""


class RawTest(unittest.TestCase):
    def start(self, code=COUNTING, *flags, **options):
        monitor = Monitor(KVMLET, code, *flags, **options)
        self.addCleanup(monitor.close)
        return monitor

    def connect(self, monitor):
        client = monitor.connect()
        self.addCleanup(client.close)
        client.ask("qSupported:multiprocess+;swbreak+;hwbreak+")
        return client

    def stopped(self, code=COUNTING, *flags):
        """A client of a guest before its first instruction."""
        monitor = self.start(code, *flags)
        return monitor, self.connect(monitor)


def main():
    """Exits with 77 and one line of reason without a usable /dev/kvm."""
    global KVMLET
    KVMLET = sys.argv.pop(1)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: no /dev/kvm here")
        sys.exit(77)
    unittest.main(module="__main__")

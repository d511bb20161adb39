# SPDX-License-Identifier: Apache-2.0
"""Opens a physical function through VFIO, sets its VF token, and holds it.

Usage: vfio_holder.py BDF TOKEN SECONDS [OPEN_TOKEN]

Prints "held" once the token is set. With OPEN_TOKEN the function is opened
with it, as it must be while its virtual functions are in use.
"""

import fcntl
import os
import struct
import sys
import time
import uuid

BASE = ord(";") << 8 | 100
GET_API_VERSION, SET_IOMMU = BASE, BASE + 2
GROUP_SET_CONTAINER, GROUP_GET_DEVICE_FD = BASE + 4, BASE + 6
DEVICE_FEATURE = BASE + 17
TYPE1V2 = 3
FEATURE_SET = 1 << 17


def main():
    bdf, token, seconds, *opened_with = sys.argv[1:]
    link = os.readlink(f"/sys/bus/pci/devices/{bdf}/iommu_group")
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    group = os.open(f"/dev/vfio/{os.path.basename(link)}", os.O_RDWR)
    fcntl.ioctl(group, GROUP_SET_CONTAINER, struct.pack("i", container))
    fcntl.ioctl(container, SET_IOMMU, TYPE1V2)
    name = bdf + "".join(f" vf_token={t}" for t in opened_with)
    # A mutable buffer: the result is then the call's, the descriptor.
    device = fcntl.ioctl(group, GROUP_GET_DEVICE_FD, bytearray(name.encode() + b"\0"))
    feature = struct.pack("II", 24, FEATURE_SET) + uuid.UUID(token).bytes
    fcntl.ioctl(device, DEVICE_FEATURE, feature)
    print("held", flush=True)
    time.sleep(float(seconds))


main()

// SPDX-License-Identifier: Apache-2.0
// secondary CONTROLLER COUNT QUEUES VECTORS: what the driver of an NVMe disk's
// physical function does for its virtual ones. To each of the secondary
// controllers 1 to COUNT it gives queues and interrupt vectors, and switches it
// on. CONTROLLER is the primary's device node. Status 0: all are on.
// Runs in a guest without any library. Specification: NVM Express Base,
// Virtualization Management command; what nvme-cli calls virt-mgmt.
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum {
  kVirtualizationManagement = 0x1c,
  kOffline = 7,
  kAssign = 8,
  kOnline = 9,
  kQueues = 0,
  kVectors = 1,
};

static int Manage(int disk, uint32_t controller, uint32_t action,
                  uint32_t resource, uint32_t number) {
  struct nvme_admin_cmd command = {
      .opcode = kVirtualizationManagement,
      .cdw10 = action | resource << 8 | controller << 16,
      .cdw11 = number,
  };
  const int status = ioctl(disk, NVME_IOCTL_ADMIN_CMD, &command);
  if (status != 0) {
    printf("controller %u: action %u: status %#x\n", controller, action,
           (unsigned)status);
  }
  return status;
}

int main(int argc, char** argv) {
  if (argc < 5) return 64;
  const int disk = open(argv[1], O_RDWR);
  if (disk < 0) {
    perror(argv[1]);
    return 1;
  }
  for (uint32_t i = 1; i <= (uint32_t)atoi(argv[2]); ++i) {
    if (Manage(disk, i, kOffline, 0, 0) != 0 ||
        Manage(disk, i, kAssign, kQueues, (uint32_t)atoi(argv[3])) != 0 ||
        Manage(disk, i, kAssign, kVectors, (uint32_t)atoi(argv[4])) != 0 ||
        Manage(disk, i, kOnline, 0, 0) != 0) {
      return 1;
    }
    printf("controller %u is on\n", i);
  }
  return 0;
}

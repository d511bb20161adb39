// SPDX-License-Identifier: Apache-2.0
// kexec KERNEL INITRD: replaces the running Linux by another one with the same
// command line, at once and without shutting anything down. With -p before the
// KERNEL the other one waits in the memory of crashkernel= until this one has
// crashed. Runs in a guest without any library, as root.
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char** argv) {
  char line[4096];
  int kernel, initrd, from;
  ssize_t size;
  const int crash = argc == 4 && strcmp(argv[1], "-p") == 0;
  argc -= crash;
  argv += crash;
  if (argc != 3) return 64;
  kernel = open(argv[1], O_RDONLY);
  initrd = open(argv[2], O_RDONLY);
  from = open("/proc/cmdline", O_RDONLY);
  if (kernel < 0 || initrd < 0 || from < 0) {
    perror("open");
    return 66;
  }
  size = read(from, line, sizeof(line));
  if (size < 1) return 66;
  line[size - 1] = 0;  // in place of the end of the line
  if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line,
              crash ? KEXEC_FILE_ON_CRASH : 0ul) != 0) {
    perror("kexec_file_load");
    return 71;
  }
  if (crash) return 0;
  syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
          LINUX_REBOOT_CMD_KEXEC, NULL);
  perror("reboot");
  return 71;
}

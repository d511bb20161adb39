// SPDX-License-Identifier: Apache-2.0
// vsend CID PORT WORD BYTES: sends so many bytes, which begin with the word,
// over AF_VSOCK. Runs in a guest without any library.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
// After the one above, whose types it uses.
#include <linux/vm_sockets.h>
#include <unistd.h>

int main(int argc, char** argv) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK};
  static char buffer[1 << 20];
  size_t done = 0, size;
  int fd;
  if (argc != 5) return 64;
  address.svm_cid = (unsigned)atoi(argv[1]);
  address.svm_port = (unsigned)atoi(argv[2]);
  size = strtoul(argv[4], NULL, 10);
  if (size > sizeof(buffer)) return 64;
  memset(buffer, 'x', sizeof(buffer));
  memcpy(buffer, argv[3], strlen(argv[3]));
  fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0 ||
      connect(fd, (struct sockaddr*)&address, sizeof(address)) != 0) {
    perror("connect");
    return 1;
  }
  while (done < size) {
    ssize_t n = write(fd, buffer + done, size - done);
    if (n <= 0) {
      perror("write");
      return 2;
    }
    done += (size_t)n;
  }
  shutdown(fd, SHUT_WR);
  // The host closes when it has read everything.
  while (read(fd, buffer, sizeof(buffer)) > 0) {
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// One TCP stream. The server takes one connection and prints
// "BYTES NANOSECONDS" of what it received or, asked to send, sends until the
// client closes. The client sends, or receives and prints, for some seconds.
// Usage: netload server PORT receive|send
//        netload client ADDRESS PORT send|receive SECONDS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kBufferSize = 128 << 10, kConnectTries = 100 };

static char buffer[kBufferSize];

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void send_until(int fd, uint64_t end) {
  while (now() < end) {
    if (send(fd, buffer, sizeof(buffer), MSG_NOSIGNAL) <= 0) return;
  }
}

// Counts from the first bytes on: what came before is connection set-up.
static void receive_until(int fd, uint64_t end) {
  uint64_t bytes = 0;
  uint64_t start = 0;
  uint64_t last = 0;
  ssize_t size;
  while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    last = now();
    if (start == 0) {
      start = last;
    } else {
      bytes += (uint64_t)size;
    }
    if (last >= end) break;
  }
  printf("%" PRIu64 " %" PRIu64 "\n", bytes, last - start);
}

static struct sockaddr_in address_of(const char* host, const char* port) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
    fprintf(stderr, "netload: '%s' is not an IPv4 address\n", host);
    exit(64);
  }
  return address;
}

static int serve(const char* port) {
  const struct sockaddr_in address = address_of("0.0.0.0", port);
  const int on = 1;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) die("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listener, (const struct sockaddr*)&address, sizeof(address)) != 0 ||
      listen(listener, 1) != 0) {
    die("listen");
  }
  const int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept");
  return fd;
}

// The server or the link may still be coming up.
static int connect_to(const char* host, const char* port) {
  const struct sockaddr_in address = address_of(host, port);
  const struct timespec pause = {.tv_nsec = 100000000};
  for (int i = 0; i < kConnectTries; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (const struct sockaddr*)&address, sizeof(address)) == 0) {
      return fd;
    }
    close(fd);
    nanosleep(&pause, NULL);
  }
  die("connect");
  return -1;
}

int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "server") == 0) {
    const int fd = serve(argv[2]);
    if (strcmp(argv[3], "send") == 0) {
      send_until(fd, UINT64_MAX);
    } else {
      receive_until(fd, UINT64_MAX);
    }
    return 0;
  }
  if (argc == 6 && strcmp(argv[1], "client") == 0) {
    const int fd = connect_to(argv[2], argv[3]);
    const uint64_t end = now() + strtoul(argv[5], NULL, 10) * 1000000000u;
    if (strcmp(argv[4], "send") == 0) {
      send_until(fd, end);
    } else {
      receive_until(fd, end);
    }
    return 0;
  }
  fprintf(stderr,
          "usage: netload server PORT receive|send\n"
          "       netload client ADDRESS PORT send|receive SECONDS\n");
  return 64;
}

// SPDX-License-Identifier: Apache-2.0
// Reads a disk past the page cache for a while and prints
// "REQUESTS BYTES NANOSECONDS".
// Usage: blkload DEVICE random|sequential BLOCK_SIZE THREADS SECONDS
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kAlignment = 4096, kMaxThreads = 64, kMaxBlockSize = 16 << 20 };

struct load {
  int fd;
  int random;
  size_t block_size;
  uint64_t blocks;
  atomic_uint_fast64_t next;
  atomic_uint_fast64_t done;
  atomic_int stop;
};

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

// SplitMix64: one stream for all threads, by their turn.
static uint64_t scramble(uint64_t turn) {
  uint64_t x = turn * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static void* reader(void* argument) {
  struct load* load = argument;
  void* buffer = NULL;
  if (posix_memalign(&buffer, kAlignment, load->block_size) != 0) die("memory");
  while (!atomic_load_explicit(&load->stop, memory_order_relaxed)) {
    const uint64_t turn = atomic_fetch_add(&load->next, 1);
    const uint64_t block =
        (load->random ? scramble(turn) : turn) % load->blocks;
    const ssize_t size = pread(load->fd, buffer, load->block_size,
                               (off_t)(block * load->block_size));
    if (size != (ssize_t)load->block_size) die("pread");
    atomic_fetch_add(&load->done, 1);
  }
  free(buffer);
  return NULL;
}

static void run(struct load* load, long threads, long seconds) {
  pthread_t ids[kMaxThreads];
  const uint64_t start = now();
  for (long i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], NULL, reader, load) != 0) die("pthread_create");
  }
  const struct timespec duration = {.tv_sec = seconds};
  nanosleep(&duration, NULL);
  // What is counted and when belong together, before the threads wind down.
  const uint64_t done = atomic_load(&load->done);
  const uint64_t elapsed = now() - start;
  atomic_store(&load->stop, 1);
  for (long i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", done, done * load->block_size,
         elapsed);
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr,
            "usage: blkload DEVICE random|sequential BLOCK_SIZE THREADS "
            "SECONDS\n");
    return 64;
  }
  const long block_size = strtol(argv[3], NULL, 10);
  const long threads = strtol(argv[4], NULL, 10);
  const long seconds = strtol(argv[5], NULL, 10);
  if (block_size < 512 || block_size > kMaxBlockSize || threads < 1 ||
      threads > kMaxThreads || seconds < 1) {
    fprintf(stderr, "blkload: a number is out of range\n");
    return 64;
  }
  static struct load load;
  load.random = strcmp(argv[2], "random") == 0;
  load.block_size = (size_t)block_size;
  load.fd = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (load.fd < 0) die(argv[1]);
  const off_t size = lseek(load.fd, 0, SEEK_END);
  if (size < block_size) die("too small a disk");
  load.blocks = (uint64_t)(size / block_size);
  run(&load, threads, seconds);
  return 0;
}

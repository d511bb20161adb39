// SPDX-License-Identifier: Apache-2.0
// storm DEVICE ROUNDS [SEED]: what a hostile guest does to the passed-through
// function in the folder DEVICE of its sysfs, which no driver has. A second
// thread reads the BAR all the while. In every round: writes of random bytes,
// widths and offsets to the configuration space; memory decoding and power off
// and on; a reset; the MSI-X table, and the bits that enable and mask it.
// At the end the space is as it was. Status 0: all was done.
// Runs in a guest without any library.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
  kSpace = 4096,
  kCommand = 4,
  kBar0 = 0x10,
  kWritesARound = 2000,
  kFlipsARound = 200,
};

static const char* folder;
static int config;
static uint8_t saved[kSpace];
static ssize_t saved_size;
struct Bar {
  volatile uint32_t* at;
  size_t size;
};
static struct Bar bar;    // the one that a thread reads
static struct Bar table;  // the one with the MSI-X table, if there is one
static uint32_t table_offset;
static atomic_int stop;
static atomic_ulong reads;
static uint32_t seed = 1;

static uint32_t Random(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static uint32_t Get(int at, size_t bytes) {
  uint32_t value = 0;
  if (pread(config, &value, bytes, at) != (ssize_t)bytes) return 0xffffffff;
  return value;
}

static void Put(int at, uint32_t value, size_t bytes) {
  // The guest's kernel may refuse a write; the point is that it may not.
  if (pwrite(config, &value, bytes, at) < 0) return;
}

// Accesses of one register without write-back: on arm64 KVM makes out no other.
static void Store(volatile uint32_t* at, uint32_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}
static uint32_t Load(const volatile uint32_t* at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

// The offset of a capability, or 0; at most as many hops as there is room for.
static int Find(uint8_t id) {
  int at = saved[0x34] & 0xfc;
  for (int hops = 0; at >= 0x40 && hops < 48; ++hops) {
    if (saved[at] == id) return at;
    at = saved[at + 1] & 0xfc;
  }
  return 0;
}

static void* ReadBar(void* unused) {
  (void)unused;
  for (size_t at = 0; !atomic_load(&stop); at = (at + 1) % (bar.size / 4)) {
    (void)Load(bar.at + at);
    atomic_fetch_add(&reads, 1);
  }
  return NULL;
}

// BARs, command and interrupts as the guest's kernel believes them to be.
static void Restore(void) {
  const int msix = Find(0x11), power = Find(0x01);
  if (power != 0) Put(power + 4, 0, 2);
  Put(kCommand, 0, 2);
  for (int at = kBar0; at < 0x28; at += 4) {
    uint32_t value;
    memcpy(&value, saved + at, 4);
    Put(at, value, 4);
  }
  if (msix != 0) Put(msix + 2, 0, 2);
  Put(0x3c, saved[0x3c], 1);
  Put(kCommand, 2, 2);
}

static void RandomWrites(void) {
  for (int i = 0; i < kWritesARound; ++i) {
    const size_t bytes = (size_t)1 << Random() % 3;
    const int at = (int)(Random() % (uint32_t)(saved_size - 4));
    Put(Random() % 2 ? at % 256 : at, Random(), bytes);
  }
  Restore();
}

static void Flips(void) {
  const int msix = Find(0x11), power = Find(0x01);
  for (int i = 0; i < kFlipsARound; ++i) {
    Put(kCommand, Random() % 8, 2);
    if (power != 0) Put(power + 4, Random() % 4, 2);
    if (power != 0) Put(power + 4, 0, 2);
    Put(kCommand, 2, 2);
    if (msix != 0) Put(msix + 2, Random() & 0xc000, 2);
  }
  Restore();
}

static void Reset(void) {
  char path[256];
  snprintf(path, sizeof(path), "%s/reset", folder);
  const int fd = open(path, O_WRONLY);
  if (fd < 0) return;
  if (write(fd, "1", 1) < 0) perror("reset");
  close(fd);
  Restore();
}

// Messages to anywhere, vectors masked and unmasked, with MSI-X on and off.
static void Table(void) {
  const int msix = Find(0x11);
  if (msix == 0 || table.size == 0) return;
  const uint32_t vectors = (uint32_t)((Get(msix + 2, 2) & 0x7ff) + 1);
  if (table_offset + vectors * 16 > table.size) return;
  volatile uint32_t* const entries = table.at + table_offset / 4;
  for (int i = 0; i < kFlipsARound; ++i) {
    volatile uint32_t* const entry = entries + Random() % vectors * 4;
    Put(msix + 2, Random() % 4 != 0 ? 0x8000 : 0xc000, 2);
    Store(entry, Random() % 2 ? 0xfee00000 : Random());
    Store(entry + 1, Random() % 4 ? 0 : Random());
    Store(entry + 2, Random() % 2 ? 0x40 : Random());
    Store(entry + 3, 0);
    Store(entry + 3, 1);
  }
  for (uint32_t i = 0; i < vectors * 4; ++i) Store(entries + i, i % 4 == 3);
  Put(msix + 2, 0, 2);
}

static struct Bar Map(unsigned number) {
  struct Bar mapped = {NULL, 0};
  char path[256];
  snprintf(path, sizeof(path), "%s/resource%u", folder, number);
  const int fd = open(path, O_RDWR);
  const off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
  if (size <= 0) return mapped;
  void* const at = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED,
                        fd, 0);
  if (at == MAP_FAILED) return mapped;
  mapped.at = at;
  mapped.size = (size_t)size;
  return mapped;
}

static int Open(void) {
  char path[256];
  snprintf(path, sizeof(path), "%s/config", folder);
  config = open(path, O_RDWR);
  saved_size = pread(config, saved, kSpace, 0);
  if (saved_size < 256) return 1;
  Put(kCommand, 2, 2);
  bar = Map(0);
  const int msix = Find(0x11);
  if (msix != 0) {
    uint32_t place;
    memcpy(&place, saved + msix + 4, 4);
    table = Map(place & 7);
    table_offset = place & ~7u;
  }
  return bar.size == 0;
}

int main(int argc, char** argv) {
  pthread_t reader;
  if (argc < 3) return 64;
  folder = argv[1];
  if (argc > 3) seed = (uint32_t)strtoul(argv[3], NULL, 0) | 1;
  if (Open() != 0 || pthread_create(&reader, NULL, ReadBar, NULL) != 0) {
    perror(folder);
    return 1;
  }
  for (int i = 0; i < atoi(argv[2]); ++i) {
    RandomWrites();
    Flips();
    Table();
    Reset();
    printf("storm round %d\n", i);
    fflush(stdout);
  }
  atomic_store(&stop, 1);
  pthread_join(reader, NULL);
  printf("storm reads %s\n", atomic_load(&reads) > 0 ? "yes" : "no");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Run in a guest: says at which guest-physical address a page of it lies, and
// reads it again and again until that is an error, which it then describes.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kPage = 4096 };

static sigjmp_buf met;
static volatile int code;
static volatile int bits;
static void* volatile where;

static void OnBusError(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  code = info->si_code;
  bits = info->si_addr_lsb;
  where = info->si_addr;
  siglongjmp(met, 1);
}

// Documentation/admin-guide/mm/pagemap.rst: the frame's number, in 55 bits.
static uint64_t Address(const void* page) {
  const int map = open("/proc/self/pagemap", O_RDONLY);
  uint64_t entry = 0;
  const off_t at = (off_t)((uintptr_t)page / kPage * sizeof(entry));
  if (map < 0 || pread(map, &entry, sizeof(entry), at) != sizeof(entry)) {
    return 0;
  }
  close(map);
  return (entry & ((1ull << 55) - 1)) * kPage;
}

int main(void) {
  volatile char* const page =
      mmap(NULL, kPage, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (page == MAP_FAILED) return 1;
  memset((void*)page, 0x5a, kPage);
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, NULL);
  printf("PAGE %llu here\n", (unsigned long long)Address((const void*)page));
  fflush(stdout);
  if (sigsetjmp(met, 1) == 0) {
    while (page[8] == 0x5a) usleep(100000);
    printf("WRONG the page reads as %d\n", page[8]);
    return 2;
  }
  printf(
      "MET code=%d bits=%d page=%s\n", code, bits,
      (uintptr_t)where / kPage == (uintptr_t)page / kPage ? "same" : "other");
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Run in a guest: says at which guest-physical address a page of it lies, and
// reads it again and again until that is an error, which it then describes.
// "huge": it is the first page of a huge one of the guest's pool, all of which
// is the program's, so that a host whose own pages are as large takes nobody
// else's, and it is kept for ever. A transparent one would not do: Linux 6.12
// to 6.17 read all of it to split it (try_to_map_unused_to_zeropage), and so
// meet what is lost. "kernel": the guest's kernel reads it, in a system call
// that copies it. "name": the same for a child, in one that takes the page for
// a file's name. The child dies of it where a kernel knows no better, so that
// call holds no lock, which would be held for ever, and its parent keeps the
// page, which would be good for the next one to use.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kPage = 4096, kHugePage = 2 << 20 };

static sigjmp_buf met;
static volatile int code;
static volatile int bits;
static void* volatile where;
static volatile char* page;
static size_t size = kPage;
static int file = -1;
static bool name;

static void OnBusError(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  code = info->si_code;
  bits = info->si_addr_lsb;
  where = info->si_addr;
  siglongjmp(met, 1);
}

// Documentation/admin-guide/mm/pagemap.rst: the frame's number, in 55 bits.
static uint64_t Address(const void* of) {
  const int map = open("/proc/self/pagemap", O_RDONLY);
  uint64_t entry = 0;
  const off_t at = (off_t)((uintptr_t)of / kPage * sizeof(entry));
  if (map < 0 || pread(map, &entry, sizeof(entry), at) != sizeof(entry)) {
    return 0;
  }
  close(map);
  return (entry & ((1ull << 55) - 1)) * kPage;
}

static void* NewPage(void) {
  // What is lost of a shared huge page stays in its file; of a private one the
  // kernel would give the rest away as good pages.
  int kind = name ? MAP_SHARED : MAP_PRIVATE;
  if (size > kPage) kind = MAP_SHARED | MAP_HUGETLB;
  void* const all =
      mmap(NULL, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return NULL;
  memset(all, 0x5a, size);
  return all;
}

// The signal that ends the child. All of the page is a name, and too long.
static int NameInChild(void) {
  const pid_t child = fork();
  if (child == 0) {
    while (access((const char*)page, F_OK) != 0 && errno == ENAMETOOLONG) {
      usleep(100000);
    }
    _exit(1);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) return 0;
  return WTERMSIG(status);
}

static bool Is(int argc, char** argv, const char* word) {
  return argc > 1 && strcmp(argv[1], word) == 0;
}

int main(int argc, char** argv) {
  if (Is(argc, argv, "kernel")) file = memfd_create("copy", 0);
  if (Is(argc, argv, "huge")) size = kHugePage;
  name = Is(argc, argv, "name");
  page = NewPage();
  if (page == NULL) return 1;
  if (Address((const void*)page) % size != 0) return 3;
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, NULL);
  printf("PAGE %llu here\n", (unsigned long long)Address((const void*)page));
  fflush(stdout);
  if (sigsetjmp(met, 1) == 0) {
    while (file >= 0 && pwrite(file, (const void*)page, kPage, 0) == kPage) {
      usleep(100000);
    }
    if (file >= 0) printf("REFUSED with %d\n", errno);
    if (name) printf("CHILD %d\n", NameInChild());
    while (page[8] == 0x5a) usleep(100000);
    printf("WRONG the page reads as %d\n", page[8]);
    return 2;
  }
  printf(
      "MET code=%d bits=%d page=%s\n", code, bits,
      (uintptr_t)where / kPage == (uintptr_t)page / kPage ? "same" : "other");
  fflush(stdout);
  if (size == kHugePage) pause();
  return 0;
}

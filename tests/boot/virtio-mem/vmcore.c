// SPDX-License-Identifier: Apache-2.0
// vmcore ADDRESS WORD: looks through the memory of a Linux that has crashed,
// in /proc/vmcore, from the guest-physical ADDRESS on. Prints how many MiB the
// core has from there, and in how many of its pages WORD is the first text.
// Runs in a guest without any library, as root.
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kPage = 4096, kChunk = 256 * kPage };

static char chunk[kChunk];

// The pages of one segment that begin with the word.
static unsigned long Count(int core, const Elf64_Phdr* part, const char* word) {
  const size_t length = strlen(word);
  unsigned long found = 0;
  unsigned long at = 0;
  while (at < part->p_filesz) {
    const unsigned long left = part->p_filesz - at;
    const ssize_t size = pread(core, chunk, left < kChunk ? left : kChunk,
                               (off_t)(part->p_offset + at));
    if (size < kPage) {
      printf("CANNOT READ 0x%lx\n", (unsigned long)part->p_paddr + at);
      exit(71);
    }
    for (ssize_t page = 0; page + kPage <= size; page += kPage) {
      found += memcmp(chunk + page, word, length) == 0;
    }
    at += (unsigned long)size;
  }
  return found;
}

int main(int argc, char** argv) {
  Elf64_Ehdr header;
  unsigned long from, bytes = 0, found = 0;
  int core;
  if (argc != 3) return 64;
  from = strtoul(argv[1], NULL, 0);
  core = open("/proc/vmcore", O_RDONLY);
  if (core < 0 || read(core, &header, sizeof(header)) != sizeof(header)) {
    perror("/proc/vmcore");
    return 66;
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part;
    const off_t at = (off_t)(header.e_phoff + i * sizeof(part));
    if (pread(core, &part, sizeof(part), at) != sizeof(part)) return 66;
    if (part.p_type != PT_LOAD || part.p_paddr < from) continue;
    bytes += part.p_filesz;
    found += Count(core, &part, argv[2]);
  }
  printf("VMCORE %lu MiB %lu pages\n", bytes >> 20, found);
  return 0;
}

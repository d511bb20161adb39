// SPDX-License-Identifier: Apache-2.0
// The floor that a monitor is measured against: the KVM calls that a PC with
// one vCPU and 128 MiB needs, in kvmlet's order, and no device but the first
// serial port's output and the exit port.
// Usage: floor MULTIBOOT_ELF [COMMAND_LINE]; the status is the guest's.
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  kRamSize = 128 << 20,
  kInfo = 0x1f000,
  kCommandLine = 0x20000,
  kCommandLineMax = 0x1000,
  kMultibootMagic = 0x2badb002,
  kCom1 = 0x3f8,
  kCom1Lsr = 0x3fd,
  kTransmitterEmpty = 0x60,
  kExitPort = 0xf4,
  kCpuidEntries = 128,
};

struct cpuid {
  struct kvm_cpuid2 head;
  struct kvm_cpuid_entry2 entries[kCpuidEntries];
};

struct msrs {
  struct kvm_msrs head;
  struct kvm_msr_entry entries[2];
};

static void die(const char* what) {
  perror(what);
  exit(70);
}

static int call(int fd, unsigned long request, void* argument,
                const char* name) {
  const int result = ioctl(fd, request, argument);
  if (result < 0) die(name);
  return result;
}
#define CALL(fd, request, argument) call(fd, request, argument, #request)

static const void* map_file(const char* path, size_t* size) {
  struct stat info;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) != 0) die(path);
  *size = (size_t)info.st_size;
  const void* file = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (file == MAP_FAILED) die(path);
  close(fd);
  return file;
}

// Copies the segments of a 32-bit ELF file; returns its entry.
static uint32_t load(const char* path, unsigned char* ram) {
  size_t size = 0;
  const unsigned char* file = map_file(path, &size);
  const Elf32_Ehdr* header = (const Elf32_Ehdr*)file;
  if (size < sizeof(*header) || memcmp(file, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS32) {
    fprintf(stderr, "floor: %s is not a 32-bit ELF file\n", path);
    exit(65);
  }
  const Elf32_Phdr* segments = (const Elf32_Phdr*)(file + header->e_phoff);
  for (int i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type != PT_LOAD) continue;
    memcpy(ram + segments[i].p_paddr, file + segments[i].p_offset,
           segments[i].p_filesz);
  }
  return header->e_entry;
}

static unsigned char* create_memory(int vm) {
  unsigned char* ram = mmap(NULL, kRamSize, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) die("mmap");
  struct kvm_userspace_memory_region region = {
      .memory_size = kRamSize, .userspace_addr = (uintptr_t)ram};
  CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
  return ram;
}

static void create_interrupts(int vm) {
  uint64_t identity_map = 0xfffbc000;
  struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
  CALL(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
  CALL(vm, KVM_SET_TSS_ADDR, (void*)0xfffbd000);
  CALL(vm, KVM_CREATE_IRQCHIP, NULL);
  CALL(vm, KVM_CREATE_PIT2, &pit);
}

static int create_vcpu(int kvm, int vm) {
  static struct cpuid cpuid = {.head.nent = kCpuidEntries};
  static struct msrs msrs = {
      .head.nmsrs = 2,
      .entries = {{.index = 0x1a0, .data = 1}, {.index = 0x2ff, .data = 0x806}},
  };
  struct kvm_lapic_state lapic;
  CALL(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
  const int vcpu = CALL(vm, KVM_CREATE_VCPU, NULL);
  CALL(vcpu, KVM_SET_CPUID2, &cpuid);
  CALL(vcpu, KVM_SET_MSRS, &msrs);
  CALL(vcpu, KVM_GET_LAPIC, &lapic);
  CALL(vcpu, KVM_SET_LAPIC, &lapic);
  return vcpu;
}

static void set_registers(int vcpu, uint32_t entry) {
  const struct kvm_segment data = {.limit = 0xffffffff,
                                   .selector = 0x18,
                                   .type = 3,
                                   .present = 1,
                                   .s = 1,
                                   .db = 1,
                                   .g = 1};
  struct kvm_segment code = data;
  code.selector = 0x10;
  code.type = 0xb;
  struct kvm_sregs sregs;
  CALL(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cr0 = 0x11;
  CALL(vcpu, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = {
      .rax = kMultibootMagic, .rbx = kInfo, .rip = entry, .rflags = 2};
  CALL(vcpu, KVM_SET_REGS, &regs);
}

static void port_access(struct kvm_run* run) {
  unsigned char* data = (unsigned char*)run + run->io.data_offset;
  const size_t size = (size_t)run->io.size * run->io.count;
  if (run->io.direction == KVM_EXIT_IO_IN) {
    memset(data, run->io.port == kCom1Lsr ? kTransmitterEmpty : 0xff, size);
  } else if (run->io.port == kExitPort) {
    _exit(data[0]);
  } else if (run->io.port == kCom1) {
    if (write(STDOUT_FILENO, data, size) < 0) die("write");
  }
}

static void run_guest(int vcpu, struct kvm_run* run) {
  for (;;) {
    CALL(vcpu, KVM_RUN, NULL);
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        port_access(run);
        break;
      case KVM_EXIT_MMIO:
        if (!run->mmio.is_write) memset(run->mmio.data, 0xff, 8);
        break;
      default:
        fprintf(stderr, "floor: KVM exit %u\n", run->exit_reason);
        exit(83);
    }
  }
}

int main(int argc, char** argv) {
  const char* command_line = argc > 2 ? argv[2] : "";
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: floor MULTIBOOT_ELF [COMMAND_LINE]\n");
    return 64;
  }
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) die("/dev/kvm");
  const size_t run_size = (size_t)CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
  const int vm = CALL(kvm, KVM_CREATE_VM, NULL);
  unsigned char* ram = create_memory(vm);
  create_interrupts(vm);
  const int vcpu = create_vcpu(kvm, vm);
  struct kvm_run* run =
      mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) die("mmap of the vCPU");
  const uint32_t entry = load(argv[1], ram);
  // Multiboot 1, 3.3: flags say that the command line, at 16, is valid.
  const uint32_t info[] = {1u << 2, 0, 0, 0, kCommandLine};
  memcpy(ram + kInfo, info, sizeof(info));
  // As every loader of this protocol: the file's name comes first.
  snprintf((char*)ram + kCommandLine, kCommandLineMax, "%s %s", argv[1],
           command_line);
  set_registers(vcpu, entry);
  run_guest(vcpu, run);
}

// SPDX-License-Identifier: Apache-2.0
// A vCPU's registers as the notes of a core file: the general ones, the
// floating-point ones, and the system registers in the note that QEMU defined
// and that crash reads (QEMU's target/i386/arch_dump.c).
#include "arch/core.h"

#include <elf.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include <cstring>

#include "arch/common/core_note.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/paging.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace {

using namespace x86_64;

struct QemuSegment {
  uint32_t selector;
  uint32_t limit;
  uint32_t flags;
  uint32_t pad;
  uint64_t base;
};
static_assert(sizeof(QemuSegment) == 24);

struct QemuCpuState {
  uint32_t version;
  uint32_t size;
  uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  uint64_t rip, rflags;
  QemuSegment cs, ds, es, fs, gs, ss;
  QemuSegment ldt, tr, gdt, idt;
  uint64_t cr[5];
  uint64_t kernel_gs_base;
};
static_assert(sizeof(QemuCpuState) == 440);
constexpr uint32_t kQemuVersion = 1;
constexpr uint32_t kQemuNote = 0;

constexpr uint32_t kMsrKernelGsBase = 0xc0000102;

user_regs_struct General(const kvm_regs& regs, const kvm_sregs& sregs) {
  user_regs_struct out{};
  out.r15 = regs.r15;
  out.r14 = regs.r14;
  out.r13 = regs.r13;
  out.r12 = regs.r12;
  out.rbp = regs.rbp;
  out.rbx = regs.rbx;
  out.r11 = regs.r11;
  out.r10 = regs.r10;
  out.r9 = regs.r9;
  out.r8 = regs.r8;
  out.rax = regs.rax;
  out.rcx = regs.rcx;
  out.rdx = regs.rdx;
  out.rsi = regs.rsi;
  out.rdi = regs.rdi;
  out.orig_rax = ~0ull;  // not in a system call that a debugger could restart
  out.rip = regs.rip;
  out.cs = sregs.cs.selector;
  out.eflags = regs.rflags;
  out.rsp = regs.rsp;
  out.ss = sregs.ss.selector;
  out.fs_base = sregs.fs.base;
  out.gs_base = sregs.gs.base;
  out.ds = sregs.ds.selector;
  out.es = sregs.es.selector;
  out.fs = sregs.fs.selector;
  out.gs = sregs.gs.selector;
  return out;
}

// The attributes where a descriptor has them (Intel SDM volume 3, 3.4.5).
QemuSegment Segment(const kvm_segment& segment) {
  return {.selector = segment.selector,
          .limit = segment.limit,
          .flags = static_cast<uint32_t>(
              segment.type << 8 | segment.s << 12 | segment.dpl << 13 |
              segment.present << 15 | segment.avl << 20 | segment.l << 21 |
              segment.db << 22 | segment.g << 23),
          .pad = 0,
          .base = segment.base};
}

QemuSegment Table(const kvm_dtable& table) {
  QemuSegment out{};
  out.limit = table.limit;
  out.base = table.base;
  return out;
}

QemuCpuState System(const kvm_regs& regs, const kvm_sregs& sregs,
                    uint64_t kernel_gs_base) {
  QemuCpuState out{};
  out.version = kQemuVersion;
  out.size = sizeof(out);
  out.rax = regs.rax;
  out.rbx = regs.rbx;
  out.rcx = regs.rcx;
  out.rdx = regs.rdx;
  out.rsi = regs.rsi;
  out.rdi = regs.rdi;
  out.rsp = regs.rsp;
  out.rbp = regs.rbp;
  out.r8 = regs.r8;
  out.r9 = regs.r9;
  out.r10 = regs.r10;
  out.r11 = regs.r11;
  out.r12 = regs.r12;
  out.r13 = regs.r13;
  out.r14 = regs.r14;
  out.r15 = regs.r15;
  out.rip = regs.rip;
  out.rflags = regs.rflags;
  out.cs = Segment(sregs.cs);
  out.ds = Segment(sregs.ds);
  out.es = Segment(sregs.es);
  out.fs = Segment(sregs.fs);
  out.gs = Segment(sregs.gs);
  out.ss = Segment(sregs.ss);
  out.ldt = Segment(sregs.ldt);
  out.tr = Segment(sregs.tr);
  out.gdt = Table(sregs.gdt);
  out.idt = Table(sregs.idt);
  out.cr[0] = sregs.cr0;
  out.cr[2] = sregs.cr2;
  out.cr[3] = sregs.cr3;
  out.cr[4] = sregs.cr4;
  out.kernel_gs_base = kernel_gs_base;
  return out;
}

}  // namespace

uint16_t CoreMachine() { return EM_X86_64; }

absl::StatusOr<std::vector<CoreNote>> ReadCoreNotes(const KvmVcpu& vcpu,
                                                    uint32_t index) {
  KVMLET_ASSIGN_OR_RETURN(const kvm_regs regs, vcpu.fd().Get(kGetRegs));
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs sregs, vcpu.fd().Get(kGetSregs));
  KVMLET_ASSIGN_OR_RETURN(const XsaveArea xsave, vcpu.fd().Get(kGetXsave));
  KVMLET_ASSIGN_OR_RETURN(const uint64_t kernel_gs_base,
                          ReadMsr(vcpu.fd(), kMsrKernelGsBase));
  elf_prstatus status{};
  status.pr_pid = static_cast<pid_t>(index + 1);
  status.pr_fpvalid = 1;
  const user_regs_struct general = General(regs, sregs);
  static_assert(sizeof(general) == sizeof(status.pr_reg));
  std::memcpy(&status.pr_reg, &general, sizeof(general));
  // The XSAVE area begins with what FXSAVE stores.
  user_fpregs_struct floating{};
  std::memcpy(&floating, xsave.region, sizeof(floating));
  std::vector<CoreNote> notes;
  notes.push_back(MakeCoreNote("CORE", NT_PRSTATUS, status));
  notes.push_back(MakeCoreNote("CORE", NT_PRFPREG, floating));
  notes.push_back(
      MakeCoreNote("QEMU", kQemuNote, System(regs, sregs, kernel_gs_base)));
  return notes;
}

absl::StatusOr<std::vector<CoreMapping>> ReadCoreMappings(
    const KvmVcpu& vcpu, const GuestMemory& memory, size_t most) {
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs sregs, vcpu.fd().Get(kGetSregs));
  const X86AddressSpace space({.cr0 = sregs.cr0,
                               .cr3 = sregs.cr3,
                               .cr4 = sregs.cr4,
                               .efer = sregs.efer});
  return space.Mappings(memory, most);
}

}  // namespace kvmlet::arch

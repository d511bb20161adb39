// SPDX-License-Identifier: Apache-2.0
// One instruction at a time. The trap flag does it for most; SYSCALL, SYSRET,
// SYSENTER, SYSEXIT and INT n change the flags themselves, so that the trap
// would come too late or never: for them a debug register waits where they
// land. PUSHF would show the guest our flag, so it is taken out of the stack.
#include <linux/kvm.h>

#include <algorithm>
#include <array>
#include <optional>

#include "arch/x86_64/debug.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/paging.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

constexpr uint64_t kTrapFlag = 1u << 8;
constexpr uint64_t kEferSyscall = 1;
constexpr uint64_t kEferLongModeActive = 1u << 10;
constexpr uint32_t kMsrSysenterEip = 0x176;
constexpr uint32_t kMsrLstar = 0xc0000082;
constexpr uint32_t kMsrCstar = 0xc0000083;
constexpr size_t kLongest = 15;
constexpr size_t kSlots = 4;

struct Cpu {
  kvm_regs regs{};
  kvm_sregs sregs{};
  X86AddressSpace space{{}};
  bool long_mode() const { return (sregs.efer & kEferLongModeActive) != 0; }
  bool code64() const { return long_mode() && sregs.cs.l != 0; }
  uint64_t linear_rip() const { return sregs.cs.base + regs.rip; }
};

absl::StatusOr<Cpu> ReadCpu(const KvmVcpu& vcpu) {
  Cpu cpu;
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetRegs, cpu.regs));
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Get(kGetSregs, cpu.sregs));
  cpu.space = X86AddressSpace({.cr0 = cpu.sregs.cr0,
                               .cr3 = cpu.sregs.cr3,
                               .cr4 = cpu.sregs.cr4,
                               .efer = cpu.sregs.efer});
  return cpu;
}

// Reads guest-virtual memory; short when a page is missing.
size_t ReadLinear(const Cpu& cpu, const GuestMemory& memory, uint64_t address,
                  std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const auto page = cpu.space.Translate(memory, address + done);
    if (!page) break;
    const size_t part = std::min<uint64_t>(page->left, out.size() - done);
    if (!memory.Read(page->at, out.subspan(done, part))) break;
    done += part;
  }
  return done;
}

// The instruction without its prefixes.
struct Opcode {
  uint8_t first = 0;
  uint8_t second = 0;
  bool wide = false;     // REX.W
  bool operand = false;  // 0x66
};

std::optional<Opcode> Decode(const Cpu& cpu, const GuestMemory& memory) {
  std::array<std::byte, kLongest> bytes{};
  const size_t size = ReadLinear(cpu, memory, cpu.linear_rip(), bytes);
  Opcode opcode;
  for (size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (byte == 0x66) {
      opcode.operand = true;
    } else if (cpu.code64() && (byte & 0xf0) == 0x40) {
      opcode.wide = (byte & 8) != 0;
    } else if (byte != 0xf2 && byte != 0xf3 && byte != 0x2e && byte != 0x36 &&
               byte != 0x3e && byte != 0x26 && byte != 0x64 && byte != 0x65 &&
               byte != 0x67 && byte != 0xf0) {
      opcode.first = byte;
      if (i + 1 < size) opcode.second = static_cast<uint8_t>(bytes[i + 1]);
      return opcode;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> Msr(const KvmVcpu& vcpu, uint32_t index) {
  const absl::StatusOr<uint64_t> value = ReadMsr(vcpu.fd(), index);
  if (!value.ok()) return std::nullopt;
  return *value;
}

// Where the handler of a software interrupt is, unless it would fault.
std::optional<uint64_t> GateTarget(const Cpu& cpu, const GuestMemory& memory,
                                   uint8_t vector) {
  std::array<uint64_t, 2> gate{};
  const uint64_t offset = 16ull * vector;
  if (offset + 15 > cpu.sregs.idt.limit) return std::nullopt;
  const auto bytes = std::as_writable_bytes(std::span(gate));
  if (ReadLinear(cpu, memory, cpu.sregs.idt.base + offset, bytes) !=
      bytes.size()) {
    return std::nullopt;
  }
  const bool present = (gate[0] >> 47 & 1) != 0;
  const unsigned privilege = gate[0] >> 45 & 3;
  if (!present || privilege < cpu.sregs.ss.dpl) return std::nullopt;
  return (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
}

// Where an instruction lands that a trap flag does not survive; nullopt for
// all others, and where it would fault.
std::optional<uint64_t> Landing(const KvmVcpu& vcpu, const Cpu& cpu,
                                const GuestMemory& memory,
                                const Opcode& opcode) {
  if (!cpu.long_mode()) return std::nullopt;
  const bool kernel = cpu.sregs.ss.dpl == 0;
  if (opcode.first == 0xcd) return GateTarget(cpu, memory, opcode.second);
  if (opcode.first == 0xcc) return GateTarget(cpu, memory, 3);
  if (opcode.first != 0x0f) return std::nullopt;
  const uint64_t mask = opcode.wide ? ~0ull : 0xffffffff;
  switch (opcode.second) {
    case 0x05:  // SYSCALL
      if ((cpu.sregs.efer & kEferSyscall) == 0) return std::nullopt;
      return Msr(vcpu, cpu.code64() ? kMsrLstar : kMsrCstar);
    case 0x07:  // SYSRET
      if (!kernel || !cpu.code64()) return std::nullopt;
      return cpu.regs.rcx & mask;
    case 0x34:  // SYSENTER
      return Msr(vcpu, kMsrSysenterEip);
    case 0x35:  // SYSEXIT
      if (!kernel) return std::nullopt;
      return cpu.regs.rdx & mask;
    default:
      return std::nullopt;
  }
}

}  // namespace

absl::StatusOr<DebugStep> X86Debug::BeginStep(
    const KvmVcpu& vcpu, const GuestMemory& memory,
    const DebugControl& control) const {
  KVMLET_ASSIGN_OR_RETURN(const Cpu cpu, ReadCpu(vcpu));
  KVMLET_ASSIGN_OR_RETURN(const kvm_mp_state state, vcpu.fd().Get(kGetMpState));
  DebugStep step{.control = control, .pc = cpu.linear_rip()};
  // Only an interrupt ends a HLT.
  if (state.mp_state == KVM_MP_STATE_HALTED) {
    step.control.block_interrupts = false;
  }
  const std::optional<Opcode> opcode = Decode(cpu, memory);
  std::optional<uint64_t> landing;
  if (opcode && caps_.execute) landing = Landing(vcpu, cpu, memory, *opcode);
  if (!landing) {
    step.control.single_step = true;
    step.repair = opcode && opcode->first == 0x9c;
    step.saved = opcode && opcode->operand ? 2 : cpu.code64() ? 8 : 4;
    return step;
  }
  // One instruction cannot miss a breakpoint that makes room for a moment.
  std::vector<DebugSlot>& slots = step.control.slots;
  if (slots.size() >= kSlots) slots.pop_back();
  slots.push_back({.kind = BreakKind::kExecute, .address = *landing});
  step.landing = slots.size() - 1;
  return step;
}

absl::Status X86Debug::FinishStep(const KvmVcpu& vcpu,
                                  const GuestMemory& memory,
                                  const DebugStep& step) const {
  if (!step.repair) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(const Cpu cpu, ReadCpu(vcpu));
  // Not executed: it faulted, or the step was broken off.
  if (cpu.linear_rip() == step.pc) return absl::OkStatus();
  std::array<std::byte, 8> bytes{};
  const auto pushed = std::span(bytes).first(step.saved);
  const uint64_t stack = cpu.sregs.ss.base + cpu.regs.rsp;
  const uint64_t top = cpu.code64() ? cpu.regs.rsp : stack;
  if (ReadLinear(cpu, memory, top, pushed) != pushed.size()) {
    return absl::OkStatus();
  }
  const auto flag = static_cast<std::byte>(kTrapFlag >> 8);
  if ((pushed[1] & flag) == std::byte{0}) return absl::OkStatus();
  const auto page = cpu.space.Translate(memory, top + 1);
  const std::byte cleared = pushed[1] & ~flag;
  if (page) (void)memory.Write(page->at, std::span(&cleared, 1));
  return absl::OkStatus();
}

}  // namespace kvmlet::arch::x86_64

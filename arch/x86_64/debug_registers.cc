// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/debug_registers.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kvmlet::arch::x86_64 {
namespace {

// Byte offsets in the XSAVE area (SDM volume 1, table 13-1 and 13.4.2; the
// AVX component is at the same place on every processor).
constexpr size_t kFcw = 0;
constexpr size_t kFsw = 2;
constexpr size_t kFtw = 4;
constexpr size_t kFop = 6;
constexpr size_t kFip = 8;
constexpr size_t kFdp = 16;
constexpr size_t kMxcsr = 24;
constexpr size_t kX87Registers = 32;
constexpr size_t kXmmRegisters = 160;
constexpr size_t kXstateBv = 512;
constexpr size_t kYmmHigh = 576;
constexpr uint64_t kComponentX87 = 1;
constexpr uint64_t kComponentSse = 2;
constexpr uint64_t kComponentAvx = 4;

using Table = std::vector<RegisterSpec>;

void AddGeneral(Table& table) {
  using R = kvm_regs;
  const std::pair<const char*, size_t> registers[] = {
      {"rax", offsetof(R, rax)}, {"rbx", offsetof(R, rbx)},
      {"rcx", offsetof(R, rcx)}, {"rdx", offsetof(R, rdx)},
      {"rsi", offsetof(R, rsi)}, {"rdi", offsetof(R, rdi)},
      {"rbp", offsetof(R, rbp)}, {"rsp", offsetof(R, rsp)},
      {"r8", offsetof(R, r8)},   {"r9", offsetof(R, r9)},
      {"r10", offsetof(R, r10)}, {"r11", offsetof(R, r11)},
      {"r12", offsetof(R, r12)}, {"r13", offsetof(R, r13)},
      {"r14", offsetof(R, r14)}, {"r15", offsetof(R, r15)},
      {"rip", offsetof(R, rip)}, {"eflags", offsetof(R, rflags)},
  };
  for (const auto& [name, offset] : registers) {
    table.push_back({.name = name, .where = static_cast<uint32_t>(offset)});
  }
  table[kRbpNumber].type = "data_ptr";
  table[kRspNumber].type = "data_ptr";
  table[kRipNumber].type = "code_ptr";
  table.back().bytes = 4;
  table.back().type = "i386_eflags";
  const std::pair<const char*, size_t> selectors[] = {
      {"cs", offsetof(kvm_sregs, cs)}, {"ss", offsetof(kvm_sregs, ss)},
      {"ds", offsetof(kvm_sregs, ds)}, {"es", offsetof(kvm_sregs, es)},
      {"fs", offsetof(kvm_sregs, fs)}, {"gs", offsetof(kvm_sregs, gs)},
  };
  for (const auto& [name, offset] : selectors) {
    table.push_back({.name = name,
                     .bytes = 4,
                     .type = "int32",
                     .home = RegisterHome::kSregs,
                     .where = static_cast<uint32_t>(
                         offset + offsetof(kvm_segment, selector))});
  }
}

void AddFloatingPoint(Table& table) {
  for (uint32_t i = 0; i < 8; ++i) {
    table.push_back({.name = absl::StrCat("st", i),
                     .bytes = 10,
                     .type = "i387_ext",
                     .home = RegisterHome::kX87,
                     .where = i});
  }
  uint32_t word = 0;
  for (const char* name :
       {"fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"}) {
    table.push_back({.name = name,
                     .bytes = 4,
                     .type = "int",
                     .home = RegisterHome::kX87State,
                     .where = word++});
  }
  for (uint32_t i = 0; i < 16; ++i) {
    table.push_back({.name = absl::StrCat("xmm", i),
                     .bytes = 16,
                     .type = "vec128",
                     .feature = RegisterFeature::kSse,
                     .home = RegisterHome::kXmm,
                     .where = i});
  }
  table.push_back({.name = "mxcsr",
                   .bytes = 4,
                   .type = "i386_mxcsr",
                   .feature = RegisterFeature::kSse,
                   .home = RegisterHome::kMxcsr});
}

RegisterSpec SystemSpec(std::string name, RegisterHome home, size_t where,
                        uint32_t bytes = 8) {
  return {.name = std::move(name),
          .bytes = bytes,
          .type = bytes == 8   ? "int64"
                  : bytes == 4 ? "int32"
                               : "int16",
          .feature = RegisterFeature::kSystem,
          .home = home,
          .where = static_cast<uint32_t>(where)};
}

void AddSystem(Table& table) {
  using S = kvm_sregs;
  using T = kvm_segment;
  struct Field {
    const char* name;
    size_t offset;
    uint32_t bytes = 8;
  };
  const Field fields[] = {
      {"cr0", offsetof(S, cr0)},
      {"cr2", offsetof(S, cr2)},
      {"cr3", offsetof(S, cr3)},
      {"cr4", offsetof(S, cr4)},
      {"cr8", offsetof(S, cr8)},
      {"efer", offsetof(S, efer)},
      {"apic_base", offsetof(S, apic_base)},
      {"gdtr_base", offsetof(S, gdt) + offsetof(kvm_dtable, base)},
      {"gdtr_limit", offsetof(S, gdt) + offsetof(kvm_dtable, limit), 2},
      {"idtr_base", offsetof(S, idt) + offsetof(kvm_dtable, base)},
      {"idtr_limit", offsetof(S, idt) + offsetof(kvm_dtable, limit), 2},
      {"tr", offsetof(S, tr) + offsetof(T, selector), 2},
      {"tr_base", offsetof(S, tr) + offsetof(T, base)},
      {"tr_limit", offsetof(S, tr) + offsetof(T, limit), 4},
      {"ldtr", offsetof(S, ldt) + offsetof(T, selector), 2},
      {"ldtr_base", offsetof(S, ldt) + offsetof(T, base)},
      {"ldtr_limit", offsetof(S, ldt) + offsetof(T, limit), 4},
  };
  for (const Field& field : fields) {
    table.push_back(SystemSpec(field.name, RegisterHome::kSregs, field.offset,
                               field.bytes));
  }
  table.push_back(SystemSpec("xcr0", RegisterHome::kXcr0, 0));
  for (const uint32_t i : {0u, 1u, 2u, 3u, 6u, 7u}) {
    table.push_back(
        SystemSpec(absl::StrCat("dr", i), RegisterHome::kDebugRegister, i));
  }
  const std::pair<const char*, uint32_t> msrs[] = {
      {"k_gs_base", 0xc0000102}, {"star", 0xc0000081},
      {"lstar", 0xc0000082},     {"cstar", 0xc0000083},
      {"fmask", 0xc0000084},     {"sysenter_cs", 0x174},
      {"sysenter_esp", 0x175},   {"sysenter_eip", 0x176},
      {"pat", kMsrPat},          {"tsc", 0x10},
      {"tsc_aux", 0xc0000103},
  };
  for (const auto& [name, index] : msrs) {
    table.push_back(SystemSpec(name, RegisterHome::kMsr, index));
  }
}

Table MakeTable() {
  Table table;
  AddGeneral(table);
  AddFloatingPoint(table);
  for (const auto& [name, offset] :
       {std::pair{"fs_base", offsetof(kvm_sregs, fs)},
        std::pair{"gs_base", offsetof(kvm_sregs, gs)}}) {
    table.push_back(
        {.name = name,
         .type = "int",
         .feature = RegisterFeature::kSegments,
         .home = RegisterHome::kSregs,
         .where = static_cast<uint32_t>(offset + offsetof(kvm_segment, base))});
  }
  for (uint32_t i = 0; i < 16; ++i) {
    table.push_back({.name = absl::StrCat("ymm", i, "h"),
                     .bytes = 16,
                     .type = "uint128",
                     .feature = RegisterFeature::kAvx,
                     .home = RegisterHome::kYmmHigh,
                     .where = i});
  }
  AddSystem(table);
  return table;
}

std::byte* XsaveBytes(XsaveArea& area, size_t offset) {
  return reinterpret_cast<std::byte*>(area.region) + offset;
}
const std::byte* XsaveBytes(const XsaveArea& area, size_t offset) {
  return reinterpret_cast<const std::byte*>(area.region) + offset;
}

template <typename T>
T LoadXsave(const XsaveArea& area, size_t offset) {
  T value;
  std::memcpy(&value, XsaveBytes(area, offset), sizeof(value));
  return value;
}
template <typename T>
void StoreXsave(XsaveArea& area, size_t offset, T value) {
  std::memcpy(XsaveBytes(area, offset), &value, sizeof(value));
}

void MarkPresent(XsaveArea& area, uint64_t component) {
  StoreXsave(area, kXstateBv, LoadXsave<uint64_t>(area, kXstateBv) | component);
}

// The tag word that FXSAVE abridges to a bit a register (SDM volume 1,
// 10.5.1.1): 0 valid, 1 zero, 2 special, 3 empty.
uint32_t FullTagWord(const XsaveArea& area) {
  const auto used = LoadXsave<uint8_t>(area, kFtw);
  const unsigned top = LoadXsave<uint16_t>(area, kFsw) >> 11 & 7;
  uint32_t tags = 0;
  for (unsigned physical = 0; physical < 8; ++physical) {
    uint32_t tag = 3;
    if ((used >> physical & 1) != 0) {
      const size_t at = kX87Registers + 16 * ((physical - top) & 7);
      const auto significand = LoadXsave<uint64_t>(area, at);
      const unsigned exponent = LoadXsave<uint16_t>(area, at + 8) & 0x7fff;
      const bool integer = (significand >> 63) != 0;
      tag = exponent == 0 && significand == 0 ? 1
            : exponent == 0x7fff || !integer  ? 2
                                              : 0;
    }
    tags |= tag << (2 * physical);
  }
  return tags;
}

uint32_t X87Word(const XsaveArea& area, uint32_t word) {
  switch (word) {
    case 0:
      return LoadXsave<uint16_t>(area, kFcw);
    case 1:
      return LoadXsave<uint16_t>(area, kFsw);
    case 2:
      return FullTagWord(area);
    case 4:
      return LoadXsave<uint32_t>(area, kFip);
    case 6:
      return LoadXsave<uint32_t>(area, kFdp);
    case 7:
      return LoadXsave<uint16_t>(area, kFop);
    default:  // the segments, which 64-bit FXSAVE does not keep
      return 0;
  }
}

void SetX87Word(XsaveArea& area, uint32_t word, uint32_t value) {
  switch (word) {
    case 0:
      return StoreXsave(area, kFcw, static_cast<uint16_t>(value));
    case 1:
      return StoreXsave(area, kFsw, static_cast<uint16_t>(value));
    case 2: {
      uint8_t used = 0;
      for (unsigned i = 0; i < 8; ++i) {
        if ((value >> (2 * i) & 3) != 3) used |= static_cast<uint8_t>(1 << i);
      }
      return StoreXsave(area, kFtw, used);
    }
    case 4:
      return StoreXsave(area, kFip, value);
    case 6:
      return StoreXsave(area, kFdp, value);
    case 7:
      return StoreXsave(area, kFop, static_cast<uint16_t>(value));
    default:
      return;
  }
}

// Where a register of the XSAVE area is, and its component.
struct XsavePlace {
  size_t offset;
  uint64_t component;
};
XsavePlace PlaceOf(const RegisterSpec& spec) {
  switch (spec.home) {
    case RegisterHome::kX87:
      return {kX87Registers + 16 * size_t{spec.where}, kComponentX87};
    case RegisterHome::kXmm:
      return {kXmmRegisters + 16 * size_t{spec.where}, kComponentSse};
    case RegisterHome::kYmmHigh:
      return {kYmmHigh + 16 * size_t{spec.where}, kComponentAvx};
    default:
      return {kMxcsr, kComponentSse};
  }
}

bool IsSelector(const RegisterSpec& spec) {
  return spec.feature == RegisterFeature::kCore;
}

}  // namespace

std::span<const RegisterSpec> RegisterTable() {
  static const Table kTable = MakeTable();
  return kTable;
}

std::vector<DebugRegister> RegisterList() {
  std::vector<DebugRegister> list;
  for (const RegisterSpec& spec : RegisterTable()) {
    list.push_back({.name = spec.name, .size = spec.bytes});
  }
  return list;
}

void Encode(const RegisterSpec& spec, const GeneralState& state,
            std::span<std::byte> out) {
  std::ranges::fill(out, std::byte{0});
  const auto copy = [&out](const void* from, size_t size) {
    std::memcpy(out.data(), from, std::min(size, out.size()));
  };
  switch (spec.home) {
    case RegisterHome::kRegs:
      return copy(reinterpret_cast<const std::byte*>(&state.regs) + spec.where,
                  spec.bytes);
    case RegisterHome::kSregs:
      return copy(reinterpret_cast<const std::byte*>(&state.sregs) + spec.where,
                  IsSelector(spec) ? sizeof(uint16_t) : spec.bytes);
    case RegisterHome::kX87State: {
      const uint32_t word = X87Word(state.xsave, spec.where);
      return copy(&word, sizeof(word));
    }
    default:
      return copy(XsaveBytes(state.xsave, PlaceOf(spec).offset), spec.bytes);
  }
}

absl::Status Decode(const RegisterSpec& spec, std::span<const std::byte> in,
                    GeneralState& state) {
  switch (spec.home) {
    case RegisterHome::kRegs: {
      auto* const to = reinterpret_cast<std::byte*>(&state.regs) + spec.where;
      std::memcpy(to, in.data(), spec.bytes);
      return absl::OkStatus();
    }
    case RegisterHome::kSregs: {
      auto* const to = reinterpret_cast<std::byte*>(&state.sregs) + spec.where;
      if (!IsSelector(spec)) {
        std::memcpy(to, in.data(), spec.bytes);
        return absl::OkStatus();
      }
      // A selector alone says nothing about the segment it stands for.
      if (std::memcmp(to, in.data(), sizeof(uint16_t)) == 0) {
        return absl::OkStatus();
      }
      return absl::InvalidArgumentError(
          absl::StrCat(spec.name, " cannot be written"));
    }
    case RegisterHome::kX87State: {
      uint32_t word = 0;
      std::memcpy(&word, in.data(), sizeof(word));
      SetX87Word(state.xsave, spec.where, word);
      MarkPresent(state.xsave, kComponentX87);
      return absl::OkStatus();
    }
    default: {
      const XsavePlace place = PlaceOf(spec);
      std::memcpy(XsaveBytes(state.xsave, place.offset), in.data(), spec.bytes);
      MarkPresent(state.xsave, place.component);
      return absl::OkStatus();
    }
  }
}

}  // namespace kvmlet::arch::x86_64

// SPDX-License-Identifier: Apache-2.0
// A machine to debug without KVM: an ISA of five registers whose virtual
// addresses are 0x10000 above physical ones, and vCPUs that stop when the test
// says why. Single-threaded: what is posted runs in RunPosted.
#ifndef KVMLET_TESTS_FAKES_FAKE_DEBUG_H_
#define KVMLET_TESTS_FAKES_FAKE_DEBUG_H_

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vmm/debug/debugger.h"

namespace kvmlet {

class FakeAddressSpace final : public arch::AddressSpace {
 public:
  static constexpr uint64_t kOffset = 0x10000;
  std::optional<Page> Translate(const GuestMemory& memory,
                                uint64_t address) const override {
    if (address < kOffset || !memory.Contains(Gpa{address - kOffset}, 1)) {
      return std::nullopt;
    }
    return Page{.at = Gpa{address - kOffset}, .left = 4096 - address % 4096};
  }
  std::string Explain(const GuestMemory&, uint64_t) const override {
    return "minus 0x10000\n";
  }
};

class FakeDebugArch final : public arch::Debug {
 public:
  FakeDebugArch() {
    for (const char* name : {"pc", "sp", "fp", "r0", "secret"}) {
      registers_.push_back({.name = name, .size = 8});
    }
    caps_ = {.single_step = true,
             .software_breakpoints = true,
             .execute = true,
             .watch = true,
             .block_interrupts = true,
             .execute_slots = 4,
             .shared_slots = true};
  }

  const arch::DebugCaps& caps() const override { return caps_; }
  std::string_view Description() const override { return "<target/>"; }
  std::span<const arch::DebugRegister> registers() const override {
    return registers_;
  }
  size_t general_count() const override { return 4; }
  std::span<const size_t> expedited() const override {
    static constexpr std::array<size_t, 3> kNumbers{0, 1, 2};
    return kNumbers;
  }
  absl::StatusOr<std::vector<std::byte>> ReadGeneral(
      const KvmVcpu& vcpu) const override {
    std::vector<std::byte> out(32);
    std::memcpy(out.data(), values(vcpu).data(), out.size());
    return out;
  }
  absl::Status WriteGeneral(const KvmVcpu& vcpu,
                            std::span<const std::byte> value) const override {
    if (value.size() != 32) return absl::InvalidArgumentError("size");
    std::memcpy(values(vcpu).data(), value.data(), value.size());
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::byte>> ReadRegister(
      const KvmVcpu& vcpu, size_t number) const override {
    if (number >= 5) return absl::NotFoundError("no such register");
    std::vector<std::byte> out(8);
    std::memcpy(out.data(), &values(vcpu)[number], out.size());
    return out;
  }
  absl::Status WriteRegister(const KvmVcpu& vcpu, size_t number,
                             std::span<const std::byte> value) const override {
    if (number >= 5 || value.size() != 8) {
      return absl::InvalidArgumentError("no such register");
    }
    std::memcpy(&values(vcpu)[number], value.data(), value.size());
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> ProgramCounter(const KvmVcpu& vcpu) const override {
    return values(vcpu)[0];
  }
  absl::StatusOr<std::unique_ptr<arch::AddressSpace>> ReadAddressSpace(
      const KvmVcpu&) const override {
    return std::make_unique<FakeAddressSpace>();
  }
  std::string DescribeVcpu(const KvmVcpu&) const override { return "fake"; }
  std::span<const std::byte> BreakpointInstruction(
      uint64_t kind) const override {
    static constexpr std::array<std::byte, 1> kCode{std::byte{0xcc}};
    if (kind != 1) return {};
    return kCode;
  }
  std::vector<arch::DebugSlot> Slots(arch::BreakKind kind, uint64_t address,
                                     uint64_t length) const override {
    if (length == 0 || length > 8) return {};
    return {{.kind = kind,
             .address = address,
             .length = static_cast<uint32_t>(length)}};
  }
  absl::Status Arm(const KvmVcpu& vcpu,
                   const arch::DebugControl& control) const override {
    armed_[vcpu.id()] = control;
    return absl::OkStatus();
  }
  absl::StatusOr<arch::DebugStep> BeginStep(
      const KvmVcpu& vcpu, const GuestMemory&,
      const arch::DebugControl& control) const override {
    arch::DebugStep step{.control = control, .pc = values(vcpu)[0]};
    step.control.single_step = true;
    return step;
  }
  absl::Status FinishStep(const KvmVcpu&, const GuestMemory&,
                          const arch::DebugStep&) const override {
    return absl::OkStatus();
  }
  arch::DebugEvent ReadEvent(const KvmVcpu& vcpu,
                             const arch::DebugControl&) const override {
    return events_[vcpu.id()];
  }
  absl::Status Reinject(const KvmVcpu& vcpu, const arch::DebugEvent&,
                        const arch::DebugControl&) const override {
    ++given_back_[vcpu.id()];
    return absl::OkStatus();
  }

  std::array<uint64_t, 5>& values(const KvmVcpu& vcpu) const {
    return values_[vcpu.id()];
  }

  arch::DebugCaps caps_;
  // What a vCPU is armed with, why it stops next, what went back to it.
  mutable std::map<uint32_t, arch::DebugControl> armed_;
  mutable std::map<uint32_t, arch::DebugEvent> events_;
  mutable std::map<uint32_t, int> given_back_;
  mutable std::map<uint32_t, std::array<uint64_t, 5>> values_;

 private:
  std::vector<arch::DebugRegister> registers_;
};

class FakeDebugTarget final : public DebugTarget {
 public:
  static constexpr uint64_t kSize = 1 << 20;

  explicit FakeDebugTarget(uint32_t vcpus) : running_(vcpus) {
    const std::array<RamRange, 1> ranges{RamRange{Gpa{0}, kSize}};
    memory_.emplace(*GuestMemory::Create(ranges, {}));
    for (uint32_t i = 0; i < vcpus; ++i) {
      UniqueFd page(::memfd_create("vcpu", MFD_CLOEXEC));
      if (::ftruncate(page.get(), 4096) != 0) std::abort();
      vcpus_.push_back(*KvmVcpu::Create(std::move(page), i, 4096));
    }
  }

  size_t vcpu_count() const override { return vcpus_.size(); }
  const GuestMemory& memory() const override { return *memory_; }
  void StopForDebugger() override { running_.assign(running_.size(), false); }
  void ResumeForDebugger(size_t vcpu) override { running_[vcpu] = true; }
  void RunOnVcpu(size_t vcpu,
                 const std::function<void(KvmVcpu&)>& function) override {
    function(*vcpus_[vcpu]);
  }
  std::vector<StatsGroup> CountedExits() const override {
    return {{.target = StatsTarget::kVcpu,
             .vcpu = 0,
             .provider = kExitsProvider,
             .stats = {{{.name = "mmio"}, {5}}}}};
  }
  void EndCrashed() override { ended_ = true; }
  absl::Status ResetFromDebugger() override { return absl::OkStatus(); }
  void QuitFromDebugger() override { ended_ = true; }
  absl::StatusOr<std::string> KernelOffsetText(size_t) override {
    return kernel_offset_;
  }
  void Post(std::function<void()> function) override {
    posted_.push_back(std::move(function));
  }

  void RunPosted() {
    for (const auto& function : std::exchange(posted_, {})) function();
  }
  const KvmVcpu& vcpu(size_t index) const { return *vcpus_[index]; }

  std::vector<bool> running_;
  bool ended_ = false;
  absl::StatusOr<std::string> kernel_offset_ = absl::NotFoundError("unknown");

 private:
  std::optional<GuestMemory> memory_;
  std::vector<std::unique_ptr<KvmVcpu>> vcpus_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_FAKES_FAKE_DEBUG_H_

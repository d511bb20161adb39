// SPDX-License-Identifier: Apache-2.0
// vCPUs on their own threads, with buses and a platform that only remember.
#ifndef KVMLET_TESTS_KVM_VCPU_FIXTURE_H_
#define KVMLET_TESTS_KVM_VCPU_FIXTURE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "arch/arch.h"
#include "tests/kvm/guest_fixture.h"
#include "vmm/bus/bus.h"
#include "vmm/vcpu.h"

namespace kvmlet {

// Only the part that a vCPU's loop calls does anything.
class LoopPlatform : public arch::Platform {
 public:
  InterruptRouter& interrupts() override { std::abort(); }
  uint32_t PciInterrupt(uint32_t, uint32_t) const override { return 0; }
  absl::Status AttachPci(pci::PciRoot&) override { return {}; }
  absl::Status SetUpVcpu(KvmVcpu&, uint32_t) override { return {}; }
  absl::Status FinishVcpus() override { return {}; }
  absl::Status LoadGuest() override { return {}; }
  absl::Status ResetVcpu(KvmVcpu&, uint32_t, bool) override { return {}; }
  absl::Status Reset() override { return {}; }
  absl::Status PowerButton() override { return {}; }
  arch::ExitResult HandleExit(KvmVcpu& vcpu) override {
    switch (vcpu.run().exit_reason) {
      case KVM_EXIT_HLT:
        return arch::ExitResult::kResume;
      case KVM_EXIT_SHUTDOWN:
        return arch::ExitResult::kShutdown;
      default:
        return arch::ExitResult::kUnknown;
    }
  }
  absl::StatusOr<arch::MemoryErrorResult> InjectMemoryError(KvmVcpu&,
                                                            const MemoryError&,
                                                            bool) override {
    return arch::MemoryErrorResult::kUntold;
  }
  std::string DescribeFailure(KvmVcpu& vcpu) override {
    return absl::StrCat("exit ", vcpu.run().exit_reason);
  }
  absl::StatusOr<std::string> RegistersText(KvmVcpu&) override { return ""; }
};

// Calls the test for every access, on the vCPU's thread.
class CallbackDevice : public IoDevice {
 public:
  std::string_view name() const override { return "test"; }
  void Read(uint64_t offset, std::span<std::byte> data) override {
    if (on_read) on_read(offset, data);
  }
  void Write(uint64_t offset, std::span<const std::byte> data) override {
    ++writes;
    if (on_write) on_write(offset, data);
  }

  std::function<void(uint64_t, std::span<std::byte>)> on_read;
  std::function<void(uint64_t, std::span<const std::byte>)> on_write;
  std::atomic<uint64_t> writes{0};
};

class VcpuTest : public GuestTest, protected VcpuObserver {
 protected:
  static constexpr uint16_t kPort = 0x500;
  static constexpr uint64_t kMmio = 0xf9000000;

  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    Vcpu::InstallKickSignal();
    ASSERT_TRUE(pio_.Add(*AddressRange::Make(kPort, 16), port_).ok());
    ASSERT_TRUE(mmio_.Add(*AddressRange::Make(kMmio, 4096), window_).ok());
    pio_.Seal();
    mmio_.Seal();
  }
  std::unique_ptr<Vcpu> Make(uint32_t index = 0) {
    return std::make_unique<Vcpu>(MakeVcpu(index), index,
                                  Vcpu::Context{.mmio = mmio_,
                                                .pio = pio_,
                                                .platform = platform_,
                                                .observer = *this,
                                                .hold = hold_});
  }
  std::unique_ptr<Vcpu> Start(uint32_t index = 0) {
    auto vcpu = Make(index);
    vcpu->Start();
    vcpu->Resume();
    return vcpu;
  }
  // Writes to the port without end.
  static GuestCode Writer() {
    GuestCode code;
    const uint32_t again = code.here();
    return code.Out8(kPort, 1).Jump(again);
  }
  static GuestCode Spinner() {
    GuestCode code;
    return code.Jump(code.here());
  }
  static bool WaitFor(const std::function<bool()>& done) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  // VcpuObserver.
  void OnShutdown(uint32_t vcpu) override {
    const std::lock_guard lock(mutex_);
    shutdowns_.push_back(vcpu);
  }
  void OnFailure(uint32_t, std::string why) override {
    const std::lock_guard lock(mutex_);
    failures_.push_back(std::move(why));
  }
  std::vector<uint32_t> shutdowns() {
    const std::lock_guard lock(mutex_);
    return shutdowns_;
  }
  std::vector<std::string> failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

  Bus mmio_{"mmio"};
  Bus pio_{"pio"};
  CallbackDevice port_;
  CallbackDevice window_;
  LoopPlatform platform_;
  std::atomic<bool> hold_{false};

 private:
  std::mutex mutex_;
  std::vector<uint32_t> shutdowns_;    // guarded by mutex_
  std::vector<std::string> failures_;  // guarded by mutex_
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_KVM_VCPU_FIXTURE_H_

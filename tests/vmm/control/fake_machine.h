// SPDX-License-Identifier: Apache-2.0
// A machine that is only its state, for the control plane's tests. Not
// thread-safe: used on the loop's thread, or after the loop stopped.
#ifndef KVMLET_TESTS_VMM_CONTROL_FAKE_MACHINE_H_
#define KVMLET_TESTS_VMM_CONTROL_FAKE_MACHINE_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/vmm/control/fake_memory_control.h"
#include "vmm/control/events.h"
#include "vmm/control/machine_control.h"
#include "vmm/control/qom.h"

namespace kvmlet {

class FakeMachine : public MachineControl {
 public:
  // `events` may be null; otherwise it hears what a real machine would tell.
  explicit FakeMachine(Events* events = nullptr) : events_(events) {}

  RunState run_state() const override { return state; }
  absl::Status Pause() override {
    if (!error.ok()) return error;
    state = RunState::kPaused;
    if (events_ != nullptr) events_->Stop();
    return absl::OkStatus();
  }
  absl::Status Resume() override {
    if (!error.ok()) return error;
    state = RunState::kRunning;
    if (events_ != nullptr) events_->Resume();
    return absl::OkStatus();
  }
  absl::Status PowerButton() override {
    if (!error.ok()) return error;
    ++power_buttons;
    if (events_ != nullptr) events_->Powerdown();
    return absl::OkStatus();
  }
  absl::Status SystemReset() override {
    if (!error.ok()) return error;
    ++resets;
    if (events_ != nullptr) events_->Reset(ShutdownCause::kHostReset);
    return absl::OkStatus();
  }
  void Quit() override {
    ++quits;
    if (events_ != nullptr) events_->Shutdown(ShutdownCause::kHostQuit);
    if (on_quit) on_quit();
  }
  absl::Status ResizeDisk(std::string_view id) override {
    if (id != "disk0") {
      return absl::NotFoundError("Device '" + std::string(id) + "' not found");
    }
    resized.emplace_back(id);
    return absl::OkStatus();
  }
  absl::Status PlugDevice(const PlugRequest& request) override {
    if (!error.ok()) return error;
    plugged.push_back(request);
    return absl::OkStatus();
  }
  absl::Status UnplugDevice(std::string_view id, bool force) override {
    if (!error.ok()) return error;
    unplugged.emplace_back(id, force);
    return absl::OkStatus();
  }
  std::string vm_name() const override { return "fake"; }
  std::string arch_name() const override { return "x86_64"; }
  std::vector<VcpuInfo> vcpus() const override { return vcpu_list; }
  std::vector<DeviceInfo> devices() const override { return device_list; }
  uint64_t memory_size() const override { return 512ull << 20; }
  MemoryControl& memory() override { return fake_memory; }
  absl::Status SetBalloon(uint64_t bytes) override {
    if (!balloon) return absl::UnavailableError("No balloon device");
    balloon = bytes;
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> BalloonSize() const override {
    if (!balloon) return absl::UnavailableError("No balloon device");
    return *balloon;
  }
  absl::StatusOr<std::string> RegistersText() override {
    if (!error.ok()) return error;
    return registers;
  }
  absl::Status DumpGuest(const std::string& path, bool paging) override {
    if (!error.ok()) return error;
    dumps.push_back(paging ? path + " with paging" : path);
    return absl::OkStatus();
  }
  absl::Status InjectMemoryError(uint64_t address, bool action_required,
                                 uint32_t vcpu) override {
    if (!error.ok()) return error;
    memory_errors.push_back({address, action_required, vcpu});
    return absl::OkStatus();
  }
  const QomObjects& objects() const override { return qom; }
  absl::StatusOr<std::vector<StatsGroup>> Stats() override {
    if (!error.ok()) return error;
    return stats;
  }

  RunState state = RunState::kRunning;
  absl::Status error;  // what every action fails with
  int power_buttons = 0;
  int resets = 0;
  int quits = 0;
  std::vector<std::string> resized;
  std::vector<std::string> dumps;
  std::vector<PlugRequest> plugged;
  std::vector<std::pair<std::string, bool>> unplugged;  // id, force
  struct InjectedError {
    uint64_t address;
    bool action_required;
    uint32_t vcpu;
  };
  std::vector<InjectedError> memory_errors;
  std::string registers = "vcpu 0\n  rip 1000\n";
  std::optional<uint64_t> balloon;
  QomObjects qom;
  FakeMemoryControl fake_memory;
  std::vector<StatsGroup> stats;
  std::vector<VcpuInfo> vcpu_list = {{.index = 0,
                                      .thread_id = 100,
                                      .socket = 0,
                                      .core = 0,
                                      .thread = 0,
                                      .exits = 7},
                                     {.index = 1,
                                      .thread_id = 101,
                                      .socket = 0,
                                      .core = 1,
                                      .thread = 0,
                                      .exits = 9}};
  std::vector<DeviceInfo> device_list = {{.id = "disk0",
                                          .type = "virtio-blk-pci",
                                          .address = "00:03.0",
                                          .backend = "/tmp/disk.img"}};
  std::function<void()> on_quit;

 private:
  Events* events_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_CONTROL_FAKE_MACHINE_H_

// SPDX-License-Identifier: Apache-2.0
// What the control plane (QMP, signals, timeouts) may do with a running
// machine. Machine implements it; tests implement a fake, so that the protocol
// needs no KVM.
//
// Threads: called on the main loop's thread only.
#ifndef KVMLET_VMM_CONTROL_MACHINE_CONTROL_H_
#define KVMLET_VMM_CONTROL_MACHINE_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/base/stats.h"
#include "vmm/control/memory_control.h"

namespace kvmlet {

// QEMU's RunState names are used where they fit.
enum class RunState {
  kPrelaunch,
  kRunning,
  kPaused,
  kDebug,  // the debugger holds it
  kGuestPanicked,
  kShutdown
};

struct VcpuInfo {
  uint32_t index = 0;
  int thread_id = 0;  // Linux TID
  uint32_t socket = 0;
  uint32_t core = 0;
  uint32_t thread = 0;
  uint64_t exits = 0;  // KVM exits handled by the monitor
};

struct DeviceInfo {
  std::string id;       // "disk0"
  std::string type;     // "virtio-blk-pci"
  std::string address;  // "00:03.0"
  std::string backend;  // what is behind it, for people
};

// A device to be added to a running machine, in the words of QEMU's
// device_add.
struct PlugRequest {
  std::string driver;  // "vfio-pci"
  std::string id;
  std::string host;  // as --vfio takes it
  std::optional<uint32_t> vf;
  std::string vf_token;
  std::string vf_token_file;
  std::optional<bool> iommufd;
  bool rom = true;
  std::string rom_file;
};

class QomObjects;

class MachineControl {
 public:
  virtual ~MachineControl() = default;
  virtual RunState run_state() const = 0;
  virtual absl::Status Pause() = 0;   // idempotent
  virtual absl::Status Resume() = 0;  // idempotent
  virtual absl::Status PowerButton() = 0;
  virtual absl::Status SystemReset() = 0;
  // Ends the monitor as if the user had asked: status 0, reason "quit".
  virtual void Quit() = 0;
  // The backing file of a disk was resized: tell the guest.
  virtual absl::Status ResizeDisk(std::string_view id) = 0;
  // The guest is told of the device, and sets it up when it likes.
  virtual absl::Status PlugDevice(const PlugRequest& request) = 0;
  // Asks the guest to give the device up; the event DEVICE_DELETED tells when
  // it did. With `force` it is gone at once.
  virtual absl::Status UnplugDevice(std::string_view id, bool force) = 0;
  virtual std::string vm_name() const = 0;
  virtual std::string arch_name() const = 0;  // "x86_64", as QEMU names it
  virtual std::vector<VcpuInfo> vcpus() const = 0;
  virtual std::vector<DeviceInfo> devices() const = 0;
  virtual uint64_t memory_size() const = 0;  // RAM of the start
  virtual MemoryControl& memory() = 0;       // and what comes and goes
  // How much the guest shall keep, and how much it says it does. Unavailable
  // when the machine has no balloon.
  virtual absl::Status SetBalloon(uint64_t bytes) = 0;
  virtual absl::StatusOr<uint64_t> BalloonSize() const = 0;
  // Every vCPU's registers as text, for people; pauses the vCPUs briefly.
  virtual absl::StatusOr<std::string> RegistersText() = 0;
  // Writes the guest's memory and registers as an ELF core file, with virtual
  // addresses if `paging`; the guest stands still meanwhile.
  virtual absl::Status DumpGuest(const std::string& path, bool paging) = 0;
  // As if the host had lost the page at this guest-physical address: found by
  // a scrubber, or, with `action_required`, met by the vCPU. InvalidArgument
  // when the guest has no memory there or no such vCPU, FailedPrecondition
  // when it cannot hear of it.
  virtual absl::Status InjectMemoryError(uint64_t address, bool action_required,
                                         uint32_t vcpu) = 0;
  // The devices' properties; all are there when the machine is built.
  virtual const QomObjects& objects() const = 0;
  // What KVM and the monitor have counted so far: the VM, then each vCPU.
  virtual absl::StatusOr<std::vector<StatsGroup>> Stats() = 0;
};

}  // namespace kvmlet

#endif  // KVMLET_VMM_CONTROL_MACHINE_CONTROL_H_

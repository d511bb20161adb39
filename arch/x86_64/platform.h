// SPDX-License-Identifier: Apache-2.0
// The x86-64 machine beside its PCI devices: in-kernel interrupt controllers,
// COM1, the clock, the doors through which a guest ends, and the boot. It
// implements arch::Platform; see arch/arch.h for threads and errors.
// Specification: see layout.h for the map, acpi.h for what the guest is told.
#ifndef KVMLET_ARCH_X86_64_PLATFORM_H_
#define KVMLET_ARCH_X86_64_PLATFORM_H_

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "arch/arch.h"
#include "arch/x86_64/boot.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/machine_check.h"
#include "arch/x86_64/topology.h"
#include "arch/x86_64/vcpu_state.h"
#include "devices/pci/config_ports.h"
#include "devices/platform/acpi_ged.h"
#include "devices/platform/cmos_rtc.h"
#include "devices/platform/exit_device.h"
#include "devices/platform/i8042.h"
#include "devices/platform/pci_hotplug.h"
#include "devices/platform/pvpanic.h"
#include "devices/serial/uart_16550.h"
#include "vmm/kvm/irq_router.h"

namespace kvmlet::arch::x86_64 {

class X86Platform final : public Platform {
 public:
  static absl::StatusOr<std::unique_ptr<X86Platform>> Create(
      const PlatformContext& context);

  InterruptRouter& interrupts() override { return *router_; }
  uint32_t PciInterrupt(uint32_t slot, uint32_t pin) const override;
  absl::Status AttachPci(pci::PciRoot& root) override;
  absl::Status SetUpVcpu(KvmVcpu& vcpu, uint32_t index) override;
  absl::Status FinishVcpus() override { return absl::OkStatus(); }
  absl::Status LoadGuest() override;
  absl::Status ResetVcpu(KvmVcpu& vcpu, uint32_t index, bool first) override;
  absl::Status Reset() override;
  absl::Status PowerButton() override;
  uint32_t pci_hotplug_slots() const override { return hotplug_->slots(); }
  void OnPciChange(PciChange change, uint8_t slot) override;
  ExitResult HandleExit(KvmVcpu& vcpu) override;
  absl::StatusOr<MemoryErrorResult> InjectMemoryError(KvmVcpu& vcpu,
                                                      const MemoryError& error,
                                                      bool own) override;
  std::string DescribeFailure(KvmVcpu& vcpu) override;
  absl::StatusOr<std::string> RegistersText(KvmVcpu& vcpu) override;

 private:
  explicit X86Platform(const PlatformContext& context);
  absl::Status CreateController();
  absl::Status ReadHostCpu();
  absl::Status AddDevices();
  absl::Status OpenImages();
  std::string CommandLine() const;
  std::vector<E820Entry> MemoryMap() const;

  const PlatformContext context_;
  const Topology topology_;
  CpuidTable supported_;
  CpuidHost host_;
  MachineCheckModel machine_check_;
  // The last error, which one vCPU after the other is told of.
  bool told_locally_ = false;
  std::optional<KernelImage> kernel_;
  std::optional<BootFile> initrd_;
  BootEntry entry_;
  std::mutex mutex_;
  // By index; what a reboot puts back. Guarded by mutex_.
  std::vector<PowerOnState> power_on_;

  std::unique_ptr<IrqRouter> router_;
  std::unique_ptr<Uart16550> com1_;
  std::unique_ptr<CmosRtc> rtc_;
  std::unique_ptr<I8042> i8042_;
  std::unique_ptr<AcpiGed> ged_;
  std::unique_ptr<PciHotplug> hotplug_;
  std::unique_ptr<ExitDevice> exit_;
  std::unique_ptr<Pvpanic> pvpanic_;
  std::unique_ptr<pci::ConfigPorts> config_ports_;
  const pci::PciRoot* pci_ = nullptr;  // from AttachPci on
};

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_PLATFORM_H_

// SPDX-License-Identifier: Apache-2.0
// The arm64 machine beside its PCI devices: GIC, PL011, clock, power button,
// the doors through which a guest ends, and the boot. It implements
// arch::Platform; see arch/arch.h for threads and errors.
// Specification: see layout.h for the map, fdt.h for what the guest is told.
#ifndef KVMLET_ARCH_ARM64_PLATFORM_H_
#define KVMLET_ARCH_ARM64_PLATFORM_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arch/arch.h"
#include "arch/arm64/boot.h"
#include "arch/arm64/error_source.h"
#include "arch/arm64/fdt.h"
#include "arch/arm64/gic.h"
#include "arch/arm64/kernel_image.h"
#include "arch/arm64/stolen_time.h"
#include "arch/arm64/vcpu_state.h"
#include "arch/common/topology.h"
#include "devices/platform/acpi_ged.h"
#include "devices/platform/exit_device.h"
#include "devices/platform/gic_v2m.h"
#include "devices/platform/pl031.h"
#include "devices/platform/pl061.h"
#include "devices/platform/pvpanic.h"
#include "devices/serial/pl011.h"
#include "vmm/base/log_limiter.h"
#include "vmm/kvm/irq_router.h"

namespace kvmlet::arch::arm64 {

class Arm64Platform final : public Platform {
 public:
  static absl::StatusOr<std::unique_ptr<Arm64Platform>> Create(
      const PlatformContext& context);

  InterruptRouter& interrupts() override { return *router_; }
  uint32_t PciInterrupt(uint32_t slot, uint32_t pin) const override;
  absl::Status AttachPci(pci::PciRoot& /*root*/) override {
    return absl::OkStatus();
  }
  absl::Status SetUpVcpu(KvmVcpu& vcpu, uint32_t index) override;
  absl::Status FinishVcpus() override;
  absl::Status LoadGuest() override;
  absl::Status ResetVcpu(KvmVcpu& vcpu, uint32_t index, bool first) override;
  absl::Status Reset() override;
  absl::Status PowerButton() override;
  ExitResult HandleExit(KvmVcpu& vcpu) override;
  absl::StatusOr<MemoryErrorResult> InjectMemoryError(KvmVcpu& vcpu,
                                                      const MemoryError& error,
                                                      bool own) override;
  std::string DescribeFailure(KvmVcpu& vcpu) override;
  absl::StatusOr<std::string> RegistersText(KvmVcpu& vcpu) override;

 private:
  explicit Arm64Platform(const PlatformContext& context);
  absl::Status OpenImages();
  absl::Status CreateStolenTime();
  absl::Status CreateController();
  absl::Status AddDevices();
  absl::Status AddMsiFrame();
  absl::Status AddAcpiEvents();
  absl::Status AddFirmware(FdtMachine& machine);
  std::string CommandLine() const;
  FdtMachine Describe() const;
  void DescribeNuma(FdtMachine& machine) const;
  absl::StatusOr<MemoryErrorResult> TellOfEvent(Gpa page);
  absl::StatusOr<MemoryErrorResult> TellOfAbort(KvmVcpu& vcpu, Gpa page);
  ExitResult OnSystemEvent(const kvm_run& run);
  ExitResult OnAccessWithoutSyndrome(KvmVcpu& vcpu);

  const PlatformContext context_;
  const CpuTopology topology_;
  std::optional<KernelImage> kernel_;
  std::optional<BootFile> initrd_;
  BootPlacement placement_;
  std::optional<VcpuFeatures> features_;
  std::vector<uint64_t> mpidrs_;  // by index; complete before the first run
  LogLimiter log_{"arm64"};

  std::unique_ptr<StolenTime> stolen_time_;  // where the host counts it
  std::unique_ptr<Gic> gic_;
  std::unique_ptr<IrqRouter> router_;
  std::unique_ptr<Pl011> uart_;
  std::unique_ptr<Pl031> rtc_;
  std::unique_ptr<Pl061> gpio_;
  std::unique_ptr<ExitDevice> exit_;
  std::unique_ptr<Pvpanic> pvpanic_;
  std::unique_ptr<GicV2m> v2m_;         // where there is no ITS
  std::unique_ptr<AcpiGed> ged_;        // --acpi only
  std::optional<ErrorSources> errors_;  // of the guest that was loaded last
};

}  // namespace kvmlet::arch::arm64

#endif  // KVMLET_ARCH_ARM64_PLATFORM_H_

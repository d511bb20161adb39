// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/platform.h"

#include <linux/kvm.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "arch/arm64/acpi.h"
#include "arch/arm64/efi.h"
#include "arch/arm64/kvm_arm.h"
#include "arch/arm64/layout.h"
#include "arch/common/acpi_nodes.h"
#include "arch/common/ram_cutter.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/kvm/memory_exits.h"

namespace kvmlet::arch {
namespace arm64 {
namespace {

// What every Linux guest gets: output on the port that is connected, and a
// panic that ends the guest instead of hanging it.
constexpr char kDefaultOptions[] = "console=ttyAMA0 panic=-1";

// SLIT's and the device tree's convention (ACPI 6.3, 5.2.17).
constexpr uint8_t kDistanceToSelf = 10;
constexpr uint8_t kDistanceToOther = 20;

absl::Status FillRandom(std::span<std::byte> out) {
  // Up to 256 bytes come at once and whole.
  if (::getrandom(out.data(), out.size(), 0) ==
      static_cast<ssize_t>(out.size())) {
    return absl::OkStatus();
  }
  return PosixError(errno, "getrandom");
}

AddressRange ToAddressRange(const RamRange& ram) {
  return *AddressRange::Make(ram.base.value, ram.size);
}

}  // namespace

Arm64Platform::Arm64Platform(const PlatformContext& context)
    : context_(context),
      topology_(ResolveTopology(context.config.cpus)),
      mpidrs_(context.config.cpus.count) {}

absl::StatusOr<std::unique_ptr<Arm64Platform>> Arm64Platform::Create(
    const PlatformContext& context) {
  auto platform = std::unique_ptr<Arm64Platform>(new Arm64Platform(context));
  // First, so that a bad kernel costs no machine.
  KVMLET_RETURN_IF_ERROR(platform->OpenImages());
  KVMLET_ASSIGN_OR_RETURN(platform->features_,
                          VcpuFeatures::Choose(context.vm));
  KVMLET_RETURN_IF_ERROR(platform->CreateStolenTime());
  KVMLET_RETURN_IF_ERROR(platform->CreateController());
  KVMLET_RETURN_IF_ERROR(platform->AddDevices());
  return platform;
}

absl::Status Arm64Platform::OpenImages() {
  const VmConfig& config = context_.config;
  KVMLET_ASSIGN_OR_RETURN(kernel_, KernelImage::Open(config.kernel));
  if (config.acpi && !kernel_->plan().linux_image) {
    return BadInput(absl::StrCat("--acpi: ", config.kernel,
                                 " is no Linux image, which alone reads ACPI's "
                                 "tables without firmware; leave --acpi out"));
  }
  KVMLET_RETURN_IF_ERROR(CheckCommandLine(*kernel_, CommandLine()));
  if (config.initrd.empty()) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(initrd_, BootFile::Open("--initrd", config.initrd));
  return absl::OkStatus();
}

absl::Status Arm64Platform::CreateStolenTime() {
  if (context_.vm.CheckExtension(KVM_CAP_STEAL_TIME) <= 0) {
    return absl::OkStatus();
  }
  KVMLET_ASSIGN_OR_RETURN(stolen_time_, StolenTime::Create(context_.vm));
  return absl::OkStatus();
}

absl::Status Arm64Platform::CreateController() {
  const KvmVm& vm = context_.vm;
  KVMLET_ASSIGN_OR_RETURN(gic_, Gic::Create(vm, context_.config.cpus.count));
  const int limit = context_.system.CheckExtension(KVM_CAP_IRQ_ROUTING);
  router_ = std::make_unique<IrqRouter>(
      vm, gic_->RouterOptions(static_cast<uint32_t>(std::max(limit, 64))));
  // Without it such an access would end the guest; see HandleExit.
  if (vm.CheckExtension(KVM_CAP_ARM_NISV_TO_USER) > 0) {
    KVMLET_RETURN_IF_ERROR(vm.EnableCapability(KVM_CAP_ARM_NISV_TO_USER, 0,
                                               "KVM_CAP_ARM_NISV_TO_USER"));
  }
  // Without it KVM makes an SError of what the host's firmware cannot explain.
  if (vm.CheckExtension(kCapArmSeaToUser) <= 0) return absl::OkStatus();
  return vm.EnableCapability(kCapArmSeaToUser, 0, "KVM_CAP_ARM_SEA_TO_USER");
}

absl::Status Arm64Platform::AddDevices() {
  GuestRequests& requests = context_.requests;
  KVMLET_ASSIGN_OR_RETURN(auto uart_irq, router_->CreateLine(kUartSpi));
  KVMLET_ASSIGN_OR_RETURN(auto gpio_irq, router_->CreateLine(kGpioSpi));
  uart_ = std::make_unique<Pl011>(std::move(uart_irq), context_.serial);
  rtc_ = std::make_unique<Pl031>();
  gpio_ = std::make_unique<Pl061>(std::move(gpio_irq));
  exit_ = std::make_unique<ExitDevice>(requests);
  pvpanic_ = std::make_unique<Pvpanic>(requests);
  struct Place {
    uint64_t base;
    uint64_t size;
    IoDevice* device;
  };
  const Place places[] = {
      {kUart, Pl011::kSize, uart_.get()},
      {kRtc, Pl031::kSize, rtc_.get()},
      {kGpio, Pl061::kSize, gpio_.get()},
      {kExit, ExitDevice::kSize, exit_.get()},
      {kPvpanic, Pvpanic::kSize, pvpanic_.get()},
  };
  for (const Place& place : places) {
    KVMLET_RETURN_IF_ERROR(context_.mmio.Add(
        *AddressRange::Make(place.base, place.size), *place.device));
  }
  if (context_.config.acpi) KVMLET_RETURN_IF_ERROR(AddAcpiEvents());
  return gic_->kind() == GicKind::kV3Its ? absl::OkStatus() : AddMsiFrame();
}

absl::Status Arm64Platform::AddAcpiEvents() {
  KVMLET_ASSIGN_OR_RETURN(auto irq, router_->CreateLine(kAcpiGedSpi));
  ged_ = std::make_unique<AcpiGed>(std::move(irq), context_.requests);
  return context_.mmio.Add(*AddressRange::Make(kAcpiGed, kAcpiGedSize), *ged_);
}

absl::Status Arm64Platform::AddMsiFrame() {
  const uint32_t line_base = gic_->RouterOptions(0).irq_line_base - kFirstSpi;
  v2m_ = std::make_unique<GicV2m>(GicV2m::Options{
      .first = kFirstSpi + kV2mSpi,
      .count = kV2mSpis,
      .pulse = [this, line_base](uint32_t interrupt) {
        context_.vm.SetIrqLine(line_base + interrupt, true).IgnoreError();
        context_.vm.SetIrqLine(line_base + interrupt, false).IgnoreError();
      }});
  return context_.mmio.Add(*AddressRange::Make(kGicV2m, GicV2m::kSize), *v2m_);
}

absl::Status Arm64Platform::FinishVcpus() {
  KVMLET_RETURN_IF_ERROR(gic_->Finish());
  return router_->Complete();
}

uint32_t Arm64Platform::PciInterrupt(uint32_t slot, uint32_t pin) const {
  return kPciIntxSpi + (slot + pin - 1) % kPciPins;
}

absl::Status Arm64Platform::SetUpVcpu(KvmVcpu& vcpu, uint32_t index) {
  KVMLET_RETURN_IF_ERROR(features_->Init(vcpu, index == 0));
  KVMLET_RETURN_IF_ERROR(features_->Finalize(vcpu));
  if (stolen_time_) {
    KVMLET_RETURN_IF_ERROR(StolenTime::Offer(vcpu, index));
  }
  KVMLET_ASSIGN_OR_RETURN(mpidrs_[index], GetRegister(vcpu, kRegMpidr));
  if (index != 0) return absl::OkStatus();
  KVMLET_ASSIGN_OR_RETURN(const uint64_t mmfr0, GetRegister(vcpu, kRegMmfr0));
  return kernel_->CheckPageSize(mmfr0);
}

std::string Arm64Platform::CommandLine() const {
  const VmConfig& config = context_.config;
  if (config.append_exact || !kernel_->plan().linux_image) return config.append;
  std::string line = kDefaultOptions;
  // A kernel that finds both prefers the device tree; one before 5.7 believes
  // in services that nobody offers.
  if (config.acpi) absl::StrAppend(&line, " acpi=on efi=noruntime");
  if (config.console) absl::StrAppend(&line, " console=hvc0");
  if (!config.append.empty()) absl::StrAppend(&line, " ", config.append);
  return line;
}

FdtMachine Arm64Platform::Describe() const {
  const MemoryPlan& plan = context_.plan;
  FdtMachine machine{.threads_per_core = topology_.threads,
                     .gic = gic_->kind(),
                     .pmu = features_->pmu(),
                     .ecam = plan.ecam,
                     .mmio32 = plan.mmio32,
                     .mmio64 = plan.mmio64,
                     .command_line = CommandLine(),
                     .initrd = placement_.initrd};
  for (uint32_t i = 0; i < mpidrs_.size(); ++i) {
    const VcpuTopology at = TopologyOf(context_.config.cpus, i);
    machine.cpus.push_back({.mpidr = mpidrs_[i],
                            .socket = at.socket,
                            .core = at.core,
                            .thread = at.thread});
  }
  if (context_.config.numa.empty()) {
    machine.memory.push_back({.range = ToAddressRange(plan.ram.front())});
  } else {
    DescribeNuma(machine);
  }
  return machine;
}

void Arm64Platform::DescribeNuma(FdtMachine& machine) const {
  const auto& nodes = context_.config.numa;
  RamCutter ram(context_.plan.ram);
  for (uint32_t n = 0; n < nodes.size(); ++n) {
    for (const RamRange& part : ram.Cut(nodes[n].memory)) {
      machine.memory.push_back({.range = ToAddressRange(part), .node = n});
    }
    for (const uint32_t cpu : nodes[n].cpus) {
      if (cpu < machine.cpus.size()) machine.cpus[cpu].node = n;
    }
    std::vector<uint8_t> distances = nodes[n].distances;
    if (distances.empty()) {
      distances.assign(nodes.size(), kDistanceToOther);
      distances[n] = kDistanceToSelf;
    }
    machine.distances.push_back(std::move(distances));
  }
}

// The tables are written, and the tree learns of them.
absl::Status Arm64Platform::AddFirmware(FdtMachine& machine) {
  const Gpa area = placement_.firmware;
  AcpiMachine acpi = DescribeAcpi(machine);
  DescribeNodes(context_.config, context_.plan, acpi);
  errors_.emplace(context_.memory, area + kFirmwareErrors);
  KVMLET_RETURN_IF_ERROR(errors_->Reset());
  KVMLET_ASSIGN_OR_RETURN(
      const Bytes tables,
      BuildAcpi(machine, acpi, errors_->BuildHest(), area + kFirmwareAcpi,
                kFirmwareErrors - kFirmwareAcpi));
  const EfiTables efi = BuildEfi(context_.plan.ram, area);
  machine.efi = efi.places;
  if (context_.memory.Write(area, efi.bytes) &&
      context_.memory.Write(area + kFirmwareAcpi, tables)) {
    return absl::OkStatus();
  }
  return absl::InternalError("the ACPI tables are not in RAM");
}

absl::Status Arm64Platform::LoadGuest() {
  const BootFile* const initrd = initrd_ ? &*initrd_ : nullptr;
  const bool acpi = context_.config.acpi;
  KVMLET_ASSIGN_OR_RETURN(
      placement_, PlaceGuest(context_.plan.ram.front(), *kernel_, initrd,
                             acpi ? kFirmwareSize : 0));
  FdtMachine machine = Describe();
  if (acpi) KVMLET_RETURN_IF_ERROR(AddFirmware(machine));
  KVMLET_RETURN_IF_ERROR(FillRandom(machine.rng_seed));
  KVMLET_RETURN_IF_ERROR(
      FillRandom(std::as_writable_bytes(std::span(&machine.kaslr_seed, 1))));
  KVMLET_ASSIGN_OR_RETURN(const Bytes tree, BuildFdt(machine));
  KVMLET_RETURN_IF_ERROR(
      CopyGuest(context_.memory, placement_, *kernel_, initrd));
  if (context_.memory.Write(placement_.device_tree, tree)) {
    return absl::OkStatus();
  }
  return absl::InternalError("the device tree is not in RAM");
}

absl::Status Arm64Platform::ResetVcpu(KvmVcpu& vcpu, uint32_t index,
                                      bool first) {
  if (first) {
    KVMLET_RETURN_IF_ERROR(features_->StartPmu(vcpu));
  } else {
    KVMLET_RETURN_IF_ERROR(features_->Init(vcpu, index == 0));
  }
  if (index != 0) return absl::OkStatus();
  return SetBootRegisters(vcpu, placement_.kernel, placement_.device_tree);
}

absl::Status Arm64Platform::Reset() {
  uart_->Reset();
  rtc_->Reset();
  gpio_->Reset();
  if (stolen_time_) stolen_time_->Reset();
  if (ged_) ged_->Reset();
  return gic_->Reset(mpidrs_);
}

absl::Status Arm64Platform::PowerButton() {
  // The guest listens to the one that it was told of.
  gpio_->PressPowerButton();
  if (ged_) ged_->PressPowerButton();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Arm64Platform::RegistersText(KvmVcpu& vcpu) {
  return DescribeRegisters(vcpu);
}

}  // namespace arm64

absl::StatusOr<std::unique_ptr<Platform>> CreatePlatform(
    const PlatformContext& context) {
  return arm64::Arm64Platform::Create(context);
}

}  // namespace kvmlet::arch

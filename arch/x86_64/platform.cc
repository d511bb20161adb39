// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/platform.h"

#include <linux/kvm.h>

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "arch/common/acpi_nodes.h"
#include "arch/x86_64/acpi.h"
#include "arch/x86_64/irqchip.h"
#include "arch/x86_64/kvm_x86.h"
#include "arch/x86_64/layout.h"
#include "arch/x86_64/regs.h"
#include "devices/pci/pci_root.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch {
namespace x86_64 {
namespace {

// An xAPIC message can name this many processors.
constexpr uint32_t kMaxApicId = 254;

// What every Linux guest gets: output on the port that is connected, and a
// panic that ends the guest instead of hanging it.
constexpr char kDefaultOptions[] = "console=ttyS0 panic=-1";

// Free slots that the guest is told of, for devices that come later. Each
// costs it an object to look at, and a line of its log.
constexpr uint32_t kSpareSlots = 8;

// mov $0xfe, %al; out %al, $0x64 (pulse the reset line); hlt
constexpr uint8_t kResetCode[] = {0xb0, 0xfe, 0xe6, kI8042Command, 0xf4};

AcpiMachine DescribeMachine(const PlatformContext& context,
                            const Topology& topology) {
  AcpiMachine machine = FixedAcpiMachine(ToAcpi(context.plan.mmio64));
  for (uint32_t i = 0; i < topology.count; ++i) {
    machine.cpus.push_back({.uid = i, .hardware_id = topology.ApicId(i)});
  }
  DescribeNodes(context.config, context.plan, machine);
  return machine;
}

}  // namespace

X86Platform::X86Platform(const PlatformContext& context)
    : context_(context),
      topology_(ResolveTopology(context.config.cpus)),
      power_on_(topology_.count) {}

absl::StatusOr<std::unique_ptr<X86Platform>> X86Platform::Create(
    const PlatformContext& context) {
  auto platform = std::unique_ptr<X86Platform>(new X86Platform(context));
  if (platform->topology_.ApicId(platform->topology_.count - 1) > kMaxApicId) {
    return BadInput(absl::StrCat(
        "--cpus: this topology needs APIC ids above ", kMaxApicId,
        "; use fewer CPUs, or counts of cores and threads that are powers of "
        "two"));
  }
  // First, so that a bad kernel costs no machine.
  KVMLET_RETURN_IF_ERROR(platform->OpenImages());
  KVMLET_RETURN_IF_ERROR(platform->CreateController());
  KVMLET_RETURN_IF_ERROR(platform->ReadHostCpu());
  KVMLET_RETURN_IF_ERROR(platform->AddDevices());
  return platform;
}

absl::Status X86Platform::OpenImages() {
  KVMLET_ASSIGN_OR_RETURN(kernel_, KernelImage::Open(context_.config.kernel));
  if (!context_.config.initrd.empty()) {
    KVMLET_ASSIGN_OR_RETURN(initrd_,
                            BootFile::Open("--initrd", context_.config.initrd));
  }
  return absl::OkStatus();
}

absl::Status X86Platform::CreateController() {
  const KvmVm& vm = context_.vm;
  KVMLET_RETURN_IF_ERROR(vm.fd().Set(kSetIdentityMap, kIdentityMap));
  KVMLET_RETURN_IF_ERROR(vm.fd().Call(kSetTss, kTss).status());
  KVMLET_RETURN_IF_ERROR(CreateIrqchip(vm));
  // Removing a memory slot then drops that slot's page tables, not all.
  const int quirks = vm.CheckExtension(KVM_CAP_DISABLE_QUIRKS2);
  if (quirks > 0 && (static_cast<uint64_t>(quirks) & kQuirkSlotZapAll) != 0) {
    KVMLET_RETURN_IF_ERROR(vm.EnableCapability(
        KVM_CAP_DISABLE_QUIRKS2, kQuirkSlotZapAll, "KVM_CAP_DISABLE_QUIRKS2"));
  }
  const int limit = context_.system.CheckExtension(KVM_CAP_IRQ_ROUTING);
  router_ = std::make_unique<IrqRouter>(
      vm, IrqRouter::Options{
              .pins = IrqchipRoutes(),
              .first_msi_gsi = kIoApicPins,
              .gsi_limit = static_cast<uint32_t>(std::max(limit, 64))});
  return absl::OkStatus();
}

absl::Status X86Platform::ReadHostCpu() {
  const KvmSystem& system = context_.system;
  KVMLET_ASSIGN_OR_RETURN(supported_, QueryCpuid(system));
  machine_check_ =
      MachineCheckModelOf(supported_, QueryMachineCheckCapabilities(system));
  host_.tsc_deadline = system.CheckExtension(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  const kvm_cpuid_entry2* one = FindLeaf(supported_, 1);
  if (one != nullptr && (one->ecx & 1u << 15) != 0) {
    host_.perf_capabilities = QueryFeatureMsr(system, kMsrPerfCapabilities);
  }
  const kvm_cpuid_entry2* seven = FindLeaf(supported_, 7);
  if (seven != nullptr && (seven->edx & 1u << 29) != 0) {
    host_.arch_capabilities = QueryFeatureMsr(system, kMsrArchCapabilities);
  }
  return absl::OkStatus();
}

absl::Status X86Platform::AddDevices() {
  GuestRequests& requests = context_.requests;
  KVMLET_ASSIGN_OR_RETURN(auto com1_irq, router_->CreateLine(kCom1Gsi));
  KVMLET_ASSIGN_OR_RETURN(auto ged_irq, router_->CreateLine(kAcpiGedGsi));
  com1_ = std::make_unique<Uart16550>(std::move(com1_irq), context_.serial);
  rtc_ = std::make_unique<CmosRtc>();
  i8042_ = std::make_unique<I8042>(requests);
  ged_ = std::make_unique<AcpiGed>(std::move(ged_irq), requests);
  hotplug_ = std::make_unique<PciHotplug>(requests);
  exit_ = std::make_unique<ExitDevice>(requests);
  pvpanic_ = std::make_unique<Pvpanic>(requests);
  struct Place {
    uint64_t base;
    uint64_t size;
    IoDevice* device;
  };
  const Place ports[] = {
      {kCom1Port, Uart16550::kSize, com1_.get()},
      {kCmosPort, CmosRtc::kSize, rtc_.get()},
      {kI8042Data, I8042::kSize, i8042_.get()},
      {kExitPort, ExitDevice::kSize, exit_.get()},
      {kPvpanicPort, Pvpanic::kSize, pvpanic_.get()},
  };
  for (const Place& place : ports) {
    KVMLET_RETURN_IF_ERROR(context_.pio.Add(
        *AddressRange::Make(place.base, place.size), *place.device));
  }
  KVMLET_RETURN_IF_ERROR(
      context_.mmio.Add(*AddressRange::Make(kAcpiGed, kAcpiGedSize), *ged_));
  return context_.mmio.Add(*AddressRange::Make(kPciHotplug, kPciHotplugSize),
                           *hotplug_);
}

uint32_t X86Platform::PciInterrupt(uint32_t slot, uint32_t pin) const {
  return kPciIntxGsi + (slot + pin - 1) % 4;
}

absl::Status X86Platform::AttachPci(pci::PciRoot& root) {
  pci_ = &root;
  config_ports_ = std::make_unique<pci::ConfigPorts>(root, context_.requests);
  return context_.pio.Add(
      *AddressRange::Make(kPciConfigPort, pci::ConfigPorts::kSize),
      *config_ports_);
}

absl::Status X86Platform::SetUpVcpu(KvmVcpu& vcpu, uint32_t index) {
  if (index == 0) {
    // The guest's TSC runs at the host's rate; KVM knows it per vCPU.
    host_.tsc_khz =
        static_cast<uint32_t>(vcpu.fd().Call(kGetTscKhz).value_or(0));
  }
  const CpuidTable table = BuildCpuid(supported_, host_, topology_, index);
  CpuidList list(table.size());
  for (const kvm_cpuid_entry2& entry : table) list.Add(entry);
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetCpuid2, list.header()));
  KVMLET_RETURN_IF_ERROR(SetUpMachineChecks(vcpu, machine_check_));
  KVMLET_RETURN_IF_ERROR(SetUpMsrs(vcpu, host_));
  return SetUpLapicPins(vcpu);
}

std::string X86Platform::CommandLine() const {
  const VmConfig& config = context_.config;
  const bool linux_guest = kernel_->plan().protocol != BootProtocol::kMultiboot;
  if (config.append_exact || !linux_guest) return config.append;
  std::string line = kDefaultOptions;
  if (config.console) absl::StrAppend(&line, " console=hvc0");
  if (!config.append.empty()) absl::StrAppend(&line, " ", config.append);
  return line;
}

std::vector<E820Entry> X86Platform::MemoryMap() const {
  std::vector<E820Entry> map;
  const uint64_t low = context_.plan.ram.front().size;
  map.push_back({Gpa{0}, std::min(low, kLowRamEnd), E820Type::kRam});
  map.push_back(
      {Gpa{kLowRamEnd}, kHighRamStart - kLowRamEnd, E820Type::kReserved});
  if (low > kHighRamStart) {
    map.push_back({Gpa{kHighRamStart}, low - kHighRamStart, E820Type::kRam});
  }
  map.push_back({Gpa{kEcam}, kEcamSize, E820Type::kReserved});
  for (size_t i = 1; i < context_.plan.ram.size(); ++i) {
    const RamRange& range = context_.plan.ram[i];
    map.push_back({range.base, range.size, E820Type::kRam});
  }
  return map;
}

absl::Status X86Platform::LoadGuest() {
  AcpiMachine machine = DescribeMachine(context_, topology_);
  if (pci_ != nullptr) hotplug_->SetSlots(pci_->HotplugSlots(kSpareSlots));
  machine.pci.hotplug = {.registers = {kPciHotplug, kPciHotplugSize},
                         .slots = hotplug_->slots()};
  KVMLET_ASSIGN_OR_RETURN(
      const AcpiBlob acpi,
      BuildAcpi(machine, Gpa{kAcpiTables}, kAcpiTablesEnd - kAcpiTables));
  if (!context_.memory.Write(Gpa{kAcpiTables}, acpi.bytes)) {
    return BadInput("--memory: the guest needs at least 2M");
  }
  if (!context_.memory.Store(Gpa{kResetVector}, kResetCode)) {
    return absl::InternalError("the reset vector is not in RAM");
  }
  const std::vector<E820Entry> map = MemoryMap();
  const BootOptions options{
      .command_line = CommandLine(), .memory_map = map, .rsdp = acpi.rsdp};
  KVMLET_ASSIGN_OR_RETURN(
      entry_, x86_64::LoadGuest(context_.memory, *kernel_,
                                initrd_ ? &*initrd_ : nullptr, options));
  return absl::OkStatus();
}

absl::Status X86Platform::ResetVcpu(KvmVcpu& vcpu, uint32_t index, bool first) {
  const bool bootstrap = index == 0;
  if (first) {
    KVMLET_ASSIGN_OR_RETURN(const PowerOnState state, ReadPowerOnState(vcpu));
    const std::lock_guard lock(mutex_);
    power_on_[index] = state;
  } else {
    PowerOnState state;
    {
      const std::lock_guard lock(mutex_);
      state = power_on_[index];
    }
    KVMLET_RETURN_IF_ERROR(RestorePowerOnState(vcpu, state, host_, bootstrap));
    KVMLET_RETURN_IF_ERROR(ResetMachineChecks(vcpu, machine_check_));
  }
  // The others wait for INIT and SIPI.
  if (!bootstrap) return absl::OkStatus();
  kvm_regs regs{};
  kvm_sregs sregs = power_on_[index].sregs;
  BootRegisters(entry_, regs, sregs);
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetSregs, sregs));
  return vcpu.fd().Set(kSetRegs, regs);
}

absl::Status X86Platform::Reset() {
  KVMLET_RETURN_IF_ERROR(ResetIrqchip(context_.vm));
  com1_->Reset();
  rtc_->Reset();
  ged_->Reset();
  hotplug_->Reset();
  if (config_ports_ != nullptr) config_ports_->Reset();
  return absl::OkStatus();
}

absl::Status X86Platform::PowerButton() {
  ged_->PressPowerButton();
  return absl::OkStatus();
}

void X86Platform::OnPciChange(PciChange change, uint8_t slot) {
  if (change == PciChange::kPlugged) hotplug_->Plug(slot);
  if (change == PciChange::kAsked) hotplug_->Ask(slot);
  ged_->Raise(change == PciChange::kGone ? AcpiGed::kPciGoneEvent
                                         : AcpiGed::kPciSlotEvent);
}

ExitResult X86Platform::HandleExit(KvmVcpu& vcpu) {
  switch (vcpu.run().exit_reason) {
    case KVM_EXIT_HLT:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return ExitResult::kResume;
    case KVM_EXIT_DEBUG:
      return ExitResult::kDebug;
    case KVM_EXIT_SHUTDOWN:
      return ExitResult::kShutdown;
    default:
      return ExitResult::kUnknown;
  }
}

absl::StatusOr<MemoryErrorResult> X86Platform::InjectMemoryError(
    KvmVcpu& vcpu, const MemoryError& error, bool own) {
  if (own) told_locally_ = TakesLocalMachineChecks(machine_check_, vcpu);
  if (!own && told_locally_) return MemoryErrorResult::kUntold;
  return InjectMachineCheck(vcpu, machine_check_, error, own);
}

std::string X86Platform::DescribeFailure(KvmVcpu& vcpu) {
  const kvm_run& run = vcpu.run();
  switch (run.exit_reason) {
    case KVM_EXIT_FAIL_ENTRY:
      return absl::StrFormat(
          "KVM could not enter the guest (hardware reason 0x%x)",
          run.fail_entry.hardware_entry_failure_reason);
    case KVM_EXIT_INTERNAL_ERROR: {
      std::string text = absl::StrFormat("KVM internal error, suberror %u",
                                         run.internal.suberror);
      if (run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        absl::StrAppend(&text, " (emulation failure)");
      }
      const auto& failure = run.emulation_failure;
      if (run.internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
          failure.ndata > 0 &&
          (failure.flags &
           KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0) {
        absl::StrAppend(&text, " at instruction bytes");
        const size_t size = std::min<size_t>(failure.insn_size, 15);
        for (size_t i = 0; i < size; ++i) {
          absl::StrAppendFormat(&text, " %02x", failure.insn_bytes[i]);
        }
      }
      return text;
    }
    default:
      return absl::StrFormat("KVM exit %u, which kvmlet does not know",
                             run.exit_reason);
  }
}

absl::StatusOr<std::string> X86Platform::RegistersText(KvmVcpu& vcpu) {
  return DescribeRegisters(vcpu);
}

}  // namespace x86_64

absl::StatusOr<std::unique_ptr<Platform>> CreatePlatform(
    const PlatformContext& context) {
  return x86_64::X86Platform::Create(context);
}

}  // namespace kvmlet::arch

// SPDX-License-Identifier: Apache-2.0
#include "arch/x86_64/machine_check.h"

#include "arch/x86_64/kvm_x86.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::x86_64 {
namespace {

// IA32_MCG_CAP.
constexpr uint64_t kBanks = 10;
constexpr uint64_t kMcgCtlPresent = 1ull << 8;
constexpr uint64_t kSoftwareRecovery = 1ull << 24;
constexpr uint64_t kLocalPresent = 1ull << 27;

// IA32_MCG_STATUS.
constexpr uint64_t kRestartIpValid = 1 << 0;
constexpr uint64_t kErrorIpValid = 1 << 1;
constexpr uint64_t kInProgress = 1 << 2;
constexpr uint64_t kLocal = 1 << 3;

// IA32_MCi_STATUS.
constexpr uint64_t kValid = 1ull << 63;
constexpr uint64_t kUncorrected = 1ull << 61;
constexpr uint64_t kEnabled = 1ull << 60;
constexpr uint64_t kMiscValid = 1ull << 59;
constexpr uint64_t kAddressValid = 1ull << 58;
constexpr uint64_t kSignaled = 1ull << 56;        // Intel
constexpr uint64_t kActionRequired = 1ull << 55;  // Intel
constexpr uint64_t kDeferred = 1ull << 44;        // AMD
constexpr uint64_t kPoison = 1ull << 43;          // AMD
constexpr uint64_t kDataLoad = 0x134;
constexpr uint64_t kMemoryScrub = 0xc0;

// IA32_MCi_MISC: a physical address, good to a page. A huge page of the host
// is lost as a whole, but Linux takes one page of 4 KiB from each record, and
// it has to be the one that was touched.
constexpr uint64_t kPageAddress = 2 << 6 | 12;
constexpr uint64_t kPage = 4096;

constexpr uint8_t kMemoryBank = 9;
constexpr uint8_t kBroadcastBank = 1;

constexpr uint64_t kCr4Mce = 1 << 6;
constexpr uint8_t kMachineCheckVector = 18;

// What firmware allows, and what the guest then asks for (Intel SDM volume 3,
// "Local Machine Check").
constexpr uint32_t kMsrFeatureControl = 0x3a;
constexpr uint64_t kLocked = 1 << 0;
constexpr uint64_t kLocalAllowed = 1 << 20;
constexpr uint32_t kMsrMcgExtCtl = 0x4d0;
constexpr uint64_t kLocalEnabled = 1 << 0;

constexpr uint32_t kMsrMcgStatus = 0x17a;
constexpr uint32_t kMsrBanks = 0x400;  // CTL, STATUS, ADDR, MISC of each
constexpr uint32_t kMsrMemoryStatus = kMsrBanks + 4 * kMemoryBank + 1;

// CPUID's family and model (Intel SDM volume 2, CPUID, leaf 1).
struct Signature {
  uint32_t family = 0;
  uint32_t model = 0;
};
Signature SignatureOf(const CpuidTable& table) {
  const kvm_cpuid_entry2* const one = FindLeaf(table, 1);
  if (one == nullptr) return {};
  const uint32_t family = one->eax >> 8 & 0xf;
  const uint32_t model = one->eax >> 4 & 0xf;
  const uint32_t extended = one->eax >> 16 & 0xf;
  return {
      .family = family == 0xf ? family + (one->eax >> 20 & 0xff) : family,
      .model = family == 6 || family == 0xf ? extended << 4 | model : model};
}

absl::StatusOr<MachineCheckState> ReadState(const KvmVcpu& vcpu) {
  KVMLET_ASSIGN_OR_RETURN(const kvm_sregs sregs, vcpu.fd().Get(kGetSregs));
  KVMLET_ASSIGN_OR_RETURN(const kvm_vcpu_events events,
                          vcpu.fd().Get(kGetVcpuEvents));
  KVMLET_ASSIGN_OR_RETURN(const kvm_mp_state mp, vcpu.fd().Get(kGetMpState));
  // A processor without the register has no error under way.
  const uint64_t status = ReadMsr(vcpu.fd(), kMsrMcgStatus).value_or(0);
  return MachineCheckStateOf(sregs.cr4, status, events, mp);
}

}  // namespace

MachineCheckModel MachineCheckModelOf(const CpuidTable& table,
                                      uint64_t supported) {
  constexpr uint32_t kFirstBroadcastModel = 14;
  MachineCheckModel model{.amd = IsAmd(table)};
  const Signature signature = SignatureOf(table);
  model.broadcast =
      !model.amd &&
      (signature.family > 6 ||
       (signature.family == 6 && signature.model >= kFirstBroadcastModel));
  // Without it no guest believes that it can go on.
  if ((supported & kSoftwareRecovery) != 0) {
    model.capabilities =
        kBanks | kSoftwareRecovery | (supported & kMcgCtlPresent);
    model.local = model.broadcast && (supported & kLocalPresent) != 0;
    if (model.local) model.capabilities |= kLocalPresent;
  }
  return model;
}

uint64_t QueryMachineCheckCapabilities(const KvmSystem& system) {
  uint64_t supported = 0;
  return system.fd().Get(kGetMceCapSupported, supported).ok() ? supported : 0;
}

kvm_x86_mce MachineCheckOf(const MemoryError& error, bool amd, bool local) {
  kvm_x86_mce record{};
  record.bank = kMemoryBank;
  record.addr = error.at.value / kPage * kPage;
  record.misc = kPageAddress;
  record.status = kValid | kEnabled | kMiscValid | kAddressValid;
  record.mcg_status = kRestartIpValid | kInProgress;
  if (error.action_required) record.mcg_status |= kErrorIpValid;
  if (local) record.mcg_status |= kLocal;
  if (amd) {
    record.status |=
        kPoison | (error.action_required ? kUncorrected : kDeferred);
  } else {
    record.status |=
        kUncorrected | kSignaled |
        (error.action_required ? kActionRequired | kDataLoad : kMemoryScrub);
  }
  return record;
}

kvm_x86_mce BroadcastMachineCheck() {
  kvm_x86_mce record{};
  record.bank = kBroadcastBank;
  record.status = kValid | kUncorrected;
  record.mcg_status = kRestartIpValid | kInProgress;
  return record;
}

MachineCheckState MachineCheckStateOf(uint64_t cr4, uint64_t mcg_status,
                                      const kvm_vcpu_events& events,
                                      const kvm_mp_state& mp) {
  if ((cr4 & kCr4Mce) == 0 || mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
      mp.mp_state == KVM_MP_STATE_INIT_RECEIVED) {
    return MachineCheckState::kMasked;
  }
  if ((mcg_status & kInProgress) == 0) return MachineCheckState::kReady;
  const bool waits =
      events.exception.injected != 0 || events.exception.pending != 0;
  return waits && events.exception.nr == kMachineCheckVector
             ? MachineCheckState::kPending
             : MachineCheckState::kBusy;
}

bool TakesLocalMachineChecks(const MachineCheckModel& model,
                             uint64_t mcg_ext_ctl) {
  return model.local && (mcg_ext_ctl & kLocalEnabled) != 0;
}

bool TakesLocalMachineChecks(const MachineCheckModel& model,
                             const KvmVcpu& vcpu) {
  return model.local &&
         TakesLocalMachineChecks(model,
                                 ReadMsr(vcpu.fd(), kMsrMcgExtCtl).value_or(0));
}

absl::Status SetUpMachineChecks(const KvmVcpu& vcpu,
                                const MachineCheckModel& model) {
  if (model.capabilities == 0) return absl::OkStatus();
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetupMce, model.capabilities));
  if (!model.local) return absl::OkStatus();
  // In this order: KVM knows the second because of the first. A guest that is
  // not allowed to ask takes the machine checks of all.
  MsrList list(2);
  list.Add({.index = kMsrFeatureControl,
            .reserved = 0,
            .data = kLocked | kLocalAllowed});
  list.Add({.index = kMsrMcgExtCtl, .reserved = 0, .data = 0});
  return vcpu.fd().Exchange(kSetMsrs, list.header()).status();
}

absl::Status ResetMachineChecks(const KvmVcpu& vcpu,
                                const MachineCheckModel& model) {
  if (model.capabilities == 0) return absl::OkStatus();
  MsrList list(3 * kBanks + 1);
  list.Add({.index = kMsrMcgStatus, .reserved = 0, .data = 0});
  for (uint32_t bank = 0; bank < kBanks; ++bank) {
    // Status, address, miscellaneous.
    for (uint32_t part = 1; part <= 3; ++part) {
      list.Add(
          {.index = kMsrBanks + 4 * bank + part, .reserved = 0, .data = 0});
    }
  }
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Exchange(kSetMsrs, list.header()).status());
  // Enables every bank again.
  return SetUpMachineChecks(vcpu, model);
}

absl::StatusOr<MemoryErrorResult> InjectMachineCheck(
    const KvmVcpu& vcpu, const MachineCheckModel& model,
    const MemoryError& error, bool own) {
  if (model.capabilities == 0) {
    if (!own || !error.action_required) return MemoryErrorResult::kUntold;
    return MemoryErrorResult::kCannotTell;
  }
  if (!own && !model.broadcast) return MemoryErrorResult::kUntold;
  // A deferred error interrupts nobody.
  const bool interrupts = error.action_required || !model.amd;
  if (interrupts) {
    KVMLET_ASSIGN_OR_RETURN(const MachineCheckState state, ReadState(vcpu));
    if (!own && state == MachineCheckState::kBusy) {
      return MemoryErrorResult::kLater;
    }
    if (state != MachineCheckState::kReady) {
      const bool masked = state == MachineCheckState::kMasked;
      if (!own) return MemoryErrorResult::kUntold;
      if (!error.action_required) {
        return masked ? MemoryErrorResult::kUntold : MemoryErrorResult::kLater;
      }
      return state == MachineCheckState::kPending
                 ? MemoryErrorResult::kTold
                 : MemoryErrorResult::kCannotTell;
    }
  } else if ((ReadMsr(vcpu.fd(), kMsrMemoryStatus).value_or(0) & kValid) != 0) {
    // The guest polls, and has not read the last one yet.
    return MemoryErrorResult::kLater;
  }
  const bool local = own && TakesLocalMachineChecks(model, vcpu);
  const kvm_x86_mce record =
      own ? MachineCheckOf(error, model.amd, local) : BroadcastMachineCheck();
  KVMLET_RETURN_IF_ERROR(vcpu.fd().Set(kSetMce, record));
  if (!own || !interrupts) return MemoryErrorResult::kTold;
  // KVM drops what a guest has switched off in MCG_CTL or the bank's CTL.
  KVMLET_ASSIGN_OR_RETURN(const MachineCheckState after, ReadState(vcpu));
  if (after != MachineCheckState::kReady) return MemoryErrorResult::kTold;
  return error.action_required ? MemoryErrorResult::kCannotTell
                               : MemoryErrorResult::kUntold;
}

}  // namespace kvmlet::arch::x86_64

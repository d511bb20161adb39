// SPDX-License-Identifier: Apache-2.0
// The in-kernel GIC back to power-on, register by register: KVM has no reset
// for it, and a kernel that finds LPIs switched on refuses to use them.
// Specification: Arm IHI 0069 (GICv3), chapter 12; IHI 0048 (GICv2), chapter 4.
#include "arch/arm64/gic.h"
#include "arch/arm64/layout.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::arch::arm64 {
namespace {

constexpr uint32_t kAll = 0xffffffff;

// A 32-bit register by its offset.
struct GicWrite {
  uint32_t offset = 0;
  uint32_t value = 0;
};

// Of the distributor; those of a redistributor's second frame are the same.
constexpr uint32_t kGicdCtlr = 0x000;
constexpr uint32_t kGicdIgroupr = 0x080;
constexpr uint32_t kGicdIcenabler = 0x180;
constexpr uint32_t kGicdIspendr = 0x200;
constexpr uint32_t kGicdIcpendr = 0x280;
constexpr uint32_t kGicdIcactiver = 0x380;
constexpr uint32_t kGicdIpriorityr = 0x400;
constexpr uint32_t kGicdIcfgr = 0xc00;
constexpr uint32_t kGicdIrouter = 0x6000;

constexpr uint32_t kGicrCtlr = 0x0000;
constexpr uint32_t kGicrPropbaser = 0x0070;
constexpr uint32_t kGicrPendbaser = 0x0078;
constexpr uint32_t kGicrSgiFrame = 0x10000;

constexpr uint64_t CpuRegister(uint64_t crn, uint64_t crm, uint64_t op2) {
  return 3ull << 14 | crn << 7 | crm << 3 | op2;
}
constexpr uint64_t kIccCtlr = CpuRegister(12, 12, 4);
constexpr uint64_t kIccCtlrWritable = 0x3;  // CBPR, EOImode
constexpr uint64_t kIccZero[] = {
    CpuRegister(12, 12, 6),  // ICC_IGRPEN0_EL1
    CpuRegister(12, 12, 7),  // ICC_IGRPEN1_EL1
    CpuRegister(4, 6, 0),    // ICC_PMR_EL1
    CpuRegister(12, 8, 3),   // ICC_BPR0_EL1
    CpuRegister(12, 12, 3),  // ICC_BPR1_EL1
    CpuRegister(12, 8, 4),   // ICC_AP0R0_EL1
    CpuRegister(12, 9, 0),   // ICC_AP1R0_EL1
};

// GICC_CTLR, _PMR, _BPR, _ABPR, _APR0.
constexpr uint32_t kGiccZero[] = {0x00, 0x04, 0x08, 0x1c, 0xd0};

// As attributes number a vCPU: its four affinity bytes.
uint64_t Affinity(uint64_t mpidr) {
  return ((mpidr & 0xffffff) | (mpidr >> 32 & 0xff) << 24) << 32;
}

absl::Status WriteAll(const KvmDevice& device, uint32_t group, uint64_t cpu,
                      std::span<const GicWrite> writes) {
  for (const GicWrite& write : writes) {
    KVMLET_RETURN_IF_ERROR(
        device.Set("the GIC's reset", group, cpu | write.offset, write.value));
  }
  return absl::OkStatus();
}

// Interrupts [first, end), on the frame at `base`.
void AddInterrupts(uint32_t base, uint32_t first, uint32_t end, bool group_one,
                   std::vector<GicWrite>& out) {
  for (uint32_t i = first; i < end; i += 32) {
    const uint32_t at = base + i / 8;
    out.push_back({at + kGicdIcenabler, kAll});
    out.push_back({at + kGicdIcactiver, kAll});
    // What is pending is set as a whole on GICv3, cleared by ones on GICv2;
    // each ignores the other's way.
    out.push_back({at + kGicdIspendr, 0});
    out.push_back({at + kGicdIcpendr, kAll});
    out.push_back({at + kGicdIgroupr, group_one ? kAll : 0});
  }
  for (uint32_t i = first; i < end; i += 16) {
    out.push_back({base + kGicdIcfgr + i / 4, 0});
  }
  for (uint32_t i = first; i < end; i += 4) {
    out.push_back({base + kGicdIpriorityr + i, 0});
  }
}

std::vector<GicWrite> DistributorV3() {
  std::vector<GicWrite> writes{{kGicdCtlr, 0}};
  AddInterrupts(0, kFirstSpi, kFirstSpi + kSpis, /*group_one=*/true, writes);
  // The upper half would hold Aff3, which KVM's GIC does not route by.
  for (uint32_t i = kFirstSpi; i < kFirstSpi + kSpis; ++i) {
    writes.push_back({kGicdIrouter + i * 8, 0});
  }
  return writes;
}

std::vector<GicWrite> RedistributorV3() {
  std::vector<GicWrite> writes{{kGicrCtlr, 0},
                               {kGicrPropbaser, 0},
                               {kGicrPropbaser + 4, 0},
                               {kGicrPendbaser, 0},
                               {kGicrPendbaser + 4, 0}};
  AddInterrupts(kGicrSgiFrame, 0, kFirstSpi, /*group_one=*/true, writes);
  return writes;
}

absl::Status ResetCpuInterfaceV3(const KvmDevice& device, uint64_t cpu) {
  constexpr uint32_t kGroup = KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS;
  constexpr char kWhat[] = "the GIC's CPU interface";
  for (const uint64_t reg : kIccZero) {
    KVMLET_RETURN_IF_ERROR(device.Set(kWhat, kGroup, cpu | reg, uint64_t{0}));
  }
  // The rest of this one says what the hardware is like.
  KVMLET_ASSIGN_OR_RETURN(const uint64_t ctlr,
                          device.Get<uint64_t>(kWhat, kGroup, cpu | kIccCtlr));
  return device.Set(kWhat, kGroup, cpu | kIccCtlr, ctlr & ~kIccCtlrWritable);
}

absl::Status ResetV3(const KvmDevice& device,
                     std::span<const uint64_t> mpidrs) {
  KVMLET_RETURN_IF_ERROR(
      WriteAll(device, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, DistributorV3()));
  const std::vector<GicWrite> redistributor = RedistributorV3();
  for (const uint64_t mpidr : mpidrs) {
    KVMLET_RETURN_IF_ERROR(WriteAll(device, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
                                    Affinity(mpidr), redistributor));
    KVMLET_RETURN_IF_ERROR(ResetCpuInterfaceV3(device, Affinity(mpidr)));
  }
  return absl::OkStatus();
}

absl::Status ResetV2(const KvmDevice& device, size_t cpus) {
  std::vector<GicWrite> shared{{kGicdCtlr, 0}};
  AddInterrupts(0, kFirstSpi, kFirstSpi + kSpis, /*group_one=*/false, shared);
  KVMLET_RETURN_IF_ERROR(
      WriteAll(device, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, shared));
  std::vector<GicWrite> banked;
  AddInterrupts(0, 0, kFirstSpi, /*group_one=*/false, banked);
  std::vector<GicWrite> interface;
  for (const uint32_t offset : kGiccZero) interface.push_back({offset, 0});
  for (uint64_t cpu = 0; cpu < cpus; ++cpu) {
    const uint64_t id = cpu << KVM_DEV_ARM_VGIC_CPUID_SHIFT;
    KVMLET_RETURN_IF_ERROR(
        WriteAll(device, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, id, banked));
    KVMLET_RETURN_IF_ERROR(
        WriteAll(device, KVM_DEV_ARM_VGIC_GRP_CPU_REGS, id, interface));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Gic::Reset(std::span<const uint64_t> mpidrs) const {
  // The ITS first: its tables are about to lose their memory.
  if (its_) {
    KVMLET_RETURN_IF_ERROR(its_->Do("the ITS' reset", KVM_DEV_ARM_VGIC_GRP_CTRL,
                                    KVM_DEV_ARM_ITS_CTRL_RESET));
  }
  if (kind_ == GicKind::kV2) return ResetV2(device_, mpidrs.size());
  return ResetV3(device_, mpidrs);
}

}  // namespace kvmlet::arch::arm64

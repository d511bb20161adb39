// SPDX-License-Identifier: Apache-2.0
// The typed KVM requests that exist on x86 only, and the MSR and CPUID numbers
// this folder uses; constants but for ReadMsr. Specification:
// Documentation/virt/kvm/api.rst.
#ifndef KVMLET_ARCH_X86_64_KVM_X86_H_
#define KVMLET_ARCH_X86_64_KVM_X86_H_

#include <linux/kvm.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vmm/kvm/kvm_fd.h"
#include "vmm/kvm/kvm_list.h"

namespace kvmlet::arch::x86_64 {

using CpuidList = KvmList<kvm_cpuid_entry2>;
using MsrList = KvmList<kvm_msr_entry>;
inline constexpr KvmSet<KvmListHeader> kGetSupportedCpuid{
    _IOWR(KVMIO, 0x05, KvmListHeader), "KVM_GET_SUPPORTED_CPUID"};
inline constexpr KvmSet<KvmListHeader> kSetCpuid2{
    _IOW(KVMIO, 0x90, KvmListHeader), "KVM_SET_CPUID2"};
inline constexpr KvmSet<KvmListHeader> kGetMsrs{
    _IOWR(KVMIO, 0x88, KvmListHeader), "KVM_GET_MSRS"};
inline constexpr KvmSet<KvmListHeader> kSetMsrs{
    _IOW(KVMIO, 0x89, KvmListHeader), "KVM_SET_MSRS"};
inline constexpr KvmGet<kvm_regs> kGetRegs{KVM_GET_REGS, "KVM_GET_REGS"};
inline constexpr KvmSet<kvm_regs> kSetRegs{KVM_SET_REGS, "KVM_SET_REGS"};
inline constexpr KvmGet<kvm_sregs> kGetSregs{KVM_GET_SREGS, "KVM_GET_SREGS"};
inline constexpr KvmSet<kvm_sregs> kSetSregs{KVM_SET_SREGS, "KVM_SET_SREGS"};
// kvm_xsave ends in a flexible array too, see kvm_list.h.
struct XsaveArea {
  uint32_t region[1024];
};
static_assert(sizeof(XsaveArea) == 4096);
inline constexpr KvmSet<XsaveArea> kSetXsave{_IOW(KVMIO, 0xa5, XsaveArea),
                                             "KVM_SET_XSAVE"};
inline constexpr KvmGet<XsaveArea> kGetXsave{_IOR(KVMIO, 0xa4, XsaveArea),
                                             "KVM_GET_XSAVE"};
inline constexpr KvmGet<kvm_xcrs> kGetXcrs{KVM_GET_XCRS, "KVM_GET_XCRS"};
inline constexpr KvmSet<kvm_xcrs> kSetXcrs{KVM_SET_XCRS, "KVM_SET_XCRS"};
inline constexpr KvmGet<kvm_lapic_state> kGetLapic{KVM_GET_LAPIC,
                                                   "KVM_GET_LAPIC"};
inline constexpr KvmSet<kvm_lapic_state> kSetLapic{KVM_SET_LAPIC,
                                                   "KVM_SET_LAPIC"};
inline constexpr KvmSet<kvm_mp_state> kSetMpState{KVM_SET_MP_STATE,
                                                  "KVM_SET_MP_STATE"};
inline constexpr KvmSet<kvm_vcpu_events> kSetVcpuEvents{KVM_SET_VCPU_EVENTS,
                                                        "KVM_SET_VCPU_EVENTS"};
inline constexpr KvmGet<kvm_vcpu_events> kGetVcpuEvents{KVM_GET_VCPU_EVENTS,
                                                        "KVM_GET_VCPU_EVENTS"};
inline constexpr KvmGet<uint64_t> kGetMceCapSupported{
    KVM_X86_GET_MCE_CAP_SUPPORTED, "KVM_X86_GET_MCE_CAP_SUPPORTED"};
inline constexpr KvmSet<uint64_t> kSetupMce{KVM_X86_SETUP_MCE,
                                            "KVM_X86_SETUP_MCE"};
inline constexpr KvmSet<kvm_x86_mce> kSetMce{KVM_X86_SET_MCE,
                                             "KVM_X86_SET_MCE"};
inline constexpr KvmSet<kvm_debugregs> kSetDebugregs{KVM_SET_DEBUGREGS,
                                                     "KVM_SET_DEBUGREGS"};
inline constexpr KvmGet<kvm_debugregs> kGetDebugregs{KVM_GET_DEBUGREGS,
                                                     "KVM_GET_DEBUGREGS"};
inline constexpr KvmSet<kvm_guest_debug> kSetGuestDebug{KVM_SET_GUEST_DEBUG,
                                                        "KVM_SET_GUEST_DEBUG"};
inline constexpr KvmGet<kvm_mp_state> kGetMpState{KVM_GET_MP_STATE,
                                                  "KVM_GET_MP_STATE"};
inline constexpr KvmSet<uint64_t> kSetIdentityMap{KVM_SET_IDENTITY_MAP_ADDR,
                                                  "KVM_SET_IDENTITY_MAP_ADDR"};
inline constexpr KvmCall kSetTss{KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR"};
inline constexpr KvmCall kCreateIrqchip{KVM_CREATE_IRQCHIP,
                                        "KVM_CREATE_IRQCHIP"};
inline constexpr KvmSet<kvm_pit_config> kCreatePit2{KVM_CREATE_PIT2,
                                                    "KVM_CREATE_PIT2"};
inline constexpr KvmSet<kvm_irqchip> kSetIrqchip{KVM_SET_IRQCHIP,
                                                 "KVM_SET_IRQCHIP"};
inline constexpr KvmSet<kvm_pit_state2> kSetPit2{KVM_SET_PIT2, "KVM_SET_PIT2"};
inline constexpr KvmCall kGetTscKhz{KVM_GET_TSC_KHZ, "KVM_GET_TSC_KHZ"};

// KVM_X86_QUIRK_SLOT_ZAP_ALL of Linux 6.12.
inline constexpr uint64_t kQuirkSlotZapAll = 1ull << 7;

// Model-specific registers (Intel SDM volume 4; AMD APM volume 2).
inline constexpr uint32_t kMsrArchCapabilities = 0x10a;
inline constexpr uint32_t kMsrMiscEnable = 0x1a0;
inline constexpr uint32_t kMsrPat = 0x277;
inline constexpr uint32_t kMsrMtrrDefType = 0x2ff;
inline constexpr uint32_t kMsrPerfCapabilities = 0x345;

// One of them; NotFound when KVM does not know it.
inline absl::StatusOr<uint64_t> ReadMsr(const KvmFd& vcpu, uint32_t index) {
  MsrList list(1);
  list.Add({.index = index, .reserved = 0, .data = 0});
  const absl::StatusOr<int> done = vcpu.Exchange(kGetMsrs, list.header());
  if (!done.ok()) return done.status();
  if (*done != 1) return absl::NotFoundError("KVM does not know this MSR");
  return list.entries()[0].data;
}

}  // namespace kvmlet::arch::x86_64

#endif  // KVMLET_ARCH_X86_64_KVM_X86_H_

// SPDX-License-Identifier: Apache-2.0
// g, G, p and P: the registers of the selected vCPU.
#include "vmm/debug/gdb_session.h"

namespace kvmlet {
namespace {

constexpr std::string_view kRuns = "the vCPU runs";

}  // namespace

bool GdbSession::Runs() const {
  return debugger_.non_stop() && !debugger_.held(vcpu_);
}

std::string GdbSession::ReadGeneral() {
  if (Runs()) return Error("E22", kRuns);
  absl::StatusOr<std::vector<std::byte>> value;
  debugger_.OnVcpu(vcpu_, [&](const KvmVcpu& kvm) {
    value = debugger_.arch().ReadGeneral(kvm);
  });
  if (!value.ok()) return ErrorOf(value.status());
  return HexOf(*value);
}

std::string GdbSession::WriteGeneral(RspCursor cursor) {
  const auto bytes = cursor.HexBytes();
  if (!bytes) return "E22";
  if (Runs()) return Error("E22", kRuns);
  absl::Status status;
  debugger_.OnVcpu(vcpu_, [&](const KvmVcpu& kvm) {
    status = debugger_.arch().WriteGeneral(kvm, *bytes);
  });
  debugger_.OnRegistersWritten(vcpu_);
  return status.ok() ? "OK" : ErrorOf(status);
}

std::string GdbSession::ReadRegister(RspCursor cursor) {
  const std::optional<uint64_t> number = cursor.Hex();
  if (!number || !cursor.AtEnd()) return "E22";
  const auto registers = debugger_.arch().registers();
  if (*number >= registers.size()) return Error("E22", "no such register");
  if (Runs()) return Error("E22", kRuns);
  absl::StatusOr<std::vector<std::byte>> value;
  debugger_.OnVcpu(vcpu_, [&](const KvmVcpu& kvm) {
    value = debugger_.arch().ReadRegister(kvm, *number);
  });
  // A register that this host does not have is unavailable, not an error.
  if (!value.ok()) return std::string(2 * registers[*number].size, 'x');
  return HexOf(*value);
}

std::string GdbSession::WriteRegister(RspCursor cursor) {
  const std::optional<uint64_t> number = cursor.Hex();
  if (!number || !cursor.Skip('=')) return "E22";
  const auto bytes = cursor.HexBytes();
  if (!bytes) return "E22";
  if (Runs()) return Error("E22", kRuns);
  absl::Status status;
  debugger_.OnVcpu(vcpu_, [&](const KvmVcpu& kvm) {
    status = debugger_.arch().WriteRegister(kvm, *number, *bytes);
  });
  debugger_.OnRegistersWritten(vcpu_);
  return status.ok() ? "OK" : ErrorOf(status);
}

}  // namespace kvmlet

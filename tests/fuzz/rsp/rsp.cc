// SPDX-License-Identifier: Apache-2.0
// A gdb that sends anything: the bytes go through the reader and the session
// to a fake machine. The first byte says how large the reads are; a zero byte
// in the stream lets a vCPU that runs stop.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fakes/fake_debug.h"
#include "vmm/debug/gdb_session.h"

namespace kvmlet {
namespace {

// Whatever runs stops: at a breakpoint instruction or after a step.
void StopSome(Debugger& debugger, FakeDebugTarget& target,
              FakeDebugArch& arch) {
  for (size_t i = 0; i < target.running_.size(); ++i) {
    if (!target.running_[i]) continue;
    const auto id = static_cast<uint32_t>(i);
    const arch::DebugControl& armed = arch.armed_[id];
    arch.events_[id] = {.pc = 0x11000,
                        .step = armed.single_step,
                        .instruction = !armed.single_step};
    if (!armed.slots.empty()) arch.events_[id].slot = 0;
    if (debugger.OnDebugExit(i, target.vcpu(i))) continue;
    target.running_[i] = false;
    debugger.OnDebugStop(i);
  }
  target.RunPosted();
}

void Run(std::string_view input) {
  if (input.empty()) return;
  const size_t chunk = static_cast<uint8_t>(input.front()) + size_t{1};
  input.remove_prefix(1);
  FakeDebugTarget target(2);
  auto owned = std::make_unique<FakeDebugArch>();
  FakeDebugArch& arch = *owned;
  Debugger debugger(target, std::move(owned), /*stopped=*/true);
  size_t sent = 0;
  {
    GdbSession session(
        debugger, [&sent](std::string_view bytes) { sent += bytes.size(); });
    while (!input.empty() && session.wish() == GdbSession::Wish::kNone &&
           !target.ended_) {
      const std::string_view part = input.substr(0, chunk);
      input.remove_prefix(part.size());
      session.OnInput(part);
      if (part.find('\0') != part.npos) StopSome(debugger, target, arch);
    }
  }
  debugger.Detach(/*stay_stopped=*/false);
}

}  // namespace
}  // namespace kvmlet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvmlet::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

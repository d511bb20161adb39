// SPDX-License-Identifier: Apache-2.0
// A client that talks to a debugger of a fake machine with three vCPUs.
// Not thread-safe: what vCPUs post runs in Settle.
#ifndef KVMLET_TESTS_VMM_DEBUG_DEBUGGER_FIXTURE_H_
#define KVMLET_TESTS_VMM_DEBUG_DEBUGGER_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tests/fakes/fake_debug.h"
#include "vmm/debug/gdb_session.h"

namespace kvmlet {

class DebuggerTest : public testing::Test {
 protected:
  static constexpr uint64_t kCode = 0x11000;  // virtual
  static constexpr Gpa kCodeAt{0x1000};

  void SetUp() override {
    auto arch = std::make_unique<FakeDebugArch>();
    arch_ = arch.get();
    debugger_.emplace(target_, std::move(arch), /*stopped=*/true);
    ASSERT_TRUE(target_.memory().Store(kCodeAt, uint8_t{0x55}));
    session_.emplace(*debugger_,
                     [this](std::string_view bytes) { sent_ += bytes; });
    Ask("QStartNoAckMode");
  }
  // The payload of the reply; empty when there is none yet.
  std::string Ask(std::string_view payload) {
    std::string packet;
    AppendPacket(payload, packet);
    session_->OnInput(packet);
    return Reply();
  }
  std::string Reply() {
    RspReader reader;
    const std::string bytes = std::exchange(sent_, {});
    reader.Push(bytes);
    while (auto item = reader.Next()) {
      if (item->kind == RspReader::Kind::kPacket) return item->payload;
    }
    return "";
  }
  uint8_t Byte() { return *target_.memory().Load<uint8_t>(kCodeAt); }
  // The vCPU leaves the guest; the world hears of it in Settle.
  void Exit(size_t vcpu, arch::DebugEvent event) {
    arch_->values(target_.vcpu(vcpu))[0] = event.pc;
    arch_->events_[static_cast<uint32_t>(vcpu)] = event;
    ASSERT_TRUE(target_.running_[vcpu]);
    if (debugger_->OnDebugExit(vcpu, target_.vcpu(vcpu))) return;
    target_.running_[vcpu] = false;
    debugger_->OnDebugStop(vcpu);
  }
  std::string Settle() {
    target_.RunPosted();
    return Reply();
  }

  FakeDebugTarget target_{3};
  FakeDebugArch* arch_ = nullptr;
  std::optional<Debugger> debugger_;
  std::string sent_;
  std::optional<GdbSession> session_;
};

}  // namespace kvmlet

#endif  // KVMLET_TESTS_VMM_DEBUG_DEBUGGER_FIXTURE_H_

// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_control.h"

#include <sys/epoll.h>

#include <utility>

#include "devices/virtio/net_spec.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

// Commands a turn; some cost system calls.
constexpr int kShare = 16;

// Section 5.1.6.5.2: a count, then so many addresses.
bool SkipMacTable(Reader& reader) {
  const auto entries = reader.Read<uint32_t>();
  if (!entries || *entries > reader.remaining() / sizeof(MacAddress)) {
    return false;
  }
  return reader.Skip(*entries * uint32_t{sizeof(MacAddress)});
}

}  // namespace

NetControl::NetControl(EventLoop& loop, DeviceEvents& events, ActiveQueue queue,
                       uint64_t features, NetControlTarget& target)
    : loop_(loop),
      events_(events),
      queue_(std::move(queue)),
      features_(features),
      target_(target) {}

absl::Status NetControl::Start() {
  KVMLET_RETURN_IF_ERROR(
      loop_.Add(queue_.kick->get(), EPOLLIN, [this](uint32_t) {
        queue_.kick->Consume();
        Run();
      }));
  started_ = true;
  queue_.kick->Signal();
  return absl::OkStatus();
}

void NetControl::Stop() {
  if (!started_) return;
  loop_.Remove(queue_.kick->get());
  started_ = false;
}

void NetControl::Run() {
  VirtQueue& queue = *queue_.queue;
  int served = 0;
  while (served < kShare) {
    std::optional<DescriptorChain> chain = queue.Pop();
    if (!chain || !Serve(*chain)) break;
    ++served;
  }
  if (queue.broken()) {
    events_.SetNeedsReset(queue.error());
    Stop();
    return;
  }
  if (queue.ShouldNotify()) events_.NotifyQueue(queue_.index);
  if (served == kShare) queue_.kick->Signal();
}

bool NetControl::Serve(DescriptorChain& chain) {
  VirtQueue& queue = *queue_.queue;
  if (chain.writer().remaining() == 0) {
    queue.Break("control command without room for its acknowledgement");
    return false;
  }
  const uint8_t ack = Execute(chain.reader()) ? kNetAckOk : kNetAckError;
  // The acknowledgement is the first byte that the device writes: room for it
  // was checked.
  if (!chain.writer().Write(ack)) return false;
  queue.Push(chain.head(), chain.writer().written());
  return true;
}

bool NetControl::Execute(Reader& reader) {
  const auto header = reader.Read<NetCommand>();
  if (!header) return false;
  switch (header->type) {
    case kNetCommandRx:
      return ExecuteReceive(header->command, reader);
    case kNetCommandMac:
      return ExecuteMac(header->command, reader);
    case kNetCommandMultiQueue: {
      const auto pairs = reader.Read<uint16_t>();
      return Has(kNetMultiQueue) && pairs && header->command == kNetPairsSet &&
             target_.SetQueuePairs(*pairs);
    }
    case kNetCommandOffloads: {
      const auto offloads = reader.Read<uint64_t>();
      return Has(kNetControlGuestOffloads) && offloads &&
             header->command == kNetOffloadsSet &&
             target_.SetGuestOffloads(*offloads);
    }
    default:
      return false;
  }
}

bool NetControl::ExecuteReceive(uint8_t command, Reader& reader) const {
  if (!Has(kNetControlRx) || !reader.Read<uint8_t>()) return false;
  return command == kNetRxPromiscuous || command == kNetRxAllMulticast;
}

bool NetControl::ExecuteMac(uint8_t command, Reader& reader) {
  if (command == kNetMacTableSet) {
    return Has(kNetControlRx) && SkipMacTable(reader) && SkipMacTable(reader);
  }
  if (command != kNetMacAddressSet) return false;
  const auto mac = reader.Read<MacAddress>();
  if (!Has(kNetControlMac) || !mac) return false;
  target_.SetMac(*mac);
  return true;
}

}  // namespace kvmlet::virtio

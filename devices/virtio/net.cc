// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net.h"

#include <glog/logging.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/backend/vhost.h"
#include "devices/virtio/net_spec.h"
#include "devices/virtio/vhost_queue.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::virtio {
namespace {

constexpr uint16_t kQueueSize = 256;
constexpr uint16_t kControlQueueSize = 64;

struct Offload {
  uint32_t tun;
  uint64_t host;   // packets from the guest
  uint64_t guest;  // packets to the guest
};
constexpr Offload kOffloads[] = {
    {TUN_F_CSUM, kNetChecksum, kNetGuestChecksum},
    {TUN_F_TSO4, kNetHostTso4, kNetGuestTso4},
    {TUN_F_TSO6, kNetHostTso6, kNetGuestTso6},
    {TUN_F_TSO_ECN, kNetHostEcn, kNetGuestEcn},
};
constexpr uint64_t kLargeToGuest = kNetGuestTso4 | kNetGuestTso6;

uint64_t GuestOffloadFeatures() {
  uint64_t features = 0;
  for (const Offload& offload : kOffloads) features |= offload.guest;
  return features;
}

// What the kernel may be asked for: segmentation means nothing without
// checksums, and a driver may negotiate any combination.
uint32_t TunOffloads(uint64_t features) {
  if ((features & kNetGuestChecksum) == 0) return 0;
  uint32_t tun = 0;
  for (const Offload& offload : kOffloads) {
    if ((features & offload.guest) != 0) tun |= offload.tun;
  }
  return (features & kLargeToGuest) != 0 ? tun : tun & TUN_F_CSUM;
}

// The prefix is the one that everybody knows as a virtual machine's.
absl::StatusOr<MacAddress> RandomMac() {
  MacAddress mac{0x52, 0x54, 0x00};
  if (::getrandom(mac.data() + 3, 3, 0) != 3) {
    return PosixError(errno, "getrandom for a MAC address");
  }
  return mac;
}

uint64_t BackendFeatures(NetBackend& backend) {
  uint64_t features = kNetMac | kNetStatus | kNetMergeable | kNetControl |
                      kNetControlRx | kNetControlMac;
  if (backend.port_count() > 1) features |= kNetMultiQueue;
  if (backend.mtu() != 0) features |= kNetMtu;
  for (const Offload& offload : kOffloads) {
    if ((backend.offloads() & offload.tun) == 0) continue;
    features |= offload.host | offload.guest | kNetControlGuestOffloads;
  }
  const VhostDevice* vhost = backend.port(0).vhost();
  if (vhost != nullptr && (vhost->features() & kNetMergeable) == 0) {
    features &= ~kNetMergeable;
  }
  return features;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetDevice>> NetDevice::Create(
    const NetOptions& options, std::unique_ptr<NetBackend> backend,
    std::vector<EventLoop*> loops) {
  if (loops.empty()) {
    return absl::InvalidArgumentError("a network card needs an I/O thread");
  }
  KVMLET_ASSIGN_OR_RETURN(MacAddress mac, RandomMac());
  if (options.mac) mac = *options.mac;
  if ((mac[0] & 1) != 0 || mac == MacAddress{}) {
    return absl::InvalidArgumentError(
        "--net mac=: a multicast or zero address cannot be a card's own; "
        "start it with 52:54:00");
  }
  std::optional<EventFd> vhost_error;
  if (backend->port(0).vhost() != nullptr) {
    KVMLET_ASSIGN_OR_RETURN(vhost_error, EventFd::Create());
  }
  std::string id = options.id.empty() ? "net0" : options.id;
  return std::unique_ptr<NetDevice>(
      new NetDevice(std::move(id), mac, std::move(backend), std::move(loops),
                    std::move(vhost_error)));
}

NetDevice::NetDevice(std::string id, const MacAddress& mac,
                     std::unique_ptr<NetBackend> backend,
                     std::vector<EventLoop*> loops,
                     std::optional<EventFd> vhost_error)
    : id_(std::move(id)),
      initial_mac_(mac),
      backend_(std::move(backend)),
      loops_(std::move(loops)),
      vhost_error_(std::move(vhost_error)),
      features_(BackendFeatures(*backend_)),
      queue_sizes_(2u * backend_->port_count(), kQueueSize),
      log_(id_),
      mac_(mac) {
  queue_sizes_.push_back(kControlQueueSize);
}

uint32_t NetDevice::config_size() const { return sizeof(NetConfigSpace); }

void NetDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  NetConfigSpace config{};
  {
    const std::lock_guard lock(mutex_);
    config.mac = mac_;
  }
  config.status = link_up_ ? kNetLinkUp : uint16_t{0};
  config.max_pairs = backend_->port_count();
  config.mtu = backend_->mtu();
  const auto bytes = std::as_bytes(std::span(&config, 1));
  std::fill(data.begin(), data.end(), std::byte{0});
  if (offset >= bytes.size()) return;
  const size_t length = std::min(data.size(), bytes.size() - offset);
  std::memcpy(data.data(), bytes.data() + offset, length);
}

uint16_t NetDevice::usable_pairs() const {
  return (state_.features & kNetMultiQueue) != 0 ? backend_->port_count()
                                                 : uint16_t{1};
}

absl::Status NetDevice::Activate(ActiveState state) {
  CHECK_EQ(state.queues.size(), queue_sizes_.size());
  Reset();
  state_ = std::move(state);
  absl::Status status = StartQueues();
  if (!status.ok()) Reset();
  return status;
}

absl::Status NetDevice::StartQueues() {
  KVMLET_RETURN_IF_ERROR(
      backend_->SetOffloads(TunOffloads(state_.features & features_)));
  KVMLET_RETURN_IF_ERROR(backend_->SetActivePorts(1));
  if (uses_vhost()) KVMLET_RETURN_IF_ERROR(WatchVhostErrors());
  for (uint16_t pair = 0; pair < usable_pairs(); ++pair) {
    KVMLET_RETURN_IF_ERROR(uses_vhost() ? StartVhost(pair) : StartPair(pair));
  }
  // Section 5.1.2: the control queue follows the pairs that can be used.
  const auto control = static_cast<uint16_t>(2 * usable_pairs());
  const bool wanted = (state_.features & kNetControl) != 0 &&
                      state_.queues[control].queue.has_value();
  return wanted ? StartControl(control) : absl::OkStatus();
}

absl::Status NetDevice::StartPair(uint16_t pair) {
  EventLoop& loop = *loops_[pair % loops_.size()];
  const NetPair::Options options{
      .mergeable = (state_.features & kNetMergeable) != 0,
      .keep_large = (state_.features & kLargeToGuest) != 0};
  auto started =
      std::make_unique<NetPair>(loop, backend_->port(pair), *state_.events,
                                std::move(state_.queues[2u * pair]),
                                std::move(state_.queues[2u * pair + 1]),
                                options, [this] { OnPortClosed(); });
  pairs_.push_back(std::move(started));
  absl::Status status;
  loop.RunSync([this, pair, &status] {
    status = pairs_.back()->Start();
    if (status.ok() && pair == 0) status = pairs_.back()->SetActive(true);
  });
  return status;
}

absl::Status NetDevice::StartVhost(uint16_t pair) {
  VhostDevice& vhost = *backend_->port(pair).vhost();
  KVMLET_RETURN_IF_ERROR(
      vhost.Configure(state_.features, VhostRegions(*state_.memory)));
  for (uint32_t ring = 0; ring < 2; ++ring) {
    const ActiveQueue& queue = state_.queues[2u * pair + ring];
    if (!queue.queue) continue;
    KVMLET_RETURN_IF_ERROR(
        SetVhostRing(vhost, ring, state_, queue, vhost_error_->get()));
    KVMLET_RETURN_IF_ERROR(vhost.StartNet(ring, backend_->port(pair).fd()));
  }
  return absl::OkStatus();
}

absl::Status NetDevice::WatchVhostErrors() {
  absl::Status status;
  loops_[0]->RunSync([this, &status] {
    vhost_error_->Consume();
    status = loops_[0]->Add(vhost_error_->get(), EPOLLIN, [this](uint32_t) {
      if (!vhost_error_->Consume()) return;
      state_.events->SetNeedsReset("vhost-net cannot use a ring or a buffer");
    });
    watches_vhost_ = status.ok();
  });
  return status;
}

absl::Status NetDevice::StartControl(uint16_t queue) {
  NetControlTarget& target = *this;
  control_ = std::make_unique<NetControl>(*loops_[0], *state_.events,
                                          std::move(state_.queues[queue]),
                                          state_.features, target);
  absl::Status status;
  loops_[0]->RunSync([this, &status] { status = control_->Start(); });
  return status;
}

// The control queue goes first: it is what touches the pairs from another
// thread.
void NetDevice::Reset() {
  if (control_) {
    loops_[0]->RunSync([this] { control_->Stop(); });
    control_.reset();
  }
  for (const std::unique_ptr<NetPair>& pair : pairs_) {
    pair->loop().RunSync([&pair] { pair->Stop(); });
  }
  pairs_.clear();
  if (uses_vhost()) StopVhost();
  state_ = ActiveState();
  const std::lock_guard lock(mutex_);
  mac_ = initial_mac_;
}

void NetDevice::StopVhost() {
  for (uint16_t pair = 0; pair < backend_->port_count(); ++pair) {
    VhostDevice& vhost = *backend_->port(pair).vhost();
    for (uint32_t ring = 0; ring < 2; ++ring) {
      vhost.StopNet(ring);
      vhost.ClearRing(ring);
    }
  }
  if (!watches_vhost_) return;
  loops_[0]->RunSync([this] { loops_[0]->Remove(vhost_error_->get()); });
  watches_vhost_ = false;
}

void NetDevice::SetMac(const MacAddress& mac) {
  const std::lock_guard lock(mutex_);
  mac_ = mac;
}

bool NetDevice::SetQueuePairs(uint16_t pairs) {
  if (pairs == 0 || pairs > usable_pairs()) return false;
  absl::Status status;
  const auto set_active = [this, &status](size_t begin, size_t end,
                                          bool active) {
    for (size_t i = begin; i < end && i < pairs_.size(); ++i) {
      pairs_[i]->loop().RunSync(
          [&] { status.Update(pairs_[i]->SetActive(active)); });
    }
  };
  // A port is silenced before its queue leaves the tap and used after it came
  // back: in between reading it is an error.
  set_active(pairs, pairs_.size(), false);
  status.Update(backend_->SetActivePorts(pairs));
  if (status.ok()) set_active(0, pairs, true);
  if (!status.ok()) log_.Warn(std::string(status.message()));
  return status.ok();
}

bool NetDevice::SetGuestOffloads(uint64_t offloads) {
  if ((offloads & ~(state_.features & GuestOffloadFeatures())) != 0) {
    return false;
  }
  const absl::Status status = backend_->SetOffloads(TunOffloads(offloads));
  if (!status.ok()) log_.Warn(std::string(status.message()));
  return status.ok();
}

void NetDevice::OnPortClosed() {
  if (!link_up_.exchange(false)) return;
  log_.Warn(absl::StrCat(std::string(backend_->name()),
                         " is gone; the guest's link is down"));
  state_.events->NotifyConfig();
}

}  // namespace kvmlet::virtio

// SPDX-License-Identifier: Apache-2.0
#include "vmm/balloon_control.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"

namespace kvmlet {
namespace {

constexpr uint64_t kPage = 4096;
// As QEMU: a guest that deflates page by page would be all that clients hear.
constexpr std::chrono::seconds kBetweenEvents{1};

}  // namespace

BalloonControl::~BalloonControl() {
  if (pause_) loop_.Cancel(*pause_);
}

std::unique_ptr<virtio::BalloonDevice> BalloonControl::CreateDevice(
    const BalloonConfig& config, EventLoop& io, QomObjects& objects) {
  virtio::BalloonOptions options;
  options.reporting = config.reporting;
  options.deflate_on_oom = config.deflate_on_oom;
  options.stats_interval = config.stats_interval;
  options.discards_to_zero = memory_.discards_to_zero();
  options.on_change = [this] { OnChange(); };
  auto device = std::make_unique<virtio::BalloonDevice>(std::move(options), io);
  device_ = device.get();
  told_ = memory_.size();
  AddProperties(config.id, objects);
  return device;
}

absl::Status BalloonControl::SetSize(uint64_t bytes) {
  if (bytes == 0) {
    return absl::InvalidArgumentError("Parameter 'value' expects a size");
  }
  if (memory_.page_size() > kPage << 4) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--memory hugepages: pages of ", memory_.page_size() >> 20,
        " MiB do not go back to the host in the balloon's 4 KiB; use "
        "--balloon reporting"));
  }
  const uint64_t give_up = memory_.size() - std::min(bytes, memory_.size());
  device_->SetTarget(
      static_cast<uint32_t>(std::min<uint64_t>(give_up / kPage, UINT32_MAX)));
  return absl::OkStatus();
}

uint64_t BalloonControl::size() const {
  const uint64_t gone = uint64_t{device_->actual()} * kPage;
  return memory_.size() - std::min(gone, memory_.size());
}

void BalloonControl::OnChange() {
  if (news_.exchange(true)) return;
  loop_.Post([this] {
    news_ = false;
    if (!pause_) Tell();
  });
}

void BalloonControl::Tell() {
  const uint64_t now = size();
  if (now == std::exchange(told_, now)) return;
  events_.Emit("BALLOON_CHANGE", {{"actual", now}});
  pause_ = loop_.RunAfter(kBetweenEvents, [this] {
    pause_.reset();
    Tell();
  });
}

Json BalloonControl::Statistics() const {
  const virtio::BalloonStatistics statistics = device_->statistics();
  Json stats = Json::object();
  for (size_t tag = 0; tag < virtio::kBalloonStatCount; ++tag) {
    stats[virtio::kBalloonStatNames[tag]] = statistics.values[tag];
  }
  const auto updated =
      statistics.updated
          ? std::chrono::system_clock::to_time_t(*statistics.updated)
          : 0;
  return {{"stats", std::move(stats)}, {"last-update", updated}};
}

absl::Status BalloonControl::SetInterval(const Json& value) {
  const auto seconds = value.get<uint64_t>();
  if (seconds > UINT32_MAX) {
    return absl::InvalidArgumentError("timer value is too big");
  }
  device_->SetStatsInterval(std::chrono::seconds(seconds));
  return absl::OkStatus();
}

void BalloonControl::AddProperties(const std::string& id, QomObjects& objects) {
  constexpr char kType[] = "virtio-balloon-pci";
  const auto add = [&](const char* name, const char* type, auto get) {
    objects.Add(
        id, kType, name,
        {.type = type, .get = [get] { return Json(get()); }, .set = nullptr});
  };
  add("guest-stats", "guest statistics", [this] { return Statistics(); });
  add("inflated-bytes", "size", [this] { return device_->inflated_bytes(); });
  add("reported-bytes", "size", [this] { return device_->reported_bytes(); });
  add("inhibited", "bool", [this] { return device_->inhibited(); });
  objects.Add(
      id, kType, "guest-stats-polling-interval",
      {.type = "int",
       .wants = QmpType::kUnsigned,
       .get = [this] { return Json(device_->stats_interval().count()); },
       .set = [this](const Json& value) { return SetInterval(value); }});
}

}  // namespace kvmlet

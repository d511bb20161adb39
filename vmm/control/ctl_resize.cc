// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/ctl_resize.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "vmm/base/status_macros.h"
#include "vmm/control/ctl_format.h"
#include "vmm/control/json.h"

namespace kvmlet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPeriod{100};
constexpr std::chrono::seconds kGrace{5};
// States that need no explanation.
constexpr char kWorking[] = "in-progress";
constexpr char kDone[] = "complete";

uint64_t Size(const Json& data, const std::string& key) {
  const Json* value = Member(data, key);
  return value != nullptr && value->is_number_unsigned()
             ? value->get<uint64_t>()
             : 0;
}

// The device's entry of query-memory-devices.
absl::StatusOr<Json> Ask(QmpClient& client, const std::string& id,
                         QmpClient::Deadline deadline) {
  KVMLET_ASSIGN_OR_RETURN(
      const QmpReply reply,
      client.Execute("query-memory-devices", Json::object(), deadline));
  if (!reply.ok()) return absl::UnknownError(reply.error_text);
  for (const Json& device : reply.result) {
    const Json* data = Member(device, "data");
    if (data != nullptr && StringMember(*data, "id") == id) return *data;
  }
  return absl::NotFoundError(absl::StrCat("there is no memory device ", id));
}

}  // namespace

absl::Status FollowResize(QmpClient& client, const std::string& id,
                          QmpClient::Deadline deadline, std::ostream& out) {
  // The last question is asked at the deadline and may still be answered.
  const QmpClient::Deadline patience =
      deadline < QmpClient::kForever - kGrace ? deadline + kGrace : deadline;
  std::optional<uint64_t> told;
  std::optional<uint64_t> wanted;
  std::string told_state = kWorking;
  while (true) {
    KVMLET_ASSIGN_OR_RETURN(const Json data, Ask(client, id, patience));
    const uint64_t size = Size(data, "size");
    const uint64_t requested = Size(data, "requested-size");
    if (told != size) {
      out << Printable(id) << ": " << (size >> 20) << " of "
          << (requested >> 20) << " MiB plugged\n";
      out.flush();
      told = size;
    }
    if (!wanted) wanted = requested;
    if (*wanted != requested) {
      return absl::AbortedError(absl::StrCat(
          id, ": somebody else asked for ", requested >> 20, " MiB meanwhile"));
    }
    if (size == requested) return absl::OkStatus();
    const std::string state = StringMember(data, "__org.kvmlet_state");
    if (state != told_state && state != kWorking && state != kDone) {
      out << Printable(id) << ": " << Printable(state) << ": "
          << Printable(StringMember(data, "__org.kvmlet_reason")) << "\n";
      out.flush();
    }
    told_state = state;
    const auto now = Clock::now();
    if (now >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(id, " stays at ", size >> 20, " MiB: ", state, ": ",
                       StringMember(data, "__org.kvmlet_reason")));
    }
    std::this_thread::sleep_for(
        std::min<Clock::duration>(kPeriod, deadline - now));
  }
}

}  // namespace kvmlet

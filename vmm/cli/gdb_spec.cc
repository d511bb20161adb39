// SPDX-License-Identifier: Apache-2.0
// The value of --gdb.
#include <arpa/inet.h>

#include <optional>
#include <utility>

#include "vmm/base/parse.h"
#include "vmm/base/status_macros.h"
#include "vmm/cli/run_specs.h"
#include "vmm/cli/text.h"

namespace kvmlet::cli {
namespace {

absl::Status Bad(std::string_view text, std::string_view want) {
  return absl::InvalidArgumentError(Cat({"--gdb: '", text, "' is not ", want}));
}

// [HOST:]PORT
absl::Status ParseTcp(std::string_view text, GdbConfig& gdb) {
  const size_t colon = text.rfind(':');
  if (colon != text.npos) {
    std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
      host = host.substr(1, host.size() - 2);
    }
    gdb.host = host == "localhost" ? "127.0.0.1" : std::string(host);
    text.remove_prefix(colon + 1);
  }
  in_addr v4{};
  in6_addr v6{};
  const bool is_v4 = ::inet_pton(AF_INET, gdb.host.c_str(), &v4) == 1;
  const bool is_v6 = ::inet_pton(AF_INET6, gdb.host.c_str(), &v6) == 1;
  if (!is_v4 && !is_v6) {
    return Bad(gdb.host, "an address of this host, such as 127.0.0.1 or [::1]");
  }
  const bool local =
      is_v4 ? (ntohl(v4.s_addr) >> 24) == 127 : IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  if (!local && !gdb.allow_remote) {
    return absl::InvalidArgumentError(
        Cat({"--gdb: ", gdb.host,
             " can be reached from other hosts, and gdb's protocol has no "
             "password; use 127.0.0.1, a unix socket, or add allow-remote"}));
  }
  KVMLET_ASSIGN_OR_RETURN(const uint64_t port,
                          ParseNumber("--gdb port", text, 1, 65535));
  gdb.port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GdbConfig> ParseGdb(std::string_view text) {
  constexpr std::string_view kWant = "unix:PATH or tcp:[HOST:]PORT";
  GdbConfig gdb;
  KVMLET_ASSIGN_OR_RETURN(SpecParser spec,
                          SpecParser::Parse("--gdb", text, true));
  const std::optional<std::string> named = spec.Take("at");
  const std::string at = named.value_or(spec.positional());
  KVMLET_ASSIGN_OR_RETURN(gdb.wait, spec.TakeBool("wait"));
  KVMLET_ASSIGN_OR_RETURN(gdb.allow_remote, spec.TakeBool("allow-remote"));
  const std::string policy = spec.Take("on-disconnect").value_or("resume");
  KVMLET_RETURN_IF_ERROR(spec.Finish());
  if (named && !spec.positional().empty()) return Bad(at, "needed twice");
  if (policy == "stop") {
    gdb.on_disconnect = OnDisconnect::kStop;
  } else if (policy == "kill") {
    gdb.on_disconnect = OnDisconnect::kKill;
  } else if (policy != "resume") {
    return Bad(policy, "what to do on-disconnect: resume, stop or kill");
  }
  const std::string_view place = at;
  if (place.starts_with("unix:") && place.size() > 5) {
    gdb.path = at.substr(5);
    return gdb;
  }
  if (!place.starts_with("tcp:")) return Bad(at, kWant);
  KVMLET_RETURN_IF_ERROR(ParseTcp(place.substr(4), gdb));
  return gdb;
}

}  // namespace kvmlet::cli

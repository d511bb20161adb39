// SPDX-License-Identifier: Apache-2.0
// The settings of virtual functions through rtnetlink.
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/posix_error.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unique_fd.h"
#include "vmm/sriov/vf_settings.h"

namespace kvmlet::sriov {
namespace {

constexpr size_t kLargestReply = 256 << 10;  // of a card with many functions

using Bytes = std::vector<std::byte>;

template <typename T>
std::span<const std::byte> BytesOf(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

// One attribute; its value may be attributes again.
void Append(Bytes& out, uint16_t type, std::span<const std::byte> value) {
  const rtattr header{
      .rta_len = static_cast<uint16_t>(RTA_LENGTH(value.size())),
      .rta_type = type};
  const auto bytes = BytesOf(header);
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.insert(out.end(), value.begin(), value.end());
  out.resize(RTA_ALIGN(out.size()));
}

// The attributes one after the other, as far as they are whole.
template <typename F>
void ForEach(std::span<const std::byte> attributes, F each) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr header;
    std::memcpy(&header, attributes.data(), sizeof(header));
    if (header.rta_len < sizeof(header) || header.rta_len > attributes.size()) {
      return;
    }
    each(header.rta_type & NLA_TYPE_MASK,
         attributes.subspan(sizeof(header), header.rta_len - sizeof(header)));
    attributes = attributes.subspan(
        std::min<size_t>(RTA_ALIGN(header.rta_len), attributes.size()));
  }
}

template <typename T>
std::optional<T> Take(std::span<const std::byte> value) {
  T out;
  if (value.size() < sizeof(out)) return std::nullopt;
  std::memcpy(&out, value.data(), sizeof(out));
  return out;
}

// -1: the driver does not say.
std::optional<bool> Switch(uint32_t setting) {
  if (setting == UINT32_MAX) return std::nullopt;
  return setting != 0;
}

struct Found {
  uint32_t vf = UINT32_MAX;
  VfSettings settings;
};

Found ParseVfInfo(std::span<const std::byte> info) {
  Found found;
  ForEach(info, [&found](int type, std::span<const std::byte> value) {
    if (type == IFLA_VF_MAC) {
      const auto mac = Take<ifla_vf_mac>(value);
      if (!mac) return;
      found.vf = mac->vf;
      found.settings.mac.emplace();
      std::memcpy(found.settings.mac->data(), mac->mac, 6);
    } else if (type == IFLA_VF_VLAN) {
      const auto vlan = Take<ifla_vf_vlan>(value);
      if (vlan) found.settings.vlan = static_cast<uint16_t>(vlan->vlan);
    } else if (type == IFLA_VF_TRUST) {
      const auto trust = Take<ifla_vf_trust>(value);
      if (trust) found.settings.trust = Switch(trust->setting);
    } else if (type == IFLA_VF_SPOOFCHK) {
      const auto check = Take<ifla_vf_spoofchk>(value);
      if (check) found.settings.spoof_check = Switch(check->setting);
    }
  });
  return found;
}

// A request about one interface, and the kernel's answer behind its ifinfomsg:
// empty for one that only acknowledges.
absl::StatusOr<Bytes> Ask(uint16_t type, uint16_t flags,
                          const std::string& interface,
                          const Bytes& attributes) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return PosixError(errno, interface);
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } head{};
  const size_t size = NLMSG_ALIGN(sizeof(head)) + attributes.size();
  head.header.nlmsg_len = static_cast<uint32_t>(size);
  head.header.nlmsg_type = type;
  head.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  head.info.ifi_family = AF_UNSPEC;
  head.info.ifi_index = static_cast<int>(index);
  Bytes request(size);
  std::memcpy(request.data(), &head, sizeof(head));
  std::copy(attributes.begin(), attributes.end(),
            request.begin() + NLMSG_ALIGN(sizeof(head)));

  const UniqueFd fd(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.ok()) return PosixError(errno, "rtnetlink");
  if (::send(fd.get(), request.data(), request.size(), 0) < 0) {
    return PosixError(errno, "rtnetlink");
  }
  Bytes reply(kLargestReply);
  const ssize_t got = ::recv(fd.get(), reply.data(), reply.size(), 0);
  if (got < 0) return PosixError(errno, "rtnetlink");
  reply.resize(static_cast<size_t>(got));
  const auto header = Take<nlmsghdr>(reply);
  if (!header) return absl::InternalError("rtnetlink: a short answer");
  if (header->nlmsg_type == NLMSG_ERROR) {
    const auto error = Take<nlmsgerr>(std::span(reply).subspan(NLMSG_HDRLEN));
    if (!error) return absl::InternalError("rtnetlink: a short answer");
    if (error->error != 0) return OsRefused(-error->error, interface);
    return Bytes();
  }
  const size_t begin = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(ifinfomsg));
  if (reply.size() < begin) return absl::InternalError("rtnetlink: short");
  reply.erase(reply.begin(), reply.begin() + static_cast<ptrdiff_t>(begin));
  return reply;
}

template <typename T>
absl::Status SetOne(const std::string& interface, const char* name,
                    uint16_t type, const T& value) {
  Bytes setting;
  Append(setting, type, BytesOf(value));
  Bytes info;
  Append(info, IFLA_VF_INFO, setting);
  Bytes list;
  Append(list, IFLA_VFINFO_LIST, info);
  const auto done = Ask(RTM_SETLINK, NLM_F_ACK, interface, list);
  if (done.ok()) return absl::OkStatus();
  return absl::Status(done.status().code(),
                      absl::StrCat("virtual function ", value.vf, ": ", name,
                                   ": ", done.status().message()));
}

}  // namespace

absl::StatusOr<VfSettings> ReadVf(const std::string& interface, uint32_t vf) {
  Bytes wanted;
  const uint32_t filter = RTEXT_FILTER_VF;
  Append(wanted, IFLA_EXT_MASK, BytesOf(filter));
  KVMLET_ASSIGN_OR_RETURN(const Bytes reply,
                          Ask(RTM_GETLINK, 0, interface, wanted));
  std::optional<VfSettings> settings;
  ForEach(reply, [&](int type, std::span<const std::byte> list) {
    if (type != IFLA_VFINFO_LIST) return;
    ForEach(list, [&](int, std::span<const std::byte> info) {
      const Found found = ParseVfInfo(info);
      if (found.vf == vf) settings = found.settings;
    });
  });
  if (settings) return *settings;
  return BadInput(absl::StrCat(interface, ": there is no virtual function ", vf,
                               "; kvmlet sriov create makes them"));
}

absl::Status SetVf(const std::string& interface, uint32_t vf,
                   const VfSettings& settings) {
  if (settings.mac) {
    ifla_vf_mac mac{.vf = vf, .mac = {}};
    std::memcpy(mac.mac, settings.mac->data(), settings.mac->size());
    KVMLET_RETURN_IF_ERROR(SetOne(interface, "mac", IFLA_VF_MAC, mac));
  }
  if (settings.vlan) {
    const ifla_vf_vlan vlan{.vf = vf, .vlan = *settings.vlan, .qos = 0};
    KVMLET_RETURN_IF_ERROR(SetOne(interface, "vlan", IFLA_VF_VLAN, vlan));
  }
  if (settings.trust) {
    const ifla_vf_trust trust{.vf = vf, .setting = *settings.trust};
    KVMLET_RETURN_IF_ERROR(SetOne(interface, "trust", IFLA_VF_TRUST, trust));
  }
  if (settings.spoof_check) {
    const ifla_vf_spoofchk check{.vf = vf, .setting = *settings.spoof_check};
    KVMLET_RETURN_IF_ERROR(
        SetOne(interface, "spoofchk", IFLA_VF_SPOOFCHK, check));
  }
  return absl::OkStatus();
}

}  // namespace kvmlet::sriov

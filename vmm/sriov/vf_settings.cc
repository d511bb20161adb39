// SPDX-License-Identifier: Apache-2.0
#include "vmm/sriov/vf_settings.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/replaced_file.h"
#include "vmm/base/status_macros.h"

namespace kvmlet::sriov {
namespace {

constexpr uint16_t kLastVlan = 4094;

const char* OnOff(bool on) { return on ? "on" : "off"; }

std::optional<bool> ParseOnOff(const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  return std::nullopt;
}

// Six bytes in hexadecimal, of one interface: not for groups.
std::optional<std::array<uint8_t, 6>> ParseMac(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  std::array<uint8_t, 6> mac{};
  if (parts.size() != mac.size()) return std::nullopt;
  for (size_t i = 0; i < mac.size(); ++i) {
    uint32_t byte = 0;
    if (parts[i].size() != 2 || !absl::SimpleHexAtoi(parts[i], &byte)) {
      return std::nullopt;
    }
    mac[i] = static_cast<uint8_t>(byte);
  }
  if ((mac[0] & 1) != 0) return std::nullopt;
  return mac;
}

std::optional<uint16_t> ParseVlan(const std::string& text) {
  uint32_t vlan = 0;
  if (!absl::SimpleAtoi(text, &vlan) || vlan > kLastVlan) return std::nullopt;
  return static_cast<uint16_t>(vlan);
}

absl::Status TakeSetting(const std::string& name, const std::string& value,
                         VfSettings& settings) {
  const auto wrong = [&](const char* want) {
    return UsageError(absl::StrCat(name, "=", value, ": ", name, " is ", want));
  };
  if (name == "mac") {
    settings.mac = ParseMac(value);
    if (!settings.mac) return wrong("an address such as 02:00:00:00:00:01");
  } else if (name == "vlan") {
    settings.vlan = ParseVlan(value);
    if (!settings.vlan) return wrong("a number up to 4094, or 0 for none");
  } else if (name == "trust") {
    settings.trust = ParseOnOff(value);
    if (!settings.trust) return wrong("on or off");
  } else if (name == "spoofchk") {
    settings.spoof_check = ParseOnOff(value);
    if (!settings.spoof_check) return wrong("on or off");
  } else {
    return UsageError(absl::StrCat(
        "'", name, "' is no setting; there are mac, vlan, trust and spoofchk"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string VfSettings::Text() const {
  std::vector<std::string> words;
  if (mac) {
    const auto& m = *mac;
    words.push_back(absl::StrFormat("mac=%02x:%02x:%02x:%02x:%02x:%02x", m[0],
                                    m[1], m[2], m[3], m[4], m[5]));
  }
  if (vlan) words.push_back(absl::StrCat("vlan=", *vlan));
  if (trust) words.push_back(absl::StrCat("trust=", OnOff(*trust)));
  if (spoof_check) {
    words.push_back(absl::StrCat("spoofchk=", OnOff(*spoof_check)));
  }
  return absl::StrJoin(words, " ");
}

absl::StatusOr<VfSettings> ParseVfSettings(std::span<const std::string> words) {
  VfSettings settings;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == word.npos) {
      return UsageError(absl::StrCat("'", word, "' is not NAME=VALUE"));
    }
    KVMLET_RETURN_IF_ERROR(
        TakeSetting(word.substr(0, equals), word.substr(equals + 1), settings));
  }
  return settings;
}

absl::StatusOr<std::string> InterfaceOf(const vfio::HostPaths& paths,
                                        const vfio::DeviceFacts& pf) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(
           absl::StrCat(paths.sys, "/bus/pci/devices/", pf.bdf, "/net"),
           error)) {
    return entry.path().filename().string();
  }
  return HostLacks(absl::StrCat(
      pf.bdf, ": it has no network interface; its driver is ",
      pf.driver.empty() ? "none" : pf.driver,
      vfio::IsVfioDriver(pf.driver) ? ": kvmlet sriov unbind gives it back"
                                    : ""));
}

absl::StatusOr<SavedVfs> LoadSavedVfs(const std::string& path) {
  SavedVfs saved;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint32_t vf = 0;
    if (words.size() < 2 || !absl::SimpleAtoi(words[1], &vf)) {
      return BadInput(absl::StrCat("--state ", path, ": not a state of ",
                                   "virtual functions: '", line, "'"));
    }
    const auto settings = ParseVfSettings(std::span(words).subspan(2));
    if (!settings.ok()) {
      return BadInput(
          absl::StrCat("--state ", path, ": ", settings.status().message()));
    }
    saved[{words[0], vf}] = *settings;
  }
  return saved;
}

absl::Status StoreSavedVfs(const std::string& path, const SavedVfs& saved) {
  std::string text;
  for (const auto& [key, settings] : saved) {
    absl::StrAppend(&text, key.first, " ", key.second, " ", settings.Text(),
                    "\n");
  }
  return ReplaceFile(path, 0600, text, absl::StrCat("--state ", path));
}

}  // namespace kvmlet::sriov

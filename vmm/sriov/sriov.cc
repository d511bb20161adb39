// SPDX-License-Identifier: Apache-2.0
#include "vmm/sriov/sriov.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <map>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "devices/vfio/hand_over.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/status_macros.h"
#include "vmm/base/unix_socket.h"
#include "vmm/sriov/broker.h"
#include "vmm/sriov/host_pci.h"
#include "vmm/sriov/vf_settings.h"

namespace kvmlet::sriov {
namespace {

using vfio::HostPaths;

constexpr std::chrono::seconds kClientWait{5};

struct Command {
  std::vector<std::string> words;             // the command's name first
  std::map<std::string, std::string> values;  // --socket and the like
};

absl::StatusOr<Command> Parse(std::span<const std::string> args) {
  Command command;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& word = args[i];
    if (!word.starts_with("--")) {
      command.words.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals - 2);
    if ((name == "force" || name == "guest-pf") && equals == word.npos) {
      command.values[name] = "yes";
      continue;
    }
    if (name != "socket" && name != "state" && name != "driver") {
      return UsageError(
          absl::StrCat("unknown flag '--", name, "'; see kvmlet help sriov"));
    }
    if (equals == word.npos && i + 1 == args.size()) {
      return UsageError(absl::StrCat("--", name, " needs a value"));
    }
    command.values[name] =
        equals == word.npos ? args[++i] : word.substr(equals + 1);
  }
  if (command.words.empty()) command.words.emplace_back("show");
  return command;
}

absl::Status ExpectWords(const Command& command, size_t least, size_t most,
                         const char* want) {
  const size_t operands = command.words.size() - 1;
  if (operands >= least && operands <= most) return absl::OkStatus();
  return UsageError(absl::StrCat(command.words[0], " takes ", want));
}

absl::StatusOr<vfio::DeviceFacts> Facts(const HostPaths& paths,
                                        const std::string& name) {
  KVMLET_ASSIGN_OR_RETURN(const std::string bdf, vfio::ParseDeviceName(name));
  return vfio::ReadFacts(paths, bdf);
}

absl::Status Show(const Command& command, const HostPaths& paths,
                  std::ostream& out) {
  KVMLET_RETURN_IF_ERROR(ExpectWords(command, 0, 1, "at most one DEVICE"));
  std::string bdf;
  if (command.words.size() > 1) {
    KVMLET_ASSIGN_OR_RETURN(const auto facts, Facts(paths, command.words[1]));
    bdf = facts.bdf;
  }
  out << ShowText(paths, bdf);
  return absl::OkStatus();
}

absl::Status Bind(const Command& command, const HostPaths& paths) {
  KVMLET_RETURN_IF_ERROR(
      ExpectWords(command, 1, SIZE_MAX, "one DEVICE or several"));
  std::string driver = command.words[0] == "bind" ? "vfio-pci" : "";
  if (const auto it = command.values.find("driver");
      it != command.values.end()) {
    driver = it->second;
  }
  for (size_t i = 1; i < command.words.size(); ++i) {
    KVMLET_ASSIGN_OR_RETURN(const auto facts, Facts(paths, command.words[i]));
    KVMLET_RETURN_IF_ERROR(BindDriver(paths, facts, driver));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> ParseCount(const std::string& text) {
  uint32_t count = 0;
  if (absl::SimpleAtoi(text, &count)) return count;
  return UsageError(absl::StrCat("'", text, "' is no number of functions"));
}

absl::Status Create(const Command& command, const HostPaths& paths) {
  KVMLET_RETURN_IF_ERROR(ExpectWords(command, 2, 2, "PF COUNT"));
  KVMLET_ASSIGN_OR_RETURN(const uint32_t count, ParseCount(command.words[2]));
  KVMLET_ASSIGN_OR_RETURN(const auto facts, Facts(paths, command.words[1]));
  if (vfio::IsVfioDriver(facts.driver) && count > 0) {
    return BadInput(
        absl::StrCat(facts.bdf,
                     ": on vfio-pci its virtual functions need a token and "
                     "somebody who keeps it: kvmlet sriov serve ",
                     facts.bdf, " ", count, " --socket PATH --state PATH"));
  }
  return SetVfs(paths, facts, count);
}

// Machines that use the functions are asked by the kernel, and let go.
absl::Status Destroy(const Command& command, const HostPaths& paths) {
  KVMLET_RETURN_IF_ERROR(ExpectWords(command, 1, 1, "PF"));
  KVMLET_ASSIGN_OR_RETURN(const auto facts, Facts(paths, command.words[1]));
  if (!command.values.contains("force")) return SetVfs(paths, facts, 0);
  const int error = WriteFile(facts.path + "/sriov_numvfs", "0");
  if (error == 0) return absl::OkStatus();
  return OsRefused(error, absl::StrCat(facts.bdf, ": removing its functions"));
}

// The address that an untouched function has means that the guest makes up its
// own: what else is not as it was asked for is the driver's refusal.
absl::Status CheckSettings(const VfSettings& wanted, const VfSettings& now) {
  const auto differs = [](const auto& want, const auto& have) {
    return want && want != have;
  };
  if (differs(wanted.mac, now.mac) || differs(wanted.vlan, now.vlan) ||
      differs(wanted.trust, now.trust) ||
      differs(wanted.spoof_check, now.spoof_check)) {
    return HostLacks(absl::StrCat("set ", wanted.Text(),
                                  ", but the driver says ", now.Text()));
  }
  return absl::OkStatus();
}

struct VfPlace {
  std::string pf;
  std::string interface;
};

absl::StatusOr<VfPlace> PlaceOf(const HostPaths& paths,
                                const std::string& name) {
  KVMLET_ASSIGN_OR_RETURN(const auto facts, Facts(paths, name));
  KVMLET_ASSIGN_OR_RETURN(const std::string interface,
                          InterfaceOf(paths, facts));
  return VfPlace{.pf = facts.bdf, .interface = interface};
}

absl::Status ApplyVf(const VfPlace& place, uint32_t vf,
                     const VfSettings& wanted, std::ostream& out) {
  KVMLET_RETURN_IF_ERROR(SetVf(place.interface, vf, wanted));
  KVMLET_ASSIGN_OR_RETURN(const VfSettings now, ReadVf(place.interface, vf));
  out << place.pf << " " << vf << " " << now.Text() << "\n";
  return CheckSettings(wanted, now);
}

absl::Status Vf(const Command& command, const HostPaths& paths,
                std::ostream& out) {
  KVMLET_RETURN_IF_ERROR(
      ExpectWords(command, 2, SIZE_MAX, "PF INDEX [NAME=VALUE...]"));
  KVMLET_ASSIGN_OR_RETURN(const uint32_t vf, ParseCount(command.words[2]));
  KVMLET_ASSIGN_OR_RETURN(const VfSettings wanted,
                          ParseVfSettings(std::span(command.words).subspan(3)));
  KVMLET_ASSIGN_OR_RETURN(const VfPlace place,
                          PlaceOf(paths, command.words[1]));
  KVMLET_ASSIGN_OR_RETURN(const VfSettings before, ReadVf(place.interface, vf));
  const auto state = command.values.find("state");
  if (state != command.values.end() && !wanted.empty()) {
    KVMLET_ASSIGN_OR_RETURN(SavedVfs saved, LoadSavedVfs(state->second));
    // As it was before the first time.
    saved.emplace(std::pair(place.pf, vf), before);
    KVMLET_RETURN_IF_ERROR(StoreSavedVfs(state->second, saved));
  }
  return ApplyVf(place, vf, wanted, out);
}

// All that can be restored is, and the file has the rest.
absl::Status Restore(const Command& command, const HostPaths& paths,
                     std::ostream& out) {
  KVMLET_RETURN_IF_ERROR(ExpectWords(command, 0, 0, "--state PATH alone"));
  const auto state = command.values.find("state");
  if (state == command.values.end()) {
    return UsageError("restore needs --state PATH");
  }
  KVMLET_ASSIGN_OR_RETURN(const SavedVfs saved, LoadSavedVfs(state->second));
  SavedVfs left;
  absl::Status status;
  for (const auto& [key, settings] : saved) {
    const absl::StatusOr<VfPlace> place = PlaceOf(paths, key.first);
    const absl::Status done = place.ok()
                                  ? ApplyVf(*place, key.second, settings, out)
                                  : place.status();
    if (!done.ok()) left.emplace(key, settings);
    status.Update(done);
  }
  KVMLET_RETURN_IF_ERROR(StoreSavedVfs(state->second, left));
  return status;
}

// SIGINT and SIGTERM end it, and so does a host that wants the function back;
// the virtual functions stay.
absl::Status ServeUntilEnd(Broker& broker, const UnixListener& listener) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const UniqueFd signals(::signalfd(-1, &ends, SFD_CLOEXEC));
  while (true) {
    std::array<pollfd, 3> events{
        pollfd{.fd = listener.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = signals.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = broker.request_fd(), .events = POLLIN, .revents = 0}};
    if (::poll(events.data(), events.size(), -1) < 0) continue;
    if (events[1].revents != 0 || events[2].revents != 0) {
      return absl::OkStatus();
    }
    const UniqueFd client(
        ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.ok()) continue;
    const auto line = vfio::ReceiveLine(client.get(), kClientWait);
    if (line.ok()) broker.Answer(client.get(), *line);
  }
}

absl::Status Serve(const Command& command, const HostPaths& paths,
                   std::ostream& out) {
  KVMLET_RETURN_IF_ERROR(ExpectWords(command, 2, 2, "PF COUNT"));
  for (const char* needed : {"socket", "state"}) {
    if (!command.values.contains(needed)) {
      return UsageError(absl::StrCat("serve needs --", needed, " PATH"));
    }
  }
  KVMLET_ASSIGN_OR_RETURN(const uint32_t count, ParseCount(command.words[2]));
  KVMLET_ASSIGN_OR_RETURN(const std::string pf,
                          vfio::ParseDeviceName(command.words[1]));
  KVMLET_ASSIGN_OR_RETURN(
      const std::unique_ptr<Broker> broker,
      Broker::Create({.calls = vfio::LinuxCalls(),
                      .paths = paths,
                      .pf = pf,
                      .vfs = count,
                      .state_path = command.values.at("state"),
                      .guest_pf = command.values.contains("guest-pf")}));
  KVMLET_ASSIGN_OR_RETURN(
      const UnixListener listener,
      UnixListener::Create("--socket", command.values.at("socket")));
  out << broker->Describe() << std::endl;
  return ServeUntilEnd(*broker, listener);
}

absl::Status Dispatch(const Command& command, std::ostream& out) {
  const HostPaths paths;
  const std::string& name = command.words[0];
  if (name == "show") return Show(command, paths, out);
  if (name == "bind" || name == "unbind") return Bind(command, paths);
  if (name == "create") return Create(command, paths);
  if (name == "destroy") return Destroy(command, paths);
  if (name == "serve") return Serve(command, paths, out);
  if (name == "vf") return Vf(command, paths, out);
  if (name == "restore") return Restore(command, paths, out);
  return UsageError(absl::StrCat(
      "unknown command '", name,
      "'; there are show, bind, unbind, create, destroy, serve, vf and "
      "restore"));
}

}  // namespace

int SriovMain(std::span<const std::string> args, std::ostream& out,
              std::ostream& err) {
  const absl::StatusOr<Command> command = Parse(args);
  const absl::Status status =
      command.ok() ? Dispatch(*command, out) : command.status();
  if (!status.ok()) err << "kvmlet sriov: " << status.message() << "\n";
  return ExitStatusFor(status);
}

}  // namespace kvmlet::sriov

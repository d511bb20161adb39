// SPDX-License-Identifier: Apache-2.0
#include "vmm/sriov/broker.h"

#include <glog/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "devices/vfio/explain.h"
#include "devices/vfio/hand_over.h"
#include "devices/vfio/host_device.h"
#include "devices/vfio/token_source.h"
#include "vmm/base/exit_status.h"
#include "vmm/base/replaced_file.h"
#include "vmm/base/status_macros.h"
#include "vmm/sriov/host_pci.h"

namespace kvmlet::sriov {

using vfio::Token;

absl::StatusOr<std::unique_ptr<Broker>> Broker::Create(const Options& options) {
  std::unique_ptr<Broker> broker(new Broker(options));
  KVMLET_ASSIGN_OR_RETURN(broker->pf_,
                          vfio::ReadFacts(options.paths, options.pf));
  if (!broker->pf_.is_pf()) {
    return BadInput(
        absl::StrCat(options.pf, ": it has no virtual functions (SR-IOV)"));
  }
  KVMLET_RETURN_IF_ERROR(vfio::CheckUsable(broker->pf_));
  if (options.guest_pf && broker->pf_.vfs.size() == options.vfs) {
    // A machine may have it: the token is what it was opened with.
    KVMLET_ASSIGN_OR_RETURN(broker->token_, broker->ReadState());
    if (broker->token_) return broker;
  }
  KVMLET_RETURN_IF_ERROR(broker->OpenPf());
  KVMLET_RETURN_IF_ERROR(broker->Rotate());
  KVMLET_RETURN_IF_ERROR(SetVfs(options.paths, broker->pf_, options.vfs));
  KVMLET_ASSIGN_OR_RETURN(broker->pf_,
                          vfio::ReadFacts(options.paths, options.pf));
  if (options.guest_pf) broker->LetGoOfPf();
  return broker;
}

absl::StatusOr<std::optional<Token>> Broker::ReadState() const {
  if (::access(options_.state_path.c_str(), F_OK) != 0) return std::nullopt;
  struct stat file {};
  if (::stat(options_.state_path.c_str(), &file) != 0 ||
      (file.st_mode & 077) != 0) {
    return BadInput(absl::StrCat(
        options_.state_path,
        ": others may read the token in it; run 'chmod 600', or remove it"));
  }
  return vfio::ReadToken({.text = "", .file = options_.state_path, .fd = -1});
}

// In its place at once, so that there is always one whole token.
absl::Status Broker::WriteState(const Token& token) const {
  const std::string& path = options_.state_path;
  KVMLET_ASSIGN_OR_RETURN(ReplacedFile file,
                          ReplacedFile::Create(path, 0600, path));
  std::string text = token.Text() + "\n";
  const absl::Status written = file.WriteAt(0, std::as_bytes(std::span(text)));
  vfio::Wipe(text);
  KVMLET_RETURN_IF_ERROR(written);
  KVMLET_RETURN_IF_ERROR(file.Sync());
  return file.Finish();
}

// While virtual functions are in use only the token that they were opened with
// opens the physical one: the one before a restart.
absl::Status Broker::OpenPf() {
  space_ = vfio::MakeContainer(
      {.calls = options_.calls, .paths = options_.paths, .kvm = nullptr});
  KVMLET_ASSIGN_OR_RETURN(const std::optional<Token> kept, ReadState());
  KVMLET_ASSIGN_OR_RETURN(const vfio::TokenDecision decision,
                          vfio::DecideToken(pf_, kept));
  KVMLET_ASSIGN_OR_RETURN(auto handle, space_->Open(pf_, decision));
  token_ = decision.send;
  KVMLET_ASSIGN_OR_RETURN(
      device_,
      vfio::HostDevice::Create(options_.calls, std::move(handle), pf_.bdf));
  KVMLET_ASSIGN_OR_RETURN(request_, EventFd::Create());
  const int fd = request_->get();
  const int got =
      device_->SetTriggers(vfio::IrqIndex::kRequest, 0, std::span(&fd, 1));
  LOG_IF(WARNING, got != 0) << pf_.bdf << ": the kernel will not say when it "
                            << "is wanted back";
  return absl::OkStatus();
}

// The kernel keeps the token and the functions.
void Broker::LetGoOfPf() {
  device_.reset();
  request_.reset();
  space_.reset();
}

// The file first: a token that the kernel has and nobody knows would lock the
// physical function up. Should the second step fail, the first is taken back.
absl::Status Broker::Rotate() {
  KVMLET_ASSIGN_OR_RETURN(const Token fresh, Token::Random());
  KVMLET_RETURN_IF_ERROR(WriteState(fresh));
  const absl::Status set = vfio::SetToken(options_.calls, device_->fd(), fresh);
  if (!set.ok()) {
    if (token_) WriteState(*token_).IgnoreError();
    return set;
  }
  token_ = fresh;
  return absl::OkStatus();
}

absl::Status Broker::HandOver(int socket, const std::string& index) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(index, &number) || number >= pf_.vfs.size()) {
    return BadInput(absl::StrCat("there is no virtual function ", index,
                                 "; there are 0 to ", pf_.vfs.size() - 1));
  }
  KVMLET_ASSIGN_OR_RETURN(const vfio::DeviceFacts vf,
                          vfio::ReadFacts(options_.paths, pf_.vfs[number]));
  KVMLET_RETURN_IF_ERROR(vfio::CheckUsable(vf));
  KVMLET_ASSIGN_OR_RETURN(const vfio::HandedDevice handed,
                          vfio::OpenToHand(options_.calls, options_.paths, vf,
                                           {.send = token_, .fresh = false}));
  KVMLET_RETURN_IF_ERROR(vfio::SendDevice(socket, handed));
  return device_ ? Rotate() : absl::OkStatus();
}

void Broker::Answer(int socket, const std::string& line) {
  absl::Status status = BadInput("unknown request; ask 'take INDEX'");
  if (line.starts_with("take ")) status = HandOver(socket, line.substr(5));
  if (line == "list") status = vfio::SendLine(socket, Describe());
  if (status.ok()) return;
  LOG(WARNING) << options_.pf << ": " << status.message();
  vfio::SendLine(socket, absl::StrCat("error ", std::string(status.message())))
      .IgnoreError();
}

std::string Broker::Describe() const {
  std::string text = absl::StrCat(pf_.bdf, ":");
  for (size_t i = 0; i < pf_.vfs.size(); ++i) {
    absl::StrAppend(&text, " ", i, "=", pf_.vfs[i]);
  }
  return text;
}

absl::Status Broker::TearDown() { return SetVfs(options_.paths, pf_, 0); }

}  // namespace kvmlet::sriov

// SPDX-License-Identifier: Apache-2.0
// The owner of a physical function on vfio-pci: holds it open with a token
// that nobody else knows, makes its virtual functions, and hands them, opened,
// to machines that ask on a unix socket. Every hand-over is followed by a new
// token. The newest is kept in a file that only the owner may read: the kernel
// wants it when the broker starts again while functions are in use.
//
// With `guest_pf` a machine drives the physical function: the broker lets go of
// it once there are functions, and that machine opens it with the token of the
// file. Then nobody changes the token.
//
// Threads: one. Specification: design of VFIO's VF token, Linux,
// drivers/vfio/pci/vfio_pci_core.c.
#ifndef KVMLET_VMM_SRIOV_BROKER_H_
#define KVMLET_VMM_SRIOV_BROKER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/vfio/address_space.h"
#include "devices/vfio/host_calls.h"
#include "devices/vfio/host_device.h"
#include "devices/vfio/sysfs.h"
#include "devices/vfio/token.h"
#include "vmm/base/event_fd.h"

namespace kvmlet::sriov {

class Broker {
 public:
  struct Options {
    vfio::HostCalls& calls;
    vfio::HostPaths paths;
    std::string pf;
    uint32_t vfs = 0;
    std::string state_path;
    bool guest_pf = false;
  };
  // Opens the physical function, sets a token and makes the functions. With
  // `guest_pf` nothing of that is done again when all of it is there.
  static absl::StatusOr<std::unique_ptr<Broker>> Create(const Options& options);

  // Answers one line of a client: "take INDEX" or "list". Closes nothing.
  void Answer(int socket, const std::string& line);
  // Removes the virtual functions; fails while they are in use.
  absl::Status TearDown();

  std::string Describe() const;
  // Readable when the host wants the physical function back.
  // Negative while a machine has it.
  int request_fd() const { return request_ ? request_->get() : -1; }

 private:
  explicit Broker(const Options& options) : options_(options) {}
  absl::Status OpenPf();
  void LetGoOfPf();
  absl::StatusOr<std::optional<vfio::Token>> ReadState() const;
  absl::Status WriteState(const vfio::Token& token) const;
  absl::Status Rotate();
  absl::Status HandOver(int socket, const std::string& index);

  const Options options_;
  vfio::DeviceFacts pf_;
  std::unique_ptr<vfio::AddressSpace> space_;
  std::unique_ptr<vfio::HostDevice> device_;
  std::optional<EventFd> request_;
  std::optional<vfio::Token> token_;
};

}  // namespace kvmlet::sriov

#endif  // KVMLET_VMM_SRIOV_BROKER_H_

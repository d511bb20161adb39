// SPDX-License-Identifier: Apache-2.0
// A port over a stream socket, in the framing that QEMU's stream networks and
// passt speak: each frame follows its length as 4 bytes, big endian. Reads
// take many frames at once; the peer is not trusted, and one that announces an
// impossible length is cut off.
//
// Threads: as NetPort. Units: bytes. Errors: as NetPort.
#ifndef KVMLET_DEVICES_BACKEND_STREAM_PORT_H_
#define KVMLET_DEVICES_BACKEND_STREAM_PORT_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "devices/backend/net_backend.h"
#include "vmm/base/unique_fd.h"

namespace kvmlet {

class StreamPort : public NetPort {
 public:
  // `name` is what the log calls the peer.
  StreamPort(UniqueFd fd, std::string name);

  int fd() const override { return fd_.get(); }
  NetIo Send(std::span<const iovec> packet) override;
  NetIo Receive(std::span<const iovec> buffers) override;
  NetResult Flush() override;

 private:
  // Reads more bytes behind those that are there; kDone when some came.
  NetResult Fill();
  NetResult Close();

  UniqueFd fd_;
  std::string name_;
  bool closed_ = false;
  // Received and not yet delivered: [begin_, end_) of input_.
  std::vector<std::byte> input_;
  size_t begin_ = 0;
  size_t end_ = 0;
  // The rest of a frame that the socket took in part.
  std::vector<std::byte> output_;
  size_t output_sent_ = 0;
  std::vector<iovec> scratch_;
};

}  // namespace kvmlet

#endif  // KVMLET_DEVICES_BACKEND_STREAM_PORT_H_

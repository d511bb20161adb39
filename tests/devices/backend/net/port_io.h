// SPDX-License-Identifier: Apache-2.0
// Helpers of the port tests: one packet in, one packet out, waiting where the
// other side is a real program or the kernel. Single-threaded.
#ifndef KVMLET_TESTS_DEVICES_BACKEND_NET_PORT_IO_H_
#define KVMLET_TESTS_DEVICES_BACKEND_NET_PORT_IO_H_

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "devices/backend/net_backend.h"

namespace kvmlet {

using Bytes = std::vector<std::byte>;

inline Bytes Frame(size_t length, unsigned seed = 1) {
  Bytes frame(length);
  for (size_t i = 0; i < length; ++i) {
    frame[i] = static_cast<std::byte>((i * 3 + seed) & 0xff);
  }
  return frame;
}

// Sends a zero header and the frame, in two pieces.
inline NetIo SendFrame(NetPort& port, Bytes frame) {
  Bytes header(kNetHeaderSize);
  const iovec parts[] = {{header.data(), header.size()},
                         {frame.data(), frame.size()}};
  return port.Send(parts);
}

struct Received {
  NetResult result = NetResult::kAgain;
  Bytes header;
  Bytes frame;
};

inline Received ReceiveFrame(NetPort& port) {
  Bytes buffer(kMaxNetPacket, std::byte{0xa5});
  // The header straddles the two pieces.
  const iovec parts[] = {{buffer.data(), 5},
                         {buffer.data() + 5, buffer.size() - 5}};
  const NetIo io = port.Receive(parts);
  if (io.result != NetResult::kDone) return {io.result, {}, {}};
  const auto middle = buffer.begin() + kNetHeaderSize;
  const auto end = buffer.begin() + static_cast<ptrdiff_t>(io.bytes);
  return {io.result, Bytes(buffer.begin(), middle), Bytes(middle, end)};
}

// The same, but waits up to `limit` for something to come.
inline Received WaitForFrame(NetPort& port, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    Received received = ReceiveFrame(port);
    if (received.result != NetResult::kAgain) return received;
    if (std::chrono::steady_clock::now() >= deadline) return received;
    pollfd p{.fd = port.fd(), .events = POLLIN, .revents = 0};
    ::poll(&p, 1, 50);
  }
}

}  // namespace kvmlet

#endif  // KVMLET_TESTS_DEVICES_BACKEND_NET_PORT_IO_H_

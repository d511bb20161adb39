# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_virtio PRIVATE
  net.cc net_control.cc net_pair.cc net_receiver.cc net_transmitter.cc
  vhost_queue.cc)
target_link_libraries(kvmlet_virtio PUBLIC kvmlet_backend)

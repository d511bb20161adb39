# SPDX-License-Identifier: Apache-2.0
# vhost_queue.cc is listed by net.cmake.
target_sources(kvmlet_virtio PRIVATE vsock.cc)

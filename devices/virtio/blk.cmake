# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_virtio PRIVATE blk.cc blk_queue.cc blk_request.cc)
target_link_libraries(kvmlet_virtio PUBLIC kvmlet_backend)

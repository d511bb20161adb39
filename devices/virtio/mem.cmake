# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_virtio PRIVATE mem.cc mem_blocks.cc mem_faults.cc)

# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_virtio PRIVATE pmem.cc)

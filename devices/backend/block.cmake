# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_backend PRIVATE
  block_file.cc block_open.cc block_steps.cc block_sync.cc block_uring.cc)
target_link_libraries(kvmlet_backend PUBLIC uring)

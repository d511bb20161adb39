# SPDX-License-Identifier: Apache-2.0
target_sources(kvmlet_backend PRIVATE
  net_backend.cc packet_port.cc passt.cc stream_port.cc tap.cc vhost.cc)

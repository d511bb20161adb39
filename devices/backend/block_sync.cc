// SPDX-License-Identifier: Apache-2.0
#include "devices/backend/block_sync.h"

namespace kvmlet {

void SyncBlockQueue::Start(BlockRequest& request) {
  steps_.Begin(request);
  while (!BlockSteps::Done(request)) {
    if (steps_.NeedsBuffer(request)) {
      steps_.GiveBuffer(request);
      continue;
    }
    steps_.Advance(request, RunBlockStep(fd_, steps_.Next(request)));
  }
  done_.push_back(&request);
}

BlockRequest* SyncBlockQueue::NextDone() {
  if (done_.empty()) return nullptr;
  BlockRequest* request = done_.front();
  done_.pop_front();
  return request;
}

}  // namespace kvmlet

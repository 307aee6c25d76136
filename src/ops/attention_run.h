// The back-ends of softmax attention for as long as a run lasts: which one its config asks for, and the measurements in its folder.
#pragma once

#include "core/run_config.h"
#include "core/run_directory.h"
#include "ops/attention_choices.h"

namespace linden {

class AttentionRun {
 public:
  // Works on default_attention_choices(). InputError where the folder's file is damaged.
  AttentionRun(const RunConfig& config, const RunDirectory& run) {
    default_attention_choices().prefer(AttentionConfig{config.attention});
    default_attention_choices().keep_in(run.file(kAttentionChoicesFile));
  }
  ~AttentionRun() { default_attention_choices().keep_in({}); }
  AttentionRun(const AttentionRun&) = delete;
  AttentionRun& operator=(const AttentionRun&) = delete;
};

}  // namespace linden

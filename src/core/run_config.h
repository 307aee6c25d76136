// The keys that every run's config has at its top level.
#pragma once

#include <cstdint>
#include <string>

#include "core/config.h"

namespace linden {

struct RunConfig {
  int64_t seed = 0;
  std::string device = "auto";     // auto, cpu, cuda, cuda:1
  std::string output;              // empty: runs/<config name>/<NNN>
  int64_t threads = 0;             // CPU threads; 0: as many as there are cores
  std::string attention = "auto";  // back-end of softmax attention: ops/attention_choices.h
};

// Not visit_fields: these keys stand beside the command's own, not in an object of their own.
inline void visit_run_fields(FieldVisitor& v, RunConfig& c) {
  visit(v, Field("seed", "seed of every random stream").at_least(0), c.seed);
  visit(v, Field("device", "auto (CUDA if there is a card), cpu, cuda or cuda:N"), c.device);
  visit(v, Field("output", "run folder; empty: runs/<config name>/<NNN>, the next free number").changeable(), c.output);
  visit(v, Field("threads", "CPU threads; 0: one a core").between(0, 4096).changeable(), c.threads);
  visit(v,
        Field("attention",
              "back-end of softmax attention on a card: auto (the fastest for each shape, measured once, kept in the run folder), or one of LibTorch's "
              "wherever it takes the inputs")
            .one_of({"auto", "cudnn", "flash", "efficient", "math"})
            .changeable(),
        c.attention);
}

}  // namespace linden

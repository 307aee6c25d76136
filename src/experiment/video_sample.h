// `linden sample` of a text-to-video prior: each clip under its own caption, by any flow sampler.
#pragma once

#include "core/run_directory.h"
#include "experiment/sample_run.h"

namespace linden {

// Writes samples.h5 (with digit and motion, where the captions name them), captions.txt, samples.png (a strip of frames a clip),
// samples.apng, samples.html and summary.json. Clip i is stream (seed, i) under caption i mod their number. Throws InputError,
// ConfigError, Interrupted (after saving what is finished).
void run_video_sample(SampleConfig config, const RunOptions& options);

}  // namespace linden

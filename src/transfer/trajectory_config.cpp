#include "transfer/trajectory_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace linden {

void visit_fields(FieldVisitor& v, KeptStepsConfig& c) {
  visit(v, Field("every", "every how many steps of the sampler one is kept, from the noise on").at_least(1), c.every);
  visit(v, Field("steps", "these steps instead, counted from 0 at the noise").at_least(0), c.steps);
}

std::vector<int64_t> kept_steps(const KeptStepsConfig& c, int64_t num_steps) {
  std::vector<int64_t> steps = c.steps;
  if (steps.empty())
    for (int64_t step = 0; step < num_steps; step += c.every) steps.push_back(step);
  else if (c.every != 1) throw ConfigError("keep.every and keep.steps are both given: keep one");
  std::ranges::sort(steps);
  if (const auto twice = std::ranges::adjacent_find(steps); twice != steps.end()) throw ConfigError(fmt::format("keep.steps has {} twice", *twice));
  if (steps.front() < 0 || steps.back() >= num_steps)
    throw ConfigError(fmt::format("keep.steps has {}, but the sampler has {} steps (allowed 0..{})", steps.front() < 0 ? steps.front() : steps.back(),
                                  num_steps, num_steps - 1));
  return steps;
}

void visit_fields(FieldVisitor& v, TrajectoriesConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("teacher", "model folder of the video model whose paths are kept; on --resume another place of the same model").changeable(), c.teacher);
  visit(v, Field("weights", "folder, or formula:SEED in place of the folder's weights"), c.weights);
  visit(v, Field("prompts", "file of prompts, one a line"), c.prompts);
  visit(v,
        Field("prompt_order", "prompt of trajectory i. cycle: i mod their number; shuffled: the same, each round in another order by the seed")
            .one_of({"cycle", "shuffled"}),
        c.prompt_order);
  visit(v, Field("negative_prompt", "what guidance moves away from; empty: no condition"), c.negative_prompt);
  visit(v, Field("num_trajectories", "paths from noise to data").between(1, 1e9), c.num_trajectories);
  visit(v, Field("sampler", "the teacher's sampler"), c.sampler);
  visit(v,
        Field("shift_from", "whose timestep shift. model: that of the teacher's scheduler/scheduler_config.json; sampler: sampler.shift")
            .one_of({"model", "sampler"}),
        c.shift_from);
  visit(v, Field("guidance", "of the teacher; the velocity that is kept is the guided one"), c.guidance);
  visit(v, Field("frames", "F of the latents; 0: the model's").between(0, 16384), c.frames);
  visit(v, Field("height", "rows Y of the latents; 0: the model's").between(0, 16384), c.height);
  visit(v, Field("width", "columns X of the latents; 0: the model's").between(0, 16384), c.width);
  visit(v, Field("keep", "which steps are kept"), c.keep);
  visit(v, Field("store", "x: the network's inputs; x_and_velocity: its guided outputs as well").one_of({"x", "x_and_velocity"}), c.store);
  visit(v, Field("dtype", "of what is kept").one_of({"bf16", "fp32"}), c.dtype);
  visit(v, Field("shard_bytes", "most bytes of latents a shard, but at least one trajectory").at_least(1), c.shard_bytes);
  visit(v, Field("batch_size", "trajectories in flight at once").at_least(1).at_most(65535), c.batch_size);
  visit(v,
        Field("precision", "of the teacher. fp32: exact; tf32: on a card, products with a 10-bit mantissa; bf16: weights and products")
            .one_of({"fp32", "tf32", "bf16"}),
        c.precision);
}

const FlowScheduleConfig& schedule_of(const FlowSamplerConfig& sampler) {
  return std::visit([](const auto& c) -> const FlowScheduleConfig& { return c; }, sampler);
}
FlowScheduleConfig& schedule_of(FlowSamplerConfig& sampler) {
  return std::visit([](auto& c) -> FlowScheduleConfig& { return c; }, sampler);
}

}  // namespace linden

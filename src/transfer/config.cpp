#include "transfer/config.h"

#include <fmt/format.h>

#include "core/error.h"

namespace linden {

void visit_fields(FieldVisitor& v, WarmStartConfig& c) {
  visit(v,
        Field("steps",
              "steps in which each linear mixer learns to give what softmax gives in its place; 0: none; feature maps without weights have nothing to learn")
            .at_least(0),
        c.steps);
  visit(v, Field("learning_rate", "of the feature maps in these steps (Adam)").above(0), c.learning_rate);
}

void visit_fields(FieldVisitor& v, CriticConfig& c) {
  visit(v, Field("optimizer", "AdamW"), c.optimizer);
  visit(v, Field("steps", "steps of the critic for each step of the student").at_least(1), c.steps);
}

void visit_fields(FieldVisitor& v, RollingTransferConfig& c) {
  visit(v, Field("prompts", "file with a prompt a line; where trajectories is empty"), c.prompts);
  visit(v, Field("negative_prompt", "of the unconditional half of guidance"), c.negative_prompt);
  visit(v, Field("sampler", "of the teacher's paths; its shift is the teacher's"), c.sampler);
  visit(v, Field("keep", "which steps of a path are kept"), c.keep);
  visit(v, Field("frames", "of the latents; 0: as the model was trained for").between(0, 16384), c.frames);
  visit(v, Field("height", "of the latents, in latent pixels; 0: as the model was trained for").between(0, 16384), c.height);
  visit(v, Field("width", "of the latents, in latent pixels; 0: as the model was trained for").between(0, 16384), c.width);
  visit(v, Field("store", "x: x_t; x_and_velocity: with the teacher's guided velocity").one_of({"x", "x_and_velocity"}), c.store);
  visit(v, Field("dtype", "of the buffer").one_of({"bf16", "fp32"}), c.dtype);
  visit(v, Field("batch_size", "paths that are made at once").at_least(1), c.batch_size);
  visit_fields(v, c.buffer);
}

void visit_fields(FieldVisitor& v, TransferConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("teacher", "folder of a video model whose attention is all softmax"), c.teacher);
  visit(v, Field("weights", "of the teacher: folder, or formula:SEED (its config, weights by formula)"), c.weights);
  visit(v, Field("trajectories", "folder of linden trajectories, made from this teacher; empty: they are made while training goes on (rolling)"),
        c.trajectories);
  visit(v, Field("rolling", "a buffer of trajectories in which the oldest give way to new ones"), c.rolling);
  visit(v, Field("feature_map", "of the linear layers"), c.feature_map);
  visit(v, Field("gates", "how many layers become linear, which may, how they are chosen"), c.gates);
  visit(v, Field("alpha", "exponent of the regulariser that makes the gates decide"), c.alpha);
  visit(v, Field("matching", "how the student is brought to the teacher"), c.matching);
  visit(v, Field("guidance", "of the trajectories, and of the clips that are drawn"), c.guidance);
  visit(v,
        Field("match",
              "unguided: the velocities of single forward passes, with the caption or (caption_dropout) without it, so that both halves of guidance become "
              "right; guided: the guided velocities, at twice the cost")
            .one_of({"unguided", "guided"}),
        c.match);
  visit(v, Field("caption_dropout", "of unguided: share of the examples that are matched without their caption").between(0, 1), c.caption_dropout);
  visit(v, Field("warm_start", "of the feature maps, before the first step"), c.warm_start);
  visit(v, Field("critic", "of the objectives that need one"), c.critic);
  visit(v, Field("steps", "optimiser steps in all").at_least(1), c.steps);
  visit(v, Field("batch_size", "examples a step").at_least(1), c.batch_size);
  visit(v, Field("accumulate", "parts of a batch that are computed one after another; divides batch_size").at_least(1), c.accumulate);
  visit(v, Field("optimizer", "of the student's weights: AdamW"), c.optimizer);
  visit(v, Field("learning_rate", "how the rate of the optimizer changes with the step"), c.learning_rate);
  visit(v, Field("ema_decay", "decay of the average of the weights, which is what is kept; 0: no average").between(0, 0.9999999), c.ema_decay);
  visit(v, Field("gradient_clip", "largest 2-norm of the weights' gradient; 0: no clipping").at_least(0), c.gradient_clip);
  visit(v, Field("precision", "on a GPU: fp32 exact, tf32 (fp32 with 10-bit products), or bf16 (autocast over fp32 weights)").one_of({"fp32", "tf32", "bf16"}),
        c.precision);
  visit(v,
        Field("graphs", "auto: on a GPU a step is captured as a CUDA graph and replayed, which small networks gain most by; off: every launch apart")
            .one_of({"auto", "off"})
            .changeable(),
        c.graphs);
  visit(v, Field("activation_checkpointing", "a block keeps its inputs alone and runs again in the backward pass"), c.activation_checkpointing);
  visit(v, Field("device_mb", "trajectories that take at most so many MB lie on the device, larger sets are read batch by batch").at_least(0).changeable(),
        c.device_mb);
  visit(v, Field("num_held_out", "trajectories, the last ones, that training does not see").between(1, 1e6), c.num_held_out);
  visit(v, Field("num_points", "points on them at which the velocity gap is measured").between(1, 1e6), c.num_points);
  visit(v, Field("measure_layers", "measures before the first step what it costs to convert each layer alone (block_errors.csv)"), c.measure_layers);
  visit(v,
        Field("time_stages", "times the parts of every step and notes the memory in use (stages.csv); waits for the device after each part, graphs are off")
            .changeable(),
        c.time_stages);
  visit(v, Field("log_every", "steps between two rows of metrics.csv").between(1, 100000), c.log_every);
  visit(v, Field("checkpoint_every", "steps between two saved states").at_least(1).changeable(), c.checkpoint_every);
  visit(v, Field("keep_checkpoints", "saved states that are kept").at_least(1).changeable(), c.keep_checkpoints);
  visit(v, Field("strip_every", "steps between two strips of teacher and student; 0: at the end only").at_least(0).changeable(), c.strip_every);
  visit(v, Field("num_strip_clips", "clips in a strip; 0: no strips").between(0, 64).changeable(), c.num_strip_clips);
  visit(v, Field("compare", "model folder, of latents as the teacher's, whose clips stand below the student's in the last strip; empty: none").changeable(),
        c.compare);
  visit(v, Field("num_bins", "bins of sigma for the velocity gap").between(1, 1000), c.num_bins);
  visit(v, Field("detectors", "when a run warns or stops"), c.detectors);
  visit(v, Field("export_dtype", "dtype of the finished model folder").one_of({"fp32", "fp16"}).changeable(), c.export_dtype);
}

void require_consistent(const TransferConfig& c) {
  require_consistent(c.matching, "matching");
  if (c.teacher.empty()) throw ConfigError("teacher is empty, wanted the folder of a video model; for example experiments/moving_digits/teacher");
  if (c.trajectories.empty() && c.rolling.prompts.empty())
    throw ConfigError(
        "trajectories is empty, wanted a folder that linden trajectories made from this teacher; or rolling.prompts, a file of prompts, to make them while "
        "training goes on");
  if (!c.trajectories.empty() && !c.rolling.prompts.empty())
    throw ConfigError(fmt::format("trajectories is {} and rolling.prompts {}: wanted one of the two", c.trajectories, c.rolling.prompts));
  if (!c.rolling.prompts.empty() && (c.rolling.buffer.refill > c.rolling.buffer.capacity || c.rolling.buffer.capacity % c.rolling.buffer.refill != 0))
    throw ConfigError(fmt::format("rolling.capacity is {}, which rolling.refill = {} does not divide", c.rolling.buffer.capacity, c.rolling.buffer.refill));
  if (c.batch_size % c.accumulate != 0) throw ConfigError(fmt::format("batch_size is {}, which accumulate = {} does not divide", c.batch_size, c.accumulate));
}

}  // namespace linden

#include "align/config.h"

namespace linden {
namespace {

void visit_tree_fields(FieldVisitor& v, TreeConfig& c) {
  visit(v, Field("widening", "progressive widening: full when |C| >= constant N^exponent"), c.widening);
  visit(v, Field("lambda", "inverse temperature of the target p(x) exp(lambda r(x))").at_least(0), c.lambda);
  visit(v, Field("backup_lambda", "inverse temperature of the log-mean-exp backup (0: mean); below 0: lambda"), c.backup_lambda);
  visit(v, Field("readout_lambda", "inverse temperature of the read-out; below 0: lambda").changeable(), c.readout_lambda);
  visit(v, Field("branch_at", "remaining steps at which nodes branch, the full number first; empty: S, 0.8 S, 0.6 S, 0.4 S, 0.2 S").at_least(1), c.branch_at);
  visit(v, Field("batch_size", "leaves in flight at once; 1 is the published algorithm").at_least(1).at_most(65535), c.batch_size);
  visit(v, Field("max_free_revisits", "iterations in a row that end in an old leaf before the search stops").at_least(1).changeable(), c.max_free_revisits);
  visit(v, Field("device_latents_mib", "latents beyond this many MiB go from the card to the CPU").at_least(0).changeable(), c.device_latents_mib);
}

}  // namespace

void visit_fields(FieldVisitor& v, WideningConfig& c) {
  visit(v, Field("constant", "C").above(0), c.constant);
  visit(v, Field("exponent", "alpha").between(0, 1), c.exponent);
}

void visit_fields(FieldVisitor& v, DtsConfig& c) {
  visit_tree_fields(v, c);
  visit(v, Field("selection_lambda", "inverse temperature of Boltzmann selection (0: uniform); below 0: lambda"), c.selection_lambda);
}

void visit_fields(FieldVisitor& v, DtsUnbiasedConfig& c) { visit_tree_fields(v, c); }

void visit_fields(FieldVisitor& v, DtsStarConfig& c) {
  visit_tree_fields(v, c);
  visit(v, Field("c_uct", "exploration constant of UCT; about 0.05 to 0.3 of the reward's deviation").at_least(0), c.c_uct);
  visit(v, Field("backup", "soft: log-mean-exp, max: the best child").one_of({"soft", "max"}), c.backup);
}

void visit_fields(FieldVisitor& v, BestOfNConfig& c) {
  visit(v, Field("batch_size", "trajectories in flight at once").at_least(1).at_most(65535), c.batch_size);
}

void visit_fields(FieldVisitor& v, JudgeConfig& c) {
  visit(v, Field("folder", "model folder, or weights file, of an independent classifier that reads the samples and never guides; empty: none").changeable(),
        c.folder);
  visit(
      v,
      Field("reference", "real samples (mnist_train, a folder ...): the Frechet distance of the samples to those of the asked classes, on the judge's features")
          .changeable(),
      c.reference);
  visit(v, Field("held_out", "other real samples: what the Frechet distance is for as many of them as there are samples").changeable(), c.held_out);
}

void visit_fields(FieldVisitor& v, ClassifierRewardConfig& c) {
  visit(v, Field("folder", "model folder, or weights file, of the classifier that guides"), c.folder);
  visit(v, Field("digit", "the class asked for; -1: see digits").at_least(-1), c.digit);
  visit(v, Field("digits", "several classes: the reward is the largest log probability among them").at_least(0), c.digits);
}

void visit_fields(FieldVisitor& v, MixtureRewardConfig& c) {
  visit(v, Field("growth", "w_i = exp(growth i), i = 1 .. num_modes").between(-10, 10), c.growth);
  visit(v, Field("num_modes", "modes of the ring").between(1, 64), c.num_modes);
  visit(v, Field("radius", "of the ring").above(0), c.radius);
  visit(v, Field("sigma", "deviation of a mode").above(0), c.sigma);
}

void visit_fields(FieldVisitor& v, ClipRewardConfig& c) {
  visit(v, Field("folder", "folder of the clip guide: digit/ and step/"), c.folder);
  visit(v, Field("caption", "what the clip shall show; empty: prior.caption"), c.caption);
}

void visit_fields(FieldVisitor& v, SquaredNormRewardConfig& c) { visit(v, Field("scale", "r(x) = scale |x|^2"), c.scale); }

void visit_fields(FieldVisitor& v, AlignConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("prior", "the diffusion model that is sampled"), c.prior);
  visit(v, Field("sampler", "how one step goes"), c.sampler);
  visit(v, Field("executor", "how steps run on the device"), c.executor);
  visit(v, Field("reward", "what samples should score high on"), c.reward);
  visit(v, Field("method", "tree sampling, tree search or a baseline"), c.method);
  visit(v, Field("judge", "an independent reader of the samples"), c.judge);
  visit(v, Field("nfe", "budget in function evaluations of the prior; the batch that crosses it finishes").at_least(1).changeable(), c.nfe);
  visit(v, Field("num_samples", "samples drawn from the finished tree").at_least(1).changeable(), c.num_samples);
  visit(v, Field("save_every_seconds", "how often the tree is saved while it grows").above(0).changeable(), c.save_every_seconds);
  visit(v, Field("save_latents", "keep the latents in tree.h5; without them the run cannot be resumed").changeable(), c.save_latents);
}

}  // namespace linden

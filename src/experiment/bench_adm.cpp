#include "experiment/bench_adm.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "core/clock.h"
#include "core/device.h"
#include "core/error.h"
#include "core/files.h"
#include "diffusion/flow_sampler.h"
#include "io/svg.h"
#include "transfer/linear_picture.h"

namespace linden {
namespace {

struct PictureRow {
  std::string form;
  int64_t solver_steps = 0;
  double width = 0;
  LinearGrowth growth;
};

struct TrialRow {
  std::string form;
  double time_width = 0, learning_rate = 0;
  MatchingTrial trial;
};

AdmConfig adm(const std::string& normalisation, const std::string& time = "next") {
  AdmConfig config;
  config.normalisation = normalisation;
  config.time = time;
  return config;
}

OnPolicyMatchingConfig on_policy(const std::string& time, const std::string& weight = "unit") {
  OnPolicyMatchingConfig config;
  config.time = time;
  config.weight = weight;
  return config;
}

FlowSchedule schedule_of(const BenchAdmConfig& config, int64_t steps) {
  return FlowSampler(FlowEulerConfig{{.num_steps = steps, .shift = config.trial.shift, .sigma_convention = "wan"}}).schedule();
}

std::vector<PictureRow> linear_pictures(const BenchAdmConfig& config) {
  std::vector<PictureRow> rows;
  for (const int64_t steps : config.solver_steps)
    for (const MatchingForm& form : matching_forms())
      for (const double width : config.widths) {
        if (form.epsilon != 1e-8) continue;  // gradient flow has no Adam
        const int64_t cells = steps > 30 ? 4 : 8;
        rows.push_back({form.name, steps, width,
                        linear_growth(linear_picture(form.matching, schedule_of(config, steps), {.width = width, .cells = cells}), config.horizon)});
      }
  return rows;
}

// Two workers: each trial is too small to share among threads.
std::vector<TrialRow> trials(const BenchAdmConfig& config) {
  std::vector<TrialRow> rows;
  std::vector<MatchingForm> forms;
  for (const MatchingForm& form : matching_forms())
    for (const double width : config.trial_widths)
      for (const double rate : config.learning_rates) {
        rows.push_back({form.name, width, rate, {}});
        forms.push_back(form);
      }
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    at::set_num_threads(1);
    for (size_t i = next++; i < rows.size(); i = next++) {
      MatchingTrialConfig trial = config.trial;
      trial.time_width = rows[i].time_width;
      trial.learning_rate = rows[i].learning_rate;
      trial.epsilon = forms[i].epsilon;
      trial.seed = static_cast<uint64_t>(config.run.seed);
      rows[i].trial = run_matching_trial(forms[i].matching, trial);
    }
  };
  std::thread second(work);
  work();
  second.join();
  return rows;
}

std::string linear_csv(const std::vector<PictureRow>& rows) {
  std::string text = "form,solver_steps,width,worst_growth,typical_growth,final_typical,slowest_rate\n";
  for (const PictureRow& row : rows)
    text += fmt::format("{},{},{},{:.5g},{:.5g},{:.5g},{:.5g}\n", row.form, row.solver_steps, row.width, row.growth.worst, row.growth.typical,
                        row.growth.final_typical, row.growth.slowest_rate);
  return text;
}

std::string trials_csv(const std::vector<TrialRow>& rows) {
  std::string text =
      "form,time_width,learning_rate,steps,first_velocity_error,last_velocity_error,growth,first_own_error,last_own_error,first_end_distance,last_end_"
      "distance\n";
  for (const TrialRow& row : rows) {
    const MatchingTrial& t = row.trial;
    text += fmt::format("{},{},{},{},{:.5g},{:.5g},{:.5g},{:.5g},{:.5g},{:.5g},{:.5g}\n", row.form, row.time_width, row.learning_rate, t.step.back(),
                        t.velocity_error.front(), t.velocity_error.back(), t.growth(), t.own_error.front(), t.own_error.back(), t.end_distance.front(),
                        t.end_distance.back());
  }
  return text;
}

std::string curves_csv(const std::vector<TrialRow>& rows) {
  std::string text = "form,time_width,learning_rate,step,velocity_error,own_error,end_distance\n";
  for (const TrialRow& row : rows)
    for (size_t i = 0; i < row.trial.step.size(); ++i)
      text += fmt::format("{},{},{},{},{:.5g},{:.5g},{:.5g}\n", row.form, row.time_width, row.learning_rate, row.trial.step[i], row.trial.velocity_error[i],
                          row.trial.own_error[i], row.trial.end_distance[i]);
  return text;
}

constexpr const char* kDrawn[] = {"mse", "adm raw", "adm unit", "adm dmd_norm", "adm unit within step", "adm unit both ends", "on-policy"};

// One curve a form: `point` gives (x, y) of a row or nothing.
template <class Row, class Point>
std::vector<Curve> curves_of(const std::vector<Row>& rows, const Point& point) {
  std::vector<Curve> curves;
  for (const char* form : kDrawn) {
    Curve curve{form, {}, {}, {}, {}};
    for (const Row& row : rows)
      if (row.form == form) point(row, curve);
    if (!curve.x.empty()) curves.push_back(curve);
  }
  return curves;
}

double middle(const std::vector<double>& values, double wanted) {  // the value nearest to `wanted` in ratio
  return *std::min_element(values.begin(), values.end(), [&](double a, double b) { return std::abs(std::log(a / wanted)) < std::abs(std::log(b / wanted)); });
}

void write_figures(const RunDirectory& run, const BenchAdmConfig& config, const std::vector<PictureRow>& pictures, const std::vector<TrialRow>& rows) {
  const int64_t steps = config.solver_steps.front();
  const double rate = middle(config.learning_rates, 3e-4), width = middle(config.trial_widths, 1);
  const auto growth = curves_of(pictures, [&](const PictureRow& row, Curve& curve) {
    if (row.solver_steps != steps) return;
    curve.x.push_back(row.width);
    curve.y.push_back(std::min(row.growth.typical, 1e12));
  });
  write_file_atomically(run.file("linear.svg"), curves_svg({fmt::format("Linear picture: largest growth of a small error, {} solver steps", steps),
                                                            {"width of the tangent kernel in time, solver steps", true},
                                                            {"largest error over its start, drawn up to 1e12", true},
                                                            growth,
                                                            {}}));
  const auto training = curves_of(rows, [&](const TrialRow& row, Curve& curve) {
    if (row.learning_rate != rate || row.time_width != width) return;
    for (size_t i = 0; i < row.trial.step.size(); ++i) {
      curve.x.push_back(static_cast<double>(row.trial.step[i]));
      curve.y.push_back(std::clamp(row.trial.velocity_error[i], 1e-12, 1e6));
    }
  });
  write_file_atomically(run.file("training.svg"), curves_svg({fmt::format("Trained students: kernel width {} solver steps, Adam {}", width, rate),
                                                              {"optimiser step"},
                                                              {"relative velocity error", true},
                                                              training,
                                                              {}}));
  const auto ends = curves_of(rows, [&](const TrialRow& row, Curve& curve) {
    if (row.learning_rate != rate) return;
    curve.x.push_back(row.time_width);
    curve.y.push_back(std::clamp(row.trial.growth(), 1e-12, 1e9));
  });
  write_file_atomically(run.file("width.svg"), curves_svg({fmt::format("Trained students, Adam {}, after {} steps", rate, config.trial.steps),
                                                           {"width of the tangent kernel in time, solver steps", true},
                                                           {"velocity error over its start", true},
                                                           ends,
                                                           {{"start", 1}}}));
}

// Growth of every form by width: the linear picture, then each learning rate's trials.
std::string table(const BenchAdmConfig& config, const std::vector<PictureRow>& pictures, const std::vector<TrialRow>& rows) {
  std::string text;
  const auto head = [&](const std::string& title, const std::vector<double>& widths) {
    text += "\n" + title + "\n\n| form |";
    for (const double width : widths) text += fmt::format(" {} |", width);
    text += "\n| --- |";
    for (size_t i = 0; i < widths.size(); ++i) text += " ---: |";
    text += "\n";
  };
  const auto line = [&](const std::string& form, const std::vector<double>& values) {
    if (values.empty()) return;
    text += "| " + form + " |";
    for (const double value : values) text += fmt::format(" {:.2g} |", value);
    text += "\n";
  };
  for (const int64_t steps : config.solver_steps) {
    head(fmt::format("Linear picture, {} solver steps: largest growth of a typical small error (1: none), by kernel width.", steps), config.widths);
    for (const MatchingForm& form : matching_forms()) {
      std::vector<double> values;
      for (const PictureRow& row : pictures)
        if (row.form == form.name && row.solver_steps == steps) values.push_back(row.growth.typical);
      line(form.name, values);
    }
  }
  for (const double rate : config.learning_rates) {
    head(fmt::format("Trained students, Adam {}: velocity error after {} steps over that before, by kernel width.", rate, config.trial.steps),
         config.trial_widths);
    for (const MatchingForm& form : matching_forms()) {
      std::vector<double> values;
      for (const TrialRow& row : rows)
        if (row.form == form.name && row.learning_rate == rate) values.push_back(row.trial.growth());
      line(form.name, values);
    }
  }
  return text;
}

}  // namespace

std::vector<MatchingForm> matching_forms() {
  AdmConfig both_ends = adm("unit"), anchor = adm("unit"), last = adm("unit"), within_last = adm("unit", "within_step"), renoise = adm("unit"),
            finer = adm("unit");
  both_ends.both_ends = true;
  anchor.anchor = 1;
  last.match_last_step = within_last.match_last_step = true;
  renoise.reading = "renoise";
  finer.substeps = 4;
  OnPolicyMatchingConfig first = on_policy("next");
  first.match_first_step = true;
  return {{"mse", MseMatchingConfig{}},
          {"adm raw", adm("raw")},
          {"adm raw any lower time", adm("raw", "lower_solver_time")},
          {"adm dmd_norm", adm("dmd_norm")},
          {"adm unit", adm("unit")},
          {"adm unit large epsilon", adm("unit"), 0.1},
          {"adm unit any lower time", adm("unit", "lower_solver_time")},
          {"adm unit renoise", renoise},
          {"adm unit last step matched", last},
          {"adm unit 4 substeps", finer},
          {"adm unit within step", adm("unit", "within_step")},
          {"adm unit within step last step matched", within_last},
          {"adm unit anchor 1", anchor},
          {"adm unit both ends", both_ends},
          {"on-policy", on_policy("next")},
          {"on-policy first step matched", first},
          {"on-policy within step", on_policy("within_step")},
          {"on-policy kl weight", on_policy("next", "kl")}};
}

void visit_fields(FieldVisitor& v, BenchAdmConfig& c) {
  visit_run_fields(v, c.run);
  visit(v, Field("solver_steps", "of the linear picture, each by itself").at_least(2), c.solver_steps);
  visit(v, Field("widths", "of the linear picture's kernel, in solver steps").above(0), c.widths);
  visit(v, Field("horizon", "of the linear picture, in time constants of an isolated point").above(0), c.horizon);
  visit(v, Field("trial", "the trained students"), c.trial);
  visit(v, Field("trial_widths", "of their tangent kernel in time, in solver steps").above(0), c.trial_widths);
  visit(v, Field("learning_rates", "of Adam, each by itself").above(0), c.learning_rates);
}

void visit_fields(FieldVisitor& v, BenchAdmSummary& c) {
  visit(v, Field("forms", "objectives compared"), c.forms);
  visit(v, Field("pictures", "lines of linear.csv"), c.pictures);
  visit(v, Field("trials", "students trained"), c.trials);
  visit(v, Field("trials_grown", "of them with a larger velocity error at the end than at the start"), c.trials_grown);
  visit(v, Field("always_fall", "forms of which none grew"), c.always_fall);
  visit(v, Field("seconds", "for all of it"), c.seconds);
}

void run_bench_adm(BenchAdmConfig config, const RunOptions& options) {
  check_input(!config.solver_steps.empty() && !config.widths.empty() && !config.trial_widths.empty() && !config.learning_rates.empty(),
              "bench adm: solver_steps, widths, trial_widths and learning_rates each want at least one value");
  set_up_device(config.run, Float32Math::kExact);
  ConfigRefOf<BenchAdmConfig> ref(config);
  RunDirectory run(options, ref);
  const Clock::time_point start = Clock::now();
  const std::vector<PictureRow> pictures = linear_pictures(config);
  const std::vector<TrialRow> rows = trials(config);
  BenchAdmSummary summary;
  summary.forms = static_cast<int64_t>(matching_forms().size());
  summary.pictures = static_cast<int64_t>(pictures.size());
  summary.trials = static_cast<int64_t>(rows.size());
  for (const MatchingForm& form : matching_forms()) {
    const auto grew = [&](const TrialRow& row) { return row.form == form.name && !(row.trial.growth() <= 1); };
    const int64_t count = std::count_if(rows.begin(), rows.end(), grew);
    summary.trials_grown += count;
    if (count == 0) summary.always_fall.push_back(form.name);
  }
  const std::string text = table(config, pictures, rows);
  std::printf("%s\n", text.c_str());
  write_file_atomically(run.file("linear.csv"), linear_csv(pictures));
  write_file_atomically(run.file("trials.csv"), trials_csv(rows));
  write_file_atomically(run.file("curves.csv"), curves_csv(rows));
  write_file_atomically(run.file("table.md"), "# Stability of the matching objectives\n" + text);
  write_figures(run, config, pictures, rows);
  summary.seconds = seconds_since(start);
  ConfigRefOf<BenchAdmSummary> summary_ref(summary);
  run.write_summary(summary_ref);
}

}  // namespace linden

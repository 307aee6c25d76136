#include "data/training_set.h"

#include <ATen/ATen.h>

#include <set>

#include "core/error.h"
#include "data/checksum_manifest.h"
#include "data/cifar.h"
#include "data/digits.h"
#include "data/image_folder.h"
#include "diffusion/noise_schedule.h"
#include "models/closed_form.h"

namespace linden {
namespace {

// The points are drawn from streams of another seed than the order in which a run reads them.
constexpr uint64_t kPointSeedOffset = 1000003;

at::Tensor draw_points(const ClosedFormPrior& prior, int64_t count, uint64_t seed) { return prior.sample(count, seed + kPointSeedOffset); }

ImageFolder listed(const ImageFolderData& config) {
  check_input(!config.folder.empty(), "data.folder is empty: where are the images?");
  return list_image_folder(config.folder);
}

// The first `asked` rows; 0: all. `what` is the set's name in messages.
TrainingSet first_examples(const TrainingSet& set, int64_t asked, const std::string& what) {
  const int64_t available = set.examples.size(0);
  check_input(asked <= available, "data.num_examples is {}, but the {} holds {} (0: all)", asked, what, available);
  const int64_t count = asked > 0 ? asked : available;
  return {set.examples.slice(0, 0, count), set.labels.slice(0, 0, count), nullptr};
}

constexpr int64_t kTestExamples = 10000;  // of moving digits
constexpr int64_t kChunk = 1000;          // examples that are composed at a time

// One frame, or two, of each clip, as bytes: example i is of clip i and begins at frame i mod (F or F - 1).
TrainingSet frames_of(const ClipBank& bank, bool pairs) {
  const int64_t count = pairs ? 2 : 1, size = bank.config().size, starts = bank.config().frames + 1 - count;
  TrainingSet set{at::empty({bank.size(), count, size, size}, at::kByte), at::empty({bank.size()}, at::kLong), nullptr};
  for (int64_t first = 0; first < bank.size(); first += kChunk) {
    const int64_t last = std::min(bank.size(), first + kChunk);
    const at::Tensor rows = at::arange(first, last, at::kLong), frame = rows.remainder(starts);
    set.examples.slice(0, first, last).copy_(bank.clips(rows, frame, count).squeeze(1).add(1).mul(127.5).round());
    set.labels.slice(0, first, last).copy_(pairs ? bank.steps(rows, frame) : bank.digit.slice(0, first, last));
  }
  return set;
}

TrainingSet load(const MnistData& config, uint64_t) {
  const Digits digits = load_digits(config.split);
  return first_examples({digits.images, digits.labels, nullptr}, config.num_examples, fmt::format("MNIST split \"{}\"", config.split));
}
TrainingSet load(const Cifar10Data& config, uint64_t) {
  const LabelledImages set = of_classes(load_cifar10(config.split, config.folder), config.classes);
  return first_examples({set.images, set.labels, nullptr}, config.num_examples,
                        fmt::format("CIFAR-10 split \"{}\"{}", config.split, config.classes.empty() ? "" : " of the asked classes"));
}
TrainingSet load(const ImageFolderData& config, uint64_t) {
  const ImageFolder folder = listed(config);
  const bool has_list = std::filesystem::exists(folder.folder / kChecksumManifest);
  verify_checksums(folder.folder, folder.files);
  const LabelledImages set = load_image_folder(folder);
  if (!has_list && config.checksums == "write") write_checksums(folder.folder, folder.files);
  return {set.images, set.labels, nullptr};
}
TrainingSet load(const MovingDigitsData& config, uint64_t seed) {
  check_input(config.examples != "steps" || config.frames >= 2, "data.frames is {}, but data.examples is steps, which are between two frames", config.frames);
  ClipBank bank(MovingDigits(config, seed), config.num_examples);
  if (config.examples != "clips") return frames_of(bank, config.examples == "steps");
  return {{}, {}, std::make_shared<ClipBank>(std::move(bank))};
}
std::vector<double> default_alpha_bar() { return NoiseSchedule(NoiseScheduleConfig{}).alpha_bar; }
TrainingSet load(const GaussianMixtureData& config, uint64_t seed) {
  return {draw_points(GaussianMixture(ring_of_modes(), default_alpha_bar()), config.num_examples, seed), {}, nullptr};
}
TrainingSet load(const CheckerboardData& config, uint64_t seed) {
  return {draw_points(Checkerboard(default_alpha_bar()), config.num_examples, seed), {}, nullptr};
}

}  // namespace

void visit_fields(FieldVisitor& v, MnistData& c) {
  visit(v, Field("split", "train: the 60,000 of the data folder; shipped: the thousand test digits in the repository").one_of({"train", "shipped"}), c.split);
  visit(v, Field("num_examples", "only the first so many; 0: all").at_least(0), c.num_examples);
}
void visit_fields(FieldVisitor& v, Cifar10Data& c) {
  visit(v, Field("split", "train: 50,000 images; test: 10,000").one_of({"train", "test"}), c.split);
  visit(v, Field("folder", "where the .bin files or their archives lie; empty: cifar10/ of the data folder (LINDEN_DATA)"), c.folder);
  visit(v, Field("classes", "only images of these classes, 0 airplane .. 9 truck; empty: all").between(0, 9), c.classes);
  visit(v, Field("num_examples", "only the first so many; 0: all").at_least(0), c.num_examples);
  visit(v, Field("horizontal_flips", "exchange left and right in half of the images of a step, drawn anew each time"), c.horizontal_flips);
}
void visit_fields(FieldVisitor& v, ImageFolderData& c) {
  visit(v, Field("folder", "PNG files of one size, or one sub-folder of them a class"), c.folder);
  visit(v, Field("checksums", "verify: the folder's SHA256SUMS, where there is one; write: first write it, where there is none").one_of({"verify", "write"}),
        c.checksums);
  visit(v, Field("horizontal_flips", "exchange left and right in half of the images of a step, drawn anew each time"), c.horizontal_flips);
}
void visit_fields(FieldVisitor& v, MovingDigitsData& c) {
  visit(v,
        Field("examples", "clips; frames, with the digit as class; or steps, two successive frames with the direction of the step as class")
            .one_of({"clips", "frames", "steps"}),
        c.examples);
  visit(v, Field("num_examples", "different clips, by the seed").between(1, 1e8), c.num_examples);
  visit_fields(v, static_cast<MovingDigitsConfig&>(c));
}
void visit_fields(FieldVisitor& v, GaussianMixtureData& c) { visit(v, Field("num_examples", "exact draws, by the seed").between(1, 1e8), c.num_examples); }
void visit_fields(FieldVisitor& v, CheckerboardData& c) { visit(v, Field("num_examples", "exact draws, by the seed").between(1, 1e8), c.num_examples); }

std::vector<int64_t> TrainingSet::example_shape() const {
  if (clips) return {1, clips->config().frames, clips->config().size, clips->config().size};
  return examples.sizes().slice(1).vec();
}

TrainingSet TrainingSet::to(at::Device device) const {
  if (clips) return {{}, {}, std::make_shared<ClipBank>(clips->to(device))};
  return {examples.to(device), labels.defined() ? labels.to(device) : labels, nullptr};
}

at::Tensor TrainingSet::batch(const at::Tensor& rows) const { return clips ? clips->clips(rows) : scaled_to_unit(examples.index_select(0, rows)); }

TrainingSet load_training_set(const DataConfig& config, uint64_t seed) {
  return std::visit([&](const auto& c) { return load(c, seed); }, config);
}

TrainingSet load_test_set(const DataConfig& config, uint64_t seed) {
  DataConfig test = config;
  if (auto* mnist = std::get_if<MnistData>(&test)) *mnist = {mnist->split == "train" ? "test" : mnist->split, 0};
  if (auto* cifar = std::get_if<Cifar10Data>(&test)) {
    cifar->split = "test";
    cifar->num_examples = 0;
  }
  if (auto* clips = std::get_if<MovingDigitsData>(&test)) {
    clips->split = "test";
    clips->num_examples = std::min(clips->num_examples, kTestExamples);
  }
  return load_training_set(test, seed);
}

std::string data_type(const DataConfig& config) {
  return std::visit([](const auto& c) { return std::string(c.kType); }, config);
}

bool flips_images(const DataConfig& config) {
  if (const auto* cifar = std::get_if<Cifar10Data>(&config)) return cifar->horizontal_flips;
  const auto* folder = std::get_if<ImageFolderData>(&config);
  return folder && folder->horizontal_flips;
}

std::vector<int64_t> example_shape(const DataConfig& config) {
  if (std::holds_alternative<MnistData>(config)) return {1, 32, 32};
  if (std::holds_alternative<Cifar10Data>(config)) return {3, 32, 32};
  if (const auto* folder = std::get_if<ImageFolderData>(&config)) return image_shape(listed(*folder));
  if (const auto* clips = std::get_if<MovingDigitsData>(&config)) {
    if (clips->examples == "clips") return {1, clips->frames, clips->size, clips->size};
    return {clips->examples == "steps" ? 2 : 1, clips->size, clips->size};
  }
  return {2};
}

int64_t num_examples(const DataConfig& config) {
  if (const auto* mnist = std::get_if<MnistData>(&config)) return mnist->num_examples > 0 ? mnist->num_examples : mnist->split == "train" ? 60000 : 1000;
  if (const auto* cifar = std::get_if<Cifar10Data>(&config)) {
    const std::set<int64_t> classes(cifar->classes.begin(), cifar->classes.end());
    const int64_t per_class = cifar->split == "train" ? 5000 : 1000;
    return cifar->num_examples > 0 ? cifar->num_examples : per_class * (classes.empty() ? 10 : static_cast<int64_t>(classes.size()));
  }
  if (const auto* folder = std::get_if<ImageFolderData>(&config)) return static_cast<int64_t>(listed(*folder).files.size());
  if (const auto* clips = std::get_if<MovingDigitsData>(&config)) return clips->num_examples;
  if (const auto* mixture = std::get_if<GaussianMixtureData>(&config)) return mixture->num_examples;
  return std::get<CheckerboardData>(config).num_examples;
}

bool has_labels(const DataConfig& config) {
  if (const auto* folder = std::get_if<ImageFolderData>(&config)) return !listed(*folder).labels.empty();
  if (const auto* clips = std::get_if<MovingDigitsData>(&config)) return clips->examples != "clips";
  return std::holds_alternative<MnistData>(config) || std::holds_alternative<Cifar10Data>(config);
}

int64_t example_bytes(const DataConfig& config) {
  const int64_t pixels = c10::multiply_integers(example_shape(config));
  const auto* clips = std::get_if<MovingDigitsData>(&config);
  if (clips && clips->examples == "clips") return 4 * clips->texture_cells * clips->texture_cells + 3 * 8 + 4 + 8 * clip_caption_table().max_length();
  return clips || std::holds_alternative<Cifar10Data>(config) || std::holds_alternative<ImageFolderData>(config) ? pixels : 4 * pixels;
}

}  // namespace linden

// TensorBoard beside metrics.csv: RunDirectory's second place for scalars and pictures.
#pragma once

#include "core/run_directory.h"
#include "io/event_log.h"

namespace linden {

class EventSink final : public MetricsSink {
 public:
  // Writes events.out.tfevents.* into the run's folder.
  explicit EventSink(const std::filesystem::path& folder) : folder_(folder), log_(folder) {}
  void scalar(int64_t step, const std::string& name, double value) override { log_.scalar(step, name, value); }
  void image(int64_t step, const std::string& name, const std::filesystem::path& png) override;
  void cut_after(int64_t step) override;
  void flush() override { log_.flush(); }

 private:
  std::filesystem::path folder_;
  EventLog log_;
};

// Rewrites one event file without the records of later steps; a record that a kill cut short goes too.
// Returns the number of dropped records. A file with nothing to drop is left alone.
int64_t cut_events_after(const std::filesystem::path& file, int64_t step);

}  // namespace linden

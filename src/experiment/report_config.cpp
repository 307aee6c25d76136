#include "experiment/report_config.h"

namespace linden {

void visit_fields(FieldVisitor& v, ReportConfig& c) {
  visit(v, Field("runs", "folders that hold run folders, searched recursively"), c.runs);
  visit(v, Field("output", "where the report goes; empty: the folder \"report\" inside the first of runs"), c.output);
  visit(v, Field("title", "title of the report"), c.title);
  visit(v, Field("command", "report runs of this command only; empty: a section for each command"), c.command);
  visit(v, Field("task", "runs that agree in these config keys, and in keys below them, share a section"), c.task);
  visit(v, Field("rows", "config keys that make rows (\"run\": each run its own); empty: method.type and whatever else differs"), c.rows);
  visit(v, Field("columns", "numbers of summary.json that make columns; empty: the usual ones of the command"), c.columns);
  visit(v, Field("over", "config keys that are averaged over: seed, reward.digit ..."), c.over);
  visit(v, Field("axis", "what curves are drawn against: nfe, wall_seconds, or a column of curve.csv or metrics.csv"), c.axis);
  visit(v,
        Field("curves",
              "columns of curve.csv (or metrics.csv) that are drawn; of commands other than align the losses and the accuracy, unless others are named"),
        c.curves);
  visit(v, Field("tolerance", "values within this fraction of the best are marked, and called a tie").between(0, 1), c.tolerance);
  visit(v, Field("higher_is_better", "columns in which higher is better, over what linden knows"), c.higher_is_better);
  visit(v, Field("lower_is_better", "columns in which lower is better, over what linden knows"), c.lower_is_better);
  visit(v, Field("labels", "other names in tables and figures, as \"dts=Tree sampling\""), c.labels);
  visit(v, Field("references", "JSON file of published numbers, shown apart with their source; empty: none"), c.references);
  visit(v, Field("pictures", "samples shown of each row; 0: no samples").between(0, 400), c.pictures);
}

TableRequest table_request(const ReportConfig& config) {
  TableRequest request;
  request.rows = config.rows;
  request.columns = config.columns;
  request.over = config.over;
  request.task = config.task;
  request.tolerance = config.tolerance;
  request.higher_is_better = config.higher_is_better;
  request.lower_is_better = config.lower_is_better;
  request.labels = config.labels;
  return request;
}

}  // namespace linden

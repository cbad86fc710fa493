import common from "./common.json";
import design from "./design.json";
import files from "./files.json";
import gates from "./gates.json";
import home from "./home.json";
import limits from "./limits.json";
import logs from "./logs.json";
import palette from "./palette.json";
import places from "./places.json";
import policy from "./policy.json";
import project from "./project.json";
import settings from "./settings.json";
import shell from "./shell.json";
import snapshot from "./snapshot.json";
import terminals from "./terminals.json";
import traces from "./traces.json";
import trust from "./trust.json";
import usage from "./usage.json";

export default {
  common,
  design,
  files,
  gates,
  home,
  limits,
  logs,
  palette,
  places,
  policy,
  project,
  settings,
  shell,
  snapshot,
  terminals,
  traces,
  trust,
  usage,
};

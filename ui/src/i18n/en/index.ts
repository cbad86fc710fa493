import common from "./common.json";
import design from "./design.json";
import gates from "./gates.json";
import home from "./home.json";
import logs from "./logs.json";
import shell from "./shell.json";
import traces from "./traces.json";
import trust from "./trust.json";
import usage from "./usage.json";

const en = {
  common,
  design,
  gates,
  home,
  logs,
  shell,
  traces,
  trust,
  usage,
};
export type Catalogue = typeof en;
export default en;

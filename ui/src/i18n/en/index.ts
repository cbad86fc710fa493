import common from "./common.json";
import design from "./design.json";
import dialogs from "./dialogs.json";
import files from "./files.json";
import gates from "./gates.json";
import home from "./home.json";
import inbox from "./inbox.json";
import limits from "./limits.json";
import logs from "./logs.json";
import notifications from "./notifications.json";
import offline from "./offline.json";
import palette from "./palette.json";
import places from "./places.json";
import policy from "./policy.json";
import project from "./project.json";
import session from "./session.json";
import settings from "./settings.json";
import shell from "./shell.json";
import snapshot from "./snapshot.json";
import terminal from "./terminal.json";
import terminals from "./terminals.json";
import tools from "./tools.json";
import traces from "./traces.json";
import trust from "./trust.json";
import usage from "./usage.json";
import words from "./words.json";

const en = {
  common,
  design,
  dialogs,
  files,
  gates,
  home,
  inbox,
  limits,
  logs,
  notifications,
  offline,
  palette,
  places,
  policy,
  project,
  session,
  settings,
  shell,
  snapshot,
  terminal,
  terminals,
  tools,
  traces,
  trust,
  usage,
  words,
};
export type Catalogue = typeof en;
export default en;

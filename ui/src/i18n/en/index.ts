import common from "./common.json";
import logs from "./logs.json";
import traces from "./traces.json";
import trust from "./trust.json";
import usage from "./usage.json";

const en = { common, logs, traces, trust, usage };
export type Catalogue = typeof en;
export default en;

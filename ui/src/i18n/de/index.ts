import common from "./common.json";
import logs from "./logs.json";
import traces from "./traces.json";
import trust from "./trust.json";
import usage from "./usage.json";

export default { common, logs, traces, trust, usage };

import type { ToolItem } from "../journal/model.ts";
import { num } from "../journal/events.ts";

/** Live output stops here, in bytes; what came after it is in the result. */
export const LIVE_LIMIT = 64 * 1024;

/** What a command printed, and how it ended where that is more than an exit status. */
export interface ShellText {
  text: string; ended: string;
}

const STATUS = /^\[(.*)\]$/;
const EXIT = /^Exit status \d+\.$/;

/**
 * The best there is of a command's output: the live one (with its colours) while it is whole, else the model's
 * view of it, without the lines that kaged added at the end.
 */
export function shellText(item: ToolItem): ShellText {
  const lines = item.result.split("\n");
  let ended = "";
  while (lines.length > 0) {
    const last = lines.at(-1) ?? "";
    const status = STATUS.exec(last)?.[1];
    if (status !== undefined && !status.startsWith("…")) ended = EXIT.test(status) ? "" : status;
    else if (!last.startsWith("cage: ") && last !== item.detail["output_note"]) break;
    lines.pop();
  }
  const result = lines.join("\n");
  const whole = num(item.detail, "bytes") <= LIVE_LIMIT;
  if (item.output !== "" && whole) return { text: item.output, ended };
  const nothing = result === "(no output)" || result === "(no new output)";
  return { text: nothing ? "" : result || item.output, ended };
}

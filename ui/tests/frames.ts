import type { Frame } from "../src/journal/events.ts";

/** Builds a session's events with numbers that count up, as the daemon sends them. */
export class Script {
  readonly frames: Frame[] = [];

  add(
    type: string,
    data: Record<string, unknown> = {},
    at = `2026-11-23T10:00:${String(this.frames.length % 60).padStart(2, "0")}.000Z`,
  ): this {
    this.frames.push({ channel: "session:s", seq: this.frames.length + 1, at, type, data });
    return this;
  }

  begin(text = "Do it", run = "r1"): this {
    return this.add("message.user", { message_id: `u-${run}`, text, actor: "local" }).add("run.started", {
      run_id: run,
      message_id: `u-${run}`,
      agent: "primary",
      model: "offline",
      provider: "offline",
      cage: "reaches nothing",
    });
  }

  delta(
    message: string,
    part: number,
    kind: string,
    text: string,
    more: Record<string, unknown> = {},
    run = "r1",
  ): this {
    return this.add("message.delta", { run_id: run, message_id: message, part, kind, text, ...more });
  }

  end(message: string, parts: Record<string, unknown>[], more: Record<string, unknown> = {}, run = "r1"): this {
    return this.add("message.end", {
      run_id: run,
      message_id: message,
      parts,
      stop_reason: "end",
      interrupted: false,
      ...more,
    });
  }

  call(id: string, tool: string, args: Record<string, unknown>, message = "m1", run = "r1"): this {
    return this.add("tool.call", { run_id: run, call_id: id, message_id: message, tool, args });
  }

  result(id: string, more: Record<string, unknown> = {}, run = "r1"): this {
    return this.add("tool.result", {
      run_id: run,
      call_id: id,
      tool: "shell",
      ok: true,
      output: "",
      duration_ms: 12,
      detail: {},
      ...more,
    });
  }
}

import { describe, expect, it } from "vitest";
import { trace } from "../src/traces/spans.ts";
import { Script } from "./frames.ts";

const at = (seconds: number): string => new Date(Date.UTC(2026, 2, 1, 10, 0, 0) + seconds * 1000).toISOString();
const NOW = Date.parse(at(100));

function begun(): Script {
  return new Script().add("run.started", { run_id: "r1", agent: "primary", model: "large" }, at(0));
}

function answer(script: Script, message: string, from: number, to: number, run = "r1"): Script {
  return script
    .add("message.start", { run_id: run, message_id: message }, at(from))
    .add("usage.recorded", { run_id: run, input_tokens: 10, output_tokens: 5, cost: 0.5 }, at(to))
    .add("message.end", { run_id: run, message_id: message, stop_reason: "tools" }, at(to));
}

describe("a run as a waterfall", () => {
  it("shows the wait for the first token, the answer, the tool and whom it waited for", () => {
    const script = answer(begun(), "m1", 1, 3)
      .add("tool.call", { run_id: "r1", call_id: "c1", tool: "shell", args: { command: "make" } }, at(3))
      .add("attention.required", { run_id: "r1", call_id: "c1", attention_id: "a1", kind: "approval_gate" }, at(3.5))
      .add("attention.resolved", { run_id: "r1", call_id: "c1", attention_id: "a1" }, at(7))
      .add("tool.result", { run_id: "r1", call_id: "c1", ok: false }, at(9))
      .add("run.ended", { run_id: "r1", outcome: "success" }, at(9.5));
    const made = trace(script.frames, "r1", NOW);
    expect(made.spans.map(({ kind, start, end, depth }) => [kind, start, end, depth])).toEqual([
      ["agent", 0, 9500, 0], ["first", 0, 1000, 1], ["model", 1000, 3000, 1], ["tool", 3000, 9000, 1], ["wait", 3500, 7000, 2],
    ]);
    expect([made.length, made.over]).toEqual([9500, true]);
    expect(made.spans[2]).toMatchObject({ tokens: 15, cost: 0.5, name: "large" });
    expect(made.spans[3]).toMatchObject({ name: "shell make", failed: true });
  });

  it("sets sub-agents below who delegated, and gives each what it used", () => {
    const script = answer(begun(), "m1", 1, 2)
      .add("tool.call", { run_id: "r1", call_id: "c1", tool: "delegate", args: { agent: "tester" } }, at(2))
      .add("agent.spawned", { run_id: "r2", parent_run: "r1", agent: "tester", model: "small" }, at(2));
    answer(script, "m2", 4, 5, "r2").add("agent.finished", { run_id: "r2", parent_run: "r1", outcome: "failed" }, at(6));
    const made = trace(script.frames, "r1", NOW);
    const [agent, model] = [made.spans[4], made.spans[6]];
    expect(agent).toMatchObject({ kind: "agent", name: "tester", depth: 2, start: 2000, end: 6000, failed: true });
    expect(model).toMatchObject({ kind: "model", name: "small", depth: 3, tokens: 15 });
    expect(made.spans.reduce((sum, span) => sum + span.tokens, 0)).toBe(30);
  });

  it("goes on until now, and what was cut off ends with the run", () => {
    const script = begun().add("message.start", { run_id: "r1", message_id: "m1" }, at(1));
    expect(trace(script.frames, "r1", NOW)).toMatchObject({ over: false, length: 100_000 });
    script.add("run.ended", { run_id: "r1", outcome: "cancelled" }, at(4));
    const made = trace(script.frames, "r1", NOW);
    expect(made.spans.every(({ end }) => end !== null)).toBe(true);
    expect(made.length).toBe(4000);
  });

  it("leaves out other runs, and knows of none that is not there", () => {
    const script = answer(begun(), "m1", 1, 2).add("run.started", { run_id: "r9", agent: "primary", model: "x" }, at(50));
    expect(trace(script.frames, "r1", NOW).spans).toHaveLength(3);
    expect(trace(script.frames, "r7", NOW).spans).toEqual([]);
  });
});

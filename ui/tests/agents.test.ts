import { describe, expect, it } from "vitest";
import { activity } from "../src/journal/activity.ts";
import { foldAll } from "../src/journal/fold.ts";
import { agentOf, currentRun, EMPTY, type Transcript } from "../src/journal/model.ts";
import { Script } from "./frames.ts";

class Team extends Script {
  /** A call of `delegate` and the run that it begins. */
  spawn(run: string, parent = "r1", name = run): this {
    this.end(`m-${run}`, [{ kind: "tool_call", call_id: `c-${run}`, tool: "delegate", args: { agent: name } }], {}, parent);
    this.call(`c-${run}`, "delegate", { agent: name }, `m-${run}`, parent);
    return this.add("agent.spawned", {
      run_id: run,
      parent_run: parent,
      call_id: `c-${run}`,
      agent: parent === "r1" ? `primary.subagents.${name}` : `primary.subagents.x.subagents.${name}`,
      task: `Do ${name}`,
      model: "offline",
      provider: "offline",
      cage: "reaches nothing",
      budget: 1000,
    });
  }

  use(run: string, tokens: number): this {
    return this.add("usage.recorded", { run_id: run, input_tokens: tokens, output_tokens: 1, estimated: true });
  }

  finish(run: string, parent = "r1", outcome = "success"): this {
    return this.add("agent.finished", { run_id: run, parent_run: parent, outcome, reason: "", tokens: 1, steps: 1 });
  }
}

const shown = (script: Script): Transcript => foldAll(EMPTY, script.frames);
const texts = (transcript: Transcript | undefined): string[] =>
  (transcript?.items ?? []).flatMap((item) => (item.kind === "text" ? [item.text] : []));

describe("sub-agents", () => {
  it("have transcripts of their own, however their events are mixed", () => {
    const script = new Team().begin().spawn("a").spawn("b");
    script.delta("ma", 0, "text", "from a", {}, "a").delta("mb", 0, "text", "from b", {}, "b");
    script.end("mb", [{ kind: "text", text: "from b" }], {}, "b").end("ma", [{ kind: "text", text: "from a" }], {}, "a");
    script.use("a", 10).use("b", 20).use("r1", 5).finish("b").result("c-b").delta("m9", 0, "text", "above");
    const found = shown(script);
    expect([texts(found.agents["a"]), texts(found.agents["b"]), texts(found)]).toEqual([
      ["from a"],
      ["from b"],
      ["above"],
    ]);
    expect(agentOf(found.agents, "c-b")?.facts).toMatchObject({ name: "b", task: "Do b", budget: 1000, steps: 1 });
    expect(currentRun(found.agents["b"] ?? EMPTY)?.state).toBe("success");
    expect([found.usage.input, found.agents["a"]?.usage.input, found.agents["b"]?.usage.input]).toEqual([35, 10, 20]);
    expect(found.runId).toBe("r1");
    expect([found.runs["r1"]?.usage.input, found.runs["r1"]?.whole.input]).toEqual([5, 35]);
  });

  it("count for every run above them", () => {
    const script = new Team().begin().spawn("a").spawn("b", "a").use("b", 7).use("a", 3).finish("b", "a").finish("a");
    script.add("run.ended", { run_id: "r1", outcome: "success", reason: "" }).begin("Again", "r2").use("r2", 1);
    const found = shown(script);
    const whole = (transcript: Transcript | undefined, run: string): unknown => transcript?.runs[run]?.whole.input;
    const all = [whole(found, "r1"), whole(found.agents["a"], "a"), whole(found.agents["b"], "b"), whole(found, "r2")];
    expect(all).toEqual([10, 10, 7, 1]);
  });

  it("are the same whether events come one by one or at once", () => {
    const script = new Team().begin().spawn("a").spawn("b", "a").use("b", 7).finish("b", "a").finish("a");
    const stepwise = script.frames.reduce((transcript, frame) => foldAll(transcript, [frame]), EMPTY);
    expect(stepwise).toEqual(shown(script));
  });

  it("count what those below them use", () => {
    const found = shown(new Team().begin().spawn("a").spawn("b", "a").use("b", 30).use("a", 3));
    expect([found.agents["b"]?.usage.input, found.agents["a"]?.usage.input, found.usage.input]).toEqual([30, 33, 33]);
    expect(found.agents["b"]?.facts?.name).toBe("b");
  });

  it("keep their identity while others change", () => {
    const before = shown(new Team().begin().spawn("a").spawn("b"));
    const script = new Team().begin().spawn("a").spawn("b").delta("mb", 0, "text", "x", {}, "b");
    const after = foldAll(before, script.frames);
    expect(after.agents["a"]).toBe(before.agents["a"]);
    expect(after.agents["b"]).not.toBe(before.agents["b"]);
  });

  it("let the whole session wait for an answer to one of them", () => {
    const script = new Team().begin().spawn("a").spawn("b").call("q", "ask", { question: "?" }, "mq", "b");
    const ids = { attention_id: "A", run_id: "b", call_id: "q" };
    expect(activity(shown(script))).toMatchObject({ verb: "Waiting for", object: "a, b" });
    script.add("attention.required", { ...ids, kind: "ask", question: "?", options: [] });
    expect(currentRun(shown(script))?.state).toBe("waiting");
    expect(activity(shown(script))).toMatchObject({ verb: "A sub-agent waits for you:", object: "b" });
    script.add("run.interrupted", { run_id: "r1", reason: "Gone.", goes_on: true });
    expect(currentRun(shown(script).agents["a"] ?? EMPTY)?.state).toBe("interrupted");
    script.add("run.recovered", { run_id: "r1", actor: "kaged" });
    expect(currentRun(shown(script))?.state).toBe("running");
    script.add("session.updated", { state: "waiting" });
    expect(currentRun(shown(script))?.state).toBe("waiting");
    script.add("attention.resolved", { ...ids, answer: "yes", actor: "local" });
    expect(currentRun(shown(script))?.state).toBe("running");
  });
});

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { OUTPUT_KEPT } from "../src/journal/draft.ts";
import { fold, foldAll } from "../src/journal/fold.ts";
import { currentRun, EMPTY, isActive, type NoticeItem, type TextItem, type ToolItem } from "../src/journal/model.ts";
import { Script } from "./frames.ts";

const view = (script: Script) => foldAll(EMPTY, script.frames);
const tools = (script: Script) => view(script).items.filter((item) => item.kind === "tool") as ToolItem[];
const texts = (script: Script) => view(script).items.filter((item) => item.kind === "text") as TextItem[];

describe("fold", () => {
  it("grows a text part by deltas and lets message.end decide", () => {
    const script = new Script().begin().delta("m1", 0, "text", "Hel").delta("m1", 0, "text", "lo");
    expect(texts(script)[0]).toMatchObject({ text: "Hello", streaming: true });
    script.end("m1", [{ kind: "text", text: "Hello, you" }]);
    expect(texts(script)).toHaveLength(1);
    expect(texts(script)[0]).toMatchObject({ text: "Hello, you", streaming: false, interrupted: false });
  });

  it("says that there is something of a newer version, and goes on", () => {
    const script = new Script().begin().add("agent.dreamt", { run_id: "r1" }).delta("m1", 0, "text", "Hello");
    const [notice] = view(script).items.filter((item) => item.kind === "notice") as NoticeItem[];
    expect(notice?.message).toContain("agent.dreamt cannot be shown");
    expect(texts(script)[0]?.text).toBe("Hello");
  });

  it("knows every type of the documentation", () => {
    const table = readFileSync(new URL("../../docs/contributors/events.md", import.meta.url), "utf8");
    const types = Array.from(table.matchAll(/^\| `([a-z]+(?:\.[a-z]+)?)` \|/gm), (row) => row[1] ?? "");
    expect(types.length).toBeGreaterThan(25);
    for (const type of types) {
      const items = foldAll(EMPTY, new Script().begin().add(type, { run_id: "r1" }).frames).items;
      expect(items.filter((item) => item.kind === "notice" && item.code === "unknown_type")).toEqual([]);
    }
  });

  it("keeps parts apart and in order, thinking before text before calls", () => {
    const script = new Script()
      .begin()
      .delta("m1", 0, "thinking", "hm")
      .delta("m1", 1, "text", "Look:")
      .delta("m1", 2, "tool_args", '{"comm', { call_id: "c1", tool: "shell" })
      .delta("m1", 2, "tool_args", 'and": "ls"}');
    expect(view(script).items.map((item) => item.kind)).toEqual(["user", "thinking", "text", "tool"]);
    expect(tools(script)[0]).toMatchObject({ state: "writing", rawArgs: '{"command": "ls"}' });
  });

  it("shows the same after folded deltas as after the live ones", () => {
    const parts = [
      { kind: "text", text: "Hello" },
      { kind: "tool_call", call_id: "c1", tool: "shell", args: { command: "ls" } },
    ];
    const args = { call_id: "c1", tool: "shell" };
    const live = new Script()
      .begin()
      .delta("m1", 0, "text", "Hello")
      .delta("m1", 1, "tool_args", "{}", args)
      .end("m1", parts);
    const folded = new Script()
      .begin()
      .delta("m1", 0, "text", "", { folded: true })
      .delta("m1", 1, "tool_args", "", { ...args, folded: true })
      .end("m1", parts);
    const shape = (script: Script) => view(script).items.map((item) => ({ key: item.key, kind: item.kind }));
    expect(shape(folded)).toEqual(shape(live));
    expect(tools(folded)[0]?.args).toEqual({ command: "ls" });
  });

  it("ignores what it has seen: the same object comes back", () => {
    const script = new Script().begin().delta("m1", 0, "text", "a");
    const once = view(script);
    expect(foldAll(once, script.frames)).toBe(once);
    for (const frame of script.frames) expect(fold(once, { ...frame, seq: 2 })).toBe(once);
  });

  it("gives the same for one frame at a time as for all at once, at every split", () => {
    const script = new Script()
      .begin()
      .delta("m1", 0, "text", "Hi")
      .end("m1", [
        { kind: "text", text: "Hi" },
        { kind: "tool_call", call_id: "c1", tool: "shell", args: { command: "ls" } },
      ])
      .call("c1", "shell", { command: "ls" })
      .add("tool.output", { run_id: "r1", call_id: "c1", offset: 0, text: "a\n", end: 2 })
      .result("c1", { output: "a" })
      .add("run.ended", { run_id: "r1", outcome: "success", reason: "" });
    const whole = view(script);
    for (let cut = 0; cut <= script.frames.length; cut++) {
      const first = foldAll(EMPTY, script.frames.slice(0, cut));
      expect(foldAll(first, script.frames)).toEqual(whole);
    }
    expect(script.frames.reduce(fold, EMPTY)).toEqual(whole);
  });

  it("keeps the identity of rows that did not change", () => {
    const script = new Script().begin().end("m1", [{ kind: "text", text: "one" }]);
    const before = view(script);
    script.delta("m2", 0, "text", "two");
    const after = foldAll(before, script.frames);
    expect(after.items[0]).toBe(before.items[0]);
    expect(after.items[1]).toBe(before.items[1]);
    expect(before.items).toHaveLength(2);
  });

  it("follows a call from its arguments to its result", () => {
    const script = new Script()
      .begin()
      .end("m1", [{ kind: "tool_call", call_id: "c1", tool: "shell", args: { command: "make" } }])
      .call("c1", "shell", { command: "make" });
    expect(tools(script)[0]?.state).toBe("running");
    script.add("tool.output", { run_id: "r1", call_id: "c1", offset: 0, text: "x\n", end: 2 });
    script.result("c1", { ok: false, detail: { exit_code: 2, reason: "exited" }, output: "x\n[Exit status 2.]" });
    expect(tools(script)).toHaveLength(1);
    expect(tools(script)[0]).toMatchObject({
      state: "failed",
      output: "x\n",
      durationMs: 12,
      detail: { exit_code: 2 },
    });
  });

  it.each([
    [{ reason: "interrupted" }, "stopped"],
    [{ reason: "unknown" }, "unknown"],
    [{ reason: "exited", denied: ["This cage has no network."] }, "denied"],
    [{ reason: "walltime" }, "failed"],
  ])("names the end %j", (detail, state) => {
    const script = new Script().begin().call("c1", "shell", {}).result("c1", { ok: false, detail });
    expect(tools(script)[0]?.state).toBe(state);
  });

  it("shows a refusal with its reason, also without a call before it", () => {
    const script = new Script()
      .begin()
      .end("m1", [{ kind: "tool_call", call_id: "c1", tool: "fly", args: {} }])
      .add("tool.denied", { run_id: "r1", call_id: "c1", tool: "fly", reason: "There is no tool `fly`." });
    expect(tools(script)[0]).toMatchObject({ state: "denied", deniedReasons: ["There is no tool `fly`."] });
  });

  it("keeps the tail of long output and counts what went", () => {
    const line = `${"x".repeat(99)}\n`;
    const script = new Script().begin().call("c1", "shell", {});
    for (let n = 0; n < 30; n++)
      script.add("tool.output", { run_id: "r1", call_id: "c1", offset: 0, text: line.repeat(100) });
    const item = tools(script)[0];
    expect(item?.output.length).toBeLessThanOrEqual(OUTPUT_KEPT);
    expect((item?.output.length ?? 0) + (item?.outputCut ?? 0)).toBe(300_000);
    expect(item?.output.startsWith("xxx")).toBe(true);
  });

  it("waits for an answer and goes on with it", () => {
    const script = new Script()
      .begin()
      .call("c1", "ask", { question: "Which?" })
      .add("attention.required", {
        attention_id: "a1",
        run_id: "r1",
        call_id: "c1",
        kind: "ask",
        question: "Which?",
        options: ["A", "B"],
      });
    expect(currentRun(view(script))?.state).toBe("waiting");
    expect(tools(script)[0]).toMatchObject({
      state: "waiting",
      attention: { id: "a1", options: ["A", "B"], state: "open" },
    });
    script.add("attention.resolved", { attention_id: "a1", run_id: "r1", call_id: "c1", answer: "B", actor: "local" });
    expect(currentRun(view(script))?.state).toBe("running");
    expect(tools(script)[0]).toMatchObject({ state: "running", attention: { state: "answered", answer: "B" } });
  });

  it("keeps a question open over a crash, and waits again after resuming", () => {
    const script = new Script()
      .begin()
      .call("c1", "ask", { question: "Which?" })
      .add("attention.required", {
        attention_id: "a1",
        run_id: "r1",
        call_id: "c1",
        kind: "ask",
        question: "Which?",
        options: [],
      })
      .add("run.interrupted", { run_id: "r1", reason: "kaged stopped while this ran." });
    expect(currentRun(view(script))?.state).toBe("interrupted");
    expect(tools(script)[0]?.attention?.state).toBe("open");
    script.add("run.recovered", { run_id: "r1", actor: "local" }).add("session.updated", { state: "waiting" });
    expect(currentRun(view(script))?.state).toBe("waiting");
    expect(tools(script)[0]?.state).toBe("waiting");
  });

  it("settles retries when something follows, and tells a final failure once", () => {
    const script = new Script()
      .begin()
      .add("error", { run_id: "r1", code: "overloaded", message: "Busy.", attempt: 1, retry_in_s: 2.5 });
    const notice = () => view(script).items.find((item) => item.kind === "notice") as NoticeItem | undefined;
    expect(notice()).toMatchObject({ settled: false, retryInS: 2.5, attempt: 1 });
    script.delta("m1", 0, "text", "Hi");
    expect(notice()?.settled).toBe(true);
    script.add("error", { run_id: "r1", code: "auth", message: "The key is refused." });
    script.add("run.ended", { run_id: "r1", outcome: "failed", reason: "The key is refused." });
    expect(view(script).items.filter((item) => item.kind === "notice")).toHaveLength(1);
    expect(currentRun(view(script))).toMatchObject({ state: "failed", reason: "The key is refused." });
  });

  it("ends what was open when the operator interrupts, and says what was stopped", () => {
    const script = new Script()
      .begin()
      .delta("m1", 0, "text", "Half a sen")
      .call("c1", "shell", { command: "sleep 60" })
      .add("run.ended", { run_id: "r1", outcome: "cancelled", reason: "", actor: "local", stopped: ["sleep 60"] });
    expect(texts(script)[0]).toMatchObject({ streaming: false, interrupted: true });
    expect(tools(script)[0]?.state).toBe("stopped");
    expect(currentRun(view(script))).toMatchObject({ state: "cancelled", actor: "local", stopped: ["sleep 60"] });
    expect(isActive(currentRun(view(script)))).toBe(false);
  });

  it("knows after a crash which commands live, and revives one that speaks", () => {
    const script = new Script()
      .begin()
      .call("c1", "shell", { command: "make all" })
      .call("c2", "shell", { command: "make docs" })
      .add("run.interrupted", { run_id: "r1", reason: "", running: [{ call_id: "c1", command: "make all" }] });
    expect(tools(script).map((item) => item.state)).toEqual(["running", "unknown"]);
    expect(currentRun(view(script))?.stillRunning).toEqual(["make all"]);
    script.add("tool.output", { run_id: "r1", call_id: "c2", offset: 0, text: "still here\n" });
    expect(tools(script)[1]?.state).toBe("running");
    script.add("run.recovered", { run_id: "r1", actor: "local" });
    expect(currentRun(view(script))).toMatchObject({ state: "running", stillRunning: [] });
  });

  it("says when a run goes on by itself, and nothing when it waits for the operator", () => {
    const script = new Script().begin().add("run.interrupted", { run_id: "r1", reason: "Stopped by hand." });
    const notices = () => view(script).items.filter((item) => item.kind === "notice");
    expect(notices()).toEqual([]);
    script
      .add("run.recovered", { run_id: "r1", actor: "local" })
      .add("run.interrupted", { run_id: "r1", reason: "kaged stopped.", goes_on: true })
      .add("run.recovered", { run_id: "r1", actor: "kaged", attempt: 1 });
    expect(notices()).toMatchObject([{ message: "kaged stopped. It goes on by itself.", settled: true }]);
    expect(currentRun(view(script))?.state).toBe("running");
  });

  it("adds usage up, by run and in all", () => {
    const usage = {
      provider: "p",
      model: "m",
      input_tokens: 10,
      output_tokens: 3,
      cache_read_tokens: 2,
      cache_write_tokens: 0,
    };
    const script = new Script()
      .begin()
      .add("usage.recorded", { run_id: "r1", ...usage, cost: 0.5, estimated: false })
      .begin("again", "r2")
      .add("usage.recorded", { run_id: "r2", ...usage, estimated: true });
    expect(view(script).usage).toEqual({ input: 20, output: 6, cacheRead: 4, cacheWrite: 0, cost: 0.5, estimated: true });
    expect(view(script).runs["r1"]?.usage.input).toBe(10);
  });

  it("takes titles from the journal", () => {
    const script = new Script()
      .add("session.created", { title: "New session", project: "p", actor: "local" })
      .add("session.updated", { title: "Fix it" });
    expect(view(script)).toMatchObject({ title: "Fix it", seq: 2, items: [] });
  });
});

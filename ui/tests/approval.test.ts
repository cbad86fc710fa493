import { describe, expect, it } from "vitest";
import { activity } from "../src/journal/activity.ts";
import { approvalOf } from "../src/journal/approval.ts";
import { foldAll } from "../src/journal/fold.ts";
import { currentRun, EMPTY, type ToolItem } from "../src/journal/model.ts";
import { visible } from "../src/text/visible.ts";
import { Script } from "./frames.ts";

const view = (script: Script) => foldAll(EMPTY, script.frames);
const tool = (script: Script) => view(script).items.find((item) => item.kind === "tool") as ToolItem;

const ABOUT = {
  tool: "shell",
  rule: "the rule `rm *`",
  subject: "rm x",
  risk: { level: 3, words: ["deletes files", 5] },
  expires_at: "2099-01-01T00:00:00.000Z",
};

function asked(): Script {
  const call = { kind: "tool_call", call_id: "c1", tool: "shell", args: { command: "rm x" } };
  return new Script().begin().end("m1", [call]).add("attention.required", {
    attention_id: "a1",
    run_id: "r1",
    call_id: "c1",
    kind: "approval_gate",
    question: "May it?",
    options: ["approve once", "deny"],
    approval: ABOUT,
  });
}

const resolved = (script: Script, answer: string | null, more = {}): Script =>
  script.add("attention.resolved", { attention_id: "a1", run_id: "r1", call_id: "c1", answer, actor: "you", ...more });

describe("a call that waits to be approved", () => {
  it("waits in its own row, which is no connection at the gate", () => {
    const script = asked();
    expect(view(script).items.map((item) => item.kind)).toEqual(["user", "tool"]);
    expect(tool(script)).toMatchObject({ state: "waiting", attention: { approval: { level: 3, why: "", more: 0 } } });
    expect(tool(script).attention?.approval?.words).toEqual(["deletes files"]);
    expect(currentRun(view(script))?.state).toBe("waiting");
    expect(activity(view(script))?.verb).toBe("Waiting for your approval");
  });

  it("is not running before it starts, whatever was answered", () => {
    expect(tool(resolved(asked(), "approve once"))).toMatchObject({ state: "ready", attention: { state: "answered" } });
    const denied = resolved(asked(), "deny").add("tool.denied", { run_id: "r1", call_id: "c1", tool: "shell", reason: "No." });
    expect(tool(denied)).toMatchObject({ state: "denied", deniedReasons: ["No."] });
    const started = resolved(asked(), "approve once").add("tool.call", { run_id: "r1", call_id: "c1", tool: "shell", args: {} });
    expect(tool(started).state).toBe("running");
  });

  it("stops with its question, and takes another one in its place", () => {
    expect(tool(resolved(asked(), null, { withdrawn: true }))).toMatchObject({ state: "stopped" });
    const again = resolved(asked(), "approve once").add("attention.required", {
      attention_id: "a2",
      run_id: "r1",
      call_id: "c1",
      kind: "approval_gate",
      approval: { ...ABOUT, why: "x changed meanwhile" },
    });
    expect(tool(again)).toMatchObject({ state: "waiting", attention: { id: "a2", approval: { why: "x changed meanwhile" } } });
  });
});

it("takes nothing else for an approval", () => {
  for (const odd of [null, undefined, "shell", [], {}, { tool: 5 }]) expect(approvalOf(odd)).toBeNull();
});

it("writes out what would not be seen as it is", () => {
  expect(visible("rm\u202e x\u200b\n\ty\u001b[2J\r")).toBe("rm⟨U+202E⟩ x⟨U+200B⟩\n\ty⟨U+001B⟩[2J⟨U+000D⟩");
  expect(visible("naïve 日本 …")).toBe("naïve 日本 …");
});

import { describe, expect, it } from "vitest";
import { fold, foldAll } from "../src/journal/fold.ts";
import { EMPTY, type Transcript } from "../src/journal/model.ts";
import { Script } from "./frames.ts";

const point = (script: Script, id: string, more: Record<string, unknown> = {}): Script =>
  script.add("checkpoint.created", { checkpoint_id: id, auto: "run", tree: "t", files_changed: 0, actor: "kaged", ...more });
const back = (script: Script, id: string, undo: string, what = "both"): Script =>
  point(script, undo, { auto: "restore" }).add("checkpoint.restored", {
    checkpoint_id: id,
    what,
    seq: 1,
    undo,
    actor: "local",
    files_changed: 2,
  });
const shown = ({ items, away }: Transcript): string[] =>
  items.filter((item) => !away.has(item.key)).map((item) => item.kind);

function session(): Script {
  const calls = ["c1", "c2"].map((call_id) => ({ kind: "tool_call", call_id, tool: "shell", args: {} }));
  const script = point(new Script(), "k1").begin().end("m1", calls);
  script.add("tool.call", { run_id: "r1", call_id: "c1", message_id: "m1", tool: "shell", args: {} });
  point(script, "k2", { auto: "step", call_id: "c2" });
  return script.end("m2", [{ kind: "text", text: "Done" }]).add("run.ended", { run_id: "r1", outcome: "success" });
}

describe("rollback", () => {
  it("takes away what came after a checkpoint, and an undo brings it back", () => {
    const script = back(session(), "k1", "u1");
    expect(shown(foldAll(EMPTY, script.frames))).toEqual(["restored"]);
    back(script, "u1", "u2");
    expect(shown(foldAll(EMPTY, script.frames))).toEqual(["user", "tool", "tool", "text", "end", "restored"]);
  });

  it("goes back into the middle of a message with several calls", () => {
    const view = foldAll(EMPTY, back(session(), "k2", "u1").frames);
    expect(shown(view)).toEqual(["user", "tool", "restored"]);
    expect(view.items.at(-1)).toMatchObject({ kind: "restored", undo: "u1", files: 2, actor: "local" });
  });

  it("leaves the conversation when only files are restored, and knows nothing of lost checkpoints", () => {
    const script = back(session(), "k1", "u1", "files");
    back(script, "gone", "u2");
    const rows = ["user", "tool", "tool", "text", "end", "restored", "restored"];
    expect(shown(foldAll(EMPTY, script.frames))).toEqual(rows);
  });

  it("is the same however the events are cut", () => {
    const script = back(back(session(), "k2", "u1"), "u1", "u2").begin("More", "r2");
    const whole = foldAll(EMPTY, script.frames);
    expect(script.frames.reduce(fold, EMPTY)).toEqual(whole);
    expect(foldAll(whole, script.frames)).toBe(whole);
  });
});

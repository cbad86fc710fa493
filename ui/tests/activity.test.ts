import { describe, expect, it } from "vitest";
import { activity } from "../src/journal/activity.ts";
import { foldAll } from "../src/journal/fold.ts";
import { EMPTY } from "../src/journal/model.ts";
import { partialObject } from "../src/journal/partial.ts";
import { Script } from "./frames.ts";

const now = (script: Script) => activity(foldAll(EMPTY, script.frames));

describe("activity", () => {
  it("says each step of a run in words", () => {
    const script = new Script().begin();
    expect(now(script)?.verb).toBe("Waiting for the model");
    script.delta("m1", 0, "thinking", "hm");
    expect(now(script)?.verb).toBe("Thinking");
    script.delta("m1", 1, "tool_args", "{", { call_id: "c1", tool: "shell" });
    expect(now(script)?.verb).toBe("Writing a command");
    script
      .end("m1", [{ kind: "tool_call", call_id: "c1", tool: "shell", args: {} }])
      .call("c1", "shell", { command: "make\nmore" });
    expect(now(script)).toMatchObject({ verb: "Running", object: "make" });
    script.result("c1").add("error", { run_id: "r1", code: "overloaded", message: "Busy.", attempt: 1, retry_in_s: 3 });
    expect(now(script)?.verb).toBe("Waiting to try the model again");
    script.add("run.ended", { run_id: "r1", outcome: "success", reason: "" });
    expect(now(script)).toBeNull();
  });
});

describe("partialObject", () => {
  const whole = { command: 'echo "a\\b"', list: [1, { x: "y" }], n: 3 };
  it("reads something at every cut of an object, and never more than is there", () => {
    const text = JSON.stringify(whole);
    for (let cut = 0; cut <= text.length; cut++) {
      const found = partialObject(text.slice(0, cut));
      expect(Object.keys(whole)).toEqual(expect.arrayContaining(Object.keys(found)));
      expect(whole.command.startsWith(String(found["command"] ?? ""))).toBe(true);
    }
    expect(partialObject(text)).toEqual(whole);
  });

  it("shows the beginning of a string that is still coming", () => {
    expect(partialObject('{"command": "pytest -')).toEqual({ command: "pytest -" });
    expect(partialObject('{"a": "\\u00e')).toEqual({ a: "" });
    expect(partialObject("nonsense")).toEqual({});
  });
});

import { describe, expect, it } from "vitest";
import { activity } from "../src/journal/activity.ts";
import { fold, foldAll } from "../src/journal/fold.ts";
import { currentRun, EMPTY, type GateItem, type NetworkItem, type Reached, type ToolItem } from "../src/journal/model.ts";
import { DECISIONS_KEPT } from "../src/journal/network.ts";
import { deniedWords, traffic } from "../src/text/format.ts";
import { covers, hostPort } from "../src/text/hosts.ts";
import { Script } from "./frames.ts";

const at = (second: number): string => new Date(Date.UTC(2026, 10, 23, 10, 0, second)).toISOString();

class Net extends Script {
  allowed(connection: number, more: Record<string, unknown> = {}, second = 0): this {
    const sums = { state: "closed", up: 10, down: 1000, ms: 5 };
    const shared = { agent: "primary", host: "api.example.com", port: 443, via: "tls", rule: "allow api.example.com:443" };
    return this.add("network.allowed", { ...shared, connection, ...sums, ...more }, at(second));
  }

  denied(count = 1, more: Record<string, unknown> = {}, second = 0): this {
    const shared = { agent: "primary", host: "evil.example.net", port: 443, via: "tls", rule: "" };
    return this.add("network.denied", { ...shared, reason: "no rule allows it", count, ...more }, at(second));
  }

  shell(id: string, second = 0): this {
    const call = { run_id: "r1", call_id: id, message_id: "m1", tool: "shell", args: { command: "make" } };
    return this.add("tool.call", call, at(second));
  }

  asked(id: string, run = "r1"): this {
    return this.add("attention.required", {
      attention_id: id,
      run_id: run,
      call_id: `network:${id}`,
      kind: "approval_gate",
      question: "May this cage connect?",
      options: ["allow once", "deny"],
      network: { host: "new.example.com", port: 8443 },
    });
  }

  settled(id: string, answer: string | null, run = "r1"): this {
    const withdrawn = answer === null ? { withdrawn: true } : {};
    const data = { attention_id: id, run_id: run, call_id: `network:${id}`, answer, actor: "ada", ...withdrawn };
    return this.add("attention.resolved", data);
  }
}

const view = (script: Script) => foldAll(EMPTY, script.frames);
const of = (script: Script, kind: "tool" | "network"): Reached[][] =>
  view(script)
    .items.filter((item): item is ToolItem | NetworkItem => item.kind === kind)
    .map((item) => [...item.network]);
const kinds = (script: Script) => view(script).items.map((item) => item.kind);

describe("what the gate decided", () => {
  it("goes into the card of the command that runs, one entry a host and port", () => {
    const script = new Net().begin().shell("c1").allowed(1).allowed(2).denied(3).denied().allowed(3, { port: 80 });
    expect(kinds(script)).toEqual(["user", "tool"]);
    expect(of(script, "tool")[0]).toMatchObject([
      { host: "api.example.com", port: 443, connections: 2, denied: 0, up: 20, down: 2000 },
      { host: "evil.example.net", port: 443, connections: 0, denied: 4 },
      { host: "api.example.com", port: 80, connections: 1 },
    ]);
    expect(of(script, "tool")[0]?.[1]?.decisions.map((frame) => frame.data["count"])).toEqual([3, 1]);
  });

  it("has a row of its own when nothing ran, also with no run at all", () => {
    const script = new Net().allowed(1).denied();
    expect(kinds(script)).toEqual(["network"]);
    expect(of(script, "network")[0]).toHaveLength(2);
    script.begin().allowed(2, {}, 20);
    expect(kinds(script)).toEqual(["network", "user", "network"]);
    expect(view(script).runs[""]).toBeUndefined();
  });

  it("takes what opened away when its end comes, in the row where it stood", () => {
    const script = new Net().begin().shell("c1").allowed(7, { state: "open", up: 1, down: 1 });
    expect(of(script, "tool")[0]).toMatchObject([{ connections: 1, up: 0, down: 0 }]);
    script.result("c1").shell("c2", 30).allowed(8, {}, 31).allowed(7, {}, 40);
    const [first, second] = of(script, "tool");
    expect(first).toMatchObject([{ connections: 1, up: 10, down: 1000 }]);
    expect(first?.[0]?.decisions.map((frame) => frame.data["state"])).toEqual(["closed"]);
    expect(second).toMatchObject([{ connections: 1 }]);
    expect(view(script).open).toEqual({});
    script.allowed(7, {}, 41);
    expect(of(script, "tool")[1]).toMatchObject([{ connections: 2 }]);
  });

  it("is told late: just after its command, or as the rest of what repeated", () => {
    const script = new Net().begin().shell("c1", 0).denied(1, {}, 0).result("c1", { duration_ms: 1000 });
    script.allowed(1, {}, 2).denied(5, {}, 11);
    expect(of(script, "tool")[0]).toMatchObject([{ denied: 6 }, { connections: 1 }]);
    script.allowed(2, { host: "late.example.com" }, 11).denied(1, {}, 40);
    expect(kinds(script)).toEqual(["user", "tool", "network"]);
    expect(of(script, "network")[0]).toMatchObject([{ host: "late.example.com" }, { denied: 1 }]);
  });

  it("counts what it no longer lists, also a connection that outlasted the list", () => {
    const script = new Net().begin().shell("c1").allowed(1, { state: "open" });
    for (let number = 2; number <= DECISIONS_KEPT + 20; number++) script.allowed(number);
    const [entry] = of(script.allowed(1), "tool")[0] ?? [];
    expect(entry).toMatchObject({ connections: DECISIONS_KEPT + 20, down: (DECISIONS_KEPT + 20) * 1000 });
    expect(entry?.decisions).toHaveLength(DECISIONS_KEPT);
  });

  it("tells a name that was only asked for from a connection to a port", () => {
    const script = new Net().denied(1, { via: "dns", port: 53 }).denied();
    expect(of(script, "network")[0]?.map(({ port }) => port)).toEqual([0, 443]);
  });

  it("leaves a notice at the end where the run can settle it", () => {
    const script = new Net().begin().add("error", { run_id: "r1", code: "x", message: "Busy.", retry_in_s: 1 });
    script.denied(1, {}, 30).add("message.start", { run_id: "r1", message_id: "m1" });
    expect(kinds(script)).toEqual(["user", "network", "notice"]);
    expect(view(script).items.at(-1)).toMatchObject({ settled: true });
  });

  it("gives the same at every split, and keeps rows that it does not touch", () => {
    const script = new Net().begin().shell("c1").allowed(1, { state: "open" }).denied(2).result("c1");
    script.asked("g1").allowed(1, {}, 30).settled("g1", "deny").denied(1, { host: "x.example" }, 59);
    const whole = view(script);
    for (let cut = 0; cut <= script.frames.length; cut++) {
      expect(foldAll(foldAll(EMPTY, script.frames.slice(0, cut)), script.frames)).toEqual(whole);
    }
    expect(script.frames.reduce(fold, EMPTY)).toEqual(whole);
    const more = foldAll(whole, script.denied(1, { host: "x.example" }, 60).frames);
    expect(more.items.map((item, index) => item === whole.items[index])).toEqual([true, true, true, false]);
  });
});

describe("a question of the gate", () => {
  const gates = (script: Script) => view(script).items.filter((item): item is GateItem => item.kind === "gate");

  it("is a row of its own, lets the run wait, and says who decided what", () => {
    const script = new Net().begin().shell("c1").asked("g1");
    expect(gates(script)).toMatchObject([{ host: "new.example.com", port: 8443, attention: { state: "open" } }]);
    expect(currentRun(view(script))?.state).toBe("waiting");
    expect(activity(view(script))).toMatchObject({ verb: "Waiting for your decision", object: "new.example.com" });
    script.settled("g1", "allow once");
    expect(gates(script)[0]?.attention).toMatchObject({ state: "answered", answer: "allow once", actor: "ada" });
    expect(currentRun(view(script))?.state).toBe("running");
    expect(activity(view(script))?.verb).toBe("Running");
  });

  it("makes no run of none, and is withdrawn with it", () => {
    const script = new Net().asked("g1", "").settled("g1", null, "");
    expect(view(script).runs).toEqual({});
    expect(gates(script)[0]?.attention.state).toBe("withdrawn");
  });

  it("lets the run wait until the last of several questions is settled", () => {
    const ask = { attention_id: "a", run_id: "r1", call_id: "c1", kind: "ask", question: "?", options: [] };
    const script = new Net().begin().call("c1", "ask", {}).add("attention.required", ask).asked("g1");
    script.settled("g1", "deny");
    expect(currentRun(view(script))?.state).toBe("waiting");
    script.add("attention.resolved", { attention_id: "a", run_id: "r1", call_id: "c1", answer: "x", actor: "ada" });
    expect(currentRun(view(script))?.state).toBe("running");
  });
});

describe("hosts in words", () => {
  it("knows what a list holds, and that a wildcard is not its own end", () => {
    const allow = ["api.example.com:443", "*.cdn.example.com:443", "*:80"];
    expect(covers(allow, "api.example.com", 443)).toBe(true);
    expect(covers(allow, "api.example.com", 8443)).toBe(false);
    expect(covers(allow, "a.b.cdn.example.com", 443)).toBe(true);
    expect(covers(allow, "cdn.example.com", 443)).toBe(false);
    expect(covers(allow, "evilcdn.example.com", 443)).toBe(false);
    expect(covers(allow, "anything.example.org", 80)).toBe(true);
  });

  it("says amounts shortly", () => {
    expect(hostPort("a.example", 0)).toBe("a.example");
    expect(deniedWords(1, "no rule")).toBe("denied: no rule");
    expect(deniedWords(4, "")).toBe("denied 4 times");
    expect([traffic(10, 2_100_000), traffic(5, 0), traffic(0, 0)]).toEqual(["2.1 MB down", "5 B up", ""]);
  });
});

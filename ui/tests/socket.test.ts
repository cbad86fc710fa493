import { describe, expect, it } from "vitest";
import type { Frame } from "../src/journal/events.ts";
import { backoff } from "../src/ws/backoff.ts";
import { Socket, type Surroundings, type Wire } from "../src/ws/socket.ts";

/** A server that holds numbered events, and a world in which time passes when told to. */
class World implements Surroundings {
  wires: FakeWire[] = [];
  timers: { run: () => void; ms: number; live: boolean }[] = [];
  paints: (() => void)[] = [];
  journal: number[] = [];
  answers = true;

  open(): Wire {
    const wire = new FakeWire(this);
    this.wires.push(wire);
    return wire;
  }
  later(run: () => void, ms: number): () => void {
    const timer = { run, ms, live: true };
    this.timers.push(timer);
    return () => {
      timer.live = false;
    };
  }
  beforePaint(run: () => void): void {
    this.paints.push(run);
  }
  random = (): number => 0.5;
  refusals = 0;
  refused(): void {
    this.refusals += 1;
  }

  get wire(): FakeWire {
    const last = this.wires.at(-1);
    if (last === undefined) throw new Error("no wire");
    return last;
  }
  paint(): void {
    for (const run of this.paints.splice(0)) run();
  }
  /** Fires the newest live timer of this length, or of any. */
  fire(ms?: number): void {
    const timer = this.timers.findLast((entry) => entry.live && (ms === undefined || entry.ms === ms));
    if (timer === undefined) throw new Error(`no timer of ${ms} ms`);
    timer.live = false;
    timer.run();
  }
  append(...numbers: number[]): void {
    this.journal.push(...numbers);
    for (const seq of numbers) if (this.wire.following !== null) this.wire.event(seq);
  }
}

class FakeWire implements Wire {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  sent: Record<string, unknown>[] = [];
  following: string | null = null;
  closed = false;
  readonly #world: World;
  constructor(world: World) {
    this.#world = world;
  }
  send(text: string): void {
    const order = JSON.parse(text) as { op: string; channel: string; after: number };
    this.sent.push(order);
    if (order.op === "ping" && this.#world.answers) this.say({ op: "pong" });
    if (order.op === "unsubscribe") this.following = null;
    if (order.op === "subscribe" && this.#world.answers) {
      this.following = order.channel;
      this.say({ op: "subscribed", channel: order.channel, seq: this.#world.journal.at(-1) ?? 0 });
      for (const seq of this.#world.journal) if (seq > order.after) this.event(seq);
    }
  }
  close(): void {
    this.closed = true;
  }
  say(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  event(seq: number, channel = this.following ?? "session:s"): void {
    this.say({ channel, seq, at: "2026-11-23T10:00:00.000Z", type: "message.delta", data: {} });
  }
  drop(): void {
    this.following = null;
    this.onclose?.();
  }
}

function start(channel = "session:s", after: number | "head" = 0) {
  const world = new World();
  const socket = new Socket(world);
  const got: number[] = [];
  const notes: string[] = [];
  const here: string[][] = [];
  const leave = socket.subscribe(channel, after, {
    frames: (frames: Frame[]) => got.push(...frames.map((frame) => frame.seq)),
    head: (head) => notes.push(`head ${head}`),
    reset: () => {
      got.length = 0;
      notes.push("reset");
    },
    refused: (code) => notes.push(`refused ${code}`),
    present: (users) => here.push(users.map(({ id }) => id)),
  });
  socket.start();
  return { world, socket, got, notes, here, leave };
}

describe("Socket", () => {
  it("delivers history and live events once a paint, in order", () => {
    const { world, got, notes } = start();
    world.journal = [1, 2, 3];
    world.wire.onopen?.();
    expect(got).toEqual([]);
    world.append(4);
    world.paint();
    expect(got).toEqual([1, 2, 3, 4]);
    expect(notes).toEqual(["head 3"]);
  });

  it("goes on from the last number after any number of lost connections", () => {
    const { world, got } = start();
    world.wire.onopen?.();
    for (let round = 0; round < 5; round++) {
      const next = world.journal.length + 1;
      world.append(next);
      world.wire.drop();
      world.journal.push(next + 1);
      world.fire();
      world.wire.onopen?.();
      world.paint();
      expect(got).toEqual(world.journal);
    }
    expect(world.wires).toHaveLength(6);
  });

  it("asks why when it was refused, and not when a connection that stood was lost", () => {
    const { world } = start();
    world.wire.drop();
    expect(world.refusals).toBe(1);
    world.fire();
    world.wire.onopen?.();
    world.wire.drop();
    expect(world.refusals).toBe(1);
  });

  it("drops repeats and asks again at a gap, without losing or doubling anything", () => {
    const { world, got } = start();
    world.wire.onopen?.();
    world.append(1, 2);
    world.wire.event(2);
    world.journal.push(3, 4);
    world.wire.event(4);
    world.paint();
    expect(got).toEqual([1, 2, 3, 4]);
    expect(world.wire.sent.map((order) => order["op"])).toEqual(["subscribe", "unsubscribe", "subscribe"]);
    expect(world.wire.sent.at(-1)).toMatchObject({ after: 2 });
  });

  it("asks once for what the server does not have either", () => {
    const { world, got } = start();
    world.wire.onopen?.();
    world.append(1, 5, 6);
    world.paint();
    expect(got).toEqual([1, 5, 6]);
    expect(world.wire.sent.filter((order) => order["op"] === "subscribe")).toHaveLength(2);
  });

  it("ignores what arrives between asking again and the answer", () => {
    const { world, got } = start();
    world.wire.onopen?.();
    world.append(1);
    world.answers = false;
    world.wire.event(3);
    world.wire.event(2, "session:s");
    world.paint();
    expect(got).toEqual([1]);
    world.wire.following = "session:s";
    world.wire.say({ op: "subscribed", channel: "session:s", seq: 3 });
    world.wire.event(2);
    world.wire.event(3);
    world.paint();
    expect(got).toEqual([1, 2, 3]);
  });

  it("follows from the head on, where gaps are no loss", () => {
    const { world, got } = start("events", "head");
    world.journal = [5, 9];
    world.wire.onopen?.();
    world.append(12, 20);
    world.paint();
    expect(got).toEqual([12, 20]);
    expect(world.wire.sent.at(-1)).toMatchObject({ op: "subscribe", after: 9 });
  });

  it("gives a doubted connection no more time because its usual ping comes meanwhile", () => {
    const { world, socket } = start();
    world.wire.onopen?.();
    world.answers = false;
    socket.nudge();
    world.fire(20_000);
    world.fire(3000);
    expect(socket.status).toBe("waiting");
  });

  it("takes a silent connection for dead, and notices at once when nudged", () => {
    const { world, socket } = start();
    world.wire.onopen?.();
    world.answers = false;
    socket.nudge();
    world.fire(3000);
    expect(world.wires[0]?.closed).toBe(true);
    expect(socket.status).toBe("waiting");
    socket.nudge();
    expect(world.wires).toHaveLength(2);
    expect(socket.status).toBe("connecting");
  });

  it("starts over when the server knows less than we do", () => {
    const { world, got, notes } = start("session:s", 50);
    world.answers = false;
    world.wire.onopen?.();
    world.journal = [1, 2];
    world.answers = true;
    world.wire.say({ op: "error", code: "validation_failed", message: "", channel: "session:s" });
    world.paint();
    expect(notes).toEqual(["reset", "head 2"]);
    expect(got).toEqual([1, 2]);
  });

  it("says when a channel is refused, and leaves when asked to", () => {
    const { world, notes, leave } = start();
    world.answers = false;
    world.wire.onopen?.();
    world.wire.say({ op: "error", code: "not_found", message: "No.", channel: "session:s" });
    expect(notes).toEqual(["refused not_found"]);
    leave();
    expect(world.wire.sent.filter((order) => order["op"] === "unsubscribe")).toEqual([]);
  });

  it("tells a channel's follower who is there, and that nobody is known to be once the connection is lost", () => {
    const { world, here, got } = start();
    world.wire.onopen?.();
    const users = [{ id: "alice", name: "Alice" }, { id: "bob", name: null }];
    world.wire.say({ op: "presence", channel: "session:s", users });
    world.wire.say({ op: "presence", channel: "session:other", users });
    expect(here).toEqual([["alice", "bob"]]);
    world.wire.say({ op: "presence", channel: "session:s" });
    expect(here.at(-1)).toEqual([]);
    world.wire.say({ op: "presence", channel: "session:s", users });
    world.wire.drop();
    expect(here.slice(2)).toEqual([["alice", "bob"], []]);
    world.paint();
    expect(got).toEqual([]);
  });

  it("tells everybody who watches that rights have changed, whatever the channel, until they leave", () => {
    const { world, socket, notes } = start();
    const heard: string[] = [];
    const leave = socket.watchRights(() => heard.push("one"));
    socket.watchRights(() => heard.push("two"));
    world.wire.onopen?.();
    world.wire.say({ op: "rights" });
    expect(heard).toEqual(["one", "two"]);
    leave();
    world.wire.drop();
    world.fire();
    world.wire.onopen?.();
    world.wire.say({ op: "rights" });
    expect(heard).toEqual(["one", "two", "two"]);
    expect(notes).toEqual(["head 0", "head 0"]);
  });

  it("stays down once stopped", () => {
    const { world, socket } = start();
    world.wire.onopen?.();
    socket.stop();
    world.wire.drop();
    socket.nudge();
    expect(world.wires).toHaveLength(1);
  });
});

describe("backoff", () => {
  it("grows to a ceiling and is never below half of its step", () => {
    const waits = [0, 1, 2, 3, 9, 50].map((attempt) => backoff(attempt, () => 0));
    expect(waits).toEqual([200, 400, 800, 1600, 7500, 7500]);
    expect(backoff(50, () => 1)).toBe(15_000);
  });
});

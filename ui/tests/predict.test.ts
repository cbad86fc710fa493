import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Mode, Predictor, type Truth } from "../src/tty/predict.ts";

const COLS = 24;
const PROMPT = "$ ";

/** A screen that knows what these programs print. */
class Screen {
  rows: string[][] = [[]];
  x = 0;
  y = 0;
  plain = true;

  print(text: string): void {
    for (const char of text) {
      if (char === "\r") this.x = 0;
      else if (char === "\b") this.x = Math.max(0, this.x - 1);
      else if (char === "\n") this.y++;
      else if (char === "\u0001") this.plain = !this.plain;
      else {
        if (this.x === COLS) {
          this.x = 0;
          this.y++;
        }
        (this.rows[this.y] ??= [])[this.x++] = char;
      }
      this.rows[this.y] ??= [];
    }
  }

  row(y: number): string {
    return Array.from({ length: COLS }, (_, x) => this.rows[y]?.[x] ?? " ").join("");
  }

  get truth(): Truth {
    return { x: this.x, y: this.y, cols: COLS, row: this.plain ? this.row(this.y) : null };
  }

  get text(): string {
    return this.rows.map((_, y) => this.row(y).trimEnd()).join("\n").trimEnd();
  }
}

type Program = "shell" | "editor" | "password" | "mask" | "shout" | "full";

/** What reads the keys at the other end: the answer to each, as bytes for the screen. */
class Tty {
  program: Program = "shell";
  line = "";
  at = 0;

  key(char: string): string {
    if (char === "\r") {
      this.line = "";
      this.at = 0;
      return `\r\n${PROMPT}`;
    }
    switch (this.program) {
      case "password":
        return "";
      case "mask":
        return char === "\u007f" || char.length > 1 ? "" : "*";
      case "shout":
        return char.length > 1 ? "" : char.toUpperCase();
      case "full":
        return char.length > 1 ? "\r" : `${char}\r\n`;
      default:
        return this.#edit(char);
    }
  }

  #edit(char: string): string {
    if (char === "\u001b[D") {
      if (this.at === 0 || this.program === "shell") return "";
      this.at--;
      return "\b";
    }
    if (char.length > 1 || this.line.length + PROMPT.length >= COLS - 1) return "";
    if (char === "\u007f") {
      if (this.at === 0) return "";
      this.line = this.line.slice(0, this.at - 1) + this.line.slice(this.at--);
      const rest = `${this.line.slice(this.at)} `;
      return `\b${rest}${"\b".repeat(rest.length)}`;
    }
    this.line = this.line.slice(0, this.at) + char + this.line.slice(this.at++);
    const rest = this.line.slice(this.at);
    return char + rest + "\b".repeat(rest.length);
  }
}

type Act =
  | { kind: "key"; data: string }
  | { kind: "print"; text: string }
  | { kind: "program"; program: Program }
  | { kind: "forget" };
interface Step {
  wait: number;
  up: number;
  down: number;
  act: Act;
}

/** Keys, programs and a network that keeps the order and nothing else, in made-up time. */
class World {
  readonly server = new Screen();
  readonly client = new Screen();
  readonly tty = new Tty();
  readonly predictor: Predictor;
  readonly shown: string[] = [];
  #now = 0;
  #queue: { at: number; order: number; run: () => void }[] = [];
  #order = 0;
  #arrived = { up: 0, down: 0 };

  constructor(mode: Mode, roundTrip: number | null, readonly look: (world: World) => void = () => {}) {
    this.predictor = new Predictor(mode);
    if (roundTrip !== null) this.predictor.measured(roundTrip);
    for (const screen of [this.server, this.client]) screen.print(PROMPT);
  }

  #later(way: "up" | "down", delay: number, run: () => void): void {
    const at = Math.max(this.#arrived[way], this.#now + delay);
    this.#arrived[way] = at;
    this.#queue.push({ at, order: this.#order++, run });
  }

  #pass(until: number): void {
    for (;;) {
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#queue[0]?.at ?? Infinity;
      const deadline = this.predictor.deadline ?? Infinity;
      const at = Math.min(next, deadline);
      if (at > until || at === Infinity) break;
      this.#now = Math.max(this.#now, at);
      if (deadline < next) this.predictor.expire(this.#now);
      else this.#queue.shift()?.run();
      this.#look();
    }
    this.#now = Math.max(this.#now, until === Infinity ? 0 : until);
  }

  #say(text: string, down: number): void {
    if (text === "") return;
    this.server.print(text);
    this.#later("down", down, () => {
      this.client.print(text);
      this.predictor.output(this.client.truth, this.#now);
    });
  }

  step({ wait, up, down, act }: Step): void {
    this.#pass(this.#now + wait);
    if (act.kind === "key") {
      this.predictor.typed(act.data, this.client.truth, this.#now);
      const keys = act.data.startsWith("\u001b") ? [act.data] : [...act.data];
      this.#later("up", up, () => {
        for (const key of keys) this.#say(this.tty.key(key), down);
      });
    } else if (act.kind === "print") this.#say(act.text, down);
    else if (act.kind === "program") this.tty.program = act.program;
    else this.predictor.forget();
    this.#look();
  }

  end(): void {
    this.#pass(Infinity);
  }

  /** The row of the cursor as a person sees it. */
  get line(): string {
    const { guess } = this.predictor;
    const row = this.client.row(this.client.y);
    if (guess === null) return row;
    return row.slice(0, guess.from) + guess.text + row.slice(guess.from + guess.text.length);
  }

  #look(): void {
    const { guess } = this.predictor;
    if (guess !== null) {
      expect(this.client.plain).toBe(true);
      expect(guess.y).toBe(this.client.y);
      expect(guess.from).toBeGreaterThanOrEqual(0);
      expect(guess.from + guess.text.length).toBeLessThanOrEqual(COLS);
      expect(this.line).toHaveLength(COLS);
      expect(guess.cursor).toBeGreaterThanOrEqual(guess.from);
      expect(guess.cursor).toBeLessThan(guess.from + guess.text.length);
      this.shown.push(guess.text);
    }
    this.look(this);
  }
}

const LETTERS = ["a", "b", "q", " ", "*", "é"];
const key = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...LETTERS) },
  { weight: 2, arbitrary: fc.constant("\u007f") },
  { weight: 1, arbitrary: fc.constantFrom("\r", "\u001b[D", "\u0003", "\u4e2d", "ab\rc", "aab") },
);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 12, arbitrary: key.map((data) => ({ kind: "key" as const, data })) },
  { weight: 2, arbitrary: fc.constantFrom("x", "\r\n", "\b", "\u0001", "done\r\n$ ", "\rZ").map((text) => ({ kind: "print" as const, text })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<Program>("shell", "editor", "password", "mask", "shout", "full")
      .map((program) => ({ kind: "program" as const, program })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "forget" as const }) },
);
const delay = fc.constantFrom(0, 1, 40, 75, 400, 1500);
const step = (acts: fc.Arbitrary<Act>): fc.Arbitrary<Step> => fc.record({ wait: delay, up: delay, down: delay, act: acts });
const mode = fc.constantFrom<Mode>("auto", "always");

describe("guessing the echo", () => {
  it("ends at the truth, whatever was typed, printed or late", () => {
    let guesses = 0;
    fc.assert(
      fc.property(mode, fc.array(step(act), { maxLength: 60 }), (how, steps) => {
        const world = new World(how, 150);
        for (const each of steps) world.step(each);
        world.end();
        expect(world.predictor.guess).toBeNull();
        expect(world.predictor.deadline).toBeNull();
        expect(world.client.text).toBe(world.server.text);
        guesses += world.shown.length;
      }),
      { numRuns: 600 },
    );
    expect(guesses).toBeGreaterThan(300);
  });

  it("shows nothing where nothing or a mask comes back", () => {
    fc.assert(
      fc.property(
        mode,
        fc.constantFrom<Program>("password", "mask"),
        fc.array(step(key.map((data) => ({ kind: "key", data }))), { maxLength: 40 }),
        (how, program, steps) => {
          const world = new World(how, 150);
          world.tty.program = program;
          for (const each of steps) world.step(each);
          world.end();
          expect(world.shown).toEqual([]);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("shows each key at once from the second on, on a slow line that echoes", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "-", "é"), minLength: 2, maxLength: 18 });
    fc.assert(
      fc.property(word, fc.integer({ min: 0, max: 90 }), (text, wait) => {
        const world = new World("auto", 150);
        const send = (data: string, after: number): void =>
          world.step({ wait: after, up: 75, down: 75, act: { kind: "key", data } });
        send(text[0] ?? "", 0);
        [...text.slice(1)].forEach((char, index) => {
          send(char, index === 0 ? 200 : wait);
          expect(world.line.trimEnd()).toBe(PROMPT + text.slice(0, index + 2));
        });
        send("\u007f", wait);
        expect(world.line.trimEnd()).toBe((PROMPT + text.slice(0, -1)).trimEnd());
        world.end();
        expect(world.client.text).toBe((PROMPT + text.slice(0, -1)).trimEnd());
        expect(world.predictor.roundTrip).toBeGreaterThan(149);
      }),
    );
  });
});

function typing(how: Mode, roundTrip: number | null, program: Program = "shell"): { world: World; send: (data: string, wait?: number) => void } {
  const world = new World(how, roundTrip);
  world.tty.program = program;
  return { world, send: (data, wait = 10) => world.step({ wait, up: 75, down: 75, act: { kind: "key", data } }) };
}

describe("when guesses are drawn", () => {
  it("is on a slow road only, unless always; never when off", () => {
    for (const [how, roundTrip, seen] of [["auto", 5, false], ["auto", null, true], ["always", 5, true], ["off", 150, false]] as const) {
      const { world, send } = typing(how, roundTrip);
      send("a");
      send("b", 200);
      expect(world.shown.length > 0, `${how} ${roundTrip}`).toBe(seen);
    }
  });

  it("learns the round trip from echoes and goes when the road is quick again", () => {
    const predictor = new Predictor("auto");
    const screen = new Screen();
    const echo = (took: number, at: number): boolean => {
      predictor.typed("a", screen.truth, at);
      const seen = predictor.guess !== null;
      screen.print("a");
      predictor.output(screen.truth, at + took);
      return seen;
    };
    expect([echo(100, 0), echo(100, 200)]).toEqual([false, true]);
    for (let n = 0; n < 12; n++) echo(1, 300 + n);
    expect(echo(50, 400)).toBe(false);
  });

  it("begins anew after Enter, and keeps what was guessed before it until that is there", () => {
    const { world, send } = typing("auto", 150);
    send("a");
    send("b", 200);
    send("\r");
    expect(world.line.trimEnd()).toBe("$ ab");
    send("c");
    expect(world.line.trimEnd()).toBe("$ ab");
    world.end();
    const before = world.shown.length;
    send("d");
    expect(world.shown).toHaveLength(before);
    world.end();
    expect(world.client.text).toBe("$ ab\n$ cd");
  });

  it("deletes what this line's typing brought, never the prompt", () => {
    const { world, send } = typing("auto", 150);
    send("a");
    send("b", 200);
    for (let n = 0; n < 4; n++) send("\u007f");
    expect(world.line.trimEnd()).toBe("$");
    expect(world.predictor.guess?.cursor).toBe(PROMPT.length);
    world.end();
    expect(world.client.text).toBe("$");
  });

  it("moves the rest of the line along", () => {
    const { world, send } = typing("auto", 150, "editor");
    for (const char of "abd") send(char, 200);
    send("\u001b[D", 200);
    send("c", 200);
    expect(world.line.trimEnd()).toBe("$ abd");
    send("c", 200);
    expect(world.line.trimEnd()).toBe("$ abccd");
    send("\u007f", 10);
    expect(world.line.trimEnd()).toBe("$ abcd");
    world.end();
    expect(world.client.text).toBe("$ abcd");
  });

  it("takes a wrong guess back when the truth comes, and a lost one in time", () => {
    const { world, send } = typing("auto", 150);
    const become = (program: Program): void =>
      world.step({ wait: 200, up: 0, down: 0, act: { kind: "program", program } });
    send("a");
    send("b", 200);
    become("shout");
    send("c");
    expect(world.line.trimEnd()).toBe("$ abc");
    world.end();
    expect(world.line.trimEnd()).toBe("$ abC");
    world.tty.program = "shell";
    send("d", 200);
    send("e", 200);
    become("password");
    send("f");
    expect(world.line.trimEnd()).toBe("$ abCdef");
    world.end();
    expect(world.line.trimEnd()).toBe("$ abCde");
    send("g", 200);
    expect(world.line.trimEnd()).toBe("$ abCde");
  });

  it("is not on a line that Enter has just left, nor on another that output came to", () => {
    const { world, send } = typing("auto", 150);
    send("a");
    send("b", 200);
    send("\r", 200);
    send("c");
    expect(world.line.trimEnd()).toBe("$ ab");
    world.end();
    send("d");
    send("e", 200);
    expect(world.line.trimEnd()).toBe("$ cde");
    world.step({ wait: 0, up: 0, down: 0, act: { kind: "print", text: "\r\n$ cd" } });
    world.step({ wait: 1, up: 0, down: 0, act: { kind: "program", program: "shell" } });
    expect(world.client.text).toBe("$ ab\n$ cd\n$ cd");
    expect(world.predictor.guess).toBeNull();
  });

  it("stops at the edge of the screen and in a full-screen program", () => {
    const { world, send } = typing("auto", 150);
    for (let n = 0; n < 40; n++) send("a", n === 1 ? 200 : 1);
    expect(world.line).toBe(`${PROMPT}${"a".repeat(COLS - PROMPT.length - 1)} `);
    world.end();
    world.step({ wait: 1, up: 0, down: 0, act: { kind: "print", text: "\u0001" } });
    const before = world.shown.length;
    send("a", 1000);
    send("b", 1000);
    expect(world.shown).toHaveLength(before);
  });
});

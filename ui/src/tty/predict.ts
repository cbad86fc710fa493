/**
 * What the terminal will most likely show for keys whose echo is still on its way. Pure: it is told of keys, of the
 * screen after each output, and of the time; it answers what to draw over the screen until the truth is there.
 *
 * A guess is drawn only on a line that was seen to echo. Enter, any control key and whatever moves the cursor otherwise
 * begin anew: keys are then guessed unseen until the first of them comes back, so that a password never shows.
 */

export type Mode = "auto" | "always" | "off";

/** The screen as the server left it. */
export interface Truth {
  x: number;
  /** Counted from the beginning of the scrollback. */
  y: number;
  cols: number;
  /** The cursor's row, one character a cell, blanks as spaces; null where guessing makes no sense (a full-screen
   * program, wide characters). */
  row: string | null;
}

/** Draw `text` from column `from` of row `y`, and the cursor at column `cursor`. */
export interface Guess {
  y: number;
  from: number;
  text: string;
  cursor: number;
}

/** A key that was sent and has not come back; `char` null is a backspace. */
interface Key {
  char: string | null;
  at: number;
}

interface Line {
  row: string;
  x: number;
}

/** Round trips (ms) from which on guesses help, and below which they stop. */
const SLOW = 60;
const FAST = 40;
const PATIENCE = { least: 1000, most: 4000, roundTrips: 4 };
/** Characters that take one cell in every terminal. */
const PLAIN = /^[ -~\u00a1-\u00ac\u00ae-\u024f\u0370-\u0482\u048a-\u052f]$/;
const BACKSPACE = "\u007f";

function press({ row, x }: Line, char: string | null): Line {
  if (char === null) return { row: `${row.slice(0, x - 1)}${row.slice(x)} `, x: x - 1 };
  return { row: row.slice(0, x) + char + row.slice(x, -1), x: x + 1 };
}

export class Predictor {
  /** Smoothed round trip of a key and its echo in ms; null while nothing was measured. */
  roundTrip: number | null = null;
  #mode: Mode;
  #slow = false;
  /** The keys under way, in order. */
  #keys: Key[] = [];
  /** The screen at the last look, where those keys begin. */
  #base: (Line & { y: number }) | null = null;
  /** The line was seen to echo. */
  #echoes = false;
  /** Keys went after those that were guessed whose effect nobody can guess. */
  #sealed = false;
  /** The leftmost column that this line's own typing began at: backspace may not be guessed beyond. */
  #floor = Infinity;

  constructor(mode: Mode) {
    this.#mode = mode;
  }

  set mode(mode: Mode) {
    this.#mode = mode;
    this.forget();
  }

  /** Everything under way is given up, and nothing is drawn before an echo was seen again. */
  forget(): void {
    this.#keys = [];
    this.#base = null;
    this.#echoes = this.#sealed = false;
    this.#floor = Infinity;
  }

  /** A round trip that was measured otherwise, such as by connecting; echoes go on from it. */
  measured(ms: number): void {
    this.roundTrip = ms;
    if (ms >= SLOW) this.#slow = true;
    else if (ms < FAST) this.#slow = false;
  }

  typed(data: string, truth: Truth, now: number): void {
    if (this.#mode === "off") return;
    for (const char of data.includes("\u001b") ? ["\u001b"] : data) {
      const key = PLAIN.test(char) ? char : char === BACKSPACE ? null : undefined;
      if (key === undefined || !this.#press(key, truth, now)) {
        if (this.#keys.length === 0) this.forget();
        else this.#sealed = true;
        return;
      }
    }
  }

  #press(char: string | null, truth: Truth, now: number): boolean {
    if (this.#sealed) return false;
    if (this.#keys.length === 0) {
      if (truth.row === null) return false;
      this.#base = { x: truth.x, y: truth.y, row: truth.row };
      this.#floor = Math.min(this.#floor, char === null ? Infinity : truth.x);
    }
    const { x } = this.#at(this.#keys.length);
    if (char === null ? x <= this.#floor : x >= truth.cols - 1) return false;
    this.#keys.push({ char, at: now });
    return true;
  }

  /** The server's output was drawn: this is the screen now. */
  output(truth: Truth, now: number): void {
    if (this.#base === null) return;
    const { row } = truth;
    const from = this.#base.x;
    const seen = row === null || truth.y !== this.#base.y ? -1 : this.#confirmed(truth.x, row);
    if (seen < 0 || row === null) {
      this.forget();
      return;
    }
    const done = this.#keys.splice(0, seen);
    this.#base = { x: truth.x, y: truth.y, row };
    const last = done.at(-1);
    if (last !== undefined) {
      const took = now - last.at;
      this.measured(this.roundTrip === null ? took : (7 * this.roundTrip + took) / 8);
    }
    // What came back, and no mask: prompts that hide what is typed echo stars.
    if (/[^* ]/.test(row.slice(from, truth.x))) this.#echoes = true;
  }

  /** How many of the keys the screen shows already, the fewest that explain it; -1 when none do. */
  #confirmed(x: number, row: string): number {
    let line: Line = this.#at(0);
    for (let count = 0; ; count++) {
      const key = this.#keys[count];
      if (line.x === x && row.slice(0, x) === line.row.slice(0, x)) return count;
      if (key === undefined) return -1;
      line = press(line, key.char);
    }
  }

  /** When `expire` wants to be called, in ms; null when nothing is under way. */
  get deadline(): number | null {
    const oldest = this.#keys[0];
    if (oldest === undefined) return null;
    const { least, most, roundTrips } = PATIENCE;
    return oldest.at + Math.min(most, Math.max(least, roundTrips * (this.roundTrip ?? 0)));
  }

  /** Gives up guesses that waited too long. */
  expire(now: number): void {
    if (this.deadline === null || now < this.deadline) return;
    // Typed and deleted again: the screen cannot tell whether that is still to come, and it does not matter.
    const { row, x } = this.#at(this.#keys.length);
    if (row === this.#base?.row && x === this.#base.x) this.#keys = [];
    else this.forget();
  }

  /** What to draw over the screen; null: the screen is all there is to show. */
  get guess(): Guess | null {
    const base = this.#base;
    if (base === null || this.#keys.length === 0 || !this.#echoes) return null;
    if (this.#mode === "off" || (this.#mode === "auto" && !this.#slow)) return null;
    const { row, x } = this.#at(this.#keys.length);
    let from = Math.min(x, base.x);
    let to = Math.max(x, base.x) + 1;
    for (let at = 0; at < row.length; at++) {
      if (row[at] === base.row[at]) continue;
      from = Math.min(from, at);
      to = Math.max(to, at + 1);
    }
    return { y: base.y, from, text: row.slice(from, to), cursor: x };
  }

  #at(count: number): Line {
    let line: Line = this.#base ?? { row: "", x: 0 };
    for (const key of this.#keys.slice(0, count)) line = press(line, key.char);
    return line;
  }
}

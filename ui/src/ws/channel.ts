import type { Frame } from "../journal/events.ts";

export interface Present {
  id: string; name: string | null;
}

/** What a subscriber of a channel hears. */
export interface Follower {
  /** Events in order, each once, gathered until the next paint. */
  frames(frames: Frame[]): void;
  /** The server confirmed: numbers up to `head` are history, those beyond it are live. */
  head?(head: number): void;
  /** The server's numbering is younger than ours (its data was put back): forget everything, all comes anew. */
  reset?(): void;
  /** Who follows the channel now, told when it is not only the reader. */
  present?(users: Present[]): void;
  /** The channel cannot be followed; nothing more will come. */
  refused?(code: string, message: string): void;
}

export type Verdict = "take" | "skip" | "gap";

/**
 * One channel's place in its numbering. `session:` channels count without gaps, so a hole means that something
 * was lost and the channel must be asked for again; `events` counts with the global commit number.
 */
export class Channel {
  last: number;
  /** Follow from the server's head on instead of from a number: history is of no interest. */
  fromHead: boolean;
  /** Subscribed on the present socket and confirmed by the server. */
  confirmed = false;
  pending: Frame[] = [];
  readonly #gapless: boolean;
  #askedAgainAt: number | null = null;

  constructor(readonly name: string, after: number | "head", readonly follower: Follower) {
    this.fromHead = after === "head";
    this.last = after === "head" ? 0 : after;
    this.#gapless = name.startsWith("session:");
  }

  judge(seq: number): Verdict {
    if (!this.confirmed || seq <= this.last) return "skip";
    // Asked again from here and it is still missing: the server has none, and must not be asked for ever.
    if (this.#gapless && seq !== this.last + 1 && this.#askedAgainAt !== this.last) {
      this.#askedAgainAt = this.last;
      return "gap";
    }
    this.last = seq;
    return "take";
  }

  /** Back to the beginning, after the server refused our number. */
  restart(): void {
    this.last = 0;
    this.pending = [];
    this.follower.reset?.();
  }
}

import { foldAll } from "../journal/fold.ts";
import { EMPTY, type Transcript } from "../journal/model.ts";
import type { Frame } from "../journal/events.ts";
import type { Present } from "../ws/channel.ts";
import { socket } from "../ws/browser.ts";
import { Store } from "./store.ts";

export interface Live {
  transcript: Transcript;
  /** History has arrived; until then the page shows its skeleton rather than an empty session. */
  ready: boolean;
  refused: string | null;
}

/** One session as it happens. Stays in memory for a while after the reader leaves, so that coming back is at once. */
export class LiveSession {
  readonly id: string;
  readonly state = new Store<Live>({ transcript: EMPTY, ready: false, refused: null });
  readonly here = new Store<Present[]>([]);
  /** This browser's clock minus the daemon's, in milliseconds, as seen on live events. */
  skewMs = 0;
  #head = Number.POSITIVE_INFINITY;
  #users = 0;
  #leave: (() => void) | null = null;

  constructor(id: string) {
    this.id = id;
  }

  enter(): () => void {
    this.#users += 1;
    this.#leave ??= socket.subscribe(`session:${this.id}`, this.state.get().transcript.seq, {
      frames: (frames) => this.#advance(frames),
      head: (head) => {
        this.#head = head;
        this.#settle();
      },
      reset: () => this.state.set({ transcript: EMPTY, ready: false, refused: null }),
      present: (users) => this.here.set(users),
      refused: (_code, message) => this.state.set((live) => ({ ...live, refused: message })),
    });
    return () => {
      this.#users -= 1;
      if (this.#users > 0) return;
      this.#leave?.();
      this.#leave = null;
      this.here.set([]);
    };
  }

  #advance(frames: Frame[]): void {
    const last = frames.at(-1);
    if (last !== undefined && last.seq > this.#head) {
      const skew = Date.now() - Date.parse(last.at);
      // Below a second it is travel time, not a wrong clock.
      this.skewMs = Math.abs(skew) < 1000 ? 0 : skew;
    }
    this.state.set((live) => ({ ...live, transcript: foldAll(live.transcript, frames) }));
    this.#settle();
  }

  #settle(): void {
    const { ready, transcript } = this.state.get();
    if (!ready && transcript.seq >= this.#head) this.state.set((live) => ({ ...live, ready: true }));
  }
}

const KEPT = 8;
const sessions = new Map<string, LiveSession>();

export function liveSession(id: string): LiveSession {
  const held = sessions.get(id) ?? new LiveSession(id);
  sessions.delete(id);
  sessions.set(id, held);
  for (const old of sessions.keys()) {
    if (sessions.size <= KEPT) break;
    sessions.delete(old);
  }
  return held;
}

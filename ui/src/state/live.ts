import { api } from "../api/client.ts";
import { foldAll } from "../journal/fold.ts";
import { EMPTY, type Transcript } from "../journal/model.ts";
import type { Frame } from "../journal/events.ts";
import type { Present } from "../ws/channel.ts";
import { t } from "../i18n/index.ts";
import { away } from "../offline/away.ts";
import { keepSession, keptSession } from "../offline/snapshot.ts";
import { socket } from "../ws/browser.ts";
import { Store } from "./store.ts";

/** A session at work is kept once in a while, not with each word. */
const KEEP_AFTER_MS = 2000;

export interface Live {
  transcript: Transcript;
  /** History has arrived; until then the page shows its skeleton rather than an empty session. */
  ready: boolean;
  refused: string | null;
}

/** One session as it happens. Stays in memory for a while after the reader leaves, so that coming back is at once. */
export class LiveSession {
  readonly state = new Store<Live>({ transcript: EMPTY, ready: false, refused: null });
  readonly here = new Store<Present[]>([]);
  /** This browser's clock minus the daemon's, in milliseconds, as seen on live events. */
  skewMs = 0;
  #head = Number.POSITIVE_INFINITY;
  #users = 0;
  #leave: (() => void) | null = null;
  /** Of a session that is shown as it was last seen: what has come since, until it is whole. */
  #fresh: Transcript | null = null;
  #keeping: ReturnType<typeof setTimeout> | null = null;

  constructor(readonly project: string, readonly id: string) {}

  enter(): () => void {
    this.#users += 1;
    if (this.#leave === null) {
      let here = true;
      this.#leave = () => void (here = false);
      const follow = (): void => {
        if (here) this.#leave = this.#follow();
      };
      // What is long is read in pieces of a thousand; whatever goes wrong with that, the socket says or sets right.
      if (this.#seq > 0) follow();
      else history(this.project, this.id).then((frames) => here && this.#take(frames, true), () => {}).then(follow);
    }
    const unwatch = away.watch(() => void this.#lastSeen());
    void this.#lastSeen();
    return () => {
      unwatch();
      this.#users -= 1;
      if (this.#users > 0) return;
      this.#leave?.();
      this.#leave = null;
      this.here.set([]);
    };
  }

  /** Number of the last event that came from the daemon, whatever is shown. */
  get #seq(): number {
    return (this.#fresh ?? this.state.get().transcript).seq;
  }

  #take(frames: Frame[], whole: boolean): void {
    if (this.#fresh !== null) this.#fresh = foldAll(this.#fresh, frames);
    else this.state.set((live) => ({ ...live, transcript: foldAll(live.transcript, frames), ready: whole || live.ready }));
    this.#settle();
  }

  /** What comes after what is there, once and in order, for as long as somebody is here. */
  #follow(): () => void {
    return socket.subscribe(`session:${this.id}`, this.#seq, {
      frames: (frames) => this.#advance(frames),
      head: (head) => {
        this.#head = head;
        this.state.set((live) => (live.refused === null ? live : { ...live, refused: null }));
        this.#settle();
      },
      reset: () => {
        this.#fresh = null;
        this.state.set({ transcript: EMPTY, ready: false, refused: null });
      },
      present: (users) => this.here.set(users),
      refused: (_code, message) => this.state.set((live) => ({ ...live, refused: message })),
    });
  }

  #advance(frames: Frame[]): void {
    const last = frames.at(-1);
    if (last !== undefined && last.seq > this.#head) {
      const skew = Date.now() - Date.parse(last.at);
      // Below a second it is travel time, not a wrong clock.
      this.skewMs = Math.abs(skew) < 1000 ? 0 : skew;
    }
    this.#take(frames, false);
  }

  #settle(): void {
    const { ready, transcript } = this.state.get();
    if (this.#fresh !== null && this.#fresh.seq >= this.#head) {
      this.state.set({ transcript: this.#fresh, ready: true, refused: null });
      this.#fresh = null;
    } else if (!ready && transcript.seq >= this.#head) this.state.set((live) => ({ ...live, ready: true }));
    if (this.#fresh === null && this.state.get().ready) this.#keepSoon();
  }

  /** Without a line, what this device kept of the session; all of it comes anew once the line is up. */
  async #lastSeen(): Promise<void> {
    if (away.get() === null || this.state.get().ready) return;
    const transcript = await keptSession(this.id);
    if (away.get() === null || this.state.get().ready) return;
    if (transcript === null) {
      this.state.set((live) => ({ ...live, refused: t("offline:not_kept") }));
      return;
    }
    this.#fresh = this.state.get().transcript;
    this.state.set({ transcript, ready: true, refused: null });
  }

  #keepSoon(): void {
    this.#keeping ??= setTimeout(() => {
      this.#keeping = null;
      void keepSession(this.id, this.project, this.state.get().transcript);
    }, KEEP_AFTER_MS);
  }
}

const PIECE = 1000;
const AT_ONCE = 4;

/** Everything that happened so far. Numbers have no gaps, so pieces can be asked for before the ones before them came. */
async function history(project: string, id: string): Promise<Frame[]> {
  const frames: Frame[] = [];
  for (let first = 0, wide = 1; ; first += wide, wide = AT_ONCE) {
    const afters = Array.from({ length: wide }, (_, number) => (first + number) * PIECE);
    const pieces = await Promise.all(afters.map((after) => api.events(project, id, after, PIECE)));
    for (const { items } of pieces) frames.push(...items);
    if (pieces.at(-1)?.items.length !== PIECE) return frames;
  }
}

const KEPT = 8;
const sessions = new Map<string, LiveSession>();

export function liveSession(project: string, id: string): LiveSession {
  const held = sessions.get(id) ?? new LiveSession(project, id);
  sessions.delete(id);
  sessions.set(id, held);
  for (const old of sessions.keys()) {
    if (sessions.size <= KEPT) break;
    sessions.delete(old);
  }
  return held;
}

import { useEffect } from "react";
import { useLatest } from "../design/hooks.ts";
import { Store } from "../state/store.ts";

/** Where a key counts. Those of a project count in its sessions too, and `everywhere` is everywhere. */
export const SCOPES = ["everywhere", "project", "session", "message", "terminal"] as const;
export type Scope = (typeof SCOPES)[number];

interface Act {
  scope: Scope;
  /** `n`, `G` (with Shift), `g h` (one after the other), `mod+k` (⌘ or Ctrl), `Ctrl+Shift+C` (within a field). */
  key: string;
  /** The part of the page that has the focus takes the key, such as the message being written; nobody else can do it. */
  field?: true;
  /** Goes to a place. */
  goes?: true;
}

/** Every act there is, once: the palette, the keys and the page under `?` are drawn from it. Words: `palette:act.*`. */
export const ACTS = {
  palette: { scope: "everywhere", key: "mod+k" },
  shortcuts: { scope: "everywhere", key: "?" },
  home: { scope: "everywhere", key: "g h", goes: true },
  approvals: { scope: "everywhere", key: "w", goes: true },
  terminals: { scope: "everywhere", key: "g t", goes: true },
  users: { scope: "everywhere", key: "g u", goes: true },
  audit: { scope: "everywhere", key: "g l", goes: true },
  logs: { scope: "everywhere", key: "g o", goes: true },
  usage: { scope: "everywhere", key: "g s", goes: true },
  models: { scope: "everywhere", key: "g m", goes: true },
  appearance: { scope: "everywhere", key: "g a", goes: true },
  browsers: { scope: "everywhere", key: "g b", goes: true },
  system: { scope: "everywhere", key: "g y", goes: true },
  about: { scope: "everywhere", key: "g i", goes: true },
  loadFolder: { scope: "everywhere", key: "o f" },
  connectModel: { scope: "everywhere", key: "o m" },
  theme: { scope: "everywhere", key: "z" },
  copyLink: { scope: "everywhere", key: "y" },
  signOut: { scope: "everywhere", key: "Q" },
  newSession: { scope: "project", key: "n" },
  newApart: { scope: "project", key: "N" },
  reviewTrust: { scope: "project", key: "p r" },
  sessions: { scope: "project", key: "p s", goes: true },
  tasks: { scope: "project", key: "p k", goes: true },
  projectTerminals: { scope: "project", key: "p t", goes: true },
  files: { scope: "project", key: "p f", goes: true },
  changes: { scope: "project", key: "p c", goes: true },
  prompts: { scope: "project", key: "p p", goes: true },
  policy: { scope: "project", key: "p o", goes: true },
  members: { scope: "project", key: "p m", goes: true },
  message: { scope: "session", key: "/" },
  interrupt: { scope: "session", key: "mod+." },
  resume: { scope: "session", key: "r" },
  archive: { scope: "session", key: "A" },
  view: { scope: "session", key: "t" },
  newTerminal: { scope: "session", key: "T" },
  latest: { scope: "session", key: "G" },
  inspector: { scope: "session", key: "i" },
  approve: { scope: "session", key: "a y" },
  deny: { scope: "session", key: "a n" },
  send: { scope: "message", key: "Enter", field: true },
  newLine: { scope: "message", key: "Shift+Enter", field: true },
  steer: { scope: "message", key: "mod+Enter", field: true },
  stop: { scope: "message", key: "Escape Escape", field: true },
  copy: { scope: "terminal", key: "Ctrl+Shift+C", field: true },
  paste: { scope: "terminal", key: "Ctrl+Shift+V", field: true },
  find: { scope: "terminal", key: "Ctrl+Shift+F", field: true },
} as const satisfies Record<string, Act>;

export type ActId = keyof typeof ACTS;
export const ACT_IDS = Object.keys(ACTS) as ActId[];
export const actOf = (id: ActId): Act => ACTS[id];

export interface Doing {
  run: () => void;
  /** What it is about, such as the command that is approved. */
  about?: string;
}

/** What can be done here and now. */
export const doable = new Store<ReadonlyMap<ActId, Doing>>(new Map());

type Given = { readonly [id in ActId]?: Doing | (() => void) | null | false };

/** A page says what can be done while it is shown; null or false is not now. */
export function useActs(given: Given): void {
  const latest = useLatest(given);
  const entries = ACT_IDS.flatMap((id) => {
    const one = given[id];
    return one ? [[id, typeof one === "function" ? "" : (one.about ?? "")] as const] : [];
  });
  const key = JSON.stringify(entries);
  useEffect(() => {
    const mine = (JSON.parse(key) as typeof entries).map(([id, about]): [ActId, Doing] => {
      const run = (): void => {
        const one = latest.current[id];
        if (one) (typeof one === "function" ? one : one.run)();
      };
      return [id, about === "" ? { run } : { run, about }];
    });
    doable.set((held) => new Map([...held, ...mine]));
    return () => doable.set((held) => new Map([...held].filter(([id, doing]) => !mine.some(([own, its]) => own === id && its === doing))));
  }, [key]);
}

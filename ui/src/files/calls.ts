import { call } from "../api/http.ts";

export interface Entry {
  name: string;
  kind: "dir" | "file" | "link" | "other";
  size: number;
  modified: string;
  /** Git's letter; null for what is as it was. */
  state: string | null;
}

export interface Hit {
  path: string;
  kind: "file" | "link";
  size: number;
}

interface About {
  path: string;
  size: number;
  hash: string;
  modified: string;
  /** Agents may only read it; writing takes an owner. */
  guarded: boolean;
}

export type Content = About &
  ({ kind: "text"; text: string } | { kind: "image"; type: string; data: string } | { kind: "binary" } | { kind: "large" });

export interface Change {
  path: string;
  status: string;
  added: number | null;
  deleted: number | null;
  staged: boolean;
}

export interface Part {
  hash: string;
  hunks: string[];
  cut: boolean;
}

interface FileChange {
  open: Part | null;
  staged: Part | null;
}

export interface Changes {
  items: Change[];
  branch: string | null;
  count: number;
}

export type Act = "accept" | "reopen" | "revert";
export type Base = "head" | "session";

/** Which files: the project's, or those that a session's agent works on. */
export interface Where {
  slug: string;
  session?: string | undefined;
}

function at({ slug, session }: Where, what: string, asked: Record<string, string> = {}): string {
  const query = new URLSearchParams(session === undefined ? asked : { ...asked, session }).toString();
  return `projects/${encodeURIComponent(slug)}/${what}${query === "" ? "" : `?${query}`}`;
}

interface Listed<T> {
  items: T[];
  next: string | null;
}

/** All of a list that comes by pages, up to `most` items. */
async function all<T, L extends Listed<T>>(page: (cursor: Record<string, string>) => Promise<L>, most = 5000): Promise<L> {
  const first = await page({});
  let next = first.next;
  while (next !== null && first.items.length < most) {
    const more = await page({ cursor: next });
    first.items.push(...more.items);
    next = more.next;
  }
  return first;
}

const based = (base: Base): Record<string, string> => (base === "session" ? { base } : {});

export const files = {
  list: async (where: Where, path: string) =>
    (await all((cursor) => call<Listed<Entry>>(at(where, "files", { path, limit: "500", ...cursor })))).items,
  find: async (where: Where, find: string, signal: AbortSignal) =>
    (await call<Listed<Hit>>(at(where, "files", { find, limit: "50" }), { signal })).items,
  read: (where: Where, path: string) => call<Content>(at(where, "files/content", { path })),
  write: (where: Where, path: string, text: string, base_hash: string | null) =>
    call<{ path: string; hash: string }>(at(where, "files/content"), { method: "PUT", body: { path, text, base_hash } }),
  changes: (where: Where, base: Base) =>
    all<Change, Changes & Listed<Change>>((cursor) => call(at(where, "diff", { ...based(base), limit: "500", ...cursor }))),
  change: (where: Where, base: Base, path: string) => call<FileChange>(at(where, "diff/file", { ...based(base), path })),
  mark: (where: Where, base: Base, act: Act, path: string, base_hash: string, hunk: number | null) =>
    call<FileChange>(at(where, `diff/${act}`, based(base)), { method: "POST", body: { path, base_hash, hunk } }),
  commit: (where: Where, message: string) =>
    call<Changes & { commit: string }>(at(where, "commits"), { method: "POST", body: { message } }),
};

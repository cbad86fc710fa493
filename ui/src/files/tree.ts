import type { TreeNode } from "../design/Tree.tsx";
import type { Entry } from "./calls.ts";

/** What is known of the folders so far; a folder that is being looked at is null. */
export type Folders = ReadonlyMap<string, readonly Entry[] | null>;

const join = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`);

/** `["a", "a/b"]` for `a/b/c.txt`: what has to be open for it to be seen. */
export function above(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

type Dress = (entry: Entry, path: string) => Pick<TreeNode, "icon" | "note">;

/** The tree as far as it has been looked at. */
export function nodesOf(folders: Folders, dress: Dress, folder = ""): TreeNode[] {
  return (folders.get(folder) ?? []).map((entry) => {
    const path = join(folder, entry.name);
    const node: TreeNode = { id: path, label: entry.name, ...dress(entry, path) };
    if (entry.kind !== "dir") return node;
    return { ...node, children: nodesOf(folders, dress, path), busy: folders.get(path) === null };
  });
}

const LANGUAGES: Readonly<Record<string, string>> = {
  md: "markdown", markdown: "markdown", yaml: "yaml", yml: "yaml", py: "python", pyi: "python", json: "json",
  js: "javascript", mjs: "javascript", jsx: "javascript", ts: "typescript", tsx: "typescript",
};

export function languageOf(path: string): string {
  return LANGUAGES[path.split(".").at(-1)?.toLowerCase() ?? ""] ?? "";
}

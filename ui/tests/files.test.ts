import { describe, expect, it } from "vitest";
import type { Entry } from "../src/files/calls.ts";
import { above, languageOf, nodesOf } from "../src/files/tree.ts";

const entry = (name: string, kind: Entry["kind"] = "file"): Entry => ({ name, kind, size: 1, modified: "", state: null });

describe("the tree of files", () => {
  it("names what has to be open for a file to be seen", () => {
    expect(above("a/b/c.txt")).toEqual(["a", "a/b"]);
    expect(above("c.txt")).toEqual([]);
  });

  it("holds what was looked at, and says what is being looked at", () => {
    const folders = new Map<string, Entry[] | null>([
      ["", [entry("src", "dir"), entry("new", "dir"), entry("far", "dir"), entry("a.txt")]],
      ["src", [entry("b.py")]],
      ["new", null],
    ]);
    const seen: string[] = [];
    const [src, fresh, far, file] = nodesOf(folders, (_, path) => (seen.push(path), {}));
    expect(src?.children?.map((node) => [node.id, node.label])).toEqual([["src/b.py", "b.py"]]);
    expect([src?.busy, fresh?.busy, fresh?.children, far?.busy]).toEqual([false, true, [], false]);
    expect(file).toEqual({ id: "a.txt", label: "a.txt" });
    expect(seen).toEqual(["src", "src/b.py", "new", "far", "a.txt"]);
  });

  it("knows languages by their endings", () => {
    expect(["a.MD", "x/y.tsx", "b.py", "Makefile"].map(languageOf)).toEqual(["markdown", "typescript", "python", ""]);
  });
});

import { describe, expect, it } from "vitest";
import { found, moved } from "../src/design/roving.ts";
import { widthOf } from "../src/design/SplitPane.tsx";
import { rowsOf, type TreeNode } from "../src/design/Tree.tsx";

describe("one stop for Tab, arrows within", () => {
  it.each([
    ["ArrowDown", 0, 1],
    ["ArrowDown", 2, 0],
    ["ArrowDown", -1, 0],
    ["ArrowUp", 0, 2],
    ["ArrowUp", -1, 2],
    ["ArrowRight", 0, null],
    ["Home", 2, 0],
    ["End", 0, 2],
    ["x", 0, null],
  ] as const)("%s from %i leads to %s", (key, at, next) => {
    expect(moved(key, at, 3)).toBe(next);
  });

  it("leads nowhere where there is nothing", () => {
    expect(moved("End", -1, 0)).toBeNull();
  });

  const labels = ["Rename", "Archive", "Restore", "Remove"];
  it.each([
    ["r", 0, 2],
    ["r", 3, 0],
    ["rr", 2, 3],
    ["rem", 0, 3],
    ["RES", 2, 2],
    ["z", 0, null],
    ["a", -1, 1],
  ] as const)("typing %s from %i leads to %s", (typed, at, next) => {
    expect(found(typed, labels, at)).toBe(next);
  });
});

describe("a tree", () => {
  const nodes: TreeNode[] = [
    { id: "src", label: "src", children: [{ id: "src/a", label: "a", children: [] }, { id: "src/b", label: "b" }] },
    { id: "README", label: "README" },
  ];
  const ids = (...open: string[]): string[] => rowsOf(nodes, new Set(open)).map((row) => row.node.id);

  it("shows what is open, and nothing below what is closed", () => {
    expect(ids()).toEqual(["src", "README"]);
    expect(ids("src")).toEqual(["src", "src/a", "src/b", "README"]);
    expect(ids("src/a")).toEqual(["src", "README"]);
  });

  it("tells screen readers where each row stands", () => {
    const row = rowsOf(nodes, new Set(["src"]))[2];
    expect(row).toMatchObject({ level: 2, place: 2, among: 2, parent: "src" });
  });
});

describe("a kept width", () => {
  it.each([
    [null, 280],
    ["320", 320],
    ["9", 180],
    ["9000", 600],
    ["wide", 280],
  ])("%s becomes %i", (kept, width) => {
    expect(widthOf(kept, 280, 180, 600)).toBe(width);
  });
});

import { expect, test } from "vitest";
import type { Project, ProjectRole } from "../src/api/types.ts";
import { initials, lacks } from "../src/state/rights.ts";

const project = (role: ProjectRole): Project => ({ slug: "bread", role }) as Project;

test("a role may do what smaller ones may, and is told what more takes", () => {
  expect(lacks(project("owner"), "editor")).toBeNull();
  expect(lacks(project("editor"), "editor")).toBeNull();
  expect(lacks(project("viewer"), "editor")).toBe(
    "Your role in bread is viewer; this takes the role editor. Ask one of its owners.",
  );
  expect(lacks(project("editor"), "owner")).toContain("takes the role owner");
});

test("a project that is not loaded yet takes nothing away", () => {
  expect(lacks(null, "owner")).toBeNull();
});

test.each([
  ["alice@example.com", null, "A"],
  ["u1", "Alice Archer", "AA"],
  ["u1", "zoë von Öl", "ZÖ"],
  ["github|12", null, "G"],
  ["|||", null, "|"],
])("%s, called %s, is %s", (id, name, letters) => {
  expect(initials({ id, name })).toBe(letters);
});

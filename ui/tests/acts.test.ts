import { describe, expect, it } from "vitest";
import { startLanguage, t } from "../src/i18n/index.ts";
import { ACT_IDS, actOf, type Scope, SCOPES } from "../src/palette/acts.ts";
import { capsOf, meant, pressOf } from "../src/palette/keys.ts";
import { found, type Item } from "../src/palette/find.tsx";

/** The scopes whose keys count at the same time. */
const TOGETHER: readonly Scope[][] = [["everywhere", "project", "session"], ["message"], ["terminal"]];
const own = ACT_IDS.filter((id) => actOf(id).field !== true);

describe("the table of acts", () => {
  it("has a key and words for every act", async () => {
    await startLanguage("en", []);
    for (const id of ACT_IDS) {
      expect(actOf(id).key, id).not.toBe("");
      expect(t(`palette:act.${id}`), id).not.toContain("act.");
    }
    expect(TOGETHER.flat().toSorted()).toEqual([...SCOPES].toSorted());
  });

  it.each(TOGETHER.map((scopes) => [scopes.join(", "), scopes] as const))("has no key twice: %s", (_, scopes) => {
    const keys = ACT_IDS.filter((id) => scopes.includes(actOf(id).scope)).map((id) => actOf(id).key);
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
    // A key that another begins with would never wait for the second press.
    expect(keys.filter((key) => keys.some((other) => other.startsWith(`${key} `)))).toEqual([]);
  });

  it.each(own)("%s takes nothing from the browser or a screen reader", (id) => {
    // Of ⌘ and Ctrl only what no browser needs; otherwise plain keys, one after the other, which screen readers take first.
    expect(actOf(id).key).toMatch(/^(mod\+[k.]|[a-zA-Z/?]|[a-z] [a-z])$/);
  });

  it("is reached by its own key and no other", () => {
    for (const id of own) {
      const [first = "", second] = actOf(id).key.split(" ");
      const after = meant(null, first, own);
      expect(second === undefined ? after : [after, meant(first, second, own)], id).toEqual(second === undefined ? id : ["more", id]);
    }
    expect(meant(null, "x", own)).toBeNull();
    expect(meant("g", "w", own), "a press that completes nothing begins anew").toBe("approvals");
    expect(meant(null, "g", ["latest"]), "nothing follows where nothing can be done").toBeNull();
  });

  it.each([
    [{ key: "k", metaKey: true }, "mod+k"],
    [{ key: "K", ctrlKey: true }, "mod+k"],
    [{ key: "G" }, "G"],
    [{ key: "g", altKey: true }, null],
    [{ key: " " }, null],
    [{ key: "Enter" }, null],
  ])("reads the press %o", (event, press) => {
    expect(pressOf({ metaKey: false, ctrlKey: false, altKey: false, ...event })).toBe(press);
  });

  it("is drawn as caps", () => {
    expect(capsOf("g h")).toEqual([["G"], ["H"]]);
    expect(capsOf("G")).toEqual([["Shift", "G"]]);
    expect(capsOf("mod+k")).toEqual([["Ctrl", "K"]]);
    expect(capsOf("Escape Escape")).toEqual([["Esc"], ["Esc"]]);
  });
});

describe("the palette", () => {
  const item = (section: Item["section"], words: string, about = ""): Item => ({
    id: `${section} ${words}`, section, words, about, run: () => {},
  });
  const all = [item("acts", "New session"), item("acts", "Interrupt what runs"), item("places", "Audit"), item("sessions", "Fix the oven", "bakery")];
  const names = (query: string, recent: string[] = []): string[] => found(all, query, recent).map(({ item: { words } }) => words);

  it("finds by a few letters, in order", () => {
    expect(names("nws")).toContain("New session");
    expect(names("oven")).toEqual(["Fix the oven"]);
    expect(names("bakery"), "by what is said about it").toEqual(["Fix the oven"]);
    expect(names("zzz")).toEqual([]);
  });

  it("begins with what was used last, once", () => {
    expect(names("")).toEqual(["New session", "Interrupt what runs", "Audit", "Fix the oven"]);
    const recent = ["sessions Fix the oven", "places Gone", "places Audit"];
    expect(names("", recent)).toEqual(["Fix the oven", "Audit", "New session", "Interrupt what runs"]);
    expect(found(all, "", recent)[0]?.item.section).toBe("recent");
  });
});

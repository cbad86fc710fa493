import { describe, expect, it } from "vitest";
import { type Surroundings, stateOf } from "../src/notifications/push.ts";
import { noteOf } from "../src/worker/note.ts";

describe("the switch", () => {
  const good: Surroundings = { secure: true, push: true, appleTab: false, permission: "default", subscribed: false };
  it.each([
    [{}, "off"],
    [{ permission: "granted", subscribed: true }, "on"],
    [{ permission: "default", subscribed: true }, "off"],
    [{ permission: "denied", subscribed: true }, "denied"],
    [{ secure: false }, "insecure"],
    [{ push: false }, "unsupported"],
    [{ permission: null }, "unsupported"],
    [{ appleTab: true, push: false, permission: null }, "install"],
  ] as const)("%j is %s", (changed, expected) => {
    expect(stateOf({ ...good, ...changed })).toBe(expected);
  });
});

describe("a notification", () => {
  const message = { kind: "approval_gate", id: "01Q", project: "shop", title: "Ship it", url: "projects/shop" } as const;
  it("says where and what kind, in the reader's language", () => {
    expect(noteOf(message, "en")).toEqual({
      title: "A call waits to be approved", body: "Ship it · shop", tag: "01Q", quiet: false, url: "projects/shop",
    });
    expect(noteOf(message, "de").title).toBe("Ein Aufruf wartet auf Freigabe");
    expect(noteOf(message, "xx").title).toBe("A call waits to be approved");
  });
  it("is replaced quietly when it was answered", () => {
    expect(noteOf({ ...message, kind: "closed" }, "en")).toMatchObject({ tag: "01Q", quiet: true });
    expect(noteOf({ kind: "test", id: "test" }, "en")).toMatchObject({ body: "", url: "" });
  });
});

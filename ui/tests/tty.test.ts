import { describe, expect, it } from "vitest";
import { applySticky } from "../src/terminal/keys.ts";
import { ACK_EVERY, controlFrame, inputFrame, Position, readFrame, resizeFrame } from "../src/tty/protocol.ts";

describe("kaged.tty.v1", () => {
  it("writes input, sizes and controls as the contract has them", () => {
    expect([...inputFrame("é\u0003")]).toEqual([0, 0xc3, 0xa9, 3]);
    expect([...resizeFrame(300, 40)]).toEqual([1, 1, 44, 0, 40]);
    expect([...resizeFrame(0, 70_000)]).toEqual([1, 0, 1, 255, 255]);
    const control = controlFrame({ ack: 5 });
    expect(control[0]).toBe(2);
    expect(new TextDecoder().decode(control.subarray(1))).toBe('{"ack":5}');
  });

  it("reads output and controls, and bears what it does not know", () => {
    expect(readFrame(Uint8Array.of(0, 65, 66).buffer)).toEqual({ kind: "output", bytes: Uint8Array.of(65, 66) });
    expect(readFrame(controlFrame({ start: 7, cut: 0 }).buffer)).toEqual({
      kind: "control",
      control: { start: 7, cut: 0 },
    });
    expect(readFrame(Uint8Array.of(9, 1).buffer)).toEqual({ kind: "unknown" });
    expect(readFrame(new ArrayBuffer(0))).toEqual({ kind: "unknown" });
  });

  it("acknowledges what the screen took, never what only arrived", () => {
    const position = new Position();
    position.begin(1000);
    position.receive(ACK_EVERY * 3);
    expect(position.write(10)).toBeNull();
    expect(position.write(ACK_EVERY)).toBe(1000 + ACK_EVERY + 10);
    expect(position.write(ACK_EVERY - 1)).toBeNull();
    expect(position.write(1)).toBe(1000 + 2 * ACK_EVERY + 10);
    expect(position.received).toBe(1000 + 3 * ACK_EVERY);
  });

  it("never leaves the server's window full: under 256 KiB stay unacknowledged", () => {
    const position = new Position();
    position.begin(0);
    let acked = 0;
    for (let n = 0; n < 500; n++) {
      const size = (n * 7919) % 9000;
      position.receive(size);
      acked = position.write(size) ?? acked;
      expect(position.written - acked).toBeLessThan(ACK_EVERY);
    }
  });
});

describe("touch keys", () => {
  it("holds Ctrl for one key", () => {
    const sticky = { ctrl: true };
    expect(applySticky(sticky, "c")).toBe("\u0003");
    expect(applySticky(sticky, "c")).toBe("c");
  });

  it("keeps holding over what is no key", () => {
    const sticky = { ctrl: true };
    expect(applySticky(sticky, "pasted text")).toBe("pasted text");
    expect(sticky.ctrl).toBe(true);
  });
});

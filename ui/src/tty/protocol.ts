/** The frames of `kaged.tty.v1`: one type byte, then bytes, a size, or JSON. Pure. */

export const OUTPUT = 0x00;
export const RESIZE = 0x01;
export const CONTROL = 0x02;

export type ServerFrame =
  { kind: "output"; bytes: Uint8Array } | { kind: "control"; control: Record<string, unknown> } | { kind: "unknown" };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function framed(type: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(body.length + 1);
  frame[0] = type;
  frame.set(body, 1);
  return frame;
}

export function inputFrame(data: string | Uint8Array): Uint8Array<ArrayBuffer> {
  return framed(OUTPUT, typeof data === "string" ? encoder.encode(data) : data);
}

export function resizeFrame(cols: number, rows: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(5);
  const view = new DataView(frame.buffer);
  view.setUint8(0, RESIZE);
  view.setUint16(1, clampSize(cols));
  view.setUint16(3, clampSize(rows));
  return frame;
}

function clampSize(value: number): number {
  return Math.max(1, Math.min(0xffff, Math.trunc(value)));
}

export function controlFrame(control: object): Uint8Array<ArrayBuffer> {
  return framed(CONTROL, encoder.encode(JSON.stringify(control)));
}

export function readFrame(data: ArrayBuffer): ServerFrame {
  const bytes = new Uint8Array(data);
  if (bytes[0] === OUTPUT) return { kind: "output", bytes: bytes.subarray(1) };
  if (bytes[0] !== CONTROL) return { kind: "unknown" };
  const value: unknown = JSON.parse(decoder.decode(bytes.subarray(1)));
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { kind: "unknown" };
  return { kind: "control", control: value as Record<string, unknown> };
}

/** How many unacknowledged bytes the client lets pass before it says how far it is. */
export const ACK_EVERY = 64 * 1024;

/**
 * Where this client stands in the terminal's output. `received` is what came over the wire (the point to resume
 * from), `written` what the screen has really taken, which is all the server may count on.
 */
export class Position {
  received = 0;
  written = 0;
  #acked = 0;

  /** The first server frame: `start` is the offset of the next byte, `cut` how much before it is gone. */
  begin(start: number): void {
    this.received = start;
    this.written = start;
    this.#acked = start;
  }

  receive(length: number): void {
    this.received += length;
  }

  /** The screen took `length` more bytes; the offset to acknowledge, or null when it is not yet time. */
  write(length: number): number | null {
    this.written += length;
    if (this.written - this.#acked < ACK_EVERY && this.written !== this.received) return null;
    if (this.written === this.#acked) return null;
    if (this.written - this.#acked < ACK_EVERY / 4) return null;
    this.#acked = this.written;
    return this.written;
  }
}

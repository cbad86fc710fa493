import { askWhyRefused } from "../api/http.ts";
import { subprotocols } from "../api/key.ts";
import { socketUrlOf } from "../base.ts";
import { backoff } from "../ws/backoff.ts";
import { socket as pageSocket } from "../ws/browser.ts";
import { controlFrame, inputFrame, Position, readFrame, resizeFrame } from "./protocol.ts";

/** What the link reports; `output` calls `done` when the screen has taken the bytes. */
export interface LinkEvents {
  output(bytes: Uint8Array, done: () => void): void;
  cut(bytes: number): void;
  title(title: string): void;
  /** The terminal has this size now, set from here or by another browser. */
  size(cols: number, rows: number): void;
  exit(code: number | null): void;
  state(state: "connecting" | "open" | "lost" | "closed"): void;
  /** How long the road takes there and back, in ms, by what connecting took. */
  reached(roundTrip: number): void;
}

/** One terminal's connection: resumes by offset, acknowledges what the screen has taken. */
export class TerminalLink {
  readonly #id: string;
  readonly #events: LinkEvents;
  readonly #looksOn: boolean;
  readonly #position = new Position();
  #socket: WebSocket | null = null;
  readonly #unwatch: () => void;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #begun = false;
  /** The server opens with the size it had before it heard of ours; only later ones are news. */
  #sizeKnown = false;
  #over = false;
  #size: { cols: number; rows: number };

  /** With `looksOn` nothing is sent but acknowledgements: the server would not obey. */
  constructor(id: string, size: { cols: number; rows: number }, events: LinkEvents, looksOn = false) {
    this.#looksOn = looksOn;
    this.#id = id;
    this.#size = size;
    this.#events = events;
    this.#connect();
    window.addEventListener("online", this.nudge);
    document.addEventListener("visibilitychange", this.nudge);
    // The console's socket asks whether its connection lives; when that did not, ours need not either.
    let lost = false;
    this.#unwatch = pageSocket.watchStatus((status) => {
      if (status === "open" && lost) this.#renew();
      lost = status === "waiting" || (lost && status !== "open");
    });
  }

  /** Tries again at once when the connection is down. */
  readonly nudge = (): void => {
    if (this.#over || this.#socket !== null || document.visibilityState === "hidden") return;
    this.#attempt = 0;
    this.#connect();
  };

  /** False when it went nowhere. */
  input(data: string): boolean {
    return data !== "" && !this.#looksOn && this.#send(inputFrame(data));
  }

  resize(cols: number, rows: number): void {
    if (this.#looksOn || (cols === this.#size.cols && rows === this.#size.rows)) return;
    this.#size = { cols, rows };
    this.#send(resizeFrame(cols, rows));
  }

  /** Connects anew from the byte that was reached. */
  #renew(): void {
    if (this.#over) return;
    const old = this.#socket;
    this.#socket = null;
    old?.close();
    this.#attempt = 0;
    this.#connect();
  }

  close(): void {
    this.#over = true;
    this.#unwatch();
    window.removeEventListener("online", this.nudge);
    document.removeEventListener("visibilitychange", this.nudge);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
  }

  #send(frame: Uint8Array<ArrayBuffer>): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(frame);
    return true;
  }

  #connect(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#events.state("connecting");
    const after = this.#begun ? `?after=${this.#position.received}` : "";
    const socket = new WebSocket(
      socketUrlOf(`api/v1/terminals/${encodeURIComponent(this.#id)}/ws`) + after,
      subprotocols("kaged.tty.v1"),
    );
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#sizeKnown = this.#looksOn;
    let opened = false;
    const begun = performance.now();
    socket.addEventListener("open", () => {
      opened = true;
      // One round trip for the connection, one for the upgrade.
      this.#events.reached((performance.now() - begun) / 2);
      this.#attempt = 0;
      this.#events.state("open");
      if (!this.#looksOn) socket.send(resizeFrame(this.#size.cols, this.#size.rows));
    });
    socket.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (this.#socket === socket && event.data instanceof ArrayBuffer) this.#receive(event.data);
    });
    socket.addEventListener("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (this.#over) return;
      if (!opened) askWhyRefused();
      this.#events.state("lost");
      this.#timer = setTimeout(() => this.#connect(), backoff(this.#attempt++, Math.random));
    });
  }

  #receive(data: ArrayBuffer): void {
    const frame = readFrame(data);
    if (frame.kind === "output") {
      const length = frame.bytes.length;
      this.#position.receive(length);
      this.#events.output(frame.bytes, () => {
        const ack = this.#position.write(length);
        if (ack !== null) this.#send(controlFrame({ ack }));
      });
    } else if (frame.kind === "control") this.#control(frame.control);
  }

  #control(control: Record<string, unknown>): void {
    const { start, cut, title, size } = control;
    if (typeof start === "number") {
      this.#position.begin(start);
      this.#begun = true;
      if (typeof cut === "number" && cut > 0) this.#events.cut(cut);
    }
    if (typeof title === "string") this.#events.title(title);
    if (typeof size === "object" && size !== null) this.#resized(size as { cols?: unknown; rows?: unknown });
    if ("exit" in control) {
      this.#over = true;
      this.#events.exit(exitCode(control["exit"]));
      this.#events.state("closed");
    }
  }

  #resized({ cols, rows }: { cols?: unknown; rows?: unknown }): void {
    if (typeof cols !== "number" || typeof rows !== "number") return;
    if (!this.#sizeKnown) {
      this.#sizeKnown = true;
      return;
    }
    // Known before it is told, so that following it is not sent back as a wish of ours.
    this.#size = { cols, rows };
    this.#events.size(cols, rows);
  }
}

function exitCode(value: unknown): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "object" || value === null) return null;
  const code = (value as { code?: unknown }).code;
  return typeof code === "number" ? code : null;
}

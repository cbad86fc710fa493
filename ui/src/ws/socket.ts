import type { Frame } from "../journal/events.ts";
import { backoff } from "./backoff.ts";
import { Channel, type Follower, type Present } from "./channel.ts";

/** The part of a WebSocket that is used; tests bring their own. */
export interface Wire {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null; onmessage: ((event: { data: unknown }) => void) | null; onclose: (() => void) | null;
}

/** What the socket needs from its surroundings, so that tests hold time and chance still. */
export interface Surroundings {
  open(): Wire;
  later(run: () => void, ms: number): () => void;
  /** Runs once before the next paint, or soon when the page is hidden. */
  beforePaint(run: () => void): void;
  random(): number;
  /** A connection ended before it had begun. */
  refused(): void;
}

export type Status = "connecting" | "open" | "waiting";

const PING_EVERY_MS = 20_000;
const ANSWER_WITHIN_MS = 8_000;
/** After a sleep or a change of network: most connections are dead then, and a new one loses nothing. */
const DOUBTED_WITHIN_MS = 3_000;

interface Message extends Partial<Frame> {
  op?: string; code?: string; message?: string; users?: Present[];
}

/**
 * The one socket of `kaged.v1`. Whatever happens to the connection, each follower gets each event of its channel
 * once and in order: the socket remembers the last number seen and asks on from there.
 */
export class Socket {
  readonly #around: Surroundings;
  readonly #channels = new Map<string, Channel>();
  readonly #statusListeners = new Set<(status: Status) => void>();
  readonly #rightsListeners = new Set<() => void>();
  #wire: Wire | null = null;
  #status: Status = "waiting";
  #attempt = 0;
  #cancelTimer: () => void = () => {};
  #cancelAnswer: () => void = () => {};
  #awaited = Number.POSITIVE_INFINITY;
  #flushing = false;
  #started = false;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  get status(): Status {
    return this.#status;
  }

  watchStatus(listener: (status: Status) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  /** Tells when the rights of this reader have changed. */
  watchRights(listener: () => void): () => void {
    this.#rightsListeners.add(listener);
    return () => this.#rightsListeners.delete(listener);
  }

  start(): void {
    this.#started = true;
    if (this.#wire === null) this.#connect();
  }

  stop(): void {
    this.#started = false;
    this.#drop();
  }

  /** The network or the page came back: try now, or find out soon whether the connection still lives. */
  nudge(): void {
    if (!this.#started) return;
    if (this.#wire === null) {
      this.#attempt = 0;
      this.#connect();
    } else if (this.#status === "open") this.#ping(DOUBTED_WITHIN_MS);
  }

  /** Follows a channel after a number; the answer ends it. One follower a channel. */
  subscribe(name: string, after: number | "head", follower: Follower): () => void {
    const channel = new Channel(name, after, follower);
    if (this.#channels.has(name)) this.#send({ op: "unsubscribe", channel: name });
    this.#channels.set(name, channel);
    this.#ask(channel);
    return () => {
      if (this.#channels.get(name) !== channel) return;
      this.#channels.delete(name);
      this.#send({ op: "unsubscribe", channel: name });
    };
  }

  #setStatus(status: Status): void {
    if (this.#status === status) return;
    this.#status = status;
    for (const listener of this.#statusListeners) listener(status);
  }

  #connect(): void {
    this.#cancelTimer();
    this.#setStatus("connecting");
    const wire = this.#around.open();
    this.#wire = wire;
    wire.onopen = () => {
      if (this.#wire !== wire) return;
      this.#attempt = 0;
      this.#setStatus("open");
      for (const channel of this.#channels.values()) this.#ask(channel);
      this.#schedulePing();
    };
    wire.onmessage = (event) => {
      if (this.#wire === wire && typeof event.data === "string") this.#receive(event.data);
    };
    wire.onclose = () => {
      if (this.#wire !== wire) return;
      if (this.#status === "connecting") this.#around.refused();
      this.#lost();
    };
  }

  #drop(): void {
    const wire = this.#wire;
    this.#wire = null;
    this.#cancelTimer();
    this.#answered();
    for (const channel of this.#channels.values()) {
      channel.confirmed = false;
      channel.follower.present?.([]);
    }
    this.#setStatus("waiting");
    wire?.close();
  }

  #lost(): void {
    this.#drop();
    if (!this.#started) return;
    const wait = backoff(this.#attempt, () => this.#around.random());
    this.#attempt += 1;
    this.#cancelTimer = this.#around.later(() => this.#connect(), wait);
  }

  #send(message: object): void {
    if (this.#status === "open") this.#wire?.send(JSON.stringify(message));
  }

  #ask(channel: Channel): void {
    channel.confirmed = false;
    this.#send({ op: "subscribe", channel: channel.name, after: channel.last });
  }

  #schedulePing(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#around.later(() => {
      this.#ping(ANSWER_WITHIN_MS);
      this.#schedulePing();
    }, PING_EVERY_MS);
  }

  /** A socket that sleeps through an answer is dead, whatever the browser believes. */
  #ping(within: number): void {
    this.#send({ op: "ping" });
    // Who waits for an answer already is not given more time.
    if (within >= this.#awaited) return;
    this.#answered();
    this.#awaited = within;
    this.#cancelAnswer = this.#around.later(() => this.#lost(), within);
  }

  #answered(): void {
    this.#cancelAnswer();
    this.#awaited = Number.POSITIVE_INFINITY;
  }

  #again(channel: Channel): void {
    this.#send({ op: "unsubscribe", channel: channel.name });
    this.#ask(channel);
  }

  #receive(text: string): void {
    this.#answered();
    const message = JSON.parse(text) as Message;
    if (message.op === "rights") for (const listener of this.#rightsListeners) listener();
    const channel = this.#channels.get(message.channel ?? "");
    if (channel === undefined) return;
    if (message.op === "subscribed") this.#confirmed(channel, message.seq ?? 0);
    else if (message.op === "presence") channel.follower.present?.(message.users ?? []);
    else if (message.op === "error") this.#refused(channel, message);
    // `lagged` needs nothing: the server goes on from storage by itself, with the next number.
    else if (message.op === undefined && typeof message.seq === "number") this.#event(channel, message as Frame);
  }

  #confirmed(channel: Channel, head: number): void {
    if (channel.fromHead) {
      channel.fromHead = false;
      channel.last = head;
      if (head > 0) return this.#again(channel);
    }
    channel.confirmed = true;
    channel.follower.head?.(head);
  }

  #refused(channel: Channel, message: Message): void {
    if (message.code === "validation_failed" && channel.last > 0) {
      channel.restart();
      this.#ask(channel);
      return;
    }
    this.#channels.delete(channel.name);
    channel.follower.refused?.(message.code ?? "unknown", message.message ?? "");
  }

  #event(channel: Channel, frame: Frame): void {
    const verdict = channel.judge(frame.seq);
    if (verdict === "gap") this.#again(channel);
    if (verdict !== "take") return;
    channel.pending.push(frame);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#around.beforePaint(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    for (const channel of this.#channels.values()) {
      if (channel.pending.length === 0) continue;
      const frames = channel.pending;
      channel.pending = [];
      channel.follower.frames(frames);
    }
  }
}
